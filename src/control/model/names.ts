/**
 * Names of what a network is made of on the machine, as zos has them (ids are at most 13 characters, an interface name has
 * 15), MAC addresses, and the marks by which Wirehaul knows its own things. Pure.
 */
import { createHash } from "node:crypto";
import { BASE58 } from "./base58.ts";

/** linux/if.h: 15 bytes of a name, less "n-". */
export const ID_LENGTH_MAX = 13;
const ID = /^[1-9A-HJ-NP-Za-km-z]{1,13}$/;

/** Ours ("wh"): the group of every link that Wirehaul makes; unlike an alias it is set as the link is made. */
export const LINK_GROUP = 0x7768;
/** Ours: how aliases of links and namespaces begin that are Wirehaul's. */
export const MARK = "wirehaul:";
/** Ours: what is shared by all networks; "/" is in no id. */
export const SHARED_MARK = "wirehaul:/exit";

export const EXIT_NAMESPACE = "wh-exit";
export const EXIT_BRIDGE = "br-exit";
/** Leg of a network on the exit bridge. */
export const EXIT_LEG = "exit";

/** True if a network or a workload can have this id: 1 to 13 characters of base58. */
export function isId(text: string): boolean {
  return ID.test(text);
}

/** 13 characters of base58 that stand for any text. */
export function shortId(text: string): string {
  let value = BigInt(`0x${createHash("sha256").update(text).digest("hex")}`);
  let id = "";
  while (id.length < ID_LENGTH_MAX) {
    id += BASE58[Number(value % 58n)]!;
    value /= 58n;
  }
  return id;
}

/** The id of a user's network. The separator keeps ("1", "2n") and ("12", "n") apart. */
export function networkId(owner: string, name: string): string {
  return shortId(`${owner.length}:${owner}:${name}`);
}

export function markOf(network: string): string {
  return `${MARK}${network}`;
}

/** The network that a mark is of; undefined: it is none, or one of what no network owns (the exit, the uplink, a probe ...). */
export function networkOfMark(mark: string | undefined): string | undefined {
  if (mark?.startsWith(MARK) !== true) return undefined;
  const id = mark.slice(MARK.length);
  return isId(id) ? id : undefined;
}

/** True if an alias is of a network's link or of the exit that networks share. */
export function isOfNetworks(alias: string | undefined): boolean {
  return alias === SHARED_MARK || networkOfMark(alias) !== undefined;
}

/** The network namespace, and the leg of its bridge in it. */
export function namespaceName(network: string): string {
  return `n-${network}`;
}

export function bridgeName(network: string): string {
  return `b-${network}`;
}

export function tunName(network: string): string {
  return `w-${network}`;
}

/** The host's end of a workload's cable, or its TAP. */
export function portName(
  kind: "join" | "tap" | "public",
  network: string,
  workload: string,
): string {
  const letter = kind === "tap" ? "t" : kind === "join" ? "v" : "p";
  return `${letter}-${shortId(`${network}/${workload}`)}`;
}

/** A MAC address that is always the same for the same text: locally administered, unicast. */
export function macOf(text: string): string {
  const bytes = createHash("sha256").update(`mac ${text}`).digest().subarray(0, 6);
  bytes[0] = (bytes[0]! & 0xfc) | 0x02;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** The link-local IPv6 address that a MAC address gives (RFC 4291 appendix A), as text. */
export function linkLocalOf(mac: string): string {
  const bytes = mac.split(":").map((part) => Number.parseInt(part, 16));
  const word = (high: number, low: number): string => ((high << 8) | low).toString(16);
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = bytes;
  return `fe80::${word(a ^ 2, b)}:${word(c, 0xff)}:${word(0xfe, d)}:${word(e, f)}`;
}
