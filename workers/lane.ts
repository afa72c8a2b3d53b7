/** Entry of a lane's thread: builds the host from what the engine sent and serves until told to stop. */
import { parentPort, workerData } from "node:worker_threads";
import { nobleCipher } from "../src/crypto/noble-cipher.ts";
import { suiteByName } from "../src/crypto/select.ts";
import { LaneHost } from "../src/io/lane-host.ts";
import { loadNative } from "../src/io/load-native.ts";
import { NativeCipher } from "../src/io/native-cipher.ts";
import { nativeSuite } from "../src/io/native-suite.ts";
import { addNice } from "../src/io/thread-nice.ts";
import type { LaneData } from "../src/lane/messages.ts";

if (parentPort === null)
  throw new Error("workers/lane is started by the engine, as a worker thread");
const data = workerData as LaneData;
addNice(data.nice);
const native = loadNative();
const byName = suiteByName(data.crypto);
if (byName === undefined) throw new Error(`there is no crypto backend called "${data.crypto}"`);
const host = new LaneHost({
  native,
  suite: data.crypto === "openssl" ? nativeSuite(native) : byName,
  cipher: (slab, handle) =>
    data.crypto === "noble" ? nobleCipher : new NativeCipher(native, slab, handle),
  port: parentPort,
  eventFd: data.eventFd,
  verbose: data.verbose,
  lane: data.lane,
  lanes: data.lanes,
});
host.run();
parentPort.close();
