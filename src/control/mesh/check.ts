/**
 * Whether a network or a node can be planned: each fault in a sentence that names the thing. A network with a fault is not planned, so
 * that no plan ever gives a prefix to two peers. Pure.
 */
import {
  type Cidr,
  cidrOf,
  contains,
  formatCidr,
  lastOf,
  networkOf,
  parseCidr,
  parseHost,
} from "../model/cidr.ts";
import { FAMILIES, type GridNode, type Network } from "./grid.ts";

/** 32 bytes in base64, as `parseBase64Key` takes them: the last character has two bits more than there are. Public: no secret to guard. */
const PUBLIC_KEY = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

interface Claim {
  readonly family: number;
  /** First and last address. */
  readonly first: Uint8Array;
  readonly last: Uint8Array;
  readonly text: string;
  readonly owner: string;
}

/** The range of a network. */
interface Whole {
  readonly text: string;
  readonly prefix: Cidr | undefined;
}

/** Faults of a network; none: it can be planned. */
export function networkFaults({ range, range6, members, clients }: Network): string[] {
  const faults: string[] = [];
  const nodes = new Set<string>();
  const ids = new Set<string>();
  const keys = new Map<string, string>();
  const claims: Claim[] = [];
  const [whole, whole6] = [range, range6].map((text) =>
    text === undefined ? undefined : { text, prefix: parseCidr(text) },
  );
  const claim = (text: string, owner: string, within: Whole | undefined, family: 2 | 10): void => {
    const prefix = parseCidr(text);
    if (prefix === undefined || prefix.family !== family) {
      faults.push(`${owner}: "${text}" is no IPv${family === 2 ? 4 : 6} prefix`);
      return;
    }
    if (within !== undefined && !(within.prefix && contains(within.prefix, prefix))) {
      faults.push(`${owner}: ${text} is not inside ${within.text}`);
    }
    const [first, last] = [networkOf(prefix).bytes, lastOf(prefix).bytes];
    claims.push({ family, first, last, text, owner });
  };
  const takeKey = (key: string, owner: string): void => {
    if (!PUBLIC_KEY.test(key)) faults.push(`${owner}: its public key is no WireGuard key`);
    const holder = keys.get(key);
    if (holder !== undefined) faults.push(`${owner} has the public key of ${holder}`);
    keys.set(key, owner);
  };
  for (const member of members) {
    const owner = `node ${member.node}`;
    if (nodes.has(member.node)) faults.push(`${owner} is a member twice`);
    nodes.add(member.node);
    takeKey(member.publicKey, owner);
    if (member.rotation !== undefined) takeKey(member.rotation.publicKey, `${owner}, its new key`);
    for (const port of [member.listenPort, member.portRotation?.port ?? member.listenPort]) {
      if (!Number.isInteger(port) || port < 1 || port > 0xffff) {
        faults.push(`${owner}: ${port} is no port`);
      }
    }
    claim(member.subnet, owner, whole, 2);
    if (member.subnet6 !== undefined) claim(member.subnet6, owner, whole6, 10);
    for (const text of member.tunnelAddresses)
      claim(hostText(text), owner, undefined, familyOf(text));
  }
  for (const client of clients) {
    const owner = `client ${client.id}`;
    if (ids.has(client.id)) faults.push(`${owner} is there twice`);
    ids.add(client.id);
    takeKey(client.publicKey, owner);
    if (client.addresses.length === 0) faults.push(`${owner} has no address`);
    for (const text of client.addresses) claim(hostText(text), owner, undefined, familyOf(text));
  }
  return [...faults, ...overlapFaults(claims)];
}

/** Faults of a node's addresses; none: plans can be made with it. */
export function nodeFaults(node: GridNode): string[] {
  const faults: string[] = [];
  for (const family of FAMILIES) {
    const standing = node[family];
    const addresses =
      standing.kind === "public"
        ? standing.addresses
        : standing.kind === "hidden" && standing.seenAs !== undefined
          ? [standing.seenAs]
          : [];
    if (standing.kind === "public" && addresses.length === 0) {
      faults.push(`node ${node.id} is public in ${family} and has no address there`);
    }
    for (const text of addresses) {
      if (parseHost(text)?.family !== (family === "v4" ? 2 : 10)) {
        faults.push(`node ${node.id}: "${text}" is no ${family} address`);
      }
    }
  }
  for (const text of node.lan) {
    if (!text.includes("/") || parseCidr(text) === undefined) {
      faults.push(`node ${node.id}: "${text}" is no address with a length, such as 192.168.1.5/24`);
    }
  }
  const { load } = node.relay;
  if (!(load >= 0 && load <= 1)) faults.push(`node ${node.id}: its load ${load} is not 0 to 1`);
  return faults;
}

/** Sorted by their first address, prefixes overlap only if one of two neighbours, or one that spans both, does. */
function overlapFaults(claims: readonly Claim[]): string[] {
  const faults: string[] = [];
  let widest: Claim | undefined;
  for (const claim of claims.toSorted((a, b) => order(a, a.first, b, b.first))) {
    if (widest !== undefined && order(claim, claim.first, widest, widest.last) <= 0) {
      faults.push(`${claim.text} of ${claim.owner} overlaps ${widest.text} of ${widest.owner}`);
    }
    if (widest === undefined || order(claim, claim.last, widest, widest.last) > 0) widest = claim;
  }
  return faults;
}

function hostText(text: string): string {
  const slash = text.indexOf("/");
  return slash < 0 ? text : text.slice(0, slash);
}

function familyOf(text: string): 2 | 10 {
  return text.includes(":") ? 10 : 2;
}

/** Of two addresses of claims: IPv4 before IPv6, then as numbers. */
function order(one: Claim, a: Uint8Array, other: Claim, b: Uint8Array): number {
  if (one.family !== other.family) return one.family - other.family;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return a[at]! - b[at]!;
  return 0;
}

/** A host's own prefix ("10.0.0.1/32") of an address with or without a length. */
export function hostPrefix(text: string): string {
  const host = hostText(text);
  const { family } = cidrOf(host);
  return `${host}/${family === 2 ? 32 : 128}`;
}

/** The same in its plain form, as `normalCidr` has it. */
export function normalHost(text: string): string {
  return formatCidr(cidrOf(hostText(text)));
}
