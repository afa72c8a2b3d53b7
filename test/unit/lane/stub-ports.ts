/** Ports of one interface that do as the test says, and tell what they were asked; nothing is wired to anything. */
import { endpointLayout, Slab, slabLayout } from "../../../src/bytes/slab.ts";
import { nobleCipher } from "../../../src/crypto/noble-cipher.ts";
import { opensslSuite } from "../../../src/crypto/openssl.ts";
import { Interface, type LaneSiblings } from "../../../src/lane/interface.ts";
import type { LinkState, SocketPair, TunPort, UdpPort } from "../../../src/lane/ports.ts";
import type { Outbox } from "../../../src/tunnel/outbox.ts";
import type { Peer } from "../../../src/tunnel/peer.ts";
import type { Moment } from "../../../src/tunnel/state.ts";
import { recordOf, seededBytes } from "../../sim/node.ts";
import { AF_INET, ipv4Packet } from "../../sim/packets.ts";

const PEER_KEY = new Uint8Array(32).fill(9);
const PEER_INNER = "10.0.0.2";
export const PEER_ADDRESS = "192.0.2.2:2";

export class StubTun implements TunPort {
  readonly readTag = 11;
  readonly linkTag = 12;
  readonly offload = 0x67;
  link: LinkState | undefined = { index: 3, isUp: true, mtu: 1_400 };
  /** What the next read gives: packets, or -errno. */
  packets: readonly Uint8Array[] = [];
  readStatus = 0;
  refused = 0;
  written = 0;
  isClosed = false;
  readonly #slab: Slab;

  constructor(slab: Slab) {
    this.#slab = slab;
  }

  read(): number {
    if (this.readStatus !== 0) return this.readStatus;
    let at = slabLayout.outbound.offset + 16;
    for (const [index, packet] of this.packets.entries()) {
      this.#slab.bytes.set(packet, at);
      this.#slab.innerOffset[index] = at;
      this.#slab.innerLength[index] = packet.length;
      this.#slab.innerRun[index] = index;
      at += packet.length + 48;
    }
    const count = this.packets.length;
    this.packets = [];
    return count;
  }

  write(outbox: Outbox): number {
    this.written += outbox.plainCount;
    return this.refused;
  }

  queryLink(link: LinkState): boolean {
    if (this.link === undefined) return false;
    Object.assign(link, this.link);
    return true;
  }

  name(): string {
    return "stub0";
  }

  close(): void {
    this.isClosed = true;
  }
}

export class StubUdp implements UdpPort {
  readonly tagV4 = 13;
  readonly tagV6 = 14;
  readonly routesTag = 15;
  readonly segments = true;
  readonly dropped = 5;
  isOpen = false;
  port = 0;
  namespaceFd = -1;
  isRightlyBound = true;
  openStatus = 0;
  markStatus = 0;
  /** Status of what is sent, and of what is sent again. */
  sendStatus = 0;
  resendStatus = 0;
  pairs: readonly SocketPair[] = [];
  readonly calls: string[] = [];
  sent = 0;
  readonly #slab: Slab;

  constructor(slab: Slab) {
    this.#slab = slab;
  }

  open(port: number, mark: number): number {
    this.calls.push(`open ${port} ${mark}`);
    if (this.openStatus < 0) return this.openStatus;
    this.isOpen = true;
    this.port = port === 0 ? 40_000 : port;
    return 0;
  }

  drainRoutes(): void {
    this.calls.push("routes");
  }

  isBoundRightly(): boolean {
    return this.isRightlyBound;
  }

  handOut(): readonly SocketPair[] {
    return this.pairs;
  }

  adopt(pair: SocketPair): void {
    this.calls.push(`adopt ${pair.fd4} ${pair.fd6}`);
    this.isOpen = pair.fd4 >= 0 || pair.fd6 >= 0;
  }

  setMark(mark: number): number {
    this.calls.push(`mark ${mark}`);
    return this.markStatus;
  }

  shed(): number {
    return 0;
  }

  receive(): number {
    return 0;
  }

  send(outbox: Outbox): number {
    this.sent += outbox.datagramCount;
    this.#slab.groupStatus.fill(this.sendStatus, 0, outbox.groupCount);
    return this.sendStatus === 0 ? 0 : outbox.groupCount;
  }

  resend(group: number): void {
    this.calls.push(`resend ${group}`);
    this.#slab.groupStatus[group] = this.resendStatus;
  }

  close(): void {
    if (this.isOpen) this.calls.push("close");
    this.isOpen = false;
    this.port = 0;
  }
}

export interface Stub {
  readonly iface: Interface;
  readonly tun: StubTun;
  readonly udp: StubUdp;
  readonly moment: Moment;
  readonly log: string[];
}

/** An interface with a private key and one peer; its link has not been looked at yet. */
export function stub(siblings?: LaneSiblings): Stub {
  const slab = new Slab();
  const tun = new StubTun(slab);
  const udp = new StubUdp(slab);
  const log: string[] = [];
  const iface = new Interface(
    {
      suite: opensslSuite,
      cipher: nobleCipher,
      slab,
      entropy: seededBytes(1),
      stagingBudget: { bytes: 0 },
      siblings,
    },
    tun,
    udp,
    (text, status) => log.push(`${text}: ${status}`),
  );
  iface.tunnel.setPrivateKey(new Uint8Array(32).fill(1));
  const { state } = iface.tunnel;
  const peer = state.addPeer(PEER_KEY)!;
  const bytes = new Uint8Array(16);
  bytes.set(PEER_INNER.split(".").map(Number));
  state.allowedIps.insert(AF_INET, bytes, 0, 32, peer.id);
  iface.tunnel.setEndpoint(peer, recordOf(PEER_ADDRESS));
  return { iface, tun, udp, moment: { now: 5_000, wallMs: 1_790_000_000_000 }, log };
}

export function peerOf({ iface }: Stub): Peer {
  return iface.tunnel.state.peerByKey(PEER_KEY)!;
}

/** A packet for the peer comes from TUN: without a session, it is an initiation that is sent. */
export function speak({ iface, tun, moment }: Stub): void {
  tun.packets = [ipv4Packet("10.0.0.1", PEER_INNER, 100)];
  iface.handleReady(tun.readTag, 1, moment);
}

/** The peer was heard from at this address of ours. */
export function withSource(made: Stub, source: string): void {
  const record = recordOf(PEER_ADDRESS).slice();
  record.set(source.split(".").map(Number), endpointLayout.source);
  made.iface.tunnel.setEndpoint(peerOf(made), record);
}
