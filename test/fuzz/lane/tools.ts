/** What runs of a target share: the addon's suite, one slab for the lane and one for its peers. Nothing stays in them between runs. */
import { Slab } from "../../../src/bytes/slab.ts";
import type { Suite, TransportCipher } from "../../../src/crypto/suite.ts";
import { loadNative } from "../../../src/io/load-native.ts";
import { NativeCipher } from "../../../src/io/native-cipher.ts";
import { nativeSuite } from "../../../src/io/native-suite.ts";

export interface Workplace {
  readonly suite: Suite;
  readonly slab: Slab;
  readonly cipher: TransportCipher;
}

/** Ours: results of Diffie-Hellman that are remembered. Keys come from seeds, so that most inputs ask for the same. */
const REMEMBERED_MAX = 20_000;

const native = loadNative();
const suite = remembering(nativeSuite(native));

/** The suite, with what costs a Diffie-Hellman done once: it depends on nothing but its arguments. */
function remembering(slow: Suite): Suite {
  const known = new Map<string, { readonly result: boolean; readonly out: Uint8Array }>();
  const once = (out: Uint8Array, name: string, make: () => boolean): boolean => {
    const before = known.get(name);
    if (before !== undefined) {
      out.set(before.out);
      return before.result;
    }
    const result = make();
    if (known.size < REMEMBERED_MAX) known.set(name, { result, out: out.slice() });
    return result;
  };
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
  return {
    ...slow,
    sharedSecret: (out, secret, point) =>
      once(out, text(secret) + text(point), () => slow.sharedSecret(out, secret, point)),
    publicKey: (out, secret) => {
      once(out, text(secret), () => {
        slow.publicKey(out, secret);
        return true;
      });
    },
  };
}

function workplace(): Workplace {
  const slab = new Slab();
  return { suite, slab, cipher: new NativeCipher(native, slab, native.slabAttach(slab.buffer)) };
}

/** Of the lane that is fuzzed, and of the peers around it. */
export const ours: Workplace = workplace();
export const theirs: Workplace = workplace();

/** What no run may find there: a pattern that is no packet. */
export function clean(): void {
  for (const { slab } of [ours, theirs]) slab.bytes.fill(0xa5);
}
