/** What befalls the hosts of a storm, one at a time: restarts, clocks, addresses, settings. */
import type { Dice } from "./dice.ts";
import type { Host } from "./host.ts";
import type { Network } from "./network.ts";
import { drawWeather } from "./weather.ts";

/** What trouble works with. */
export interface Scene {
  readonly dice: Dice;
  readonly hosts: readonly Host[];
  readonly network: Network;
  readonly now: number;
  /** Counts what was done, by its name. */
  count(name: string): void;
  /** Time goes on, and all that comes with it. */
  pass(ms: number): void;
  /** Makes all others peers of a host, which knows none. */
  introduce(host: Host): void;
  /** Tells a host of another one, whose key or settings it does not have. */
  acquaint(host: Host, index: number): void;
  /** Two hosts agree on a preshared key, which either is still to be told. */
  agree(a: Host, b: Host): Uint8Array;
}

/** Returns what happened, or undefined: it was not possible. */
type Trouble = (scene: Scene, host: Host) => string | undefined;

const HOUR_MS = 3_600_000;
/** Longer than a session lasts. */
const LONG_MS = 200_000;

const restart: Trouble = ({ dice, now, introduce }, host) => {
  const lanes = dice.pick([1, 1, 2, 3]);
  // Its machine too: the monotonic clock begins anew.
  const aheadMs = dice.below(100_000) - now;
  host.restart(lanes, dice.below(2 ** 31), aheadMs, now);
  introduce(host);
  return `restarts with ${lanes} lanes`;
};

const rebind: Trouble = ({ dice }, { link, lanes }) => {
  if (link.nat !== undefined) {
    link.nat.rebind();
    return "is behind a NAT that forgets";
  }
  link.address = `198.51.100.${1 + dice.below(250)}:${1 + dice.below(60_000)}`;
  for (const lane of lanes) lane.address = link.address;
  return `is now at ${link.address}`;
};

const clockForward: Trouble = ({ dice }, host) => setSkew(host, host.skewMs + dice.below(HOUR_MS));

const clockBack: Trouble = ({ dice }, host) => setSkew(host, host.skewMs - dice.below(HOUR_MS));

const downAndUp: Trouble = ({ dice, pass }, host) => {
  host.down();
  const ms = dice.pick([0, 0, 2_000, LONG_MS]);
  pass(ms);
  host.up();
  return `was down for ${ms} ms`;
};

const keepalive: Trouble = ({ dice }, host) => {
  if (host.peers.size === 0) return undefined;
  const index = dice.pick([...host.peers.keys()]);
  const seconds = dice.pick([0, 1, 1 + dice.below(30)]);
  host.setKeepalive(index, seconds);
  return `keeps ${index} alive every ${seconds} s`;
};

const wait: Trouble = ({ dice, pass }) => {
  const ms = dice.below(LONG_MS);
  pass(ms);
  return `nothing happens for ${ms} ms`;
};

const sleep: Trouble = ({ dice, now }, host) => {
  host.asleepUntilMs = now + 1 + dice.below(dice.pick([3_000, LONG_MS]));
  host.isSuspended = dice.chance(0.5);
  return `${host.isSuspended ? "is suspended" : "is stopped"} until ${host.asleepUntilMs}`;
};

const removePeer: Trouble = ({ dice }, host) => {
  if (host.peers.size === 0) return undefined;
  const index = dice.pick([...host.peers.keys()]);
  host.removePeer(index);
  return `removes ${index}`;
};

/** As a request that does both. */
const removeAndAdd: Trouble = ({ dice, acquaint }, host) => {
  if (host.peers.size === 0) return undefined;
  const index = dice.pick([...host.peers.keys()]);
  host.removePeer(index);
  acquaint(host, index);
  return `removes ${index} and adds it again`;
};

const addPeers: Trouble = ({ hosts, acquaint }, host) => {
  const missing = hosts.filter((other) => other !== host && !host.peers.has(other.index));
  for (const other of missing) acquaint(host, other.index);
  return missing.length === 0 ? undefined : `adds ${missing.map(({ index }) => index)}`;
};

const newKey: Trouble = ({ dice, hosts, now, acquaint }, host) => {
  host.setPrivateKey(dice.bytes(32), now);
  const told = hosts.filter((other) => other !== host && dice.chance(0.5));
  for (const other of told) {
    other.removePeer(host.index);
    acquaint(other, host.index);
  }
  return `has a new key, of which ${told.map(({ index }) => index)} know`;
};

const newPresharedKey: Trouble = ({ dice, hosts, agree }, host) => {
  const other = dice.pick(hosts);
  if (other === host) return undefined;
  const key = agree(host, other);
  host.setPresharedKey(other.index, key);
  const isTold = dice.chance(0.5);
  if (isTold) other.setPresharedKey(host.index, key);
  return `has a new preshared key for ${other.index}, which ${isTold ? "knows" : "doesn't know"}`;
};

const moveAddress: Trouble = ({ dice }, host) => {
  if (host.peers.size < 2 || host.owners.size === 0) return undefined;
  const inner = dice.pick([...host.owners.keys()]);
  const index = dice.pick([...host.peers.keys()]);
  host.moveAddress(inner, index);
  return `gives ${inner} to ${index}`;
};

const newMtu: Trouble = ({ dice }, { link }) => {
  link.mtu = dice.pick([576, 1_280, 1_400, 1_500]);
  return `has a path of ${link.mtu} bytes`;
};

const newWeather: Trouble = ({ dice, network }) => {
  network.weather = drawWeather(dice);
  return `weather: ${JSON.stringify(network.weather)}`;
};

export const TROUBLES: readonly Trouble[] = [
  restart,
  rebind,
  clockForward,
  clockBack,
  downAndUp,
  keepalive,
  wait,
  sleep,
  removePeer,
  removeAndAdd,
  addPeers,
  newKey,
  newPresharedKey,
  moveAddress,
  newMtu,
  newWeather,
];

/** Something happens to a host. Returns what, or undefined: it could not. */
export function makeTrouble(scene: Scene, host: Host): string | undefined {
  const trouble = scene.dice.pick(TROUBLES);
  const what = trouble(scene, host);
  if (what !== undefined) scene.count(trouble.name);
  return what;
}

function setSkew(host: Host, skewMs: number): string {
  host.skewMs = skewMs;
  host.skewMaxMs = Math.max(host.skewMaxMs, skewMs);
  return `has a wall clock that is ${skewMs} ms ahead`;
}
