/**
 * A garbage collection on demand. V8 gives memory back when a thread's event loop is idle; a lane's thread has none (it blocks in
 * epoll), and the main thread's turns so seldom that what a large request left stays for minutes: 10,000 peers held 140 MB.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Native } from "./native.ts";

let collect: (() => void) | undefined;

/** Collects all garbage of this thread, some 20 ms for 10,000 peers, and gives the pages back. */
export function collectGarbage(native: Native): void {
  if (collect === undefined) {
    // V8 makes the function only in contexts that are made while the flag is set.
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
    setFlagsFromString("--no-expose-gc");
  }
  collect();
  native.trimMemory();
}
