/**
 * `flood`: how much a TCP stream through the tunnel loses while one source floods the receiver with initiations that have a valid
 * mac1 and nothing else. The same flood to a port where nobody listens is the measure: sending it takes time here, too.
 */
import { fileURLToPath } from "node:url";
import type { Implementation } from "../src/cli/demo/implementations.ts";
import { addressLine, type Lab } from "../src/cli/demo/lab.ts";
import { iperf } from "../src/cli/demo/measure.ts";
import { LISTEN_PORT } from "../src/cli/demo/pair.ts";
import { makeCourse } from "./contestant.ts";
import { median } from "./statistics.ts";
import type { Line } from "./table.ts";

export interface FloodFigures {
  /** Bits per second with the flood beside the tunnel's port, and at it. */
  readonly beside: number;
  readonly under: number;
  /** `under` of `beside`. */
  readonly share: number;
}

export const FLOOD_LINES: readonly Line<keyof FloodFigures>[] = [
  { key: "beside", title: "TCP beside a flood, Gbit/s", scale: 1e-9, digits: 2 },
  { key: "under", title: "TCP under a flood, Gbit/s", scale: 1e-9, digits: 2 },
  { key: "share", title: "what is left, per cent", scale: 100, digits: 1 },
];

const CHILD = fileURLToPath(new URL("./flood-child.js", import.meta.url));
const SOURCE = "192.0.2.66";
/** Pairs of streams, by turns. */
const TURNS = 3;

export async function measureFlood(
  lab: Lab,
  implementation: Implementation,
  seconds: number,
): Promise<FloodFigures> {
  const { from, to, address, pair } = await makeCourse(lab, implementation);
  if (pair === undefined) throw new Error("there is no tunnel to flood");
  await from.ip([addressLine(`${SOURCE}/24`, pair.a.cable)]);
  const stream = async (port: number): Promise<number> => {
    const { publicKey } = pair.b.node.keys;
    const flood = from.spawn([
      process.execPath,
      CHILD,
      pair.b.outer4,
      `${port}`,
      publicKey,
      SOURCE,
    ]);
    try {
      await flood.waitFor("flooding");
      return (await iperf(from, to, address, { seconds })).bitsPerSecond;
    } finally {
      await flood.stop();
    }
  };
  const beside: number[] = [];
  const under: number[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    beside.push(await stream(LISTEN_PORT + 1));
    under.push(await stream(LISTEN_PORT));
  }
  const [quiet, loud] = [median(beside), median(under)];
  return { beside: quiet, under: loud, share: loud / quiet };
}
