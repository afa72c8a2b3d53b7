/**
 * What is kept of a node's word on one peer: the newest figures, since when it is so, and which addresses have failed. Pure: the time is an
 * argument, in milliseconds since 1970, of the database's clock. It does not know whose key a peer is.
 */

import { settleLatency } from "../../mesh/settle.ts";
import { addressOfEndpoint } from "../../model/endpoint.ts";
import type { PeerLink } from "../schemas.ts";

/** An address at which the peer did not answer. */
export interface FailedAddress {
  readonly address: string;
  readonly at: number;
}

export interface PeerRecord extends PeerLink {
  /** When {@link PeerLink.isAlive} or the address last became another. */
  readonly since: number;
  /** It has answered since the key is known. */
  readonly wasAlive: boolean;
  /** When it ceased to answer; absent: it answers, or never has. */
  readonly lostAt?: number | undefined;
  /** Not answered for long enough to believe it. */
  readonly isDead: boolean;
  /** Round trip as plans see it. */
  readonly latencyMs?: number | undefined;
  readonly failed?: readonly FailedAddress[] | undefined;
  /** When a handshake alone brought it back, and how often in a row it was lost again soon after that. */
  readonly returnedAt?: number | undefined;
  readonly relapses?: number | undefined;
  /** There was a handshake since the loss, which is believed from then on. */
  readonly heldUntil?: number | undefined;
}

/** Ours: both sides have to hear of each other, and three probes 10 s apart. */
export const TRIAL_MS = 30_000;
/** Ours: a LAN that failed is tried again after this. */
export const AGAIN_MS: number = 10 * 60_000;
/** Ours: more than a node has. */
const FAILED_MAX = 16;
/** Ours: longer than probes take to find out that a peer shakes hands and answers nothing. */
const RELAPSE_MS = 60_000;
/** Ours: each time in a row doubles it, so that a peer which shakes hands and does nothing else draws ever less traffic. */
const HOLD_MS = 30_000;
const HOLD_MAX_MS: number = 10 * 60_000;

/**
 * The record after a report. `isRouteless`: the peer has no prefixes, so it was not pinged: an old session, which still looks good, does
 * not bring a lost peer back, a handshake since then does; later and later, if it is lost again soon each time.
 */
export function stamp(
  before: PeerRecord | undefined,
  link: PeerLink,
  at: number,
  isRouteless: boolean,
): PeerRecord {
  const { publicKey, handshakeAge, endpoint, roundTripMs, loss } = link;
  // Not probed, and never met: that is no answer either.
  const answers = link.isAlive ?? (handshakeAge === undefined ? false : undefined);
  let isAlive = answers;
  let heldUntil: number | undefined;
  if (answers === true && isRouteless && before?.lostAt !== undefined) {
    const isMet = handshakeAge !== undefined && at - handshakeAge * 1_000 > before.lostAt;
    const from = before.lostAt + holdMs(before.relapses);
    isAlive = isMet && at >= from;
    if (isMet && !isAlive) heldUntil = from;
  }
  const isSame =
    before !== undefined &&
    before.isAlive === isAlive &&
    addressOf(before) === addressOf({ endpoint });
  const wasAlive = before?.wasAlive === true || isAlive === true;
  const lostAt =
    isAlive === true
      ? undefined
      : (before?.lostAt ?? (isAlive === false && wasAlive ? at : undefined));
  const latencyMs = settleLatency(before?.latencyMs, roundTripMs);
  const { returnedAt, relapses } = returnsOf(before, { isAlive, lostAt, isRouteless }, at);
  return mature(
    {
      publicKey,
      ...(handshakeAge === undefined ? {} : { handshakeAge }),
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(isAlive === undefined ? {} : { isAlive }),
      ...(roundTripMs === undefined ? {} : { roundTripMs }),
      ...(loss === undefined ? {} : { loss }),
      since: isSame ? before.since : at,
      wasAlive,
      ...(lostAt === undefined ? {} : { lostAt }),
      isDead: before?.isDead === true && isAlive !== true,
      ...(latencyMs === undefined ? {} : { latencyMs }),
      ...(before?.failed === undefined ? {} : { failed: before.failed }),
      ...(returnedAt === undefined ? {} : { returnedAt }),
      ...(relapses === undefined ? {} : { relapses }),
      ...(heldUntil === undefined ? {} : { heldUntil }),
    },
    at,
  );
}

/** What is known of its returns. */
function returnsOf(
  before: PeerRecord | undefined,
  now: Pick<PeerRecord, "isAlive" | "lostAt"> & { readonly isRouteless: boolean },
  at: number,
): Pick<PeerRecord, "returnedAt" | "relapses"> {
  if (before === undefined) return {};
  const { returnedAt, relapses = 0 } = before;
  if (before.lostAt === undefined && now.lostAt !== undefined) {
    const isRelapse = returnedAt !== undefined && at - returnedAt < RELAPSE_MS;
    return isRelapse ? { relapses: relapses + 1 } : {};
  }
  const isBack = before.lostAt !== undefined && now.isAlive === true && now.isRouteless;
  return { returnedAt: isBack ? at : returnedAt, relapses: before.relapses };
}

