/** Fresh WireGuard keys in base64, as `wg genkey`, `wg pubkey` and `wg genpsk` print them. */
import { generateKeyPairSync, randomBytes } from "node:crypto";

export interface KeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
}

export function generateKeys(): KeyPair {
  const { privateKey } = generateKeyPairSync("x25519");
  const { d = "", x = "" } = privateKey.export({ format: "jwk" });
  const scalar = Buffer.from(d, "base64url");
  // Clamped (RFC 7748, 5), so that every program shows the same bytes.
  scalar[0] = (scalar[0] ?? 0) & 248;
  scalar[31] = ((scalar[31] ?? 0) & 127) | 64;
  return {
    privateKey: scalar.toString("base64"),
    publicKey: Buffer.from(x, "base64url").toString("base64"),
  };
}

export function generatePsk(): string {
  return randomBytes(32).toString("base64");
}
