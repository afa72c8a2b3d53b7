/** The handshake pool with its real threads, which run what was built. */
import { randomBytes } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { ENDPOINT_BYTES } from "../../src/bytes/slab.ts";
import { opensslSuite } from "../../src/crypto/openssl.ts";
import type { HandshakePool } from "../../src/engine/handshake-pool.ts";
import { Handshake } from "../../src/session/handshake.ts";
import { BATCH_MAX, HandshakeBatch } from "../../src/session/handshake-batch.ts";
import { Identity } from "../../src/session/identity.ts";
import { INITIATION_BYTES, TIMESTAMP_BYTES } from "../../src/wire/layout.ts";

const responder = new Identity(opensslSuite, randomBytes(32));
const pools: HandshakePool[] = [];

async function makePool(): Promise<HandshakePool> {
  const path = new URL("../../dist/src/engine/handshake-pool.js", import.meta.url).href;
  const built = (await import(path)) as { readonly HandshakePool: new () => HandshakePool };
  const pool = new built.HandshakePool();
  pools.push(pool);
  return pool;
}

afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.close();
});

/** A full block; the initiators' public keys in its order. */
function block(): { readonly batch: HandshakeBatch; readonly senders: readonly Uint8Array[] } {
  const batch = new HandshakeBatch(responder);
  const senders = Array.from({ length: BATCH_MAX }, (_, index) => {
    const initiator = new Identity(opensslSuite, randomBytes(32));
    const message = new Uint8Array(INITIATION_BYTES);
    new Handshake(responder.publicKey).createInitiation(
      opensslSuite,
      initiator,
      message,
      index,
      randomBytes(32),
      new Uint8Array(TIMESTAMP_BYTES),
    );
    batch.add(message, new Uint8Array(ENDPOINT_BYTES).fill(index));
    return initiator.publicKey;
  });
  return { batch, senders };
}

describe.each(["openssl", "noble"] as const)("handshake pool, %s", (crypto) => {
  it("solves blocks on other threads, and moves their memory", async () => {
    const pool = await makePool();
    await Promise.all(
      Array.from({ length: 3 }, async () => {
        const { batch, senders } = block();
        const { bytes } = batch;
        const solved = await pool.solve({ crypto, bytes, count: BATCH_MAX });
        expect(bytes.length).toBe(0);
        const answers = new HandshakeBatch(solved, BATCH_MAX);
        for (const [index, sender] of senders.entries()) {
          const answer = answers.solved(index);
          expect(answer?.opened.remoteStatic).toEqual(sender);
          expect(answer?.opened.senderIndex).toBe(index);
          expect(answer?.endpoint[0]).toBe(index);
        }
      }),
    );
  });
});

it("refuses work when it is closed", async () => {
  const pool = await makePool();
  await pool.close();
  const { bytes } = block().batch;
  await expect(pool.solve({ crypto: "openssl", bytes, count: BATCH_MAX })).rejects.toThrow(
    "closed",
  );
});
