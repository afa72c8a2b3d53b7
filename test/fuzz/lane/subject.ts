/** A whole lane with one interface, between ports that the fuzzer holds; settings come as UAPI text, time is the fuzzer's. */
import { endpointLayout } from "../../../src/bytes/slab.ts";
import type { TransportCipher } from "../../../src/crypto/suite.ts";
import { Interface } from "../../../src/lane/interface.ts";
import { Lane } from "../../../src/lane/lane.ts";
import type { Waiter } from "../../../src/lane/ports.ts";
import { snapshot } from "../../../src/lane/status.ts";
import { applySet, type SocketSettings } from "../../../src/tunnel/configure.ts";
import type { TunnelState } from "../../../src/tunnel/state.ts";
import type { Tunnel } from "../../../src/tunnel/tunnel.ts";
import { EIO } from "../../../src/uapi/errors.ts";
import { formatErrno, formatGet } from "../../../src/uapi/format.ts";
import { type Request, RequestReader } from "../../../src/uapi/request.ts";
import { seededBytes } from "../../sim/node.ts";
import { must } from "../target.ts";
import { FuzzTun, FuzzUdp } from "./ports.ts";
import type { Workplace } from "./tools.ts";

const EINVAL = -22;
/** A lane that is never quiet hangs. */
const TURNS_MAX = 2_000;
const INDEX_MAX = 0x7fff_ffff;

class FuzzWaiter implements Waiter {
  readonly ready: Int32Array = new Int32Array(4);
  readonly events: Int32Array = new Int32Array(4);
  now = 1_000_000;
  wallMs = 1_790_000_000_000;
  count = 0;
  /** How long the lane would have waited. */
  patience = 0;

  wait(timeoutMs: number): number {
    must(timeoutMs >= 0, "time goes forward");
    this.patience = timeoutMs;
    const { count } = this;
    this.count = 0;
    return count;
  }
}

export class Subject {
  readonly waiter: FuzzWaiter = new FuzzWaiter();
  readonly tun: FuzzTun;
  readonly udp: FuzzUdp;
  readonly iface: Interface;
  readonly lane: Lane;
  isGone = false;

  constructor({ suite, slab }: Workplace, cipher: TransportCipher) {
    this.tun = new FuzzTun(slab);
    this.udp = new FuzzUdp(slab);
    this.iface = new Interface(
      { suite, cipher, slab, entropy: seededBytes(7), stagingBudget: { bytes: 0 } },
      this.tun,
      this.udp,
      undefined,
    );
    const gone = (): void => {
      this.isGone = true;
      this.iface.close();
    };
    this.lane = new Lane(this.waiter, { drain: () => undefined, gone });
    this.lane.add(this.iface);
    this.iface.followLink(this.lane.moment);
  }

  get tunnel(): Tunnel {
    return this.iface.tunnel;
  }

  get state(): TunnelState {
    return this.iface.tunnel.state;
  }

  /** Turns until nothing is left to be done now. Descriptors are ready once, and as long as there is more. */
  turn(): void {
    [this.tun.readTag, this.tun.linkTag, this.udp.tagV4, this.udp.tagV6].forEach((tag, index) => {
      this.waiter.ready[index] = tag;
    });
    this.waiter.count = 4;
    for (let turns = 0; ; turns++) {
      must(turns < TURNS_MAX, "the lane comes to rest");
      this.lane.turn();
      const { outbox } = this.tunnel;
      must(outbox.groupCount + outbox.plainCount === 0, "nothing stays in the outbox over a turn");
      if (this.udp.hasMore || this.tun.hasMore) this.waiter.count = 4;
      else if (turns > 0 && this.state.queue.count === 0 && this.waiter.patience > 0) break;
    }
  }

  /** Takes UAPI text and gives all that is answered. */
  configure(text: string): string {
    return this.converse([new TextEncoder().encode(text)]).join("");
  }

  /** The same in chunks; an answer each. The connection ends after the last chunk. */
  converse(chunks: readonly Uint8Array[]): string[] {
    const reader = new RequestReader();
    const requests = chunks.flatMap((chunk) => reader.push(chunk));
    return [...requests, ...reader.end()].map((request) => this.answer(request));
  }

  /** As `UapiServer` and `LaneHost` do it between them. */
  answer(request: Request): string {
    switch (request.kind) {
      case "get":
        return new TextDecoder().decode(
          formatGet(
            snapshot(this.iface, () => undefined),
            formatErrno(0),
          ),
        );
      case "set": {
        const { operations, error } = request;
        const isComplete =
          error === undefined || error.errno === EIO || error.completesPeer === true;
        const { moment } = this.lane;
        const { status } = applySet(this.tunnel, operations, this.#sockets(), moment, isComplete);
        this.iface.flush();
        this.lane.reschedule(this.iface);
        return formatErrno(status === 0 ? (error?.errno ?? 0) : status);
      }
      case "error":
        return formatErrno(request.errno);
      default:
        return "";
    }
  }

  #sockets(): SocketSettings {
    return {
      setListenPort: (port) => this.iface.setListenPort(port),
      setMark: (mark) => this.iface.setMark(mark),
      resolveEndpoint: (record, family, address, port, scope) => {
        const view = new DataView(record.buffer, record.byteOffset, record.length);
        view.setUint16(endpointLayout.family, family, true);
        view.setUint16(endpointLayout.port, port, true);
        record.set(address, endpointLayout.address);
        if (scope === undefined) return 0;
        if (!/^[0-9]+$/.test(scope) || Number(scope) > INDEX_MAX) return EINVAL;
        view.setUint32(endpointLayout.scope, Number(scope), true);
        return 0;
      },
    };
  }
}
