/** The measurements of one contestant in one round. */
import { type IperfOptions, iperf, ping } from "../src/cli/demo/measure.ts";
import type { Course } from "./contestant.ts";
import { cpuSeconds, residentBytes } from "./process-cost.ts";
import { percentile } from "./statistics.ts";

export interface Effort {
  /** Seconds of each stream. */
  readonly seconds: number;
  readonly pings: number;
  /** Whether the highest UDP rate is searched, which takes a dozen streams. */
  readonly hasUdpSearch: boolean;
}

/** Figures by name; NaN is not measured. */
export interface Figures {
  readonly tcpOneStream: number;
  readonly tcpEightStreams: number;
  readonly tcpReverse: number;
  readonly udpLossless: number;
  readonly pingIdle50: number;
  readonly pingIdle99: number;
  readonly pingLoaded50: number;
  readonly pingLoaded99: number;
  readonly cpuSecondsPerGigabyte: number;
  readonly residentMegabytes: number;
}

const STREAMS = 8;
const PING_INTERVAL_SECONDS = 0.01;
const UDP_BYTES = 1360;
const UDP_RATE_MIN = 50e6;
const UDP_RATE_MAX = 4e9;
const UDP_STEPS = 8;
/** Above this share of lost datagrams, in percent, a rate is too high. */
const UDP_LOSS_MAX = 0.5;

export async function measure(course: Course, effort: Effort): Promise<Figures> {
  const { seconds } = effort;
  const stream = (options: IperfOptions): ReturnType<typeof iperf> =>
    iperf(course.from, course.to, course.address, { seconds, ...options });

  const idle = await pings(course, effort.pings);
  const cpuBefore = cpuSeconds(course.pids);
  const one = await stream({});
  const cpu = cpuSeconds(course.pids) - cpuBefore;
  const eight = await stream({ streams: STREAMS });
  const loadedPings = Math.floor((seconds * 0.7) / PING_INTERVAL_SECONDS);
  const [reverse, loaded] = await Promise.all([
    stream({ isReverse: true }),
    pings(course, loadedPings),
  ]);
  return {
    tcpOneStream: one.bitsPerSecond,
    tcpEightStreams: eight.bitsPerSecond,
    tcpReverse: reverse.bitsPerSecond,
    udpLossless: effort.hasUdpSearch ? await searchUdpRate(course, seconds) : Number.NaN,
    pingIdle50: percentile(idle, 0.5),
    pingIdle99: percentile(idle, 0.99),
    pingLoaded50: percentile(loaded, 0.5),
    pingLoaded99: percentile(loaded, 0.99),
    cpuSecondsPerGigabyte: course.pids.length === 0 ? Number.NaN : cpu / (one.bytes / 1e9),
    residentMegabytes:
      course.pids.length === 0 ? Number.NaN : Math.max(...course.pids.map(residentBytes)) / 1e6,
  };
}

async function pings(course: Course, count: number): Promise<readonly number[]> {
  const options = { count, intervalSeconds: PING_INTERVAL_SECONDS };
  return (await ping(course.from, course.address, options)).roundTrips;
}

/** Halves the interval of rates, in proportion, until it is narrow; the result is a rate that was seen to pass. */
async function searchUdpRate(course: Course, seconds: number): Promise<number> {
  let passes = 0;
  let low = UDP_RATE_MIN;
  let high = UDP_RATE_MAX;
  for (let step = 0; step < UDP_STEPS; step++) {
    const rate = Math.sqrt(low * high);
    const result = await iperf(course.from, course.to, course.address, {
      seconds,
      isUdp: true,
      rate,
      size: UDP_BYTES,
    });
    const isCarried = result.lostPercent < UDP_LOSS_MAX && result.bitsPerSecond > rate * 0.9;
    if (isCarried) {
      passes = Math.max(passes, result.bitsPerSecond);
      low = rate;
    } else high = rate;
  }
  return passes;
}
