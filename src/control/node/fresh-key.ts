/** Private keys of networks: made here, on the node, and never sent anywhere. */
import { randomBytes } from "node:crypto";
import { formatBase64Key } from "../../bytes/base64.ts";

/** A new WireGuard private key in base64: a secret. */
export function freshKey(): string {
  const key = randomBytes(32);
  // RFC 7748 5: as `wg genkey` does.
  key[0] = key[0]! & 248;
  key[31] = (key[31]! & 127) | 64;
  try {
    return formatBase64Key(key);
  } finally {
    key.fill(0);
  }
}
