/**
 * Cleans up after this process even if it is killed without a word (SIGKILL): a shell of a session of its own waits for the end of a
 * pipe whose other end dies with us, then has what we left removed.
 */
import { spawn } from "node:child_process";
import type { Socket } from "node:net";
import { join } from "node:path";
import { until } from "../../control/linux/command.ts";
import { ROOT } from "./implementations.ts";
import { startTime, sweep } from "./leftovers.ts";

/** What the shell runs at last: `wirehaul demo --sweep PID`. */
export const SWEEP = "--sweep";
const SCRIPT = 'cat >/dev/null; exec "$@"';
/** Ours: the pipe is closed while the kernel still takes the process apart. */
const ENDING_MS = 10_000;

/** From now on; returns what ends the watch. */
export function watchOver(): () => void {
  const sweeping = [process.execPath, join(ROOT, "bin", "wirehaul"), "demo", SWEEP];
  const shell = spawn("sh", ["-c", SCRIPT, "sh", ...sweeping, `${process.pid}`], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  // Without a shell a later run removes what is left.
  shell.on("error", () => undefined);
  shell.stdin.on("error", () => undefined);
  shell.unref();
  (shell.stdin as unknown as Socket).unref();
  return () => {
    try {
      if (shell.pid !== undefined) process.kill(-shell.pid, "SIGKILL");
    } catch {
      // It ended in between.
    }
  };
}

/** Removes what a process left, after it has ended. */
export async function sweepAfter(pid: number): Promise<void> {
  const isGone = (): boolean => startTime(pid) === undefined;
  await until(`process ${pid} has ended`, isGone, ENDING_MS).catch(() => undefined);
  sweep();
}
