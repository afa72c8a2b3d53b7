/**
 * One SVG of a soak: panels one below the other over a common time, with axes, units, a legend each, and thin lines where something
 * was done to the network. Text only: no library, no script, readable in any browser.
 */
import type { Figure, RunRecord } from "./samples.ts";

interface Point {
  readonly time: number;
  readonly value: number;
}

interface Series {
  readonly title: string;
  readonly color: string;
  readonly points: readonly Point[];
  /** Single values, not to be joined by a line. */
  readonly isDots?: boolean;
}

interface Panel {
  readonly title: string;
  readonly series: readonly Series[];
}

const WIDTH = 1_000;
const PANEL_HEIGHT = 150;
const GAP = 46;
const LEFT = 64;
const RIGHT = 170;
const TOP = 52;
const PLOT_WIDTH = WIDTH - LEFT - RIGHT;
/** So many points are drawn of a series at most: more can't be told apart. */
const POINTS_MAX = 700;
const STEPS_WANTED = 4;
const TIME_STEPS_WANTED = 8;
/** Legible side by side, also without colour sight (Okabe and Ito). */
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"] as const;
const EVENT_COLORS = [...COLORS, "#7f7f7f", "#a65628", "#984ea3", "#4d4d4d", "#66a61e", "#e7298a"];

const round = (value: number): string => `${Math.round(value * 10) / 10}`;

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

/** 1, 2 or 5 times a power of ten: at most `wanted` of them, roughly, make `span`. */
function stepOf(span: number, wanted: number): number {
  const raw = span / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw)!;
}

interface TimeUnit {
  readonly name: string;
  readonly seconds: number;
}

function timeUnit(duration: number): TimeUnit {
  if (duration > 3 * 3_600) return { name: "hours", seconds: 3_600 };
  return duration > 180 ? { name: "minutes", seconds: 60 } : { name: "seconds", seconds: 1 };
}

function text(x: number, y: number, words: string, attributes = ""): string {
  return `<text x="${round(x)}" y="${round(y)}"${attributes === "" ? "" : ` ${attributes}`}>${escaped(words)}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, attributes: string): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" ${attributes}/>`;
}

/** Evenly thinned out; the last point stays. */
function thinned(points: readonly Point[]): readonly Point[] {
  const every = Math.ceil(points.length / POINTS_MAX);
  return points.filter((_point, index) => index % every === 0 || index === points.length - 1);
}

function panel({ title, series }: Panel, top: number, duration: number, unit: TimeUnit): string {
  const values = series.flatMap(({ points }) => points.map(({ value }) => value));
  const step = stepOf(Math.max(...values, Number.MIN_VALUE) * 1.02, STEPS_WANTED);
  const most = step * Math.ceil((Math.max(...values, step) * 1.02) / step);
  const x = (time: number): number => LEFT + (time / duration) * PLOT_WIDTH;
  const y = (value: number): number => top + PANEL_HEIGHT * (1 - value / most);
  const parts = [text(LEFT, top - 8, title, 'class="title"')];
  for (let value = 0; value <= most * 1.001; value += step) {
    parts.push(line(LEFT, y(value), LEFT + PLOT_WIDTH, y(value), 'class="grid"'));
    parts.push(text(LEFT - 6, y(value) + 4, `${Number(value.toPrecision(6))}`, 'class="end"'));
  }
  const timeStep = stepOf(duration / unit.seconds, TIME_STEPS_WANTED);
  for (let at = 0; at * unit.seconds <= duration; at += timeStep) {
    const words = `${Number(at.toPrecision(6))}`;
    parts.push(text(x(at * unit.seconds), top + PANEL_HEIGHT + 15, words, 'class="middle"'));
  }
  for (const [index, { title: name, color, points, isDots }] of series.entries()) {
    const shown = thinned(points);
    if (isDots) {
      for (const { time, value } of shown) {
        parts.push(
          `<circle cx="${round(x(time))}" cy="${round(y(value))}" r="2.5" fill="${color}"/>`,
        );
      }
    } else {
      const path = shown.map(({ time, value }) => `${round(x(time))},${round(y(value))}`).join(" ");
      parts.push(`<polyline points="${path}" stroke="${color}" class="line"/>`);
    }
    const at = top + 12 + index * 17;
    const left = LEFT + PLOT_WIDTH + 14;
    parts.push(`<rect x="${left}" y="${at - 9}" width="10" height="10" fill="${color}"/>`);
    parts.push(text(left + 16, at, name));
  }
  return parts.join("\n");
}

