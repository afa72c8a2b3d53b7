/** Run by addon.test.ts in worker threads. */
import { createRequire } from "node:module";
import { parentPort, workerData } from "node:worker_threads";

const native = createRequire(import.meta.url)(
  process.env.WIREHAUL_NATIVE ?? "../../native/build/wirehaul.node",
);
const { abi } = native;

function seal(index) {
  const buffer = new ArrayBuffer(abi["region.end"]);
  const handle = native.slabAttach(buffer);
  const list = (name) => new Int32Array(buffer, abi[`region.${name}`], 1);
  for (const kind of ["datagram", "received"]) {
    list(`${kind}Offset`)[0] = abi["region.outbound"];
    list(`${kind}Length`)[0] = 1452;
  }
  const key = new Uint8Array(32).fill(index);
  for (let i = 0; i < 2000; i++) {
    native.seal(handle, key, 0, 1);
    if (native.open(handle, key, 0, 1) !== 1 || list("opened")[0] !== 1420) return -1;
  }
  return index;
}

switch (workerData.task) {
  case "seal":
    parentPort.postMessage(seal(workerData.index));
    break;
  case "wait": {
    const epoll = native.epollOpen();
    native.epollAdd(epoll, workerData.event, 1);
    parentPort.postMessage("waiting");
    native.epollWait(epoll, new Int32Array(2), -1);
    native.fdClose(epoll);
    for (;;) native.bootTimeMs(); // ends only because it is terminated
  }
  case "attach": {
    globalThis.kept = [];
    for (let i = 0; i < 40; i++) {
      const buffer = new ArrayBuffer(abi["region.end"]);
      new Uint8Array(buffer).fill(1);
      globalThis.kept.push(native.slabAttach(buffer));
    }
    parentPort.postMessage("attached");
    break;
  }
}
