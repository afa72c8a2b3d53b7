/**
 * Secrets in messages between threads. Structured clone would leave copies in buffers that nobody can wipe; memory that is moved
 * leaves none. So the secrets of a message are copied into one block, which moves (one, since Node searches a transfer list for
 * each of its entries). The sender keeps and wipes its own, the receiver wipes what came.
 *
 * Not here: what notes between lanes and blocks of initiations hold (`src/io/sibling-ports.ts`, `handshake-batch.ts`).
 */
import { isZero } from "../bytes/equal.ts";
import { concealed, copySecret, secretBytes } from "../bytes/secret-bytes.ts";
import { KEY_BYTES } from "../crypto/suite.ts";
import type { SetOperation } from "../uapi/operation.ts";
import type { DeviceSnapshot, PeerSnapshot } from "../uapi/snapshot.ts";
import type { LaneRequest } from "./messages.ts";

/** A message with secrets of its own, and the memory to move with it. */
export interface Movable<Message> {
  readonly message: Message;
  readonly moved: readonly ArrayBuffer[];
}

type WithKey = Extract<SetOperation, { readonly key: Uint8Array }>;

const NO_KEY = new Uint8Array(KEY_BYTES);

/** A copy of a request, to be posted. */
export function movableRequest(request: LaneRequest): Movable<LaneRequest> {
  if (request.kind === "set") {
    const { message, moved } = movableSet(request.operations);
    return { message: { ...request, operations: message }, moved };
  }
  if (request.kind === "restore") {
    const { message, moved } = movableSnapshot(request.snapshot);
    return { message: { ...request, snapshot: message }, moved };
  }
  return { message: request, moved: [] };
}

/** A copy of a snapshot, to be posted; the one given may hold the live keys. */
export function movableSnapshot(snapshot: DeviceSnapshot): Movable<DeviceSnapshot> {
  const { privateKey, peers } = snapshot;
  const count = peers.filter(({ presharedKey }) => !isZero(presharedKey)).length;
  const block = new Block(count + (privateKey === undefined ? 0 : 1));
  const message: DeviceSnapshot = {
    ...snapshot,
    ...(privateKey === undefined ? {} : { privateKey: block.add(privateKey) }),
    peers: peers.map(
      (peer): PeerSnapshot => ({
        ...peer,
        presharedKey: isZero(peer.presharedKey) ? NO_KEY : block.add(peer.presharedKey),
      }),
    ),
  };
  return { message, moved: block.moved };
}

/** Makes printing the snapshot show no key (src/bytes/secret-bytes.ts); gives it back. */
export function concealSnapshot(snapshot: DeviceSnapshot): DeviceSnapshot {
  if (snapshot.privateKey !== undefined) concealed(snapshot.privateKey);
  for (const { presharedKey } of snapshot.peers) {
    if (!isZero(presharedKey)) concealed(presharedKey);
  }
  return snapshot;
}

function movableSet(operations: readonly SetOperation[]): Movable<readonly SetOperation[]> {
  const block = new Block(operations.filter(hasKey).length);
  const message = operations.map((operation) =>
    hasKey(operation) ? { ...operation, key: block.add(operation.key) } : operation,
  );
  return { message, moved: block.moved };
}

function hasKey(operation: SetOperation): operation is WithKey {
  return operation.op === "private_key" || operation.op === "preshared_key";
}

/** Memory for so many keys. */
class Block {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #used = 0;

  constructor(count: number) {
    this.#bytes = secretBytes(count * KEY_BYTES);
  }

  get moved(): readonly ArrayBuffer[] {
    return this.#bytes.length === 0 ? [] : [this.#bytes.buffer];
  }

  /** A copy of `key` in it. */
  add(key: Uint8Array): Uint8Array {
    const place = this.#bytes.subarray(this.#used, this.#used + KEY_BYTES);
    copySecret(place, key);
    this.#used += KEY_BYTES;
    return place;
  }
}
