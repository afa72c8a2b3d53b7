/** The scheduler's priority of the calling thread. */
import { getPriority, setPriority } from "node:os";

/** nice(2). */
export const NICE_MIN = -20;
export const NICE_MAX = 19;

/**
 * Adds to the niceness of the calling thread alone: on Linux, setpriority(2) of 0 is the thread's, not the process's. Returns what it
 * is then. Without CAP_SYS_NICE or room in RLIMIT_NICE it stays as it was.
 */
export function addNice(steps: number): number {
  const before = getPriority(0);
  const wanted = Math.min(NICE_MAX, Math.max(NICE_MIN, before + steps));
  try {
    setPriority(0, wanted);
  } catch {
    return before;
  }
  return wanted;
}
