/**
 * Measurements that stay put: latency and load as plans see them change only when they have changed for good measure, so that noise moves no
 * route. Whether something is reached is taken as it is. Pure.
 */
import type { LanProbe, Measured, Probe, RelayState } from "./grid.ts";

/** Ours: a latency is another one beyond this share of it, and beyond this many milliseconds. */
const LATENCY_SHARE = 0.25;
const LATENCY_MIN_MS = 5;
/** Ours: a load is another one beyond this. */
const LOAD_STEP = 0.1;

/** What plans are to see of a new measurement after the one that they saw; the same object if it is the same to them. */
export function settleMeasured(before: Measured | undefined, now: Measured): Measured {
  const lan = now.lan?.map((probe): LanProbe => {
    const old = before?.lan?.find(({ address }) => address === probe.address);
    return { address: probe.address, ...settleProbe(old, probe) };
  });
  const settled: Measured = {
    ...(now.v4 === undefined ? {} : { v4: settleProbe(before?.v4, now.v4) }),
    ...(now.v6 === undefined ? {} : { v6: settleProbe(before?.v6, now.v6) }),
    ...(lan === undefined ? {} : { lan }),
  };
  return before !== undefined && isSame(before, settled) ? before : settled;
}

export function settleRelay(before: RelayState | undefined, now: RelayState): RelayState {
  if (before === undefined) return now;
  const isNear = Math.abs(before.load - now.load) <= LOAD_STEP;
  const load = isNear ? before.load : now.load;
  const isEqual =
    load === before.load && now.health === before.health && now.isAllowed === before.isAllowed;
  return isEqual ? before : { ...now, load };
}

function settleProbe(before: Probe | undefined, now: Probe): Probe {
  const { isReached } = now;
  const latencyMs = settleLatency(before?.latencyMs, now.latencyMs);
  return latencyMs === undefined ? { isReached } : { isReached, latencyMs };
}

/** A probe that failed tells no latency: the old one stays for when it comes back. */
export function settleLatency(
  before: number | undefined,
  now: number | undefined,
): number | undefined {
  if (before === undefined || now === undefined) return now ?? before;
  const bound = Math.max(LATENCY_MIN_MS, before * LATENCY_SHARE);
  return Math.abs(now - before) <= bound ? before : now;
}

function isSame(a: Measured, b: Measured): boolean {
  const isProbeSame = (one: Probe | undefined, other: Probe | undefined): boolean =>
    one?.isReached === other?.isReached && one?.latencyMs === other?.latencyMs;
  if (!isProbeSame(a.v4, b.v4) || !isProbeSame(a.v6, b.v6)) return false;
  if (a.lan?.length !== b.lan?.length) return false;
  return (a.lan ?? []).every((probe, at) => {
    const other = b.lan?.[at];
    return probe.address === other?.address && isProbeSame(probe, other);
  });
}
