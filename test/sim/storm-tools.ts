/** What storms of one thread share: the addon's suite and cipher, and a slab. */
import { Slab } from "../../src/bytes/slab.ts";
import { loadNative } from "../../src/io/load-native.ts";
import { NativeCipher } from "../../src/io/native-cipher.ts";
import { nativeSuite } from "../../src/io/native-suite.ts";
import type { StormTools } from "./storm.ts";

/** `secrets`: gets every secret that is made. */
export function stormTools(secrets: Uint8Array[]): StormTools {
  const native = loadNative();
  const slab = new Slab();
  return {
    suite: nativeSuite(native),
    cipher: new NativeCipher(native, slab, native.slabAttach(slab.buffer)),
    slab,
    secrets,
  };
}
