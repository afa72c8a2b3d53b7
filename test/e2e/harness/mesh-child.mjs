/**
 * One engine with all nodes of a full mesh: `node mesh-child.mjs FILE`, the file with
 * {"lanes":1,"nodes":[{"name":"wg1","namespace":"/run/netns/n1","outer":"10.1.0.1","inner":"10.2.0.1"},...]}.
 * Each node has an interface, UDP sockets in its namespace, and all others as peers. Prints "made" with the resident memory before
 * and after, and at each SIGUSR2 "report" with what all have exchanged; at SIGTERM it ends.
 */
import { openSync, readFileSync } from "node:fs";
import { parseBase64Key } from "../../../dist/src/bytes/base64.js";
import { generateKeys } from "../../../dist/src/cli/demo/keys.js";
import { Engine } from "../../../dist/src/engine/engine.js";
import { parseEndpointText, parsePrefix } from "../../../dist/src/route/address.js";

const PORT = 51_820;
const { lanes, nodes } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const errors = [];
const engine = new Engine({
  lanes,
  log: (level, device, text) => {
    if (level === "error") errors.push(`${device}: ${text}`);
  },
});
const keys = nodes.map(() => generateKeys());
const residentBytes = process.memoryUsage().rss;

function peerOf(index) {
  const { outer, inner } = nodes[index];
  return [
    { op: "peer", publicKey: parseBase64Key(keys[index].publicKey) },
    { op: "endpoint", ...parseEndpointText(`${outer}:${PORT}`) },
    { op: "allowed_ip", add: true, ...parsePrefix(`${inner}/32`) },
  ];
}

const devices = [];
for (const [index, { name, namespace }] of nodes.entries()) {
  const device = await engine.createDevice({ name, namespaceFd: openSync(namespace, "r") });
  await device.apply([
    { op: "private_key", key: parseBase64Key(keys[index].privateKey) },
    { op: "listen_port", port: PORT },
    ...nodes.flatMap((_node, other) => (other === index ? [] : peerOf(other))),
  ]);
  devices.push(device);
}
const tell = (word, facts) => process.stdout.write(`${word} ${JSON.stringify(facts)}\n`);
tell("made", { residentBytes, madeBytes: process.memoryUsage().rss });

process.on("SIGUSR2", async () => {
  const statuses = await Promise.all(devices.map((device) => device.status()));
  const peers = statuses.flatMap((status) => status.peers);
  const drops = {};
  for (const status of statuses) {
    for (const [name, count] of Object.entries(status.drops)) {
      drops[name] = (drops[name] ?? 0) + count;
    }
  }
  tell("report", {
    peers: peers.length,
    // Each has heard the other under a session of theirs.
    connected: peers.filter(
      ({ handshakes, sessions, rxBytes, txBytes }) =>
        handshakes > 0 && sessions.includes("current") && rxBytes > 0 && txBytes > 0,
    ).length,
    handshakes: peers.reduce((sum, { handshakes }) => sum + handshakes, 0),
    waiting: peers.reduce((sum, { stagedPackets }) => sum + stagedPackets, 0),
    indexes: statuses.reduce((sum, { indexes }) => sum + indexes, 0),
    socketDrops: statuses.reduce((sum, { socketDrops }) => sum + socketDrops, 0),
    process: statuses[0].process,
    drops,
    errors,
  });
});
process.once("SIGTERM", async () => {
  await engine.close();
  process.exit(0);
});
