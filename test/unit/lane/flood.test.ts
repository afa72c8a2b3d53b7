/** A flood of initiations from one source: the interface has the kernel shed it, and takes that back. */
import { describe, expect, it } from "vitest";
import { endpointLayout, Slab } from "../../../src/bytes/slab.ts";
import { nobleCipher } from "../../../src/crypto/noble-cipher.ts";
import { opensslSuite } from "../../../src/crypto/openssl.ts";
import { Interface } from "../../../src/lane/interface.ts";
import type { LinkState } from "../../../src/lane/ports.ts";
import { FLOOD_REFUSALS, SHED_MS } from "../../../src/session/flood-watch.ts";
import { UNDER_LOAD_COUNT } from "../../../src/tunnel/handshake-queue.ts";
import { recordOf, seededBytes } from "../../sim/node.ts";
import { ipv4Packet } from "../../sim/packets.ts";
import { FakeTun, FakeUdp } from "./fake-ports.ts";

const FLOOD = "192.0.2.66:1";
const BATCH = 16;

/** Datagrams come from `FLOOD`; what is asked of the kernel is written down. */
class FloodedUdp extends FakeUdp {
  readonly asked: (string | undefined)[] = [];
  status = 0;

  override shed(source: Uint8Array, isOn: boolean): number {
    const at = endpointLayout.address;
    this.asked.push(isOn ? source.subarray(at, at + 4).join(".") : undefined);
    return this.status;
  }
}

/** A link that can be set down. */
class FloodedTun extends FakeTun {
  isUp = true;

  override queryLink(link: LinkState): boolean {
    super.queryLink(link);
    link.isUp = this.isUp;
    return true;
  }
}

class Flooded {
  readonly udp: FloodedUdp;
  readonly tun: FloodedTun;
  readonly iface: Interface;
  now = 1_000;
  readonly #slab = new Slab();

  constructor() {
    this.udp = new FloodedUdp(this.#slab, FLOOD);
    this.tun = new FloodedTun(this.#slab, ipv4Packet("10.0.0.1", "10.0.0.2", 100));
    this.iface = new Interface(
      {
        suite: opensslSuite,
        cipher: nobleCipher,
        slab: this.#slab,
        entropy: seededBytes(1),
        stagingBudget: { bytes: 0 },
      },
      this.tun,
      this.udp,
      undefined,
    );
    this.iface.tunnel.setPrivateKey(new Uint8Array(32).fill(1));
    this.iface.followLink(this.moment);
  }

  get moment(): { readonly now: number; readonly wallMs: number } {
    return { now: this.now, wallMs: 1_790_000_000_000 + this.now };
  }

  /** `count` initiations that prove nothing arrive at once. */
  flood(count: number): void {
    const message = new Uint8Array(148);
    message[0] = 1;
    for (let sent = 0; sent < count; sent += BATCH) {
      this.udp.put(message, Math.min(BATCH, count - sent), recordOf(FLOOD));
      this.iface.handleReady(this.udp.tagV4, 1, this.moment);
    }
    this.iface.handleTime(this.moment);
  }
}

describe("a flood of initiations", () => {
  it("is shed, and no more when it is over", () => {
    const flooded = new Flooded();
    flooded.flood(UNDER_LOAD_COUNT);
    expect(flooded.udp.asked).toEqual([]);
    flooded.flood(FLOOD_REFUSALS + 100);
    expect(flooded.udp.asked).toEqual(["192.0.2.66"]);
    expect(flooded.iface.nextDeadline()).toBeLessThanOrEqual(flooded.now + SHED_MS);
    flooded.flood(BATCH);
    flooded.now += SHED_MS;
    flooded.iface.handleTime(flooded.moment);
    expect(flooded.udp.asked).toEqual(["192.0.2.66", undefined]);
    expect(flooded.iface.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
  });

  it("is left to the rate limit where the kernel has no filters", () => {
    const flooded = new Flooded();
    flooded.udp.status = -92;
    flooded.flood(UNDER_LOAD_COUNT + FLOOD_REFUSALS + 100);
    expect(flooded.udp.asked).toEqual(["192.0.2.66"]);
    expect(flooded.iface.tunnel.state.flood.isShedding).toBe(false);
  });

  it("is shed anew when the sockets are others", () => {
    const flooded = new Flooded();
    flooded.flood(UNDER_LOAD_COUNT + FLOOD_REFUSALS + 100);
    expect(flooded.iface.setListenPort(999)).toBe(0);
    flooded.flood(FLOOD_REFUSALS + 100);
    expect(flooded.udp.asked).toEqual(["192.0.2.66", "192.0.2.66"]);
  });

  it("is forgotten when the interface goes down: the filter went with its socket", () => {
    const flooded = new Flooded();
    flooded.flood(UNDER_LOAD_COUNT + FLOOD_REFUSALS + 100);
    const { flood } = flooded.iface.tunnel.state;
    expect(flood.isShedding).toBe(true);
    flooded.tun.isUp = false;
    flooded.iface.followLink(flooded.moment);
    expect(flood.isShedding).toBe(false);
    expect(flooded.iface.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
    flooded.now += SHED_MS;
    flooded.iface.handleTime(flooded.moment);
    expect(flooded.udp.asked).toEqual(["192.0.2.66"]);
  });
});
