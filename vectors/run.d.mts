/** Types of `run.mjs`. */

import type { Slab } from "../src/bytes/slab.ts";
import type { kdf1, kdf2, kdf3 } from "../src/crypto/kdf.ts";
import type { Suite, TransportCipher } from "../src/crypto/suite.ts";

/** What is checked: a suite with the KDFs, a transport cipher with the slab it works on, structures alone, or a whole lane. */
export interface Backend {
  readonly suite?: Suite;
  readonly kdf?: { kdf1: typeof kdf1; kdf2: typeof kdf2; kdf3: typeof kdf3 };
  readonly cipher?: TransportCipher;
  readonly slab?: Slab;
  readonly tables?: object;
  readonly lane?: {
    readonly suite: Suite;
    readonly cipher: TransportCipher;
    readonly slab: Slab;
    readonly code: object;
  };
}

export interface NamedBackend {
  readonly name: string;
  /** Undefined: it needs the addon, which can't be loaded. */
  readonly backend: Backend | undefined;
}

export interface VectorSet {
  readonly name: string;
  readonly source: string;
  readonly cases: readonly { readonly name: string }[];
  /** True: passed. False: the backend can't show this case. Throws an Error: failed. */
  check(backend: Backend, vector: { readonly name: string }): boolean;
}

export declare const SHARED: string;
export declare function loadSets(): VectorSet[];
export declare function loadSharedSets(folder?: string): VectorSet[];
export declare function makeBackends(
  load: (path: string) => Promise<object>,
  onMissing: (error: Error) => void,
): Promise<NamedBackend[]>;
