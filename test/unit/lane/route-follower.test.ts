/** Which peers lose their source address when routes change, and when they are asked about. */
import { beforeEach, describe, expect, it } from "vitest";
import {
  ENDPOINT_BYTES,
  endpointLayout,
  FAMILY_V4,
  Slab,
  slabLayout,
} from "../../../src/bytes/slab.ts";
import { RouteFollower } from "../../../src/lane/route-follower.ts";
import { hasSource } from "../../../src/tunnel/endpoint.ts";
import { Outbox } from "../../../src/tunnel/outbox.ts";
import { Peer } from "../../../src/tunnel/peer.ts";
import { FakeUdp } from "./fake-ports.ts";

class RoutedUdp extends FakeUdp {
  asked = 0;
  /** Whether the source that peers are bound to is on the way out. */
  isRight = true;

  override isBoundRightly(): boolean {
    this.asked++;
    return this.isRight;
  }
}

const slab = new Slab();
let udp: RoutedUdp;
let follower: RouteFollower;
let outbox: Outbox;
let peer: Peer;

/** The peer has spoken to our address. */
function bind(): void {
  peer.endpoint[endpointLayout.family] = FAMILY_V4;
  peer.endpoint.set([192, 0, 2, 1], endpointLayout.source);
  peer.endpoint[endpointLayout.sourceInterface] = 7;
}

/** Sends `groups` datagrams to the peer, in a group each; gives whether each still has a source. */
function send(groups = 1): boolean[] {
  for (let i = 0; i < groups; i++) {
    outbox.append(peer, peer.endpoint, 0, outbox.compose(64), 64);
    outbox.endGroup();
  }
  follower.follow(outbox);
  const sources = Array.from({ length: groups }, (_, group) =>
    hasSource(slab.bytes, slabLayout.groupEndpoint.offset + group * ENDPOINT_BYTES),
  );
  outbox.flushDatagrams();
  return sources;
}

beforeEach(() => {
  udp = new RoutedUdp(slab, "192.0.2.9:1");
  follower = new RouteFollower(udp);
  outbox = new Outbox(slab, { sendDatagrams: () => undefined, writePlain: () => undefined });
  peer = new Peer(1, new Uint8Array(32), { bytes: 0 });
  follower.tellTime(1_000_000);
  bind();
});

describe("routes", () => {
  it("are not asked about until they change, and then once", () => {
    expect(send()).toEqual([true]);
    expect(udp.asked).toBe(0);
    follower.noteChange();
    for (let i = 0; i < 5; i++) expect(send()).toEqual([true]);
    expect(udp.asked).toBe(1);
    follower.noteChange();
    send();
    expect(udp.asked).toBe(2);
  });

  it("that lead elsewhere take the source away, from all groups and from the peer", () => {
    follower.noteChange();
    udp.isRight = false;
    expect(send(3)).toEqual([false, false, false]);
    expect(udp.asked).toBe(1);
    expect(hasSource(peer.endpoint, 0)).toBe(false);
    // Without a source there is nothing to ask.
    send();
    expect(udp.asked).toBe(1);
  });

  it("are asked about again while what was under way on the old path comes in, for five seconds", () => {
    follower.noteChange();
    udp.isRight = false;
    send();
    for (const ms of [1_000_100, 1_004_900]) {
      follower.tellTime(ms);
      bind();
      expect(send()).toEqual([false]);
    }
    // Then the peer means it: it is answered where it speaks to.
    follower.tellTime(1_005_000);
    bind();
    expect(send()).toEqual([true]);
    expect(udp.asked).toBe(3);
  });

  it("are not asked about for messages to nobody in particular", () => {
    follower.noteChange();
    udp.isRight = false;
    outbox.append(undefined, peer.endpoint, 0, outbox.compose(64), 64);
    outbox.endGroup();
    follower.follow(outbox);
    expect(udp.asked).toBe(0);
    expect(hasSource(slab.bytes, slabLayout.groupEndpoint.offset)).toBe(true);
  });
});
