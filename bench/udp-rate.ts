/**
 * The highest rate of UDP that a tunnel carries with next to no loss, for one size of datagram. iperf3 sends datagram by datagram,
 * without segmentation: this is also the case of many small reads from the TUN, as a kernel without USO has them always.
 */
import { iperf } from "../src/cli/demo/measure.ts";
import type { Course } from "./contestant.ts";

/** Payloads, and the highest rate (bits per second of payload) that is tried: above what a bare cable carries here. */
export const UDP_SIZES = [
  { bytes: 64, rateMax: 1e9 },
  { bytes: 512, rateMax: 4e9 },
  { bytes: 1380, rateMax: 8e9 },
] as const;

const STREAM_SECONDS = 2;
/** The lowest rate tried is the highest by this: 7 halvings of the interval, in proportion, leave some 4 % to guess. */
const SPAN = 200;
const STEPS = 7;
/** Of one rate; it passes if one does: a busy machine drops a burst now and then whatever the tunnel does. */
const TRIES = 2;
/** Above this share of lost datagrams, in percent, a rate is too high. */
const LOSS_PERCENT_MAX = 0.5;
/** Less than this share of the asked rate is not that rate. */
const ARRIVED_MIN = 0.9;
/**
 * The same for all, and what the kernel allows without further settings (net.core.rmem_max, 212,992): iperf3's default loses
 * bursts at its own socket that the tunnel had delivered.
 */
const BUFFER_BYTES = 208 * 1024;

/** Bits per second of payload that arrived at the best rate that passed; 0 if none did. */
export async function searchUdpRate(
  course: Course,
  size: (typeof UDP_SIZES)[number],
): Promise<number> {
  let best = 0;
  let low = size.rateMax / SPAN;
  let high: number = size.rateMax;
  for (let step = 0; step < STEPS; step++) {
    const rate = Math.sqrt(low * high);
    const arrived = await arrivedAt(course, rate, size.bytes);
    if (arrived === undefined) high = rate;
    else {
      best = Math.max(best, arrived);
      low = rate;
    }
  }
  return best;
}

/** Bits per second that arrived when `rate` was asked for, or undefined if too much was lost in every try. */
async function arrivedAt(course: Course, rate: number, size: number): Promise<number | undefined> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const result = await iperf(course.from, course.to, course.address, {
      seconds: STREAM_SECONDS,
      isUdp: true,
      rate,
      size,
      bufferBytes: BUFFER_BYTES,
    });
    // A sender that cannot send so fast has shown what it can: what arrived of that counts.
    const wanted = Math.min(rate, result.sentBitsPerSecond);
    const isCarried =
      result.lostPercent < LOSS_PERCENT_MAX && result.bitsPerSecond >= wanted * ARRIVED_MIN;
    if (isCarried) return result.bitsPerSecond;
  }
  return undefined;
}
