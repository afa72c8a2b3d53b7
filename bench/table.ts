/** Results as an aligned table: the median of the rounds, and their range where there was more than one. */
import type { Figures } from "./measures.ts";
import { median } from "./statistics.ts";

interface Column {
  readonly key: keyof Figures;
  readonly title: string;
  readonly scale: number;
  readonly digits: number;
}

const COLUMNS: readonly Column[] = [
  { key: "tcpOneStream", title: "TCP 1, Gbit/s", scale: 1e-9, digits: 2 },
  { key: "tcpEightStreams", title: "TCP 8, Gbit/s", scale: 1e-9, digits: 2 },
  { key: "tcpReverse", title: "TCP back, Gbit/s", scale: 1e-9, digits: 2 },
  { key: "udpLossless", title: "UDP, Mbit/s", scale: 1e-6, digits: 0 },
  { key: "pingIdle50", title: "ping p50, ms", scale: 1, digits: 2 },
  { key: "pingIdle99", title: "p99", scale: 1, digits: 2 },
  { key: "pingLoaded50", title: "loaded p50", scale: 1, digits: 2 },
  { key: "pingLoaded99", title: "p99", scale: 1, digits: 2 },
  { key: "cpuSecondsPerGigabyte", title: "CPU s/GB", scale: 1, digits: 2 },
  { key: "residentMegabytes", title: "RSS, MB", scale: 1, digits: 0 },
];

function cell(column: Column, rounds: readonly Figures[]): string {
  const values = rounds.map((figures) => figures[column.key]).filter(Number.isFinite);
  if (values.length === 0) return "-";
  const show = (value: number): string => (value * column.scale).toFixed(column.digits);
  const middle = show(median(values));
  if (values.length === 1) return middle;
  return `${middle} (${show(Math.min(...values))}..${show(Math.max(...values))})`;
}

/** `results` by contestant, in the order of the lines. */
export function formatTable(results: ReadonlyMap<string, readonly Figures[]>): string {
  const rows = [["", ...COLUMNS.map(({ title }) => title)]];
  for (const [name, rounds] of results) {
    rows.push([name, ...COLUMNS.map((column) => cell(column, rounds))]);
  }
  const used = rows[0]!
    .map((_, index) => index)
    .filter((index) => index === 0 || rows.slice(1).some((row) => row[index] !== "-"));
  const widths = used.map((index) => Math.max(...rows.map((row) => row[index]!.length)));
  return rows
    .map((row) =>
      used
        .map((index, place) =>
          place === 0 ? row[index]!.padEnd(widths[place]!) : row[index]!.padStart(widths[place]!),
        )
        .join("  "),
    )
    .join("\n");
}
