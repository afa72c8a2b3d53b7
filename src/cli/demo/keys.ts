/** Fresh WireGuard keys in base64, as `wg genkey`, `wg pubkey` and `wg genpsk` print them. */
import { randomBytes } from "node:crypto";
import { opensslSuite } from "../../crypto/openssl.ts";

export interface KeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
}

export function generateKeys(): KeyPair {
  const scalar = randomBytes(32);
  // Clamped (RFC 7748, 5), so that every program shows the same bytes.
  scalar[0] = (scalar[0] ?? 0) & 248;
  scalar[31] = ((scalar[31] ?? 0) & 127) | 64;
  const publicKey = Buffer.alloc(32);
  opensslSuite.publicKey(publicKey, scalar);
  return { privateKey: scalar.toString("base64"), publicKey: publicKey.toString("base64") };
}

export function generatePsk(): string {
  return randomBytes(32).toString("base64");
}
