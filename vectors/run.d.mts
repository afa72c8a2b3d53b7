/** Types of `run.mjs`. */

import type { Slab } from "../src/bytes/slab.ts";
import type { kdf1, kdf2, kdf3 } from "../src/crypto/kdf.ts";
import type { Suite, TransportCipher } from "../src/crypto/suite.ts";

/** What is checked: a suite with the KDFs, a transport cipher with the slab it works on, or both. */
export interface Backend {
  readonly suite?: Suite;
  readonly kdf?: { kdf1: typeof kdf1; kdf2: typeof kdf2; kdf3: typeof kdf3 };
  readonly cipher?: TransportCipher;
  readonly slab?: Slab;
}

export interface VectorSet {
  readonly name: string;
  readonly source: string;
  readonly cases: readonly { readonly name: string }[];
  /** True: passed. False: the backend can't show this case. Throws an Error: failed. */
  check(backend: Backend, vector: { readonly name: string }): boolean;
}

export declare function loadSets(): VectorSet[];
