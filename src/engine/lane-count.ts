/** How many lanes an engine has: what was asked for, and what the kernel can do. */
import { availableParallelism } from "node:os";
import { withoutKeys } from "../bytes/secret-text.ts";
import { errnoName } from "../io/errno.ts";
import type { Native } from "../io/native.ts";

/** A number from 1 to {@link LANES_MAX}, or "auto": see {@link laneCount}. */
export type Lanes = number | "auto";

/** native/steer.c LANES_MAX: lanes are told by the least byte of a receiver index. */
export const LANES_MAX = 64;
/** Ours: of that many cores each, "auto" makes a lane: the kernel's half of the work, and the applications, need the other. */
const CORES_PER_LANE = 2;
/** Ours: beyond, nobody has measured. */
const AUTO_MAX = 8;
const AF_INET = 2;

/** "auto", or a number as people write it; throws with the fix. `source` names where it stands. */
export function parseLanes(text: string, source: string): Lanes {
  if (text === "auto") return text;
  if (/^[0-9]{1,3}$/.test(text)) return checkLanes(Number(text), source);
  throw new Error(
    `${source} must be auto or a number from 1 to ${LANES_MAX}, it is "${withoutKeys(text)}"`,
  );
}

export function checkLanes(lanes: Lanes, source: string): Lanes {
  if (lanes === "auto") return lanes;
  if (Number.isInteger(lanes) && lanes >= 1 && lanes <= LANES_MAX) return lanes;
  throw new RangeError(
    `${source} must be auto or a number from 1 to ${LANES_MAX}, it is "${withoutKeys(String(lanes))}"`,
  );
}

/** Lanes to start. One where the kernel can't steer datagrams to them; `warn` is told why. */
export function laneCount(native: Native, lanes: Lanes, warn: (text: string) => void): number {
  const wanted =
    lanes === "auto"
      ? Math.min(AUTO_MAX, Math.max(1, Math.floor(availableParallelism() / CORES_PER_LANE)))
      : lanes;
  if (wanted === 1) return 1;
  const status = trySteering(native, wanted);
  if (status === 0) return wanted;
  warn(`One lane instead of ${wanted}: datagrams can't be steered here (${errnoName(status)})`);
  return 1;
}

/** Gives a socket of its own the program that steers: 0 or -errno (before Linux 4.5, and in some sandboxes). */
function trySteering(native: Native, lanes: number): number {
  const fd = native.udpOpen(AF_INET, 0, 0, -1, true);
  if (fd < 0) return fd;
  const status = native.udpSteer(fd, lanes);
  native.fdClose(fd);
  return status;
}
