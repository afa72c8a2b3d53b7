/** Pings that go on in the background while something happens, and what became of each. */

import type { Namespace } from "../../../src/cli/demo/lab.ts";
import { type Background, until } from "../../../src/control/linux/command.ts";

export interface PingStreamOptions {
  readonly intervalMs?: number;
  /** Bytes of payload. */
  readonly size?: number;
}

export interface PingStreamResult {
  readonly sent: number;
  readonly received: number;
  /** Longest time between two answers, in milliseconds. */
  readonly longestGapMs: number;
}

const ANSWER = /^\[([\d.]+)\] \d+ bytes from .*icmp_seq=(\d+)/gm;
/** So many answers in a row are traffic that flows. */
const FLOWING = 20;
/** Characters of output that hold more answers than that. */
const LOOKED_AT = 16_384;

export class PingStream {
  readonly #program: Background;

  private constructor(program: Background) {
    this.#program = program;
  }

  /** Starts and waits for the first answer. */
  static async start(
    from: Pick<Namespace, "spawn">,
    address: string,
    options: PingStreamOptions = {},
  ): Promise<PingStream> {
    const interval = `${(options.intervalMs ?? 20) / 1000}`;
    // -D: with the time of arrival.
    const command = ["ping", "-n", "-D", "-i", interval, "-s", `${options.size ?? 56}`, address];
    const stream = new PingStream(from.spawn(command));
    await stream.#program.waitFor("icmp_seq=");
    return stream;
  }

  /** Waits until answers to pings come that were sent after now. */
  async flows(limitMs = 60_000): Promise<void> {
    const since = Date.now() / 1000;
    await until(
      `pings are answered again (${this.#program.title})`,
      () => {
        if (!this.#program.isRunning) throw new Error(`ping ended: ${this.#program.output}`);
        const answers = [...this.#program.output.slice(-LOOKED_AT).matchAll(ANSWER)];
        return answers.filter(([, time]) => Number(time) > since).length >= FLOWING;
      },
      limitMs,
    );
  }

  /** Ends it. An answer that is on its way counts: it is given a moment. */
  async stop(): Promise<PingStreamResult> {
    await new Promise((resolve) => setTimeout(resolve, 500));
    this.#program.signal("SIGINT");
    const { stdout } = await this.#program.ended;
    const summary = /(\d+) packets transmitted, (\d+) received/.exec(stdout);
    if (summary === null) throw new Error(`ping told no result: ${stdout.slice(-500)}`);
    const times = [...stdout.matchAll(ANSWER)].map(([, time]) => Number(time) * 1000);
    const gaps = times.slice(1).map((time, index) => time - times[index]!);
    return {
      sent: Number(summary[1]),
      received: Number(summary[2]),
      longestGapMs: Math.max(0, ...gaps),
    };
  }
}
