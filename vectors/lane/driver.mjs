/**
 * One lane with one interface between ports made of arrays: settings come in as configuration lines, inner packets and datagrams as
 * bytes, time and entropy from the caller; what the lane sends and delivers is kept. Nothing of the lane is replaced but system calls.
 */
import { bytes, hex } from "../bytes.mjs";
import { endpointRecord } from "../tables.mjs";

const READ_TAG = 1;
const LINK_TAG = 2;
const V4_TAG = 3;
const V6_TAG = 4;
const ROUTES_TAG = 5;
/** Messages of one receive. */
const BATCH = 16;
/** More than an eighth of the queue: the lane is under load. */
const FLOOD = 144;
/** The slab's layout leaves so many bytes before a packet from TUN for a header, and behind it for padding and tag. */
const HEADROOM = 16;
const TAILROOM = 32;

export class LaneDriver {
  /** { to, at, message } of each datagram sent, hexadecimal. */
  sent = [];
  /** Each packet written to TUN, hexadecimal. */
  delivered = [];
  /** Handshake messages arrive behind a flood. */
  isUnderLoad = false;
  #code;
  #slab;
  #startMs;
  #wallMs;
  #waiter;
  #inner = [];
  #arrived = [];

  /** `parts`: { suite, cipher, slab, code }. `wallMs` may be a function of the monotonic time. */
  constructor(parts, { startMs = 1_000, wallMs = 1_700_000_000_000, mtu = 1420, entropy }) {
    const { suite, cipher, slab, code } = parts;
    this.#code = code;
    this.#slab = slab;
    this.#startMs = startMs;
    this.#wallMs = typeof wallMs === "function" ? wallMs : (at) => wallMs + at;
    this.#waiter = {
      ready: new Int32Array(64),
      events: new Int32Array(64).fill(1),
      count: 0,
      now: startMs,
      wallMs: this.#wallMs(0),
      wait() {
        const { count } = this;
        this.count = 0;
        return count;
      },
    };
    this.iface = new code.Interface(
      { suite, cipher, slab, entropy, stagingBudget: { bytes: 0 } },
      this.#tunPort(mtu),
      this.#udpPort(),
      undefined,
    );
    this.lane = new code.Lane(this.#waiter, { drain: () => undefined, gone: () => undefined });
    this.lane.add(this.iface);
  }

  /** Milliseconds since the start. */
  get at() {
    return this.#waiter.now - this.#startMs;
  }