/** From the loss until a handshake is believed. */
function holdMs(relapses = 0): number {
  return relapses === 0 ? 0 : Math.min(HOLD_MAX_MS, HOLD_MS * 2 ** (relapses - 1));
}

/** All records of a node and network after a report. Of peers that it names no more, the addresses that failed are remembered. */
export function stampAll(
  before: readonly PeerRecord[],
  links: readonly PeerLink[],
  at: number,
  routeless: ReadonlySet<string>,
): PeerRecord[] {
  const old = new Map(before.map((record) => [record.publicKey, record]));
  const records = links.map((link) => {
    const record = stamp(old.get(link.publicKey), link, at, routeless.has(link.publicKey));
    old.delete(link.publicKey);
    return record;
  });
  for (const { publicKey, since, failed } of old.values()) {
    if (failed === undefined) continue;
    const left = mature({ publicKey, since, wasAlive: false, isDead: false, failed }, at);
    if (left.failed !== undefined) records.push(left);
  }
  return records;
}

/**
 * The same with one record for each peer, also of one with two keys, by the key that `newKeys` has for the new one: that of the new key
 * if it answers. Before the switch nobody answers by it, and afterwards nobody by the old one; neither is a peer that was lost.
 */
export function withOneKey(
  records: readonly PeerRecord[],
  newKeys: ReadonlyMap<string, string>,
): readonly PeerRecord[] {
  const answering = new Map<string, PeerRecord>();
  for (const record of records) {
    const publicKey = newKeys.get(record.publicKey);
    if (publicKey !== undefined && record.isAlive === true) {
      answering.set(publicKey, { ...record, publicKey });
    }
  }
  const rest = records.filter(
    ({ publicKey }) => !newKeys.has(publicKey) && !answering.has(publicKey),
  );
  return [...rest, ...answering.values()];
}

/** True if the peer is one of the node's now: of others only failures are remembered. */
export function isThere({ isAlive, handshakeAge, endpoint }: PeerRecord): boolean {
  return isAlive !== undefined || handshakeAge !== undefined || endpoint !== undefined;
}

/** What time alone makes of a record; the same object if it makes nothing. */
export function mature(record: PeerRecord, at: number): PeerRecord {
  if (record.heldUntil !== undefined && at >= record.heldUntil) return mature(back(record, at), at);
  const { isAlive, since, lostAt, failed = [] } = record;
  const isDead =
    isAlive !== true &&
    (record.isDead || (isAlive === false && lostAt !== undefined) || isTrialOver(record, at));
  const address = addressOf(record);
  const left = failed.filter(
    (one) => at - one.at < AGAIN_MS && !(isAlive === true && one.address === address),
  );
  const isNew =
    isDead &&
    address !== undefined &&
    // A new address has its own time, unless it is the one that just failed.
    (lostAt === since || isTrialOver(record, at)) &&
    !left.some((one) => one.address === address);
  if (isNew) left.push({ address, at });
  if (isDead === record.isDead && left.length === failed.length && !isNew) return record;
  const { failed: _failed, ...rest } = record;
  return {
    ...{ ...rest, isDead },
    ...(left.length === 0 ? {} : { failed: left.slice(-FAILED_MAX) }),
  };
}

function back(record: PeerRecord, at: number): PeerRecord {
  const { heldUntil: _held, lostAt: _lost, ...rest } = record;
  return { ...rest, isAlive: true, isDead: false, since: at, returnedAt: at };
}

/** When {@link mature} makes another one of it; undefined: never. */
export function dueOf(record: PeerRecord): number | undefined {
  const times = (record.failed ?? []).map((one) => one.at + AGAIN_MS);
  if (record.heldUntil !== undefined) times.push(record.heldUntil);
  const address = addressOf(record);
  const isFailed = record.failed?.some((one) => one.address === address) === true;
  const isWaiting = !record.isDead || (address !== undefined && !isFailed);
  if (record.isAlive === false && isWaiting) times.push(record.since + TRIAL_MS);
  return times.length === 0 ? undefined : Math.min(...times);
}

/** True if plans may see something else of the one than of the other. */
export function isOther(a: PeerRecord | undefined, b: PeerRecord): boolean {
  return (
    a === undefined ||
    a.isAlive !== b.isAlive ||
    a.isDead !== b.isDead ||
    a.latencyMs !== b.latencyMs ||
    addressOf(a) !== addressOf(b) ||
    JSON.stringify(a.failed ?? []) !== JSON.stringify(b.failed ?? [])
  );
}

function isTrialOver({ isAlive, since }: PeerRecord, at: number): boolean {
  return isAlive === false && at - since >= TRIAL_MS;
}

function addressOf({ endpoint }: Pick<PeerLink, "endpoint">): string | undefined {
  return endpoint === undefined ? undefined : addressOfEndpoint(endpoint);
}
