/** The same `wg` commands on the subject and on wireguard-go leave the same configuration, field by field, and fail alike. */
import { describe, expect } from "vitest";
import { generateKeys, generatePsk } from "../../src/cli/demo/keys.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { attempt } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { REFERENCE, SUBJECT } from "./harness/subject.ts";

const own = generateKeys();
const later = generateKeys();
const peers = Array.from({ length: 5 }, () => generateKeys().publicKey);
const psk = generatePsk();
const [p0, p1, p2, p3, p4] = peers as [string, string, string, string, string];

/** One step: a `wg` command without the interface's name, and perhaps the text of the file that "FILE" stands for. */
interface Step {
  readonly command: readonly string[];
  readonly file?: string;
}

const full = `[Interface]
PrivateKey = ${own.privateKey}
ListenPort = 12912
FwMark = 0x20

[Peer]
PublicKey = ${p0}
PresharedKey = ${psk}
AllowedIPs = 10.0.0.0/8, 192.168.4.4/32, fd00::/8
Endpoint = 192.0.2.7:51820
PersistentKeepalive = 25

[Peer]
PublicKey = ${p1}
AllowedIPs = 10.1.0.0/16, 10.1.2.3/24, ::/0, 0.0.0.0/0
Endpoint = [2001:db8::7]:443

[Peer]
PublicKey = ${p2}
`;

const added = `[Interface]
ListenPort = 12913

[Peer]
PublicKey = ${p3}
AllowedIPs = 10.0.0.0/8, 172.16.0.0/12
Endpoint = 127.0.0.1:1

[Peer]
PublicKey = ${p1}
PersistentKeepalive = 65535
AllowedIPs = 10.9.9.9/32
`;

const synced = `[Interface]
PrivateKey = ${own.privateKey}
ListenPort = 12914

[Peer]
PublicKey = ${p0}
AllowedIPs = 10.0.0.0/8, fd00::/16
Endpoint = 192.0.2.8:51821

[Peer]
PublicKey = ${p4}
PresharedKey = ${psk}
AllowedIPs = 10.64.0.0/10
PersistentKeepalive = 1
`;

const steps: Readonly<Record<string, readonly Step[]>> = {
  "nothing set": [],
  setconf: [{ command: ["setconf", "FILE"], file: full }],
  addconf: [
    { command: ["setconf", "FILE"], file: full },
    { command: ["addconf", "FILE"], file: added },
  ],
  syncconf: [
    { command: ["setconf", "FILE"], file: full },
    { command: ["syncconf", "FILE"], file: synced },
  ],
  "syncconf of the same, twice": [
    { command: ["setconf", "FILE"], file: synced },
    { command: ["syncconf", "FILE"], file: synced },
    { command: ["syncconf", "FILE"], file: synced },
  ],
  "setconf replaces all": [
    { command: ["setconf", "FILE"], file: full },
    { command: ["setconf", "FILE"], file: synced },
  ],
  "set: interface": [
    { command: ["setconf", "FILE"], file: full },
    { command: ["set", "listen-port", "0"] },
    { command: ["set", "listen-port", "40404", "fwmark", "0xffffffff"] },
    { command: ["set", "fwmark", "off"] },
    { command: ["set", "private-key", "FILE"], file: later.privateKey },
  ],
  "set: the private key goes": [
    { command: ["setconf", "FILE"], file: full },
    { command: ["set", "private-key", "/dev/null"] },
  ],
  "set: peers": [
    { command: ["setconf", "FILE"], file: full },
    { command: ["set", "peer", p0, "remove", "peer", p4, "allowed-ips", "10.2.0.0/16"] },
    { command: ["set", "peer", p1, "preshared-key", "FILE"], file: psk },
    { command: ["set", "peer", p1, "allowed-ips", "10.2.0.0/16,10.3.0.0/16,10.3.4.5/16"] },
    { command: ["set", "peer", p2, "persistent-keepalive", "7", "endpoint", "198.51.100.1:9"] },
    { command: ["set", "peer", p2, "endpoint", "[fe80::1%lo]:9"] },
    { command: ["set", "peer", p4, "allowed-ips", ""] },
    { command: ["set", "peer", p3, "remove"] },
  ],
  "set: keepalive and preshared key go": [
    { command: ["setconf", "FILE"], file: full },
    { command: ["set", "peer", p0, "persistent-keepalive", "off", "preshared-key", "/dev/null"] },
  ],
  "set: one's own key as a peer": [
    { command: ["setconf", "FILE"], file: full },
    { command: ["set", "peer", own.publicKey, "allowed-ips", "10.5.0.0/16"] },
  ],
  "set: a private key whose public key is a peer's": [
    { command: ["setconf", "FILE"], file: full },
    { command: ["set", "peer", later.publicKey, "allowed-ips", "10.6.0.0/16"] },
    { command: ["set", "private-key", "FILE"], file: later.privateKey },
  ],
  "mistakes change nothing": [
    { command: ["setconf", "FILE"], file: full },
    { command: ["set", "peer", "not-a-key", "remove"] },
    { command: ["set", "peer", p0, "allowed-ips", "10.0.0.0/33"] },
    { command: ["set", "listen-port", "many"] },
    { command: ["set", "peer", p0, "persistent-keepalive", "65536"] },
    { command: ["setconf", "FILE"], file: "[Interface]\nPrivateKey = short\n" },
    { command: ["addconf", "FILE"], file: "[Peer]\nAllowedIPs = 10.0.0.0/8\n" },
  ],
};

