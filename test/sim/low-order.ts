/** A suite for who wants all secrets to be zero: its public keys are points of low order (RFC 7748 7, https://cr.yp.to/ecdh.html). */
import type { Suite } from "../../src/crypto/suite.ts";
import type { Dice } from "./dice.ts";

const POINTS = [
  "00",
  "01",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
].map((hex) => Uint8Array.from(Buffer.from(hex.padEnd(64, "0"), "hex")));

/** What is computed with it is what the other side would compute with such a point, if it did not refuse it. */
export function lowOrderSuite(suite: Suite, dice: Dice): Suite {
  const point = dice.pick(POINTS);
  return {
    ...suite,
    publicKey: (out) => {
      out.set(point);
    },
    sharedSecret: (out) => {
      out.fill(0);
      return true;
    },
  };
}
