/**
 * Configuration requests, good and bad, whose replies and effects must be the same from every implementation: those of
 * wireguard-go are the truth. Each case starts from a device with a port, without key, mark and peers, and its connection is
 * half-closed after the last byte. Two implementations are asked and compared; only what old ones do not know is written down.
 */

/** A reply to a case, and to a get after it. */
export interface Answers {
  readonly reply: string;
  readonly state: string;
}

/** What the newest wireguard-go answers (recorded from 0.0.20250522), and the first one that does, as in its `--version`. */
export interface Recorded extends Answers {
  readonly since: number;
}

export interface UapiCase {
  readonly name: string;
  /** Sent on one connection; each piece but the first after the reply to the one before. */
  readonly pieces: readonly string[];
  readonly recorded?: Recorded;
  /** Where our answers are meant to be others, and why. */
  readonly ours?: Answers & { readonly reason: string };
}

/** wireguard-go 0.0.20250521 can take a prefix away from a peer with `allowed_ip=-`. */
const MINUS = 20250521;
/** Before 0.0.20231211 scopes were not printed, and the Go of its time took `/08` and `/+8` for prefix lengths. */
const STRICT = 20231211;

const P1 = "11".repeat(32);
const P2 = "22".repeat(32);
/** Alice's keys (RFC 7748 section 6.1). */
const SECRET = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
const SELF = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
const ZERO = "0".repeat(64);

/** Every device has a namespace of its own, so all ports are free. */
const PORT = 17321;
/** Makes any device the one that a case starts from. */
export const RESET: string = `set=1\nprivate_key=${ZERO}\nlisten_port=${PORT}\nfwmark=0\nreplace_peers=true\n\n`;

const one = (name: string, text: string): UapiCase => ({ name, pieces: [text] });
const set = (name: string, ...lines: string[]): UapiCase =>
  one(name, `set=1\n${lines.map((line) => `${line}\n`).join("")}\n`);
const onPeer = (name: string, ...lines: string[]): UapiCase =>
  set(name, `public_key=${P1}`, ...lines);

/** Answers to a set that leaves one peer, with `errno` and perhaps an endpoint and an allowed IP. */
function answers(errno: number, endpoint?: string, allowedIp?: string): Answers {
  const state = [
    `listen_port=${PORT}`,
    `public_key=${P1}`,
    `preshared_key=${ZERO}`,
    "protocol_version=1",
    ...(endpoint === undefined ? [] : [`endpoint=${endpoint}`]),
    "last_handshake_time_sec=0",
    "last_handshake_time_nsec=0",
    "tx_bytes=0",
    "rx_bytes=0",
    "persistent_keepalive_interval=0",
    ...(allowedIp === undefined ? [] : [`allowed_ip=${allowedIp}`]),
    "errno=0",
  ];
  return { reply: `errno=${errno}\n\n`, state: `${state.join("\n")}\n\n` };
}

const NUMBERS = [
  "",
  "0",
  "7",
  "00007",
  "65535",
  "65536",
  "+7",
  "-7",
  " 7",
  "7 ",
  "0x7",
  "7_0",
  "7.0",
];
const LENGTHY = "99999999999999999999999999";

