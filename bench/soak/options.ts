/** The command line of `npm run soak`. */

export const USAGE: string = `usage: npm run soak -- [--hours N | --minutes N] [--lanes N]

  --hours N    how long, fractions allowed; 720 at most
  --minutes N  the same in minutes; 3 unless told, 2 at least
  --lanes N    of the program under test; 1 unless told
`;

export interface Options {
  readonly minutes: number;
  readonly lanes: number;
}

const DEFAULT_MINUTES = 3;
/** Shorter, and there is no session to renew (WP 6.1 REKEY_AFTER_TIME). */
const MINUTES_MIN = 2;
const MINUTES_MAX = 720 * 60;
/** As src/engine/lane-count.ts. */
const LANES_MAX = 64;

/** The options, or what is wrong with them. */
export function parseOptions(args: readonly string[]): Options | string {
  let minutes: number | undefined;
  let lanes = 1;
  for (let at = 0; at < args.length; at += 2) {
    const [name, text = ""] = args.slice(at, at + 2);
    const value = text === "" ? Number.NaN : Number(text);
    if (name === "--hours" || name === "--minutes") {
      if (minutes !== undefined) return "--hours and --minutes are given once, and not both";
      minutes = name === "--hours" ? value * 60 : value;
      if (!(minutes >= MINUTES_MIN && minutes <= MINUTES_MAX)) {
        return `${name} is "${text}", it must be ${MINUTES_MIN} minutes to ${MINUTES_MAX / 60} hours`;
      }
    } else if (name === "--lanes") {
      lanes = value;
      if (!(Number.isInteger(lanes) && lanes >= 1 && lanes <= LANES_MAX)) {
        return `--lanes is "${text}", it must be a whole number from 1 to ${LANES_MAX}`;
      }
    } else return `"${name}" is not understood`;
  }
  return { minutes: minutes ?? DEFAULT_MINUTES, lanes };
}
