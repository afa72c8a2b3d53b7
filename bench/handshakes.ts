/** `handshakes`: how many initiations per second an implementation answers, and the CPU time that it takes. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Implementation } from "../src/cli/demo/implementations.ts";
import type { Lab } from "../src/cli/demo/lab.ts";
import { LISTEN_PORT } from "../src/cli/demo/pair.ts";
import { WireguardNode } from "../src/cli/demo/wireguard-node.ts";
import type { Answers } from "./handshakes-child.ts";
import { type Initiations, prepareInitiations } from "./initiations.ts";
import type { Line } from "./table.ts";

export interface HandshakesFigures {
  /** Responses per second; initiations are on the same machine's other cores. */
  readonly perSecond: number;
  /** User and system time of the responder, seconds. */
  readonly cpuPerThousand: number;
  /** Demands of a cookie in place of a response: more than a few, and the rate is a limit that the responder sets itself. */
  readonly cookieReplies: number;
}

export const HANDSHAKES_LINES: readonly Line<keyof HandshakesFigures>[] = [
  { key: "perSecond", title: "handshakes answered, 1/s", scale: 1, digits: 0 },
  { key: "cpuPerThousand", title: "CPU, s per 1,000 handshakes", scale: 1, digits: 3 },
  { key: "cookieReplies", title: "cookie replies", scale: 1, digits: 0 },
];

/** A responder takes one initiation of a peer in 50 ms (wireguard-go; 20 ms the others): so many peers allow 20,480 a second. */
const PEERS = 1_024;
/** Per peer and second: 8,192 initiations a second, which is more than any responder here answers on two cores. */
const PER_PEER_AND_SECOND = 8;
const CHILD = fileURLToPath(new URL("./handshakes-child.js", import.meta.url));
const RESPONDER = "192.0.2.2";

/** Takes some 2.5 s of preparation per second of measurement; all contestants may be sent the same. */
export function prepareHandshakes(seconds: number): Initiations {
  // One second more, for the time that warms up.
  return prepareInitiations(PEERS, PER_PEER_AND_SECOND * (seconds + 1));
}

export async function measureHandshakes(
  lab: Lab,
  implementation: Implementation,
  initiations: Initiations,
  seconds: number,
): Promise<HandshakesFigures> {
  const from = await lab.namespace("a");
  const to = await lab.namespace("b");
  await lab.cable(
    { namespace: from, name: lab.name("v0"), addresses: ["192.0.2.1/24"] },
    { namespace: to, name: lab.name("v1"), addresses: [`${RESPONDER}/24`] },
  );
  const node = await WireguardNode.start(lab, {
    implementation,
    namespace: to,
    label: "w",
    environment: { LOG_LEVEL: "error" },
  });
  const peers = initiations.publicKeys.map((publicKey, index) => ({
    publicKey,
    allowedIps: [`10.1.${index >> 8}.${index & 255}/32`],
  }));
  node.keys = { privateKey: initiations.responderPrivateKey, publicKey: "" };
  await node.configure(peers, LISTEN_PORT);
  await node.up([]);
  const file = join(lab.folder, "initiations");
  writeFileSync(file, initiations.messages);
  const { pid } = node.program;
  const command = [process.execPath, CHILD, file, PEERS, RESPONDER, LISTEN_PORT, seconds, pid];
  const answers = JSON.parse(await from.exec(command.map(String))) as Answers;
  return {
    perSecond: answers.responses / answers.seconds,
    cpuPerThousand: (answers.cpuSeconds / answers.responses) * 1_000,
    cookieReplies: answers.cookieReplies,
  };
}
