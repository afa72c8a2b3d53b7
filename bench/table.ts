/** Results as tables for people: a line per figure, a column per contestant. */
import type { ByContestant } from "./rounds.ts";
import { median } from "./statistics.ts";

/** One line of a table: which figure, and how it is written. */
export interface Line<Key extends string> {
  readonly key: Key;
  /** With the unit. */
  readonly title: string;
  /** What the figure is multiplied with to be in that unit. */
  readonly scale: number;
  readonly digits: number;
}

export const MIB: number = 2 ** 20;

/** The median of the rounds and, where there was more than one, their range; "-" is not measured. */
function cell<Key extends string>(
  line: Line<Key>,
  rounds: readonly Readonly<Record<Key, number>>[],
): string {
  const values = rounds.map((figures) => figures[line.key]).filter(Number.isFinite);
  if (values.length === 0) return "-";
  const show = (value: number): string => (value * line.scale).toFixed(line.digits);
  const middle = show(median(values));
  if (values.length === 1) return middle;
  return `${middle} (${show(Math.min(...values))}..${show(Math.max(...values))})`;
}

/** The lines that nobody was measured for are left out. */
export function formatFigures<Key extends string>(
  lines: readonly Line<Key>[],
  results: ByContestant<Readonly<Record<Key, number>>>,
): string {
  const rows = lines
    .map((line) => [line.title, ...[...results.values()].map((rounds) => cell(line, rounds))])
    .filter((row) => row.slice(1).some((text) => text !== "-"));
  return align([["", ...results.keys()], ...rows]);
}

/** Columns as wide as their widest cell: the first to the left, the others to the right. */
export function align(rows: readonly (readonly string[])[]): string {
  const widths = widthsOf(rows);
  return rows.map((row) => padded(row, widths).join("  ").trimEnd()).join("\n");
}

/** The same as a Markdown table; the first row is its head. */
export function formatMarkdown(rows: readonly (readonly string[])[]): string {
  const widths = widthsOf(rows);
  const rule = widths.map((width, index) =>
    index === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`,
  );
  const [head = [], ...rest] = rows;
  return [padded(head, widths), rule, ...rest.map((row) => padded(row, widths))]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}

function widthsOf(rows: readonly (readonly string[])[]): number[] {
  return (rows[0] ?? []).map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)));
}

function padded(row: readonly string[], widths: readonly number[]): string[] {
  return widths.map((width, index) => {
    const text = row[index] ?? "";
    return index === 0 ? text.padEnd(width) : text.padStart(width);
  });
}
