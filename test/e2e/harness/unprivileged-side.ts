/** One interface of a user who is nobody, and a tunnel from it to a peer of root's: what tests of unprivileged programs share. */
import { existsSync } from "node:fs";
import { expect } from "vitest";
import { generateKeys, generatePsk } from "../../../src/cli/demo/keys.ts";
import { addressLine, type Lab, type Namespace } from "../../../src/cli/demo/lab.ts";
import { iperf, ping, pingUntil } from "../../../src/cli/demo/measure.ts";
import { configurationText, WireguardNode } from "../../../src/cli/demo/wireguard-node.ts";
import { attempt, type Background, run, until } from "../../../src/control/linux/command.ts";
import { REFERENCE } from "./subject.ts";
import { type Machine, Nobody } from "./unprivileged.ts";

export interface Side {
  readonly nobody: Nobody;
  readonly namespace: Namespace;
  readonly name: string;
  /** As a root that sees its sockets. */
  wg(args: readonly string[]): Promise<string>;
}

/** An interface's place; its program is not started yet. */
export async function makeSide(lab: Lab, machine: Machine = {}): Promise<Side> {
  const nobody = new Nobody(lab, machine);
  const namespace = await lab.namespace("an");
  const name = lab.name("aw");
  return { nobody, namespace, name, wg: (args) => run(nobody.seeing(["wg", ...args])) };
}

export async function isReady({ nobody, name }: Side, program?: Background): Promise<void> {
  await until(`${name} is served`, async () => {
    if (program?.isRunning === false) throw new Error(program.output);
    return (await attempt(nobody.seeing(["wg", "show", name]))).code === 0;
  });
}

/** Joins it with a peer of root's behind a cable and sends traffic both ways. */
export async function expectTunnel(lab: Lab, side: Side): Promise<void> {
  const { namespace, name, wg } = side;
  const far = await lab.namespace("bn");
  const node = await WireguardNode.start(lab, {
    implementation: REFERENCE,
    namespace: far,
    label: "bw",
  });
  await lab.cable(
    { namespace, name: lab.name("av"), addresses: ["192.0.2.1/24"] },
    { namespace: far, name: lab.name("bv"), addresses: ["192.0.2.2/24"] },
  );
  const keys = generateKeys();
  const presharedKey = generatePsk();
  await node.configure(
    [{ publicKey: keys.publicKey, presharedKey, allowedIps: ["10.77.0.1/32"] }],
    51_820,
  );
  await node.up(["10.77.0.2/24"]);
  const peer = { publicKey: node.keys.publicKey, presharedKey, allowedIps: ["10.77.0.2/32"] };
  const text = configurationText(
    keys.privateKey,
    [{ ...peer, endpoint: "192.0.2.2:51820" }],
    40_404,
    7,
  );
  await wg(["setconf", name, lab.file("a.conf", text)]);
  await namespace.ip([addressLine("10.77.0.1/24", name), `link set dev ${name} up`]);
  await pingUntil(namespace, "10.77.0.2");
  expect((await ping(far, "10.77.0.1", { count: 20 })).received).toBe(20);
  for (const [from, to, address] of [
    [namespace, far, "10.77.0.2"],
    [far, namespace, "10.77.0.1"],
  ] as const) {
    expect((await iperf(from, to, address, { bytes: 5_000_000 })).bytes).toBeGreaterThan(1_000_000);
  }
  expect(await wg(["show", name, "fwmark"])).toBe("0x7\n");
  expect(await wg(["show", name, "private-key"])).toBe(`${keys.privateKey}\n`);
}

export async function expectGone({ nobody, namespace, name }: Side): Promise<void> {
  await until(`${name} is gone`, async () => !(await namespace.hasLink(name)));
  expect(existsSync(nobody.socketPath(name))).toBe(false);
}
