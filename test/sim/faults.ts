/**
 * Faults of the product, put in one at a time to see that a storm tells: each breaks one invariant. What a class does is replaced on its
 * prototype; what a module does, through `flags`, which the test's mocks of modules look at.
 */
import { vi } from "vitest";
import { ENDPOINT_BYTES, slabLayout } from "../../src/bytes/slab.ts";
import { AllowedIps } from "../../src/route/allowed-ips.ts";
import { Handshake } from "../../src/session/handshake.ts";
import { Identity } from "../../src/session/identity.ts";
import { Keypair } from "../../src/session/keypair.ts";
import { ReplayWindow } from "../../src/session/replay-window.ts";
import { Timers } from "../../src/session/timers.ts";
import { copyEndpoint } from "../../src/tunnel/endpoint.ts";
import { HandshakeQueue } from "../../src/tunnel/handshake-queue.ts";
import { IndexTable } from "../../src/tunnel/index-table.ts";
import { Outbox } from "../../src/tunnel/outbox.ts";
import { Staging } from "../../src/tunnel/staging.ts";
import { TunnelState } from "../../src/tunnel/state.ts";
import { Tunnel } from "../../src/tunnel/tunnel.ts";
import type { Invariant } from "./invariants.ts";
import type { StormTools } from "./storm.ts";

/** Faults of functions that are no methods. */
export interface Flags {
  anyTimestamp: boolean;
  anyCounter: boolean;
}

export interface Fault {
  readonly name: string;
  readonly breaks: Invariant;
  /** Puts it in; `vi.restoreAllMocks` takes it out again. */
  install?(): void;
  readonly flag?: keyof Flags;
  tools?(tools: StormTools): StormTools;
}

const every = (count: number) => (): boolean => {
  calls = (calls + 1) % count;
  return calls === 0;
};
let calls = 0;

function sealing(
  change: (seal: () => void, tools: StormTools, first: number, count: number) => void,
) {
  return (tools: StormTools): StormTools => ({
    ...tools,
    cipher: {
      seal: (slab, key, first, count) => {
        change(() => tools.cipher.seal(slab, key, first, count), tools, first, count);
      },
      open: (slab, key, first, count) => tools.cipher.open(slab, key, first, count),
      forget: () => tools.cipher.forget(),
    },
  });
}