export const CASES: readonly UapiCase[] = [
  // Framing.
  one("get", "get=1\n\n"),
  { name: "get twice", pieces: ["get=1\n\n", "get=1\n\n"] },
  one("get twice at once", "get=1\n\nget=1\n\n"),
  one("get without its empty line", "get=1\n"),
  one("get with a character after it", "get=1\nx"),
  one("get with a line after it", "get=1\nx\n\n"),
  one("get with carriage returns", "get=1\r\n\r\n"),
  one("get with a carriage return in its empty line", "get=1\n\r\n"),
  one("nothing", ""),
  one("an empty line", "\n"),
  one("an unknown operation", "put=1\n\n"),
  one("another version of get", "get=2\n\n"),
  one("an operation without its line end", "set=1"),
  one("a long operation", `${"x".repeat(10_000)}\n\n`),
  one("an empty set", "set=1\n\n"),
  one("a set that the end of the stream ends", "set=1\nfwmark=5\n"),
  one("a set that ends within a line", "set=1\nfwmark=5"),
  one("a set that ends within a bad line", "set=1\nfwmark=5\nfwmark"),
  one("a set with carriage returns", `set=1\nfwmark=6\r\npublic_key=${P1}\r\n\r\n`),
  one("a line with two carriage returns", "set=1\nfwmark=6\r\r\n\n"),
  { name: "set, then get", pieces: [`set=1\nfwmark=7\n\n`, "get=1\n\n"] },
  { name: "a bad set, then get", pieces: [`set=1\nfwmark=7\nnonsense\n\n`, "get=1\n\n"] },
  { name: "two sets", pieces: ["set=1\nfwmark=7\n\n", `set=1\npublic_key=${P1}\n\n`] },
  one("a line of 65,535 bytes", `set=1\nfwmark=${"0".repeat(65_535 - 8)}8\n\n`),
  one("a line of 65,536 bytes", `set=1\nfwmark=1\nfwmark=${"0".repeat(65_536 - 8)}8\n\n`),
  one("the last line, of 65,535 bytes", `set=1\nfwmark=${"0".repeat(65_535 - 8)}8`),
  one("the last line, of 65,536 bytes", `set=1\nfwmark=1\nfwmark=${"0".repeat(65_536 - 8)}8`),
  // Lines.
  set("a line without =", "fwmark=3", "fwmark"),
  set("a name without value", "fwmark="),
  set("a value without name", "=5"),
  set("two =", "fwmark=5=5"),
  set("spaces", "fwmark = 5"),
  set("an unknown name", "fwmark=3", "mtu=1420", "fwmark=4"),
  set("a name in capitals", "FWMARK=3"),
  set("a byte order mark", "\ufefffwmark=3"),
  set("errno", "errno=0"),
  // The device.
  set("a private key", `private_key=${SECRET}`),
  set("a private key that gets clamped", `private_key=${"ff".repeat(32)}`),
  set("a private key in capitals", `private_key=${SECRET.toUpperCase()}`),
  set("a private key removed", `private_key=${SECRET}`, `private_key=${ZERO}`),
  set("a short private key", `private_key=${SECRET.slice(2)}`),
  set("a private key of odd length", `private_key=${SECRET}a`),
  set("a long private key", `private_key=${SECRET}aa`),
  set("a private key in base64", "private_key=dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="),
  set("a private key that is not hexadecimal", `private_key=${SECRET.slice(1)}g`),
  set("no private key", "private_key="),
  ...NUMBERS.map((text) => set(`fwmark ${JSON.stringify(text)}`, "fwmark=1", `fwmark=${text}`)),
  set("the greatest fwmark", "fwmark=4294967295"),
  set("a greater fwmark", "fwmark=4294967296"),
  set("a lengthy fwmark", `fwmark=${LENGTHY}`),
  set("a listen port", "listen_port=23456"),
  set("a listen port in hexadecimal", "listen_port=0x5ba0"),
  set("the greatest listen port", "listen_port=65535"),
  set("a greater listen port", "listen_port=65536"),
  set("no listen port", "listen_port="),
  set("replace_peers", "replace_peers=true", `public_key=${P1}`),
  set("replace_peers=false", "replace_peers=false"),
  set("replace_peers=1", "replace_peers=1"),
  set("replace_peers=True", "replace_peers=True"),
  // Peers.
  onPeer("a peer"),
  onPeer("a peer twice", "allowed_ip=10.0.0.0/8", `public_key=${P1}`, "allowed_ip=11.0.0.0/8"),
  onPeer("two peers", "allowed_ip=10.0.0.0/8", `public_key=${P2}`, "allowed_ip=11.0.0.0/8"),
  set("a peer in capitals", `public_key=${"AB".repeat(32)}`),
  set("an all-zero peer", `public_key=${ZERO}`),
  set("a short public key", `public_key=${P1.slice(2)}`),
  set("a bad public key", `public_key=${P1.slice(1)}x`),
  onPeer("a bad public key after a peer", "public_key=xyz"),
  onPeer("a device's line after a peer", "fwmark=3"),
  onPeer("replace_peers after a peer", "replace_peers=true"),
  set("a peer's line without peer", "allowed_ip=10.0.0.0/8"),
  set("a version without peer", "protocol_version=1"),
  onPeer("version 1", "protocol_version=1"),
  onPeer("version 2", "protocol_version=2"),
  onPeer("version 01", "protocol_version=01"),
  onPeer("update_only, unknown peer", "update_only=true", "allowed_ip=10.0.0.0/8"),
  onPeer(
    "update_only, known peer",
    `public_key=${P1}`,
    "update_only=true",
    "allowed_ip=10.0.0.0/8",
  ),
  onPeer("update_only=false", "update_only=false"),
  onPeer("update_only twice", "update_only=true", "update_only=true"),
  onPeer("bad line of an unknown peer", "update_only=true", "allowed_ip=nonsense"),
  onPeer("remove", "remove=true"),
  onPeer("remove twice", "remove=true", "remove=true"),
  onPeer("remove and go on", "remove=true", "allowed_ip=10.0.0.0/8", "preshared_key=zz"),
  onPeer("remove, then again", "remove=true", `public_key=${P1}`, "allowed_ip=10.0.0.0/8"),
  onPeer("remove=", "remove="),
  set(
    "our own public key as a peer",
    `private_key=${SECRET}`,
    `public_key=${P2}`,
    `public_key=${SELF}`,
    "allowed_ip=10.0.0.0/8",
    "endpoint=192.0.2.1:1",
    "remove=true",
  ),
  {
    name: "a peer whose key becomes ours",
    pieces: [`set=1\npublic_key=${SELF}\n\n`, `set=1\nprivate_key=${SECRET}\n\n`],
  },
  onPeer("a preshared key", `preshared_key=${"ab".repeat(32)}`),
  onPeer("no preshared key", `preshared_key=${ZERO}`),
  onPeer("a short preshared key", "allowed_ip=10.0.0.0/8", "preshared_key=ab"),
  ...NUMBERS.map((text) =>
    onPeer(`keepalive ${JSON.stringify(text)}`, `persistent_keepalive_interval=${text}`),
  ),
  onPeer("keepalive off", "persistent_keepalive_interval=off"),
  onPeer("a lengthy keepalive", `persistent_keepalive_interval=${LENGTHY}`),
  // Endpoints.
  ...[
    "192.0.2.1:51820",
    "192.0.2.1:0",
    "192.0.2.1:080",
    "192.0.2.1:65536",
    "192.0.2.1",
    "192.0.2.1:",
    "192.0.2.01:1",
    "[2001:db8::1]:51820",
    "[2001:DB8:0:0::1]:51820",
    "2001:db8::1:51820",
    "[192.0.2.1]:51820",
    "[::ffff:192.0.2.1]:51820",
    "[fe80::1%]:51820",
    "[2001:db8::1]",
    "localhost:51820",
    ":51820",
    "",
  ].map((text) => onPeer(`endpoint ${JSON.stringify(text)}`, `endpoint=${text}`)),
  // Allowed IPs.
  ...[
    "10.0.0.0/8",
    "10.1.2.3/8",
    "0.0.0.0/0",
    "10.0.0.1/32",
    "10.0.0.1/33",
    "10.0.0.1",
    "10.0.0.1/",
    "010.0.0.1/8",
    "10.0.0/8",
    "10.0.0.1/255.0.0.0",
    "10.0.0.0/8,11.0.0.0/8",
    "::/0",
    "fd00::1/64",
    "fd00::1/128",
    "fd00::1/129",
    "::ffff:10.0.0.1/120",
    "::ffff:10.0.0.1/90",
    "[fd00::]/64",
    "",
    "/",
    "+10.0.0.0/8",
  ].map((text) => onPeer(`allowed IP ${JSON.stringify(text)}`, `allowed_ip=${text}`)),
  {
    ...onPeer("a scope by name", "endpoint=[fe80::1%lo]:51820"),
    recorded: { since: STRICT, ...answers(0, "[fe80::1%lo]:51820") },
  },
  {
    ...onPeer("a scope by number", "endpoint=[fe80::1%1]:51820"),
    recorded: { since: STRICT, ...answers(0, "[fe80::1%1]:51820") },
    ours: {
      reason: "an endpoint holds the interface's index, and shows its name, as the kernel's does",
      ...answers(0, "[fe80::1%lo]:51820"),
    },
  },
  {
    ...onPeer("a scope that is no interface", "endpoint=[fe80::1%nosuch]:51820"),
    recorded: { since: STRICT, ...answers(0, "[fe80::1%nosuch]:51820") },
    ours: {
      reason: "nothing could be sent there, which is told at once: EINVAL",
      ...answers(-22),
    },
  },
  ...["a-name-of-more-than-15-bytes", "99999999999"].map((scope) => ({
    ...onPeer(`a scope that can be no interface: ${scope}`, `endpoint=[fe80::1%${scope}]:51820`),
    recorded: { since: STRICT, ...answers(0, `[fe80::1%${scope}]:51820`) },
    ours: {
      reason: "nothing could be sent there, which is told at once: EINVAL",
      ...answers(-22),
    },
  })),
  {
    ...onPeer("an allowed IP of length 08", "allowed_ip=10.0.0.1/08"),
    recorded: { since: STRICT, ...answers(-22) },
  },
  {
    ...onPeer("an allowed IP of length +8", "allowed_ip=10.0.0.1/+8"),
    recorded: { since: STRICT, ...answers(-22) },
  },
  onPeer(
    "the order of allowed IPs",
    ...["10.0.0.0/16", "fd00::/8", "10.0.0.0/8", "0.0.0.0/0", "10.0.5.0/24", "fd00::1/128"].map(
      (text) => `allowed_ip=${text}`,
    ),
  ),
  onPeer(
    "an allowed IP twice",
    "allowed_ip=10.0.0.0/8",
    "allowed_ip=11.0.0.0/8",
    "allowed_ip=10.9.9.9/8",
  ),
  onPeer(
    "an allowed IP taken over",
    "allowed_ip=10.0.0.0/8",
    "allowed_ip=11.0.0.0/8",
    `public_key=${P2}`,
    "allowed_ip=10.0.0.0/8",
  ),
  onPeer(
    "replace_allowed_ips",
    "allowed_ip=10.0.0.0/8",
    "allowed_ip=fd00::/8",
    "replace_allowed_ips=true",
    "allowed_ip=11.0.0.0/8",
  ),
  onPeer("replace_allowed_ips=no", "allowed_ip=10.0.0.0/8", "replace_allowed_ips=no"),
  {
    ...onPeer("an allowed IP taken away", "allowed_ip=10.0.0.0/8", "allowed_ip=-10.7.7.7/8"),
    recorded: { since: MINUS, ...answers(0) },
  },
  {
    ...onPeer("an allowed IP that it hasn't", "allowed_ip=10.0.0.0/8", "allowed_ip=-10.0.0.0/9"),
    recorded: { since: MINUS, ...answers(0, undefined, "10.0.0.0/8") },
  },
  {
    ...onPeer("a bad one to take away", "allowed_ip=10.0.0.0/8", "allowed_ip=--10.0.0.0/8"),
    recorded: { since: MINUS, ...answers(-22, undefined, "10.0.0.0/8") },
  },
  {
    ...onPeer("nothing to take away", "allowed_ip=-"),
    recorded: { since: MINUS, ...answers(-22) },
  },
];
