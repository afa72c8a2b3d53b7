/** `e2e`: throughput, delay, CPU, memory and start of one contestant in one round, both ends on this machine. */

import type { Lab } from "../src/cli/demo/lab.ts";
import { type IperfOptions, type IperfResult, iperf, ping } from "../src/cli/demo/measure.ts";
import { attempt } from "../src/control/linux/command.ts";
import type { Course } from "./contestant.ts";
import { cpuSeconds, residentBytes } from "./process-cost.ts";
import { tell } from "./progress.ts";
import { startMilliseconds } from "./start-time.ts";
import { percentile } from "./statistics.ts";
import { systemCalls } from "./system-calls.ts";
import { type Line, MIB } from "./table.ts";
import { searchUdpRate, UDP_SIZES } from "./udp-rate.ts";

export interface Effort {
  /** Seconds of each stream. */
  readonly seconds: number;
  readonly pings: number;
  /** Whether the highest UDP rates are searched, which takes two dozen streams. */
  readonly hasUdpSearch: boolean;
  /** Gigabytes (1e9 bytes) of TCP after which memory is read once more; 0: not done. */
  readonly gigabytes: number;
}

/** Bits per second, milliseconds and bytes, as the titles in {@link LINES} say before scaling; NaN is not measured. */
export interface Figures {
  readonly tcpOneStream: number;
  readonly tcpEightStreams: number;
  readonly tcpReverse: number;
  readonly tcpBothWays: number;
  readonly udp64: number;
  readonly udp512: number;
  readonly udp1380: number;
  readonly pingIdle50: number;
  readonly pingIdle99: number;
  readonly pingLoaded50: number;
  readonly pingLoaded99: number;
  /** User and system time of both ends, in one TCP stream. */
  readonly cpuSecondsPerGigabyte: number;
  /** Of both ends, in one TCP stream, per 1e6 bytes. */
  readonly callsPerMegabyte: number;
  /** Resident memory of the larger end. */
  readonly residentIdle: number;
  readonly residentLoaded: number;
  readonly residentAfterVolume: number;
  readonly startMs: number;
}

export const LINES: readonly Line<keyof Figures>[] = [
  { key: "tcpOneStream", title: "TCP, 1 stream, Gbit/s", scale: 1e-9, digits: 2 },
  { key: "tcpEightStreams", title: "TCP, 8 streams, Gbit/s", scale: 1e-9, digits: 2 },
  { key: "tcpReverse", title: "TCP, reverse, Gbit/s", scale: 1e-9, digits: 2 },
  { key: "tcpBothWays", title: "TCP, both ways, sum, Gbit/s", scale: 1e-9, digits: 2 },
  { key: "udp64", title: "UDP, 64 bytes, Mbit/s", scale: 1e-6, digits: 0 },
  { key: "udp512", title: "UDP, 512 bytes, Mbit/s", scale: 1e-6, digits: 0 },
  { key: "udp1380", title: "UDP, 1380 bytes, Mbit/s", scale: 1e-6, digits: 0 },
  { key: "pingIdle50", title: "ping idle, p50, ms", scale: 1, digits: 2 },
  { key: "pingIdle99", title: "ping idle, p99, ms", scale: 1, digits: 2 },
  { key: "pingLoaded50", title: "ping under load, p50, ms", scale: 1, digits: 2 },
  { key: "pingLoaded99", title: "ping under load, p99, ms", scale: 1, digits: 2 },
  { key: "cpuSecondsPerGigabyte", title: "CPU, both ends, s/GB", scale: 1, digits: 2 },
  { key: "callsPerMegabyte", title: "system calls, both ends, per MB", scale: 1, digits: 1 },
  { key: "residentIdle", title: "memory idle, MiB", scale: 1 / MIB, digits: 1 },
  { key: "residentLoaded", title: "memory after load, MiB", scale: 1 / MIB, digits: 1 },
  { key: "residentAfterVolume", title: "memory after volume, MiB", scale: 1 / MIB, digits: 1 },
  { key: "startMs", title: "start to first answer, ms", scale: 1, digits: 0 },
];