/** What can be seen of an interface, with what differs by nature taken out and what has no order sorted. */
interface Seen {
  readonly interface: readonly string[];
  readonly peers: readonly (readonly string[])[];
  readonly configuration: readonly string[];
  readonly showAll: readonly string[];
  readonly outcomes: readonly string[];
}

const sortList = (text: string): string => text.split(",").sort().join(",");

async function wg(node: WireguardNode, args: readonly string[]): Promise<string> {
  const [command = "", ...rest] = args;
  const { code, stdout, stderr } = await attempt(["wg", command, node.name, ...rest]);
  return `${code} ${stdout}${stderr}`.replaceAll(node.name, "IFACE").trim();
}

async function apply(lab: Lab, node: WireguardNode, list: readonly Step[]): Promise<Seen> {
  const outcomes: string[] = [];
  for (const step of list) {
    const path = lab.file(`${node.name}.input`, `${step.file ?? ""}\n`);
    const answer = await wg(
      node,
      step.command.map((word) => (word === "FILE" ? path : word)),
    );
    outcomes.push(answer.replaceAll(path, "FILE"));
  }
  const dump = (await wg(node, ["show", "dump"])).slice(2).split("\n");
  const all = (await attempt(["wg", "show", "all", "dump"])).stdout
    .split("\n")
    .filter((line) => line.startsWith(`${node.name}\t`));
  // Sections in order of the peers' keys, since programs list them as they like.
  const [head = "", ...sections] = (await wg(node, ["showconf"])).split("[Peer]");
  const sorted = (text: string): string =>
    text
      .trim()
      .split("\n")
      .map((line) => (line.startsWith("AllowedIPs") ? sortList(line.replaceAll(" ", "")) : line))
      .sort()
      .join("\n");
  return {
    interface: withoutChosenPort((dump[0] ?? "").split("\t"), list),
    peers: dump
      .slice(1)
      .map((line) =>
        line.split("\t").map((field, index) => (index === 3 ? sortList(field) : field)),
      )
      .sort((left, right) => (left[0]! < right[0]! ? -1 : 1)),
    configuration: [
      withoutChosenPort(head.trim().split("\n"), list).toSorted().join("\n"),
      ...sections.map(sorted).sort(),
    ],
    showAll: all.map((line) => line.split("\t").length.toString()).sort(),
    outcomes,
  };
}

/** Where no port was asked for, any may be in use: only whether there is one is compared. */
function withoutChosenPort(lines: readonly string[], list: readonly Step[]): readonly string[] {
  if (list.some((step) => step.file?.includes("ListenPort"))) return lines;
  return lines.map((line) => line.replace(/^(ListenPort = )?[1-9]\d*$/, "$1PORT"));
}

/**
 * What the subject must show for what wireguard-go does. That one takes a port when it starts, the kernel and we when the link
 * comes up; and in 0.0.20220316 it does not tell the zone of a link-local endpoint, as later ones and the kernel do.
 */
function expectedFrom(seen: Seen, isUp: boolean): Seen {
  if (SUBJECT === REFERENCE) return seen;
  const withZone = (text: string): string => text.replace("[fe80::1]", "[fe80::1%lo]");
  const withPort = (text: string): string =>
    isUp ? text : text.replace(/^PORT$/, "0").replace(/\nListenPort = PORT/, "");
  return {
    ...seen,
    interface: seen.interface.map(withPort),
    peers: seen.peers.map((fields) => fields.map(withZone)),
    configuration: seen.configuration.map((text) => withPort(withZone(text))),
  };
}

async function startBoth(lab: Lab, isUp: boolean): Promise<WireguardNode[]> {
  const nodes: WireguardNode[] = [];
  for (const [implementation, label] of [
    [REFERENCE, "r"],
    [SUBJECT, "s"],
  ] as const) {
    const namespace = await lab.namespace(`${label}n`);
    const node = await WireguardNode.start(lab, { implementation, namespace, label: `${label}w` });
    if (isUp) await node.up(["10.77.0.1/24"]);
    nodes.push(node);
  }
  return nodes;
}

for (const isUp of [false, true]) {
  describe(isUp ? "on a link that is up" : "on a link that is down", () => {
    for (const [name, list] of Object.entries(steps)) {
      labTest(name, async (lab) => {
        const [reference, subject] = (await startBoth(lab, isUp)) as [WireguardNode, WireguardNode];
        const expected = expectedFrom(await apply(lab, reference, list), isUp);
        const seen = await apply(lab, subject, list);
        expect(seen.outcomes).toEqual(expected.outcomes);
        expect(seen.interface).toEqual(expected.interface);
        expect(seen.peers).toEqual(withoutTraffic(expected.peers, seen.peers));
        expect(seen.configuration).toEqual(expected.configuration);
        expect(seen.showAll).toEqual(expected.showAll);
      });
    }
  });
}

/** Handshake attempts towards nobody may have been made or not: sent bytes are compared by neither. */
function withoutTraffic(
  expected: Seen["peers"],
  seen: Seen["peers"],
): readonly (readonly string[])[] {
  return expected.map((peer, index) =>
    peer.map((field, column) => (column === 6 ? (seen[index]?.[column] ?? field) : field)),
  );
}
