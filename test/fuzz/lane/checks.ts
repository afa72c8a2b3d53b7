/** What must hold between any two events of a lane. */
import type { Keypair } from "../../../src/session/keypair.ts";
import { DROP_REASONS } from "../../../src/tunnel/drop.ts";
import { HANDSHAKE_QUEUE_MAX } from "../../../src/tunnel/handshake-queue.ts";
import { STAGED_BYTES_MAX, STAGED_MAX } from "../../../src/tunnel/staging.ts";
import { must } from "../target.ts";
import type { World } from "./world.ts";

const FOREVER = Number.POSITIVE_INFINITY;

export class Checks {
  readonly #held = new Set<Keypair>();

  /** After every event. */
  between({ subject, note }: World): void {
    const { state } = subject;
    must(state.queue.count <= HANDSHAKE_QUEUE_MAX, "the handshake queue is bounded");
    must(state.keypairs.count <= 3 * state.peerCount, "three keypairs a peer");
    must(state.handshakes.count <= state.peerCount, "one handshake a peer");
    let staged = 0;
    for (const peer of state.allPeers()) {
      const { previous, current, next, staging, timers } = peer;
      must(staging.count <= STAGED_MAX, "waiting packets are bounded");
      must(peer.firstRun === -1 && peer.lastRun === -1, "no run is left over");
      staged += staging.count;
      const earliest = timers.next();
      must(
        earliest === FOREVER || subject.iface.nextDeadline() <= earliest,
        "deadlines are waited for",
      );
      for (const keypair of [previous, current, next]) {
        if (keypair === undefined) continue;
        this.#held.add(keypair);
        must(keypair.usable, "a keypair that is held can be used");
        must(state.keypairs.get(keypair.localIndex) === keypair, "and its index leads to it");
      }
      if (!state.isUp)
        must(current === undefined && next === undefined, "down, there are no sessions");
      const held = [previous, current, next].map((keypair) => (keypair === undefined ? "-" : "k"));
      note(`sessions ${held.join("")} ${peer.handshake.state} ${Math.min(3, staging.count)}`);
      note(`timers ${armed(timers)}`);
    }
    must(staged <= STAGED_MAX * state.peerCount, "and in all");
    for (const keypair of this.#held) {
      if (keypair.usable) continue;
      must(
        keypair.sendKey.every((byte) => byte === 0) &&
          keypair.receiveKey.every((byte) => byte === 0),
        "a keypair that went is wiped",
      );
    }
    state.drops.forEach((count, reason) => {
      must(Number.isInteger(count) && count >= 0, "drops are counts");
      if (count > 0) note(`drop ${DROP_REASONS[reason]![0]} ${Math.floor(Math.log2(count))}`);
    });
    if (state.queue.isUnderLoad(subject.waiter.now)) note("under load");
    if (state.flood.isShedding) note(`shedding ${subject.udp.isShedding}`);
  }

  /** When the lane is closed nothing secret is left, and nothing is waited for. */
  afterClose({ subject }: World): void {
    const { state } = subject;
    must(state.peerCount === 0 && state.identity === undefined, "everything is forgotten");
    must(state.keypairs.count === 0 && state.handshakes.count === 0, "no index is in use");
    must(subject.tunnel.nextDeadline() === FOREVER, "nothing is waited for");
    for (const keypair of this.#held) must(!keypair.usable, "every keypair is wiped");
    must(STAGED_BYTES_MAX > 0 && state.queue.count === 0, "no queue holds anything");
  }
}

function armed(timers: {
  readonly retransmitMs: number;
  readonly keepaliveMs: number;
  readonly renewMs: number;
  readonly zeroKeysMs: number;
  readonly persistentMs: number;
}): string {
  const { retransmitMs, keepaliveMs, renewMs, zeroKeysMs, persistentMs } = timers;
  return [retransmitMs, keepaliveMs, renewMs, zeroKeysMs, persistentMs]
    .map((deadline) => (deadline === FOREVER ? "0" : "1"))
    .join("");
}
