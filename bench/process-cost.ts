/** What running programs have cost so far, as the kernel counts it (proc(5)). */
import { readFileSync } from "node:fs";

/** USER_HZ: the unit of the times in /proc/PID/stat on all Linux systems that Node.js runs on. */
const TICKS_PER_SECOND = 100;

/** CPU seconds, user and system, of all threads of these processes together. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // utime and stime are fields 14 and 15; field 3 follows the program's name in parentheses.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS_PER_SECOND;
}

/** Resident memory of one process in bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}
