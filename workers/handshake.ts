/** Entry of a thread of the handshake pool: solves one block of initiations at a time. */
import { move } from "piscina";
import { suiteByName } from "../src/crypto/select.ts";
import type { Suite } from "../src/crypto/suite.ts";
import { entropy } from "../src/io/entropy.ts";
import { loadNative } from "../src/io/load-native.ts";
import { nativeSuite } from "../src/io/native-suite.ts";
import type { PoolTask } from "../src/lane/messages.ts";
import { HandshakeBatch } from "../src/session/handshake-batch.ts";

let openssl: Suite | undefined;

function suiteOf(name: PoolTask["crypto"]): Suite {
  if (name === "openssl") {
    openssl ??= nativeSuite(loadNative());
    return openssl;
  }
  const suite = suiteByName(name);
  if (suite === undefined) throw new Error(`there is no crypto backend called "${name}"`);
  return suite;
}

export function solve({ crypto, bytes, count }: PoolTask): unknown {
  new HandshakeBatch(bytes, count).solve(suiteOf(crypto), entropy);
  return move(bytes);
}
