/** `--check`: bounds that hold on any machine, since they are ratios and counts, never times. */
import type { Contestant } from "./contestant.ts";
import { collectionsPerMillion, medianOf } from "./ratios.ts";
import type { Results } from "./results.ts";

/** The project's promise. */
const COLLECTIONS_MAX = 2;
/** Ours: twice the 34 to 35 that were measured when it was set, so that it tells of batches that break down, not of noise. */
const CALLS_PER_MEGABYTE_MAX = 70;
const THROUGHPUT_RATIO_MIN = 1;

interface Gate {
  readonly title: string;
  readonly value: number;
  readonly isMet: boolean;
}

/** One line per gate of the parts that were run, and whether all are met. A gate that could not be measured is not. */
export function checkGates(
  results: Results,
  rival: Contestant | undefined,
): { readonly text: string; readonly isMet: boolean } {
  const gates: Gate[] = [];
  if (results.e2e !== undefined) {
    const theirs = rival === undefined ? undefined : results.e2e.get(rival);
    const ratio =
      medianOf(results.e2e.get("wirehaul"), "tcpOneStream") / medianOf(theirs, "tcpOneStream");
    gates.push({
      title: `TCP, 1 stream, wirehaul / ${rival ?? "wireguard-go"}, at least ${THROUGHPUT_RATIO_MIN}`,
      value: ratio,
      isMet: ratio >= THROUGHPUT_RATIO_MIN,
    });
    const calls = medianOf(results.e2e.get("wirehaul"), "callsPerMegabyte");
    gates.push({
      title: `system calls per MB, at most ${CALLS_PER_MEGABYTE_MAX}`,
      value: calls,
      isMet: calls <= CALLS_PER_MEGABYTE_MAX,
    });
  }
  if (results.lane !== undefined) {
    const collections = collectionsPerMillion(results);
    gates.push({
      title: `garbage collections per million packets, at most ${COLLECTIONS_MAX}`,
      value: collections,
      isMet: collections <= COLLECTIONS_MAX,
    });
  }
  const lines = gates.map(({ title, value, isMet }) => {
    const shown = Number.isFinite(value) ? value.toFixed(2) : "not measured";
    return `${isMet ? "ok    " : "FAILED"}  ${title}: ${shown}`;
  });
  return { text: lines.join("\n"), isMet: gates.every((gate) => gate.isMet) };
}
