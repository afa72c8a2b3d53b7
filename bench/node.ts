/**
 * `node`: a node with many networks of 20 peers each: rebuilt from its disk on a machine that has nothing yet, started again on one
 * that has all, and one peer of one network changed. The node is `wirehaul node run` on a machine of its own; nobody answers its
 * peers, so their keepalive is off.
 */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { generateKeys } from "../src/cli/demo/keys.ts";
import { LabMachine, powerOn } from "../src/cli/demo/lab-machine.ts";
import { API_SOCKET, askApi } from "../src/control/api/client.ts";
import type { Background } from "../src/control/linux/command.ts";
import { parseNetworkResource } from "../src/control/model/network-resource.ts";
import type { AgentStatus } from "../src/control/node/agent.ts";
import { Store } from "../src/control/node/store.ts";
import { inLab } from "./in-lab.ts";
import { cpuSeconds, residentBytes } from "./process-cost.ts";
import { tell } from "./progress.ts";
import { median } from "./statistics.ts";
import { align, MIB } from "./table.ts";

export interface NodeFigures {
  readonly networks: number;
  readonly peers: number;
  /** From the start of the program until all is on the machine and the API serves. */
  readonly rebuiltSeconds: number;
  /** CPU seconds of the whole machine meanwhile, and those of the node's own process. */
  readonly machineCpuSeconds: number;
  readonly nodeCpuSeconds: number;
  /** The same start, where namespaces, bridges and addresses are still there. */
  readonly restartedSeconds: number;
  /** Milliseconds until a changed peer is on the disk and in the tunnel, asked for at the API; of {@link CHANGES}. */
  readonly changeMs: number;
  readonly changeMostMs: number;
  /** Bytes of resident memory at rest, and the most that there was. */
  readonly resident: number;
  readonly residentMost: number;
}

const PEERS = 20;
const CHANGES = 20;
/** Ours: three times what is wanted of 1,000 networks. */
const LIMIT_MS = 180_000;
const TELL_MS = 10_000;
const FIRST_PORT = 2_000;
const UPLINK = "192.0.2.1/24";
/** USER_HZ, as in process-cost.ts. */
const TICKS_PER_SECOND = 100;

/** Letters of base58; no two numbers have the same id. */
function idOf(index: number): string {
  return `b${index.toString().replaceAll("0", "z")}`;
}

function resourceOf(index: number): Readonly<Record<string, unknown>> {
  return {
    id: idOf(index),
    name: `network ${index}`,
    owner: "1",
    range: "10.1.0.0/16",
    range6: "fd00:1::/48",
    subnet: "10.1.1.0/24",
    subnet6: "fd00:1:0:1::/64",
    privateKey: generateKeys().privateKey,
    listenPort: FIRST_PORT + index,
    peers: Array.from({ length: PEERS }, (_, at) => ({
      // Any 32 bytes are a public key.
      publicKey: randomBytes(32).toString("base64"),
      endpoint: `192.0.2.${at + 2}:${FIRST_PORT + index}`,
      allowedIps: [`10.1.${at + 2}.0/24`, `fd00:1:0:${at + 2}::/64`],
      keepalive: 0,
    })),
  };
}

export async function measureNode(count: number): Promise<NodeFigures> {
  return await inLab(async (lab) => {
    const machine = new LabMachine(await powerOn(lab, "m"));
    await machine.host.ip([
      "link add up0 type veth peer name far0",
      `address add ${UPLINK} dev up0`,
      "link set dev up0 up",
      "link set dev far0 up",
      "route add default via 192.0.2.254",
    ]);
    tell(`node: ${count} networks with ${PEERS} peers each are put on the disk`);
    const resources = Array.from({ length: count }, (_, index) => resourceOf(index));
    store(machine.folder, resources);
    const cpuBefore = machineCpuSeconds();
    const first = await start(machine, count, "rebuilt from the disk");
    const machineCpu = machineCpuSeconds() - cpuBefore;
    const nodeCpu = cpuSeconds([first.node.pid]);
    const resident = residentBytes(first.node.pid);
    tell(`node: a peer is changed, ${CHANGES} times`);
    const changes = await changePeers(machine, resources);
    const residentMost = mostResidentBytes(first.node.pid);
    tell("node: it ends");
    await first.node.stop(LIMIT_MS);
    const second = await start(machine, count, "started again");
    await second.node.stop(LIMIT_MS);
    return {
      networks: count,
      peers: PEERS,
      rebuiltSeconds: first.seconds,
      machineCpuSeconds: machineCpu,
      nodeCpuSeconds: nodeCpu,
      restartedSeconds: second.seconds,
      changeMs: median(changes),
      changeMostMs: Math.max(...changes),
      resident,
      residentMost,
    };
  });
}