const STREAMS = 8;
const PING_INTERVAL_SECONDS = 0.01;
/** Under load: the 99th of a hundred is the worst of few, so that many are sent, for a while, but in a short form. */
const LOADED_INTERVAL_SECONDS = 0.005;
const LOADED_SECONDS_MIN = 4;
/** Longest that the volume may take: 10 GB at 0.2 Gbit/s, far below the slowest contestant. */
const VOLUME_SECONDS_MAX = 400;

/** `course` is used up: at its end one of its programs has been replaced. */
export async function measure(lab: Lab, course: Course, effort: Effort): Promise<Figures> {
  const { seconds, gigabytes, hasUdpSearch } = effort;
  const stream = (options: IperfOptions): Promise<IperfResult> =>
    iperf(course.from, course.to, course.address, { seconds, ...options });

  const idle = await pings(course, effort.pings);
  const residentIdle = resident(course);
  const callsBefore = await systemCalls(course.pair);
  const cpuBefore = cpuSeconds(course.pids);
  const one = await stream({});
  const cpu = cpuSeconds(course.pids) - cpuBefore;
  const calls = (await systemCalls(course.pair)) - callsBefore;
  const eight = await stream({ streams: STREAMS });
  const loadedSeconds = hasUdpSearch ? Math.max(seconds, LOADED_SECONDS_MIN) : seconds;
  const loadedPings = Math.floor((loadedSeconds * 0.7) / LOADED_INTERVAL_SECONDS);
  const [reverse, loaded] = await Promise.all([
    stream({ isReverse: true, seconds: loadedSeconds }),
    pings(course, loadedPings, LOADED_INTERVAL_SECONDS),
  ]);
  const bothWays = (await canGoBothWays()) ? await stream({ isBothWays: true }) : undefined;
  const residentLoaded = resident(course);
  const udp: number[] = [];
  for (const size of UDP_SIZES) {
    udp.push(hasUdpSearch ? await searchUdpRate(course, size) : Number.NaN);
  }
  if (gigabytes > 0) await stream({ bytes: gigabytes * 1e9, seconds: VOLUME_SECONDS_MAX });
  return {
    tcpOneStream: one.bitsPerSecond,
    tcpEightStreams: eight.bitsPerSecond,
    tcpReverse: reverse.bitsPerSecond,
    tcpBothWays: bothWays?.bitsPerSecond ?? Number.NaN,
    udp64: udp[0]!,
    udp512: udp[1]!,
    udp1380: udp[2]!,
    pingIdle50: percentile(idle, 0.5),
    pingIdle99: percentile(idle, 0.99),
    pingLoaded50: percentile(loaded, 0.5),
    pingLoaded99: percentile(loaded, 0.99),
    cpuSecondsPerGigabyte: course.pair === undefined ? Number.NaN : cpu / (one.bytes / 1e9),
    callsPerMegabyte: calls / (one.bytes / 1e6),
    residentIdle,
    residentLoaded,
    residentAfterVolume: gigabytes > 0 ? resident(course) : Number.NaN,
    startMs: course.pair === undefined ? Number.NaN : await startMilliseconds(lab, course.pair),
  };
}

function resident(course: Course): number {
  return course.pair === undefined ? Number.NaN : Math.max(...course.pids.map(residentBytes));
}

async function pings(
  course: Course,
  count: number,
  intervalSeconds: number = PING_INTERVAL_SECONDS,
): Promise<readonly number[]> {
  const options = { count, intervalSeconds };
  return (await ping(course.from, course.address, options)).roundTrips;
}

/** iperf3 has --bidir since 3.7. */
async function canGoBothWays(): Promise<boolean> {
  const { stdout, stderr } = await attempt(["iperf3", "--help"]);
  const can = `${stdout}${stderr}`.includes("--bidir");
  if (!can) tell("this iperf3 has no --bidir: TCP both ways is not measured");
  return can;
}