/** Lines through all panels, and what they stand for below. */
function events({ marks, duration }: RunRecord, bottom: number): string {
  const kinds = [...new Set(marks.map(({ what }) => what))];
  const colorOf = (what: string): string =>
    EVENT_COLORS[kinds.indexOf(what) % EVENT_COLORS.length]!;
  const parts = marks.map(({ what, from }) => {
    const x = LEFT + (from / duration) * PLOT_WIDTH;
    return line(x, TOP, x, bottom, `stroke="${colorOf(what)}" class="event"`);
  });
  const width = 150;
  const columns = Math.floor((WIDTH - LEFT) / width);
  for (const [index, what] of kinds.entries()) {
    const x = LEFT + (index % columns) * width;
    const y = bottom + 52 + Math.floor(index / columns) * 18;
    const count = marks.filter((mark) => mark.what === what).length;
    parts.push(line(x, y - 10, x, y + 2, `stroke="${colorOf(what)}" stroke-width="2"`));
    parts.push(text(x + 8, y, `${what} (${count})`));
  }
  return parts.join("\n");
}

function panels(record: RunRecord): Panel[] {
  const programs = [...record.samples];
  const figure = (key: Figure, name: string, first: number): Series[] =>
    programs.map(([program, samples], index) => ({
      title: `${program}${name}`,
      color: COLORS[(first + index) % COLORS.length]!,
      points: samples.map((sample) => ({ time: sample.time, value: sample[key] })),
    }));
  const kinds = [...new Set(record.rates.map(({ title }) => title))];
  return [
    { title: "Resident memory, MiB", series: figure("resident", "", 0) },
    {
      title: "JavaScript heaps, MiB",
      series: [...figure("heap", ", main thread", 0), ...figure("laneHeap", ", lanes", 2)],
    },
    {
      title: "File descriptors, threads",
      series: [...figure("descriptors", ", descriptors", 0), ...figure("threads", ", threads", 2)],
    },
    {
      title: "Peers with a timer, receiver indexes",
      series: [...figure("timers", ", timers", 0), ...figure("indexes", ", indexes", 2)],
    },
    {
      title: "Transfers, Gbit/s",
      series: kinds.map((title, index) => ({
        title,
        color: EVENT_COLORS[index % EVENT_COLORS.length]!,
        points: record.rates
          .filter((rate) => rate.title === title)
          .map(({ time, gigabits }) => ({ time, value: gigabits })),
        isDots: true,
      })),
    },
  ];
}

/** The whole chart, some 100 KB at most. */
export function drawChart(record: RunRecord): string {
  const unit = timeUnit(record.duration);
  const shown = panels(record);
  const bottom = TOP + shown.length * PANEL_HEIGHT + (shown.length - 1) * GAP;
  const height = bottom + 110;
  const drawn = shown.map((each, index) =>
    panel(each, TOP + index * (PANEL_HEIGHT + GAP), record.duration, unit),
  );
  const length = `${Number((record.duration / unit.seconds).toFixed(1))} ${unit.name}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">
<style>
text { font: 12px sans-serif; fill: #333 }
.title { font-weight: bold }
.head { font-size: 16px; font-weight: bold }
.end { text-anchor: end }
.middle { text-anchor: middle }
.grid { stroke: #ddd }
.line { fill: none; stroke-width: 1.5 }
.event { stroke-width: 0.8; opacity: 0.35 }
</style>
<rect width="100%" height="100%" fill="#fff"/>
${text(LEFT, 22, `Soak of ${length}`, 'class="head"')}
${drawn.join("\n")}
${text(LEFT + PLOT_WIDTH / 2, bottom + 30, `time, ${unit.name}`, 'class="middle"')}
${events(record, bottom)}
</svg>
`;
}
