/** Transport messages made and read on the peers' side, whatever is in them: a peer that breaks the rules has the keys. */
import { slabLayout } from "../../../src/bytes/slab.ts";
import type { Keypair } from "../../../src/session/keypair.ts";
import { TRANSPORT_HEADER_BYTES, TRANSPORT_OVERHEAD_BYTES } from "../../../src/wire/layout.ts";
import { writeTransportHeader } from "../../../src/wire/transport.ts";
import { theirs } from "./tools.ts";

/** What a session is to who holds it. */
export type Session = Pick<
  Keypair,
  "sendKey" | "receiveKey" | "remoteIndex" | "sendHi" | "sendLo" | "step"
>;

/** Seals any plaintext under the next counter of a session. */
export function sealed(session: Session, plaintext: Uint8Array): Uint8Array {
  const { slab, cipher } = theirs;
  const at = slabLayout.composed.offset;
  const length = plaintext.length + TRANSPORT_OVERHEAD_BYTES;
  writeTransportHeader(slab.view, at, session.remoteIndex, session.sendHi, session.sendLo);
  session.step();
  slab.bytes.set(plaintext, at + TRANSPORT_HEADER_BYTES);
  slab.datagramOffset[0] = at;
  slab.datagramLength[0] = length;
  cipher.seal(slab, session.sendKey, 0, 1);
  return slab.bytes.slice(at, at + length);
}

/** The plaintext of a transport message; undefined: it is not authentic under this key. */
export function opened(receiveKey: Uint8Array, message: Uint8Array): Uint8Array | undefined {
  const { slab, cipher } = theirs;
  const at = slabLayout.inbound.offset;
  slab.bytes.set(message, at);
  slab.receivedOffset[0] = at;
  slab.receivedLength[0] = message.length;
  cipher.open(slab, receiveKey, 0, 1);
  const length = slab.opened[0]!;
  return length < 0
    ? undefined
    : slab.bytes.slice(at + TRANSPORT_HEADER_BYTES, at + TRANSPORT_HEADER_BYTES + length);
}
