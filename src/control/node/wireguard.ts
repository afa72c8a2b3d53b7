/**
 * WireGuard settings by difference: what a network is to have against what its device has. Peers that don't change are not named, so
 * their sessions stay; an endpoint is set only when another one is wanted than before, since peers roam. Pure; handles secrets.
 */
import { parseBase64Key } from "../../bytes/base64.ts";
import { isEqual } from "../../bytes/equal.ts";
import { type Family, formatAddress, parseEndpointText } from "../../route/address.ts";
import type { SetOperation } from "../../uapi/operation.ts";
import type { AllowedIpSnapshot, DeviceSnapshot, PeerSnapshot } from "../../uapi/snapshot.ts";
import { cidrOf, networkOf } from "../model/cidr.ts";
import type { NetworkPeer } from "../model/network-resource.ts";
import { autoKeepalive } from "../model/reachability.ts";

export interface WantedSettings {
  /** Base64. */
  readonly privateKey: string;
  readonly listenPort: number;
  readonly peers: readonly NetworkPeer[];
}

export interface DeviceState {
  readonly snapshot: DeviceSnapshot;
  /** Endpoints that were set, by public key in base64. */
  readonly endpoints: ReadonlyMap<string, string>;
}

/** Ours: of an interval that is turned off again at once any will do. */
const CALL_S = 25;

/** What a peer's keepalive "auto" is, in seconds. */
export type KeepaliveOf = (peer: NetworkPeer) => number;

/** The operations, with fresh copies of keys: whoever applies them wipes them. */
export function settingsDifference(
  wanted: WantedSettings,
  { snapshot, endpoints }: DeviceState,
  keepaliveOf: KeepaliveOf = (peer) => autoKeepalive(peer, undefined),
): SetOperation[] {
  const operations: SetOperation[] = [];
  // The port first: where it is taken, the key stays as well.
  const hasPort = snapshot.listenPort === wanted.listenPort;
  if (!hasPort) operations.push({ op: "listen_port", port: wanted.listenPort });
  const privateKey = clamped(keyOf(wanted.privateKey));
  const hasKey = snapshot.privateKey !== undefined && isEqual(snapshot.privateKey, privateKey);
  if (hasKey) privateKey.fill(0);
  else operations.push({ op: "private_key", key: privateKey });
  const there = new Map(snapshot.peers.map((peer) => [nameOf(peer.publicKey), peer]));
  const kept = new Set<string>();
  const changes: SetOperation[] = [];
  for (const peer of wanted.peers) {
    const publicKey = keyOf(peer.publicKey);
    const name = nameOf(publicKey);
    kept.add(name);
    const set = peerDifference(peer, there.get(name), endpoints.get(peer.publicKey), keepaliveOf);
    if (there.has(name) && set.length === 0) continue;
    changes.push({ op: "peer", publicKey }, ...set);
  }
  for (const [name, { publicKey }] of there) {
    if (kept.has(name)) continue;
    operations.push({ op: "peer", publicKey: publicKey.slice() }, { op: "remove" });
  }
  const isMoved = !hasKey || !hasPort;
  const calls = isMoved ? wanted.peers.flatMap((peer) => call(peer, there, keepaliveOf)) : [];
  return [...operations, ...changes, ...calls];
}

/**
 * Has a peer that was there hear of us at once, so that it learns of another key or port: one whose keepalive is turned on is sent one
 * (K netlink.c set_peer), with a handshake where there is no session of the key. The interval is then as it was.
 */
function call(
  peer: NetworkPeer,
  there: ReadonlyMap<string, PeerSnapshot>,
  keepaliveOf: KeepaliveOf,
): SetOperation[] {
  const { publicKey, endpoint } = peer;
  const before = there.get(publicKey);
  if (before === undefined || (endpoint ?? before.endpoint) === undefined) return [];
  const seconds = secondsOf(peer, keepaliveOf);
  const set = (interval: number): SetOperation[] => [
    { op: "peer", publicKey: keyOf(publicKey) },
    { op: "persistent_keepalive_interval", seconds: interval },
  ];
  return seconds === 0 ? [...set(CALL_S), ...set(0)] : [...set(0), ...set(seconds)];
}

function secondsOf(peer: NetworkPeer, keepaliveOf: KeepaliveOf): number {
  return peer.keepalive === "auto" ? keepaliveOf(peer) : peer.keepalive;
}

function peerDifference(
  wanted: NetworkPeer,
  there: PeerSnapshot | undefined,
  endpointBefore: string | undefined,
  keepaliveOf: KeepaliveOf,
): SetOperation[] {
  const operations: SetOperation[] = [];
  const preshared =
    wanted.presharedKey === undefined ? new Uint8Array(32) : keyOf(wanted.presharedKey);
  if (!isEqual(there?.presharedKey ?? new Uint8Array(32), preshared)) {
    operations.push({ op: "preshared_key", key: preshared });
  } else preshared.fill(0);
  if (wanted.endpoint !== undefined) {
    const isKnown = there?.endpoint !== undefined && endpointBefore === wanted.endpoint;
    const endpoint = parseEndpointText(wanted.endpoint);
    if (!isKnown && endpoint !== undefined) operations.push({ op: "endpoint", ...endpoint });
  }
  const seconds = secondsOf(wanted, keepaliveOf);
  if ((there?.persistentKeepalive ?? 0) !== seconds) {
    operations.push({ op: "persistent_keepalive_interval", seconds });
  }
  const before = new Map((there?.allowedIps ?? []).map((prefix) => [prefixName(prefix), prefix]));
  for (const text of wanted.allowedIps) {
    const { family, bytes, length: cidr } = networkOf(cidrOf(text));
    const prefix = { family, bytes, cidr };
    if (before.delete(prefixName(prefix))) continue;
    operations.push({ op: "allowed_ip", add: true, ...prefix });
  }
  for (const { family, bytes, cidr } of before.values()) {
    operations.push({ op: "allowed_ip", add: false, family, bytes: bytes.slice(), cidr });
  }
  // It was lost: nothing goes to it by which WireGuard would find out that it is there again, so it is called until it answers.
  const isLost = wanted.allowedIps.length === 0 && (there?.allowedIps.length ?? 0) > 0;
  if (isLost && seconds > 0) operations.push({ op: "restart" });
  return operations;
}

/** Wipes the secrets of a snapshot that is not needed any more. */
export function wipeSnapshot({ privateKey, peers }: DeviceSnapshot): void {
  privateKey?.fill(0);
  for (const { presharedKey } of peers) presharedKey.fill(0);
}

function keyOf(text: string): Uint8Array {
  const key = parseBase64Key(text);
  if (key === undefined) throw new Error("a key of the stored settings is no WireGuard key");
  return key;
}

/** RFC 7748 5, as the configuration protocol has it. */
function clamped(key: Uint8Array): Uint8Array {
  key[0] = key[0]! & 248;
  key[31] = (key[31]! & 127) | 64;
  return key;
}

function nameOf(publicKey: Uint8Array): string {
  return Buffer.from(publicKey).toString("base64");
}

function prefixName({ family, bytes, cidr }: AllowedIpSnapshot): string {
  return `${formatAddress(family as Family, bytes)}/${cidr}`;
}

/** Endpoints as they are wanted, by public key. */
export function wantedEndpoints(peers: readonly NetworkPeer[]): ReadonlyMap<string, string> {
  const endpoints = new Map<string, string>();
  for (const { publicKey, endpoint } of peers) {
    if (endpoint !== undefined) endpoints.set(publicKey, endpoint);
  }
  return endpoints;
}