export const FAULTS: readonly Fault[] = [
  {
    name: "a counter is not moved on, once in 20 packets",
    breaks: "nonce",
    install: () => {
      const step = Keypair.prototype.step;
      const isTime = every(20);
      vi.spyOn(Keypair.prototype, "step").mockImplementation(function (this: Keypair) {
        if (!isTime()) step.call(this);
      });
    },
  },
  {
    name: "lanes lease the same counters",
    breaks: "nonce",
    install: () => {
      const reserve = Keypair.prototype.reserve;
      vi.spyOn(Keypair.prototype, "reserve").mockImplementation(function (this: Keypair, count) {
        const isLeased = reserve.call(this, count);
        if (this.leases !== undefined) Atomics.sub(this.leases, 0, count);
        return isLeased;
      });
    },
  },
  {
    name: "a session is used for more than 180 s",
    breaks: "session",
    install: () => {
      vi.spyOn(Keypair.prototype, "maySend").mockImplementation(function (this: Keypair) {
        return this.usable && this.sendable;
      });
    },
  },
  {
    name: "a session outlives the private key",
    breaks: "session",
    install: () => {
      vi.spyOn(Keypair.prototype, "maySend").mockImplementation(function (this: Keypair, now) {
        return this.usable && now - this.createdMs < 180_000;
      });
    },
  },
  {
    name: "datagrams are sent twice",
    breaks: "sealed",
    install: () => {
      const flush = Outbox.prototype.flushDatagrams;
      vi.spyOn(Outbox.prototype, "flushDatagrams").mockImplementation(function (this: Outbox) {
        const { groupCount } = this;
        flush.call(this);
        this.groupCount = groupCount;
        flush.call(this);
      });
    },
  },
  {
    name: "packets are listed, but not sealed",
    breaks: "plaintext",
    tools: sealing(() => undefined),
  },
  {
    name: "initiations have a byte too many",
    breaks: "messages",
    install: () => {
      const append = Outbox.prototype.append;
      vi.spyOn(Outbox.prototype, "append").mockImplementation(function (
        this: Outbox,
        peer,
        endpoint,
        tos,
        offset,
        length,
      ) {
        append.call(this, peer, endpoint, tos, offset, length === 148 ? 149 : length);
      });
    },
  },
  {
    name: "replays are taken",
    breaks: "once",
    install: () => {
      vi.spyOn(ReplayWindow.prototype, "accept").mockReturnValue(true);
    },
  },
  {
    name: "the last byte of a packet is lost",
    breaks: "intact",
    install: () => {
      const appendPlain = Outbox.prototype.appendPlain;
      vi.spyOn(Outbox.prototype, "appendPlain").mockImplementation(function (
        this: Outbox,
        offset,
        length,
      ) {
        appendPlain.call(this, offset, length - 1);
      });
    },
  },
  {
    name: "routes lead to another peer, once in 20 look-ups",
    breaks: "place",
    install: () => {
      const lookup = AllowedIps.prototype.lookup4At;
      const isTime = every(20);
      vi.spyOn(AllowedIps.prototype, "lookup4At").mockImplementation(function (
        this: AllowedIps,
        bytes,
        offset,
      ) {
        const id = lookup.call(this, bytes, offset);
        return id >= 0 && isTime() ? id ^ 1 : id;
      });
    },
  },
  {
    name: "an allowed IP is not taken away from the peer that had it",
    breaks: "source",
    install: () => {
      const insert = AllowedIps.prototype.insert;
      vi.spyOn(AllowedIps.prototype, "insert").mockImplementation(function (
        this: AllowedIps,
        family,
        bytes,
        offset,
        cidr,
        id,
      ) {
        if (this.lookup4At(bytes, offset) < 0) insert.call(this, family, bytes, offset, cidr, id);
      });
    },
  },
  {
    name: "transport is taken whatever its tag",
    breaks: "unauthentic",
    tools: (tools) => ({
      ...tools,
      cipher: {
        ...sealing((seal) => seal())(tools).cipher,
        open: (slab, key, first, count) => {
          tools.cipher.open(slab, key, first, count);
          for (let i = first; i < first + count; i++) slab.opened[i] = slab.receivedLength[i]! - 32;
        },
      },
    }),
  },
  {
    name: "handshakes are taken whatever their tags",
    breaks: "unauthentic",
    tools: (tools) => ({
      ...tools,
      suite: {
        ...tools.suite,
        open: (out, key, ciphertext, ad) => {
          tools.suite.open(out, key, ciphertext, ad);
          return true;
        },
      },
    }),
  },
  {
    name: "points of low order are taken",
    breaks: "unauthentic",
    tools: (tools) => ({
      ...tools,
      suite: {
        ...tools.suite,
        sharedSecret: (out, secret, point) => {
          tools.suite.sharedSecret(out, secret, point);
          return true;
        },
      },
    }),
  },
  {
    name: "a peer is where its datagrams come from, before they are authentic",
    breaks: "unauthentic",
    install: () => {
      const receive = Tunnel.prototype.receive;
      vi.spyOn(Tunnel.prototype, "receive").mockImplementation(function (
        this: Tunnel,
        count,
        moment,
      ) {
        const { slab, keypairs, peers } = this.state;
        for (let i = 0; i < count; i++) {
          const keypair = keypairs.get(slab.view.getUint32(slab.receivedOffset[i]! + 4, true));
          const peer = keypair === undefined ? undefined : peers[keypair.peerId];
          if (peer === undefined) continue;
          const at = slabLayout.messageEndpoint.offset + i * ENDPOINT_BYTES;
          copyEndpoint(peer.endpoint, 0, slab.bytes, at);
        }
        receive.call(this, count, moment);
      });
    },
  },
  {
    name: "initiations are taken whatever their time",
    breaks: "unauthentic",
    flag: "anyTimestamp",
  },
  { name: "counters have no end", breaks: "unauthentic", flag: "anyCounter" },
  {
    name: "where one peer is, all are",
    breaks: "own",
    install: () => {
      vi.spyOn(TunnelState.prototype, "noteChange").mockImplementation(function (
        this: TunnelState,
        { endpoint },
      ) {
        for (const peer of this.allPeers()) peer.endpoint.set(endpoint);
      });
    },
  },
  {
    name: "initiations may come as fast as they like",
    breaks: "flood",
    install: () => {
      const consume = Handshake.prototype.consumeInitiation;
      let now = 0;
      vi.spyOn(Handshake.prototype, "consumeInitiation").mockImplementation(function (
        this: Handshake,
        suite,
        identity,
        opened,
        message,
      ) {
        now += 1_000;
        return consume.call(this, suite, identity, opened, message, now);
      });
    },
  },
  {
    name: "handshake messages wait without end",
    breaks: "queue",
    install: () => {
      const waiting = new WeakMap<
        HandshakeQueue,
        { message: Uint8Array; endpoint: Uint8Array }[]
      >();
      const listOf = (queue: HandshakeQueue): { message: Uint8Array; endpoint: Uint8Array }[] => {
        const list = waiting.get(queue) ?? [];
        waiting.set(queue, list);
        return list;
      };
      vi.spyOn(HandshakeQueue.prototype, "count", "get").mockImplementation(function (
        this: HandshakeQueue,
      ) {
        return listOf(this).length;
      });
      vi.spyOn(HandshakeQueue.prototype, "push").mockImplementation(function (
        this: HandshakeQueue,
        bytes,
        offset,
        length,
        endpoints,
        at,
      ) {
        const message = bytes.slice(offset, offset + length);
        listOf(this).push({ message, endpoint: endpoints.slice(at, at + ENDPOINT_BYTES) });
        return true;
      });
      vi.spyOn(HandshakeQueue.prototype, "take").mockImplementation(function (
        this: HandshakeQueue,
      ) {
        return listOf(this).shift();
      });
    },
  },
  {
    name: "packets wait without end",
    breaks: "staging",
    install: () => {
      const waiting = new WeakMap<Staging, Uint8Array[]>();
      vi.spyOn(Staging.prototype, "count", "get").mockImplementation(function (this: Staging) {
        return waiting.get(this)?.length ?? 0;
      });
      vi.spyOn(Staging.prototype, "push").mockImplementation(function (
        this: Staging,
        bytes,
        offset,
        length,
      ) {
        const packet = bytes.slice(offset, offset + length);
        waiting.set(this, [...(waiting.get(this) ?? []), packet]);
        return 0;
      });
      vi.spyOn(Staging.prototype, "takeAll").mockImplementation(function (this: Staging) {
        const packets = waiting.get(this) ?? [];
        waiting.delete(this);
        return packets;
      });
    },
  },
  {
    name: "receiver indexes are not given back",
    breaks: "tables",
    install: () => {
      vi.spyOn(IndexTable.prototype, "delete").mockReturnValue(undefined);
    },
  },
  {
    name: "keys of an ended session are left",
    breaks: "wiped",
    install: () => {
      vi.spyOn(Keypair.prototype, "wipe").mockImplementation(function (this: Keypair) {
        this.usable = false;
      });
    },
  },
  {
    name: "a peer that is removed leaves its sessions",
    breaks: "wiped",
    install: () => {
      vi.spyOn(Tunnel.prototype, "removePeer").mockImplementation(function (this: Tunnel, peer) {
        this.state.forgetPeer(peer);
      });
    },
  },
  {
    name: "responses are not understood",
    breaks: "again",
    install: () => {
      vi.spyOn(Handshake.prototype, "consumeResponse").mockReturnValue(false);
    },
  },
  {
    name: "nobody notices that nothing comes back",
    breaks: "again",
    install: () => {
      vi.spyOn(Timers.prototype, "dataSent").mockReturnValue(undefined);
    },
  },
  {
    name: "large packets are sealed wrongly",
    breaks: "large",
    tools: sealing((seal, { slab }, first, count) => {
      seal();
      for (let i = first; i < first + count; i++) {
        if (slab.datagramLength[i]! > 1_400) slab.bytes[slab.datagramOffset[i]! + 20]! ^= 1;
      }
    }),
  },
  {
    name: "keys are not wiped after 540 s",
    breaks: "silent",
    install: () => {
      vi.spyOn(Timers.prototype, "sessionDerived").mockReturnValue(undefined);
    },
  },
  {
    name: "a tunnel that is closed keeps its private key",
    breaks: "closed",
    install: () => {
      vi.spyOn(Identity.prototype, "wipe").mockReturnValue(undefined);
    },
  },
  {
    name: "a peer that is removed keeps its preshared key",
    breaks: "closed",
    install: () => {
      vi.spyOn(Handshake.prototype, "wipe").mockImplementation(function (this: Handshake) {
        this.clear();
        this.forgetIdentity();
      });
    },
  },
];