  /** Drops so far, by name, those above zero. */
  drops() {
    const { drops } = this.iface.tunnel.state;
    return Object.fromEntries(
      this.#code.DROP_REASONS.map(([name], index) => [name, drops[index]]).filter(
        ([, count]) => count > 0,
      ),
    );
  }

  /** How many were dropped for this reason so far. */
  dropped(name) {
    return this.iface.tunnel.state.drops[this.#code.Drop[name]];
  }

  /** Applies lines of a `set=1` request. */
  set(...lines) {
    const { operations, error } = this.#code.parseSet(lines);
    if (error !== undefined) throw new Error(`bad setting in ${lines.join(", ")}`);
    const sockets = {
      setListenPort: (port) => this.iface.setListenPort(port),
      setMark: (mark) => this.iface.setMark(mark),
      resolveEndpoint: (record, family, address, port) => {
        record.set(endpointRecord(this.#code, this.#endpointText(family, address, port)));
        return 0;
      },
    };
    this.#code.applySet(this.iface.tunnel, operations, sockets, this.lane.moment);
    this.iface.flush();
    this.lane.reschedule(this.iface);
  }

  /** What a `get=1` request answers. */
  get() {
    const snapshot = this.#code.snapshot(this.iface, () => undefined);
    return new TextDecoder().decode(this.#code.formatGet(snapshot, ""));
  }

  /** The link comes up. */
  up() {
    this.#turn(LINK_TAG);
  }

  /** Lets time pass, deadline by deadline, until `at`. */
  advance(at) {
    const until = this.#startMs + at;
    for (let passed = 0; this.iface.nextDeadline() <= until; passed++) {
      if (passed > 10_000) throw new Error("a deadline passes and stays");
      this.#setClock(Math.max(this.#waiter.now, this.iface.nextDeadline()));
      this.#turn();
    }
    this.#setClock(until);
  }

  /** The application sends a packet. */
  sendInner(packet) {
    this.#inner.push(packet);
    this.#turn(READ_TAG);
  }

  /** Datagrams arrive from `from` ("address:port") in one turn, 16 a receive. */
  receive(from, ...datagrams) {
    const record = endpointRecord(this.#code, from);
    const isHandshake = datagrams.some((datagram) => datagram[0] !== 4);
    if (this.isUnderLoad && isHandshake) this.#flood();
    for (const datagram of datagrams) this.#arrived.push({ record, datagram });
    const tags = [];
    for (let first = 0; first < this.#arrived.length; first += BATCH) {
      tags.push(from.startsWith("[") ? V6_TAG : V4_TAG);
    }
    this.#turn(...tags);
  }

  /** The next datagram sent, taken out; undefined: there is none. */
  nextSent() {
    return this.sent.shift();
  }

  close() {
    this.iface.close();
  }

  /** Initiations for nobody, one from each of many addresses. */
  #flood() {
    const datagram = new Uint8Array(148);
    datagram[0] = 1;
    for (let i = 0; i < FLOOD; i++) {
      this.#arrived.push({ record: endpointRecord(this.#code, `10.77.0.${i + 1}:7`), datagram });
    }
  }

  #setClock(now) {
    this.#waiter.now = now;
    this.#waiter.wallMs = this.#wallMs(now - this.#startMs);
  }

  #turn(...tags) {
    tags.forEach((tag, index) => {
      this.#waiter.ready[index] = tag;
    });
    this.#waiter.count = tags.length;
    this.lane.turn();
    while (this.iface.tunnel.state.queue.count > 0) this.lane.turn();
  }

  #endpointText(family, address, port) {
    return this.#code.formatEndpointText({ family, bytes: address, port });
  }

  #tunPort(mtu) {
    const { slabLayout } = this.#code;
    const slab = this.#slab;
    return {
      readTag: READ_TAG,
      linkTag: LINK_TAG,
      offload: 0,
      read: () => {
        let offset = slabLayout.outbound.offset + HEADROOM;
        const packets = this.#inner.splice(0);
        packets.forEach((packet, index) => {
          slab.bytes.fill(0xa5, offset - HEADROOM, offset);
          slab.bytes.set(packet, offset);
          slab.bytes.fill(0, offset + packet.length, offset + packet.length + TAILROOM);
          slab.innerOffset[index] = offset;
          slab.innerLength[index] = packet.length;
          slab.innerRun[index] = index;
          offset += ((packet.length + 15) & ~15) + TAILROOM;
        });
        return packets.length;
      },
      write: (outbox) => {
        for (let i = 0; i < outbox.plainCount; i++) {
          const offset = slab.plainOffset[i];
          this.delivered.push(hex(slab.bytes.slice(offset, offset + slab.plainLength[i])));
        }
        return 0;
      },
      queryLink: (link) => {
        link.isUp = true;
        link.mtu = mtu;
        return true;
      },
      name: () => "vectors",
      close: () => undefined,
    };
  }

  #udpPort() {
    const code = this.#code;
    const slab = this.#slab;
    const { endpointLayout, slabLayout, ENDPOINT_BYTES, MESSAGE_STRIDE } = code;
    return {
      dropped: 0,
      tagV4: V4_TAG,
      tagV6: V6_TAG,
      routesTag: ROUTES_TAG,
      drainRoutes: () => undefined,
      isBoundRightly: () => true,
      segments: true,
      isOpen: false,
      port: 0,
      open(port) {
        this.isOpen = true;
        this.port = port === 0 ? 51_820 : port;
        return 0;
      },
      shed: () => 0,
      handOut: () => [],
      adopt: () => undefined,
      setMark: () => 0,
      receive: () => {
        const batch = this.#arrived.splice(0, BATCH);
        batch.forEach(({ record, datagram }, index) => {
          const offset = slabLayout.inbound.offset + index * MESSAGE_STRIDE;
          slab.bytes.set(datagram, offset);
          slab.receivedOffset[index] = offset;
          slab.receivedLength[index] = datagram.length;
          slab.receivedMessage[index] = index;
          slab.bytes.set(record, slabLayout.messageEndpoint.offset + index * ENDPOINT_BYTES);
          slab.messageTos[index] = 0;
        });
        return batch.length;
      },
      send: (outbox) => {
        for (let group = 0; group < outbox.groupCount; group++) {
          const at = slabLayout.groupEndpoint.offset + group * ENDPOINT_BYTES;
          const address = at + endpointLayout.address;
          const to = this.#endpointText(
            slab.view.getUint16(at + endpointLayout.family, true),
            slab.bytes.slice(address, address + 16),
            slab.view.getUint16(at + endpointLayout.port, true),
          );
          const start = slab.groupStart[group];
          for (let i = start; i < start + slab.groupCount[group]; i++) {
            const offset = slab.datagramOffset[i];
            const message = hex(slab.bytes.slice(offset, offset + slab.datagramLength[i]));
            this.sent.push({ to, at: this.at, message });
          }
        }
        return 0;
      },
      resend: () => undefined,
      close() {
        this.isOpen = false;
      },
    };
  }
}

/** An inner packet from `source` to `destination` (bytes) with `payload`; the IPv4 header checksum is left zero: no tunnel looks at it. */
export function innerPacket(family, source, destination, payload) {
  const header = family === 2 ? 20 : 40;
  const packet = new Uint8Array(header + payload.length);
  const view = new DataView(packet.buffer);
  if (family === 2) {
    packet[0] = 0x45;
    view.setUint16(2, packet.length);
    packet.set([64, 253], 8);
    packet.set(source.subarray(0, 4), 12);
    packet.set(destination.subarray(0, 4), 16);
  } else {
    packet[0] = 0x60;
    view.setUint16(4, payload.length);
    packet.set([253, 64], 6);
    packet.set(source, 8);
    packet.set(destination, 24);
  }
  packet.set(payload, header);
  return packet;
}

/**
 * Entropy that is prescribed: each draw takes the next entry, whose length must fit. When none is left, draws of four bytes are for
 * jitter, and zero; any other throws.
 */
export function prescribed(...draws) {
  const left = draws.map((draw) => (typeof draw === "string" ? bytes(draw) : draw));
  return (out) => {
    const next = left.shift() ?? new Uint8Array(4);
    if (next.length !== out.length) throw new Error(`a draw of ${out.length} bytes is not next`);
    out.set(next);
  };
}
