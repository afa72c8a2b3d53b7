/**
 * How many initiations a lane begins in one turn, over all of its tunnels. Who needs all peers of many interfaces at once (after a
 * restart, a dead uplink) would else make a turn of minutes: nothing else is done meanwhile, no initiation is answered before the next
 * one replaces it, and no handshake comes about ever. What others sent comes first: while handshake messages wait, begun handshakes
 * end before many new ones begin.
 */

/** Ours: two Diffie-Hellmans each, 0.15 ms. */
export const INITIATIONS_PER_TURN = 16;
/** Ours: a flood, which keeps messages waiting for as long as it lasts, must not keep us from calling. */
export const INITIATIONS_BESIDE_OTHERS = 1;

export class InitiationPace {
  /** Handshake messages of the lane's tunnels that were received and are not worked off yet; theirs to count. */
  waiting = 0;
  #turnMs = Number.NEGATIVE_INFINITY;
  #taken = 0;

  /** True if one may begin in the turn whose time is `now`, and counts it. */
  take(now: number): boolean {
    if (now !== this.#turnMs) {
      this.#turnMs = now;
      this.#taken = 0;
    }
    const most = this.waiting > 0 ? INITIATIONS_BESIDE_OTHERS : INITIATIONS_PER_TURN;
    if (this.#taken >= most) return false;
    this.#taken++;
    return true;
  }
}
