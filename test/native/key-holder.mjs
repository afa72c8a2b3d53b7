/** Run by aead.test.ts: seals and opens with one key, tells when done, forgets when told, and waits to be inspected. */
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const native = require(process.env.WIREHAUL_NATIVE ?? "../../native/build/wirehaul.node");
const { abi } = native;
const buffer = new ArrayBuffer(abi["region.end"]);
const handle = native.slabAttach(buffer);
native.direct(handle, process.argv[2] === "directly");
const list = (name) => new Int32Array(buffer, abi[`region.${name}`], 1);
// Its own ArrayBuffer: V8 keeps small typed arrays inside its heap, where they are copied about.
const key = new Uint8Array(new ArrayBuffer(32));
for (let index = 0; index < 32; index++) key[index] = (index * 37 + 11) ^ 0x5a;
for (const [offset, length] of [
  ["datagramOffset", "datagramLength"],
  ["receivedOffset", "receivedLength"],
]) {
  list(offset)[0] = abi["region.outbound"];
  list(length)[0] = 1000;
}
native.seal(handle, key, 0, 1);
native.open(handle, key, 0, 1);
process.stdin.once("data", () => {
  native.forget(handle);
  process.stdout.write("forgotten\n");
});
process.stdout.write("sealed\n");
globalThis.kept = key;
