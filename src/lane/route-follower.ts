/**
 * Which of our addresses packets leave from, when the routes of the sockets' namespace change. A peer is answered from the address
 * and interface that it spoke to; that binds the way out, also when a better route has come up. So after each change of the routes
 * the peers that are sent to are looked at once: whose packets would now leave by another interface loses its source, and the kernel
 * chooses again (K socket.c send4, which asks at each packet; G device/sticky_linux.go).
 */
import { ENDPOINT_BYTES, slabLayout } from "../bytes/slab.ts";
import { clearSource, hasSource } from "../tunnel/endpoint.ts";
import type { Outbox } from "../tunnel/outbox.ts";
import type { Peer } from "../tunnel/peer.ts";
import type { UdpPort } from "./ports.ts";

/** Ours: for so long after a move what still comes in on the old way, which was under way then, does not bind the peer to it again. */
const SETTLING_MS = 5_000;

export class RouteFollower {
  readonly #udp: UdpPort;
  /** How often the routes have changed. */
  #changes = 0;
  #now = 0;

  constructor(udp: UdpPort) {
    this.#udp = udp;
  }

  /** The routes have changed. */
  noteChange(): void {
    this.#changes++;
  }

  /** The time that {@link follow} goes by, in milliseconds. */
  tellTime(now: number): void {
    this.#now = now;
  }

  /** To be called before the outbox is sent. Nothing allocates; without a change it costs a comparison. */
  follow(outbox: Outbox): void {
    if (this.#changes === 0) return;
    for (let group = 0; group < outbox.groupCount; group++) {
      const peer = outbox.groupPeer[group];
      if (peer === undefined || !this.#isDue(peer)) continue;
      const at = slabLayout.groupEndpoint.offset + group * ENDPOINT_BYTES;
      const { bytes } = outbox.slab;
      if (!hasSource(bytes, at)) continue;
      // An earlier group of this peer has lost it.
      const isLost = !hasSource(peer.endpoint, 0);
      if (!isLost && this.#isBoundRightly(peer)) continue;
      clearSource(bytes, at);
      clearSource(peer.endpoint, 0);
    }
  }

  #isBoundRightly(peer: Peer): boolean {
    const isRight = this.#udp.isBoundRightly(peer.endpoint);
    if (peer.routesSeen !== this.#changes) {
      peer.routesSeen = this.#changes;
      peer.settlingUntilMs = isRight ? Number.NEGATIVE_INFINITY : this.#now + SETTLING_MS;
    }
    return isRight;
  }

  #isDue(peer: Peer): boolean {
    return peer.routesSeen !== this.#changes || this.#now < peer.settlingUntilMs;
  }
}
