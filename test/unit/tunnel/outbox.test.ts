/** What may share one segmented send, and that a full list is sent and not lost. */
import { describe, expect, it } from "vitest";
import {
  DATAGRAMS_MAX,
  ENDPOINT_BYTES,
  GROUPS_MAX,
  PLAIN_MAX,
  Slab,
  slabLayout,
} from "../../../src/bytes/slab.ts";
import { Outbox, type OutboxSink } from "../../../src/tunnel/outbox.ts";
import { Peer } from "../../../src/tunnel/peer.ts";

class Sink implements OutboxSink {
  /** Lengths of the datagrams of each group of each send. */
  readonly sent: number[][][] = [];
  readonly written: number[] = [];

  sendDatagrams({ slab, groupCount }: Outbox): void {
    const groups: number[][] = [];
    for (let group = 0; group < groupCount; group++) {
      const start = slab.groupStart[group]!;
      groups.push([...slab.datagramLength.subarray(start, start + slab.groupCount[group]!)]);
    }
    this.sent.push(groups);
  }

  writePlain(outbox: Outbox): void {
    this.written.push(outbox.plainCount);
  }
}

const slab = new Slab();
const budget = { bytes: 0 };
const peers = [1, 2].map((id) => new Peer(id, new Uint8Array(32).fill(id), budget));
const endpoint = Uint8Array.from({ length: ENDPOINT_BYTES }, (_, index) => index);

function made(): { outbox: Outbox; sink: Sink } {
  const sink = new Sink();
  return { outbox: new Outbox(slab, sink), sink };
}

/** Appends datagrams of these lengths for peer 0 and flushes; gives the groups. */
function groupsOf(...lengths: readonly number[]): number[][] {
  const { outbox, sink } = made();
  for (const length of lengths) outbox.append(peers[0], endpoint, 0, 0, length);
  outbox.flushDatagrams();
  return sink.sent[0] ?? [];
}

describe("groups", () => {
  it("take equal lengths and one shorter at the end", () => {
    expect(groupsOf(1452, 1452, 1452)).toEqual([[1452, 1452, 1452]]);
    expect(groupsOf(1452, 1452, 100, 1452)).toEqual([[1452, 1452, 100], [1452]]);
    expect(groupsOf(100, 1452, 1452)).toEqual([[100], [1452, 1452]]);
    expect(groupsOf(1452, 100, 100)).toEqual([[1452, 100], [100]]);
  });

  it("end at 64 datagrams and at 65,000 bytes", () => {
    const small = groupsOf(...new Array<number>(130).fill(200));
    expect(small.map((group) => group.length)).toEqual([64, 64, 2]);
    const large = groupsOf(...new Array<number>(60).fill(1452));
    expect(large.map((group) => group.length)).toEqual([44, 16]);
  });

  it("belong to one peer and one TOS", () => {
    const { outbox, sink } = made();
    outbox.append(peers[0], endpoint, 0, 0, 500);
    outbox.append(peers[1], endpoint, 0, 0, 500);
    outbox.append(peers[1], endpoint, 2, 0, 500);
    outbox.append(peers[1], endpoint, 2, 0, 500);
    outbox.endGroup();
    outbox.append(peers[1], endpoint, 2, 0, 500);
    expect(outbox.groupPeer.slice(0, 4)).toEqual([peers[0], peers[1], peers[1], peers[1]]);
    outbox.flushDatagrams();
    expect(sink.sent).toEqual([[[500], [500], [500, 500], [500]]]);
  });

  it("of nobody in particular are one datagram each: every cookie reply goes elsewhere", () => {
    const { outbox, sink } = made();
    for (let i = 0; i < 3; i++) outbox.append(undefined, endpoint, 0, 0, 64);
    outbox.flushDatagrams();
    expect(sink.sent).toEqual([[[64], [64], [64]]]);
  });

  it("carry a copy of the endpoint, a TOS and no failure", () => {
    const { outbox } = made();
    const changing = endpoint.slice();
    slab.groupStatus[0] = -5;
    outbox.append(peers[0], changing, 0x88, 0, 148);
    changing.fill(0);
    const at = slabLayout.groupEndpoint.offset;
    expect(slab.bytes.subarray(at, at + ENDPOINT_BYTES)).toEqual(endpoint);
    expect([slab.groupTos[0], slab.groupStatus[0]]).toEqual([0x88, 0]);
  });
});

describe("room", () => {
  it("ends with the lists of datagrams and of groups", () => {
    const { outbox } = made();
    for (let i = 0; i < DATAGRAMS_MAX; i++) {
      expect(outbox.hasRoom(0)).toBe(true);
      outbox.append(peers[0], endpoint, 0, 0, 100);
    }
    expect(outbox.hasRoom(0)).toBe(false);
    outbox.flushDatagrams();
    for (let i = 0; i < GROUPS_MAX; i++) {
      expect(outbox.hasRoom(0)).toBe(true);
      outbox.append(undefined, endpoint, 0, 0, 64);
    }
    expect(outbox.hasRoom(0)).toBe(false);
    outbox.flushDatagrams();
    expect(outbox.hasRoom(0)).toBe(true);
  });

  it("for composed bytes is aligned, does not overlap, ends, and comes back with a flush", () => {
    const { outbox } = made();
    const { offset, bytes } = slabLayout.composed;
    let last = 0;
    while (outbox.hasRoom(148)) {
      const at = outbox.compose(148);
      expect(at % 16).toBe(0);
      expect(at >= Math.max(offset, last) && at + 148 <= offset + bytes).toBe(true);
      last = at + 148;
    }
    expect(offset + bytes - last).toBeLessThan(2 * 160);
    outbox.flushDatagrams();
    expect(outbox.compose(148)).toBe(offset);
  });

  it("a full list of plain packets is written on its own", () => {
    const { outbox, sink } = made();
    for (let i = 0; i < PLAIN_MAX + 3; i++) outbox.appendPlain(i, 60);
    expect(sink.written).toEqual([PLAIN_MAX]);
    outbox.flushPlain();
    outbox.flushPlain();
    expect(sink.written).toEqual([PLAIN_MAX, 3]);
  });

  it("nothing to send is no call", () => {
    const { outbox, sink } = made();
    outbox.flushDatagrams();
    outbox.flushPlain();
    expect([sink.sent, sink.written]).toEqual([[], []]);
  });
});
