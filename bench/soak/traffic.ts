/** The traffic of the soak: transfers by turns, and pings without end of which every window is judged. */

import { type IperfOptions, iperf } from "../../src/cli/demo/measure.ts";
import type { Background } from "../../src/control/linux/command.ts";
import { HUB_INNER, type Network } from "./network.ts";

export interface Window {
  /** Seconds since the start. */
  readonly from: number;
  readonly to: number;
  readonly received: number;
}

const PINGS_PER_SECOND = 5;
export const WINDOW_SECONDS = 10;
/** Ours: of a window, so many must be answered. Single ones may be lost to a queue beside a TCP stream at full speed. */
export const ANSWERED_SHARE_MIN = 0.5;
export const PINGS_PER_WINDOW: number = PINGS_PER_SECOND * WINDOW_SECONDS;

/** Pings from the hub to a spoke. */
export class PingWatch {
  readonly title: string;
  readonly #program: Background;
  readonly #startMs: number;

  constructor(network: Network, title: keyof Network["spokes"], startMs: number) {
    this.title = title;
    this.#startMs = startMs;
    const interval = `${1 / PINGS_PER_SECOND}`;
    const { inner } = network.spokes[title];
    this.#program = network.hub.namespace.spawn(["ping", "-n", "-D", "-i", interval, inner]);
  }

  get isRunning(): boolean {
    return this.#program.isRunning;
  }

  /** Ends them; the whole windows up to `end` seconds after the start. */
  async stop(end: number): Promise<Window[]> {
    this.#program.signal("SIGINT");
    const { stdout } = await this.#program.ended;
    const counts: number[] = new Array(Math.floor(end / WINDOW_SECONDS)).fill(0);
    for (const [, text] of stdout.matchAll(/^\[([\d.]+)\] \d+ bytes from/gm)) {
      const seconds = (Number(text) * 1_000 - this.#startMs) / 1_000;
      const window = Math.floor(seconds / WINDOW_SECONDS);
      if (window >= 0 && window < counts.length) counts[window]!++;
    }
    return counts.map((received, index) => ({
      from: index * WINDOW_SECONDS,
      to: (index + 1) * WINDOW_SECONDS,
      received,
    }));
  }
}

export interface Transfer {
  readonly title: string;
  readonly gigabits: number;
}

const SECONDS = 4;
/**
 * Who was unknown for a moment holds a session that the hub has no more, and sees so after the fifteen seconds of KEEPALIVE_TIMEOUT +
 * REKEY_TIMEOUT without an answer (WP 6.5); TCP tries again after up to sixteen. Ours, more than their sum.
 */
const CONNECT_SECONDS = 40;
const UDP_RATE = 50e6;

/** One of few kinds, by turns: TCP there and back with either spoke that lives through, UDP. */
export async function transfer(network: Network, index: number): Promise<Transfer> {
  const kinds: readonly (readonly [string, IperfOptions])[] = [
    ["TCP in", {}],
    ["TCP out", { isReverse: true }],
    ["UDP in", { isUdp: true, rate: UDP_RATE, size: 1200 }],
    ["TCP both", { isBothWays: true, streams: 4 }],
  ];
  const [kind, options] = kinds[index % kinds.length]!;
  const spoke = network.spokes[Math.floor(index / kinds.length) % 2 === 0 ? "steady" : "guest"];
  const { hub } = network;
  const result = await iperf(spoke.namespace, hub.namespace, HUB_INNER, {
    seconds: SECONDS,
    connectSeconds: CONNECT_SECONDS,
    ...options,
  });
  return { title: `${kind} ${spoke.title}`, gigabits: result.bitsPerSecond / 1e9 };
}
