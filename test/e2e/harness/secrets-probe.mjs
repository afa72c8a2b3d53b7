/**
 * Loaded into a program under test by NODE_OPTIONS=--import: lets a test know what it can't see from outside. Each draw of 32
 * random bytes goes to WIREHAUL_PROBE/draws.PID as it is (written from where it lies: no copy is left in memory by this). At
 * SIGUSR2 the main thread, and each other one when it next runs JavaScript, writes a heap snapshot to
 * WIREHAUL_PROBE/heap.PID.THREAD; "heap.PID.done" follows the last one.
 */
import crypto from "node:crypto";
import { createWriteStream, openSync, writeFileSync, writeSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { pipeline } from "node:stream/promises";
import { getHeapSnapshot } from "node:v8";
import { isMainThread } from "node:worker_threads";

const folder = process.env.WIREHAUL_PROBE;
const file = openSync(`${folder}/draws.${process.pid}`, "a", 0o600);
const { randomFillSync } = crypto;
crypto.randomFillSync = (out, ...range) => {
  randomFillSync(out, ...range);
  if (out.length === 32) writeSync(file, out);
  return out;
};
syncBuiltinESMExports();

if (isMainThread) {
  const workers = new Set();
  process.on("worker", (worker) => {
    workers.add(worker);
    worker.once("exit", () => workers.delete(worker));
  });
  process.on("SIGUSR2", async () => {
    const path = `${folder}/heap.${process.pid}`;
    const write = (snapshot, thread) => pipeline(snapshot, createWriteStream(`${path}.${thread}`));
    await write(getHeapSnapshot(), "main");
    for (const worker of workers) await write(await worker.getHeapSnapshot(), worker.threadId);
    writeFileSync(`${path}.done`, "");
  });
}
