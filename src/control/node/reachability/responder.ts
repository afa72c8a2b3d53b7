/**
 * Answers nodes that want to know whether they can be reached: the sockets around {@link Answering}. For a node that may be asked, for a
 * registry, for whatever stands in the Internet. What it reaches, it reaches from where it stands: one inside a LAN proves little.
 */
import { randomBytes } from "node:crypto";
import { isIPv6 } from "node:net";
import { UdpSocket } from "../../linux/udp.ts";
import { Answering, type Sending } from "./answering.ts";
import { Cookies } from "./cookies.ts";

export interface ResponderOptions {
  /** The port to ask; 0: any that is free. */
  readonly port: number;
  /** From it comes what nobody has asked for; unless told the one after, or any with 0. */
  readonly otherPort?: number | undefined;
  /** To be asked at; unless told all, and a family that the machine hasn't is left out. */
  readonly addresses?: readonly string[] | undefined;
  /** Others, one of a family, for what nobody has asked for: then not even a firewall that looks at addresses alone has seen them. */
  readonly otherAddresses?: readonly string[] | undefined;
  /** By name; undefined: this process's. Without addresses only. */
  readonly namespace?: string | undefined;
}

/** What one address is answered with. */
interface Pair {
  readonly asked: UdpSocket;
  readonly other: UdpSocket;
  readonly answering: Answering;
}

/** Ours: silences are measured in seconds. */
const TICK_MS = 50;

/** Families that are not there. */
const ABSENT: readonly (string | undefined)[] = ["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"];

export class ReachabilityResponder {
  readonly #pairs: Pair[] = [];
  #timer: NodeJS.Timeout | undefined;

  private constructor() {}

  /** Opens its sockets; rejects with the one that can't be opened. */
  static async open(options: ResponderOptions): Promise<ReachabilityResponder> {
    const { addresses, otherAddresses = [] } = options;
    const responder = new ReachabilityResponder();
    try {
      const places: readonly (readonly [4 | 6, string | undefined])[] =
        addresses === undefined
          ? [
              [4, undefined],
              [6, undefined],
            ]
          : addresses.map((address) => [isIPv6(address) ? 6 : 4, address]);
      for (const [family, address] of places) {
        const other = otherAddresses.find((text) => isIPv6(text) === (family === 6)) ?? address;
        await responder.#serve(options, family, address, other).catch((error: unknown) => {
          const { code } = error as { code?: string };
          if (addresses !== undefined || !ABSENT.includes(code)) throw error;
        });
      }
      if (responder.#pairs.length === 0) throw new Error("the machine has no IPv4 and no IPv6");
      return responder;
    } catch (error) {
      responder.close();
      throw error;
    }
  }

  /** The ports to ask, one for each address served. */
  get ports(): readonly number[] {
    return this.#pairs.map(({ asked }) => asked.port);
  }

  /** Datagrams that got no answer: senseless ones, and those above what is allowed. */
  get dropped(): number {
    return this.#pairs.reduce((sum, { answering }) => sum + answering.dropped, 0);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const { asked, other } of this.#pairs.splice(0)) {
      asked.close();
      other.close();
    }
  }

  async #serve(
    { port, otherPort, namespace }: ResponderOptions,
    family: 4 | 6,
    address: string | undefined,
    otherAddress: string | undefined,
  ): Promise<void> {
    const answering = new Answering(new Cookies(new Uint8Array(randomBytes(32))));
    let pair: Pair | undefined;
    const asked = await UdpSocket.open({
      family,
      port,
      address,
      namespace,
      onMessage: (bytes, from) => {
        if (pair === undefined) return;
        send(pair, answering.take(bytes, from, performance.now()));
        if (answering.waiting > 0) this.#tick();
      },
    });
    const onMessage = (): void => undefined;
    const rest = { family, address: otherAddress, namespace, onMessage };
    try {
      const other = await UdpSocket.open({
        ...rest,
        port: otherPort ?? (port === 0 ? 0 : port + 1),
      });
      pair = { asked, other, answering };
      this.#pairs.push(pair);
    } catch (error) {
      asked.close();
      throw error;
    }
  }

  /** Runs as long as somebody waits for his time. */
  #tick(): void {
    this.#timer ??= setInterval(() => {
      const now = performance.now();
      for (const pair of this.#pairs) send(pair, pair.answering.due(now));
      if (this.#pairs.some(({ answering }) => answering.waiting > 0)) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    }, TICK_MS);
  }
}

function send(pair: Pair, sendings: readonly Sending[]): void {
  for (const { from, to, bytes } of sendings) {
    // What the kernel does not take is lost, as it could be anywhere.
    pair[from].send(bytes, to).catch(() => undefined);
  }
}
