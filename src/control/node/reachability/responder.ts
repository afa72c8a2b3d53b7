/**
 * Answers nodes that want to know whether they can be reached: the sockets around {@link Answering}. For a node that may be asked, for a
 * registry, for whatever stands in the Internet. What it reaches, it reaches from where it stands: one inside a LAN proves little.
 */
import { randomBytes } from "node:crypto";
import { isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import { UdpSocket } from "../../linux/udp.ts";
import { Answering, type Sending } from "./answering.ts";
import { Cookies } from "./cookies.ts";

export interface ResponderOptions {
  /** The port to ask; 0: any that is free. */
  readonly port: number;
  /** From it comes what nobody has asked for; unless told the one after, or any with 0. */
  readonly otherPort?: number | undefined;
  /** To be asked at; unless told all that the machine has, see {@link ReachabilityResponder.serve}. */
  readonly addresses?: readonly string[] | undefined;
  /** Others, one of a family, for what nobody has asked for: then not even a firewall that looks at addresses alone has seen them. */
  readonly otherAddresses?: readonly string[] | undefined;
  /**
   * By name; undefined: this process's. In another one answers come from the address that routes choose, which must be the one that
   * was asked: from a machine with several of one family firewalls let no other through.
   */
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
/** Ours: a machine that answers has a few; each costs two sockets. */
const ADDRESSES_MAX = 64;
/** Addresses and families that are not there, or not yet (duplicate address detection). */
const ABSENT: readonly (string | undefined)[] = ["EAFNOSUPPORT", "EADDRNOTAVAIL"];

export class ReachabilityResponder {
  readonly #options: ResponderOptions;
  readonly #pairs = new Map<string, Pair>();
  #timer: NodeJS.Timeout | undefined;

  private constructor(options: ResponderOptions) {
    this.#options = options;
  }

  /** Opens its sockets; rejects with the one that can't be opened. */
  static async open(options: ResponderOptions): Promise<ReachabilityResponder> {
    const responder = new ReachabilityResponder(options);
    try {
      await responder.serve();
      return responder;
    } catch (error) {
      responder.close();
      throw error;
    }
  }

  /**
   * Looks which addresses there are now: answers at new ones, and no longer at those that have gone. Each has sockets of its own, so that
   * it is also the one that answers. Not to be called while it runs. Rejects with what can't be opened.
   */
  async serve(): Promise<void> {
    const { addresses } = this.#options;
    const wanted = addresses ?? this.#present();
    for (const [address, pair] of this.#pairs) {
      if (wanted.includes(address)) continue;
      this.#pairs.delete(address);
      closePair(pair);
    }
    for (const address of wanted) {
      if (this.#pairs.has(address)) continue;
      try {
        this.#pairs.set(address, await this.#open(address));
      } catch (error) {
        const { code } = error as { code?: string };
        if (addresses !== undefined || !ABSENT.includes(code)) throw error;
      }
    }
  }

  /** The ports to ask, one for each address served. */
  get ports(): readonly number[] {
    return [...this.#pairs.values()].map(({ asked }) => asked.port);
  }

  /** Datagrams that got no answer: senseless ones, and those above what is allowed. */
  get dropped(): number {
    return [...this.#pairs.values()].reduce((sum, { answering }) => sum + answering.dropped, 0);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const pair of this.#pairs.values()) closePair(pair);
    this.#pairs.clear();
  }

  /** Addresses of this process's namespace, but for those of one link; in another one any. */
  #present(): string[] {
    if (this.#options.namespace !== undefined) return ["0.0.0.0", "::"];
    return Object.values(networkInterfaces())
      .flatMap((found = []) => found)
      .filter((found) => found.family === "IPv4" || found.scopeid === 0)
      .map(({ address }) => address)
      .slice(0, ADDRESSES_MAX);
  }

  async #open(address: string): Promise<Pair> {
    const { port, otherPort, otherAddresses = [], namespace } = this.#options;
    const family = isIPv6(address) ? 6 : 4;
    const other = otherAddresses.find((text) => isIPv6(text) === (family === 6)) ?? address;
    const at = (text: string): string | undefined => (namespace === undefined ? text : undefined);
    const answering = new Answering(new Cookies(new Uint8Array(randomBytes(32))));
    let pair: Pair | undefined;
    const asked = await UdpSocket.open({
      family,
      port,
      address: at(address),
      namespace,
      onMessage: (bytes, from) => {
        if (pair === undefined) return;
        send(pair, answering.take(bytes, from, performance.now()));
        if (answering.waiting > 0) this.#tick();
      },
    });
    try {
      const silent = await UdpSocket.open({
        family,
        port: otherPort ?? (port === 0 ? 0 : port + 1),
        address: at(other),
        namespace,
        onMessage: () => undefined,
      });
      pair = { asked, other: silent, answering };
      return pair;
    } catch (error) {
      asked.close();
      throw error;
    }
  }

  /** Runs as long as somebody waits for his time. */
  #tick(): void {
    this.#timer ??= setInterval(() => {
      const now = performance.now();
      const pairs = [...this.#pairs.values()];
      for (const pair of pairs) send(pair, pair.answering.due(now));
      if (pairs.some(({ answering }) => answering.waiting > 0)) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    }, TICK_MS);
  }
}

function closePair({ asked, other }: Pair): void {
  asked.close();
  other.close();
}

function send(pair: Pair, sendings: readonly Sending[]): void {
  for (const { from, to, bytes } of sendings) {
    // What the kernel does not take is lost, as it could be anywhere.
    pair[from].send(bytes, to).catch(() => undefined);
  }
}
