/**
 * One socket that asks responders: a request is sent until it is answered, and answers are known by the nonce of their request, which
 * nobody else can guess. Whatever else comes is dropped.
 */
import { randomBytes } from "node:crypto";
import { formatHex } from "../../../bytes/hex.ts";
import type { Clock } from "../../linux/clock.ts";
import { UdpSocket } from "../../linux/udp.ts";
import {
  type Answer,
  COOKIE_BYTES,
  cutMessages,
  decodeAnswer,
  ECHO,
  encodeRequest,
  NONCE_BYTES,
  type Request,
  SEEN,
  type SocketAddress,
} from "./message.ts";

export interface AskerOptions {
  readonly clock: Clock;
  readonly family: 4 | 6;
  /** 0: any that is free. */
  readonly port: number;
  readonly namespace: string | undefined;
}

/** What is asked, but for its nonce. */
export type Question = Omit<Request, "nonce">;

/** RFC 8489 6.2.1: half a second, doubled; ours: three times, since a probe is repeated anyhow. */
const WAITS_MS: readonly number[] = [500, 1_000, 2_000];
/** Ours: a cookie may run out meanwhile, or not be for this address; a second one is good. */
const COOKIES_MAX = 2;

export const NO_COOKIE: Uint8Array = new Uint8Array(COOKIE_BYTES);

export function freshNonce(): Uint8Array {
  return new Uint8Array(randomBytes(NONCE_BYTES));
}

export class Asker {
  readonly #clock: Clock;
  readonly #listeners = new Map<string, (answer: Answer) => void>();
  #socket: UdpSocket | undefined;

  private constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Rejects with why there is no such socket, see {@link UdpSocket.open}. */
  static async open({ clock, family, port, namespace }: AskerOptions): Promise<Asker> {
    const asker = new Asker(clock);
    const onMessage = (bytes: Uint8Array): void => asker.#take(bytes);
    asker.#socket = await UdpSocket.open({ family, port, namespace, onMessage });
    return asker;
  }

  get port(): number {
    return this.#socket?.port ?? 0;
  }

  close(): void {
    this.#socket?.close();
    this.#listeners.clear();
  }

  /** Calls with each answer that has this nonce, until another listens for it. */
  listen(nonce: Uint8Array, heard: (answer: Answer) => void): void {
    this.#listeners.set(formatHex(nonce), heard);
  }

  /**
   * Asks until an answer comes; undefined: none did, or the signal came. A "seen" that answers something else than an echo brings the
   * cookie to ask again with. `onLater` hears what comes with this nonce afterwards. Rejects if nothing could be sent.
   */
  async ask(
    to: SocketAddress,
    question: Question,
    signal: AbortSignal,
    nonce: Uint8Array = freshNonce(),
    onLater: (answer: Answer) => void = () => undefined,
  ): Promise<Answer | undefined> {
    let { cookie } = question;
    for (let cookies = 0; cookies <= COOKIES_MAX; cookies++) {
      const request = encodeRequest({ ...question, cookie, nonce });
      const answer = await this.#insist(to, request, signal, nonce, onLater);
      if (answer?.kind !== SEEN || question.kind === ECHO) return answer;
      cookie = answer.cookie;
    }
    return undefined;
  }

  async #insist(
    to: SocketAddress,
    request: Uint8Array,
    signal: AbortSignal,
    nonce: Uint8Array,
    onLater: (answer: Answer) => void,
  ): Promise<Answer | undefined> {
    const answered = new AbortController();
    let first: Answer | undefined;
    this.listen(nonce, (answer) => {
      if (first !== undefined) onLater(answer);
      first ??= answer;
      answered.abort();
    });
    let fault: Error | undefined;
    let sent = 0;
    for (const waitMs of WAITS_MS) {
      if (signal.aborted) return undefined;
      await this.#socket?.send(request, to).then(
        () => {
          sent += 1;
        },
        (error: Error) => {
          fault = error;
        },
      );
      await this.#clock.wait(waitMs, AbortSignal.any([signal, answered.signal]));
      if (first !== undefined) return first;
    }
    if (sent === 0 && fault !== undefined) throw fault;
    return undefined;
  }

  #take(bytes: Uint8Array): void {
    for (const message of cutMessages(bytes)) {
      const answer = decodeAnswer(message);
      if (answer !== undefined) this.#listeners.get(formatHex(answer.nonce))?.(answer);
    }
  }
}