/** As the node itself would have kept them. */
function store(folder: string, resources: readonly object[]): void {
  const disk = new Store(folder);
  for (const [index, value] of resources.entries()) {
    const resource = parseNetworkResource(value);
    const { privateKey = "", listenPort = 0 } = resource;
    const exitIndex = index + 2;
    disk.saveNetwork({
      resource: { ...resource, privateKey, listenPort },
      exitIndex,
      workloads: [],
    });
  }
}

async function start(
  machine: LabMachine,
  count: number,
  what: string,
): Promise<{ readonly node: Background; readonly seconds: number }> {
  const begin = performance.now();
  const seconds = (): number => (performance.now() - begin) / 1_000;
  const progress = setInterval(() => {
    const there = readdirSync(machine.pathOf("/run/netns")).length;
    tell(`node: ${what}: ${seconds().toFixed(0)} s, ${there} namespaces`);
  }, TELL_MS);
  try {
    const node = await machine.runNode([], LIMIT_MS);
    const took = seconds();
    const path = machine.pathOf(API_SOCKET);
    const status = (await askApi(path, "GET", "/v1/status")) as AgentStatus;
    const [problem] = status.problems;
    if (status.networks !== count || problem !== undefined) {
      throw new Error(
        `${status.networks} networks, ${status.problems.length} with problems: ${problem?.problem}`,
      );
    }
    tell(`node: ${what} in ${took.toFixed(1)} s`);
    return { node, seconds: took };
  } finally {
    clearInterval(progress);
  }
}

/** Another endpoint for one peer of another network each time; milliseconds of each. */
async function changePeers(
  machine: LabMachine,
  resources: readonly Readonly<Record<string, unknown>>[],
): Promise<number[]> {
  const path = machine.pathOf(API_SOCKET);
  const times: number[] = [];
  for (let change = 0; change < CHANGES; change++) {
    const resource = resources[(change * 7) % resources.length] ?? {};
    const peers = resource["peers"] as readonly object[];
    const [changed, ...others] = peers;
    const endpoint = `192.0.2.99:${5_000 + change}`;
    const text = JSON.stringify({ ...resource, peers: [{ ...changed, endpoint }, ...others] });
    const begin = performance.now();
    await askApi(path, "PUT", `/v1/networks/${String(resource["id"])}`, text);
    times.push(performance.now() - begin);
  }
  return times;
}

/** Of all processes together, user and system (proc(5), /proc/stat): fields 1 to 3, 6 and 7. */
function machineCpuSeconds(): number {
  const [line = ""] = readFileSync("/proc/stat", "latin1").split("\n");
  const fields = line.trim().split(/\s+/).slice(1).map(Number);
  const ticks = [0, 1, 2, 5, 6].reduce((sum, at) => sum + (fields[at] ?? 0), 0);
  return ticks / TICKS_PER_SECOND;
}

function mostResidentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}

export function formatNode(figures: NodeFigures): string {
  const { networks, peers, resident, residentMost } = figures;
  const seconds = (value: number): string => `${value.toFixed(1)} s`;
  return align([
    ["networks, peers of each", `${networks}, ${peers}`],
    ["rebuilt from the disk", seconds(figures.rebuiltSeconds)],
    ["  CPU of the machine meanwhile", seconds(figures.machineCpuSeconds)],
    ["  CPU of the node's process", seconds(figures.nodeCpuSeconds)],
    ["started again, all there", seconds(figures.restartedSeconds)],
    ["one changed peer, median", `${figures.changeMs.toFixed(1)} ms`],
    ["one changed peer, longest", `${figures.changeMostMs.toFixed(1)} ms`],
    ["memory at rest", `${(resident / MIB).toFixed(0)} MiB`],
    ["memory, most", `${(residentMost / MIB).toFixed(0)} MiB`],
  ]);
}
