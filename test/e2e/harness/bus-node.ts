/** Nodes with a bus and a Redis of their own, on machines of their own; both sides of a network over two. */
import { join } from "node:path";
import { ROOT } from "../../../src/cli/demo/implementations.ts";
import { generateKeys, type KeyPair } from "../../../src/cli/demo/keys.ts";
import type { Lab } from "../../../src/cli/demo/lab.ts";
import type { Background } from "../../../src/control/linux/command.ts";
import type { AgentStatus, BusStatus } from "../../../src/control/node/agent.ts";
import type { NetworkDetails } from "../../../src/control/node/view.ts";
import type { Machine } from "./machine.ts";
import { OUTER, twoMachines } from "./mesh.ts";
import { RedisServer } from "./redis.ts";
import { callNetworkd, type ZosSide } from "./zbus.ts";

export const PROGRAM: string = join(ROOT, "bin", "wirehaul");

/** A node with a bus, on a machine of its own. */
export class BusNode {
  readonly machine: Machine;
  readonly redis: RedisServer;
  process: Background;

  private constructor(machine: Machine, redis: RedisServer) {
    this.machine = machine;
    this.redis = redis;
    this.process = this.#spawn();
  }

  static async start(lab: Lab, machine: Machine, label: string): Promise<BusNode> {
    const node = new BusNode(machine, await RedisServer.start(lab, label));
    await node.process.waitFor("the bus is open", 60_000);
    return node;
  }

  async restart(): Promise<void> {
    this.process = this.#spawn();
    await this.process.waitFor("the bus is open", 60_000);
  }

  #spawn(): Background {
    const args = ["--state", this.machine.folder, "--bus", this.redis.url, "--nic-kinds", "veth"];
    return this.machine.spawn([process.execPath, PROGRAM, "node", "run", ...args]);
  }

  async call(
    wire: 0 | 1,
    method: string,
    args: readonly unknown[],
    results = 1,
  ): Promise<readonly unknown[]> {
    return await callNetworkd(this.redis, wire, method, args, results);
  }

  async show(id: string): Promise<NetworkDetails> {
    const command = [process.execPath, PROGRAM, "network", "show", id, "--local", "--json"];
    return JSON.parse(await this.machine.exec(command)) as NetworkDetails;
  }

  async bus(): Promise<BusStatus> {
    const command = [process.execPath, PROGRAM, "node", "status", "--json"];
    const { bus } = JSON.parse(await this.machine.exec(command)) as AgentStatus;
    if (bus === null) throw new Error("the node has no bus");
    return bus;
  }
}

export async function oneNode(lab: Lab): Promise<BusNode> {
  const [machine] = await twoMachines(lab);
  return await BusNode.start(lab, machine, "ra");
}

export async function twoNodes(lab: Lab): Promise<readonly [BusNode, BusNode]> {
  const [a, b] = await twoMachines(lab);
  return await Promise.all([BusNode.start(lab, a, "ra"), BusNode.start(lab, b, "rb")]);
}

/** `octet` is the second one of its prefixes. */
export function sides(
  id: string,
  octet: number,
  ports: readonly [number, number],
): readonly [ZosSide, ZosSide] {
  const keys: readonly [KeyPair, KeyPair] = [generateKeys(), generateKeys()];
  const common = { id, octet, keys, ports, outer: OUTER };
  return [
    { ...common, side: 0 },
    { ...common, side: 1 },
  ];
}
