/** The clocks of a lane: CLOCK_BOOTTIME, which goes on while the machine sleeps, and the wall clock. */
import type { LaneClock } from "../lane/ports.ts";
import type { Native } from "./native.ts";

export function bootClock(native: Native): LaneClock {
  return { now: () => native.bootTimeMs(), wallMs: () => Date.now() };
}
