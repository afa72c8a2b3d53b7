/** Storms one after the other; of one that breaks, the seed, the story and the command that repeats it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Broken } from "./invariants.ts";
import { Storm, type StormTools } from "./storm.ts";

/** Lines of a story that are shown; all of it is in the file. */
const SHOWN_MAX = 40;

export interface Figures {
  readonly delivered: number;
  readonly handshakes: number;
  /** See {@link Storm.counts}. */
  readonly counts: ReadonlyMap<string, number>;
}

/** One storm; undefined: nothing broke. */
export function brokenBy(seed: number, tools: StormTools): Broken | undefined {
  try {
    new Storm(seed, tools).run();
    return undefined;
  } catch (error) {
    if (error instanceof Broken) return error;
    throw error;
  }
}

/** Storms for seeds from `first` on; throws with the story of the first that breaks. */
export function runStorms(first: number, count: number, tools: StormTools): Figures {
  let delivered = 0;
  let handshakes = 0;
  const counts = new Map<string, number>();
  for (let seed = first; seed < first + count; seed++) {
    const storm = new Storm(seed, tools);
    try {
      storm.run();
    } catch (error) {
      throw new Error(tell(seed, storm, error, tools), { cause: error });
    }
    delivered += storm.watch.delivered;
    handshakes += storm.handshakes;
    for (const [name, count] of storm.counts) counts.set(name, (counts.get(name) ?? 0) + count);
  }
  return { delivered, handshakes, counts };
}

/** Runs it again, to write down every datagram. */
function tell(seed: number, { story }: Storm, error: unknown, tools: StormTools): string {
  const reason = error instanceof Error ? error.message : String(error);
  const whole = new Storm(seed, tools, true);
  let again = "it does not break again: a storm depends on more than its seed";
  try {
    whole.run();
  } catch (second) {
    again = second instanceof Error ? (second.stack ?? second.message) : String(second);
  }
  const folder = join(tmpdir(), "wirehaul-storms");
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `seed-${seed}.txt`);
  writeFileSync(path, `${whole.story.join("\n")}\n${again}\n`);
  return [
    `seed ${seed}: ${reason}`,
    ...story.slice(-SHOWN_MAX).map((line) => `  ${line}`),
    `All of it, with every datagram: ${path}`,
    `Repeat it with: npm run storm -- --seed ${seed}`,
  ].join("\n");
}
