/**
 * kill -9 and a restart, while traffic goes on: what is left is dealt with, the peer needs no help, and the time it takes is the
 * protocol's.
 */
import { existsSync } from "node:fs";
import { expect } from "vitest";
import { socketPath } from "../../src/cli/demo/lab.ts";
import { ping } from "../../src/cli/demo/measure.ts";
import { endpointOf, innerOf, LISTEN_PORT, makePair, type Pair } from "../../src/cli/demo/pair.ts";
import type { PeerSettings, WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { PingStream } from "./harness/ping-stream.ts";
import { REFERENCE, SUBJECT } from "./harness/subject.ts";

/** Rekey after 15 s without an answer, sent again after 5 s if need be, and what this machine needs. */
const RECOVERY_MAX_MS = 45_000;

for (const { victim, other } of [
  // a knows where b is, b learns it from what a sends.
  { victim: "a", other: REFERENCE },
  { victim: "b", other: SUBJECT },
  { victim: "b", other: REFERENCE },
] as const) {
  const role = victim === "a" ? "the side that initiates" : "the side that answers";
  labTest(`${role} is killed and restarted, its peer is ${other}`, async (lab) => {
    const roles = { a: other, b: other, [victim]: SUBJECT };
    const pair = await makePair(lab, roles);
    const end = pair[victim];
    const peer = pair[victim === "a" ? "b" : "a"];
    const stream = await PingStream.start(pair.a.namespace, pair.b.inner4, { size: 1200 });
    await stream.flows();
    const before = await peer.node.peer(end.node.keys.publicKey);

    end.node.program.signal("SIGKILL");
    await end.node.program.ended;
    // What a killed program leaves: a socket that nobody serves. Its interface goes with its descriptor.
    expect(existsSync(socketPath(end.node.name))).toBe(true);
    await until("the interface is gone", async () => {
      return !(await end.namespace.hasLink(end.node.name));
    });
    expect(peer.node.program.isRunning).toBe(true);

    const again = await restart(pair, victim);
    await stream.flows(RECOVERY_MAX_MS);
    const result = await stream.stop();
    console.log(`${role}, peer ${other}: longest gap ${Math.round(result.longestGapMs)} ms`);
    // A new session, of which the peer knows.
    const after = await peer.node.peer(again.keys.publicKey);
    if (victim === "a") expect(after.endpoint).not.toBe(before.endpoint);
    else expect(after.latestHandshake).toBeGreaterThan(before.latestHandshake);
    for (const [from, to] of [
      [pair.a, pair.b],
      [pair.b, pair.a],
    ] as const) {
      expect((await ping(from.namespace, to.inner6, { count: 20 })).received).toBe(20);
    }
  });
}

/** Starts a side under its old name with its old settings, as a supervisor would. */
async function restart(pair: Pair, side: "a" | "b"): Promise<WireguardNode> {
  const end = pair[side];
  const peer = pair[side === "a" ? "b" : "a"];
  const settings: PeerSettings = {
    publicKey: peer.node.keys.publicKey,
    allowedIps: innerOf(peer),
    ...(side === "a" ? { endpoint: endpointOf(peer, "v4") } : {}),
  };
  const again = await end.node.startAgain();
  await again.configure([settings], side === "b" ? LISTEN_PORT : undefined);
  await again.up([`${end.inner4}/24`, `${end.inner6}/64`]);
  return again;
}
