/** What this process takes of the machine, by the kernel (proc(5)) and V8. Reads only. */
import { readdirSync, readFileSync } from "node:fs";
import type { ProcessStatus } from "../lane/status.ts";

/** Without the lanes' heaps: each thread sees its own only. Where there is no /proc, counts are -1. */
export function processStatus(): Omit<ProcessStatus, "laneHeapBytes"> {
  const { rss, heapUsed } = process.memoryUsage();
  return {
    pid: process.pid,
    residentBytes: rss,
    heapBytes: heapUsed,
    descriptors: countDescriptors(),
    threads: countThreads(),
  };
}

function countDescriptors(): number {
  try {
    // Less the one by which the folder is read.
    return readdirSync("/proc/self/fd").length - 1;
  } catch {
    return -1;
  }
}

function countThreads(): number {
  try {
    const text = readFileSync("/proc/self/status", "latin1");
    return Number(/^Threads:\s+(\d+)/m.exec(text)?.[1] ?? -1);
  } catch {
    return -1;
  }
}
