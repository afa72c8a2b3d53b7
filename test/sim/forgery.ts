/** Datagrams as somebody makes them who has no key, but hears all others and knows all public keys. */
import type { Suite } from "../../src/crypto/suite.ts";
import { labelKey } from "../../src/session/identity.ts";
import { TYPE_INITIATION, TYPE_RESPONSE } from "../../src/wire/constants.ts";
import { INITIATION_BYTES, MAC_BYTES, RESPONSE_BYTES } from "../../src/wire/layout.ts";
import type { Dice } from "./dice.ts";
import type { Datagram } from "./node.ts";

const LENGTH_MAX = 200;
/** Behind type and sender's index. */
const COVERED_AT = 8;

/**
 * Noise, or one of `seen` with another byte; for the host with `publicKey`. Undefined: of the change nobody could tell, so that it may
 * well be believed.
 */
export function forgery(
  dice: Dice,
  suite: Suite,
  seen: readonly Datagram[],
  publicKey: Uint8Array,
): Uint8Array | undefined {
  if (seen.length === 0 || dice.chance(0.2)) return dice.bytes(dice.below(LENGTH_MAX));
  const bytes = dice.pick(seen).bytes.slice();
  const [type = 0] = bytes;
  const at = dice.below(bytes.length);
  bytes[at]! ^= 1 + dice.below(255);
  const isHandshake =
    (type === TYPE_INITIATION && bytes.length === INITIATION_BYTES) ||
    (type === TYPE_RESPONSE && bytes.length === RESPONSE_BYTES);
  if (!isHandshake) return bytes;
  const mac2At = bytes.length - MAC_BYTES;
  // Of mac2 nobody asks without a load.
  if (at >= mac2At) return undefined;
  if (dice.chance(0.5)) return bytes;
  const mac1At = mac2At - MAC_BYTES;
  const mac1Key = labelKey(suite, "mac1", publicKey);
  suite.mac(bytes.subarray(mac1At, mac2At), mac1Key, bytes.subarray(0, mac1At));
  // Nothing but mac1 covers the sender's index; and a wrong mac1 is a right one now.
  return at >= COVERED_AT && at < mac1At ? bytes : undefined;
}
