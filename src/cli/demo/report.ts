/** What a demo found, as text for people: aligned, coloured only on a terminal. */
import type { IperfResult, PingResult } from "./measure.ts";

/** Of `wirehaul demo`. */
export interface GridReport {
  readonly checks: readonly Check[];
  /** What `wirehaul network status` says of each tenant's network. */
  readonly status: readonly string[];
  /** What `wirehaul explain` says of the two behind different NATs. */
  readonly explanation: string;
}

/** Of `wirehaul demo tunnel`. */
export interface TunnelReport {
  readonly implementations: readonly [string, string];
  readonly ping4: PingResult;
  readonly ping6: PingResult;
  readonly tcp: IperfResult;
  readonly tcpReverse: IperfResult;
  readonly udp: IperfResult;
  readonly show: readonly [string, string];
  readonly tenants: {
    readonly checks: readonly Check[];
    /** What `wirehaul node explain` says. */
    readonly explanation: string;
  };
}

/** Something that was tried, and whether it was as said. */
export interface Check {
  readonly title: string;
  readonly isGood: boolean;
  readonly text: string;
}

const BOLD = "\u001b[1m";
const GREEN = "\u001b[32m";
const RED = "\u001b[31m";
const PLAIN = "\u001b[0m";

export class Palette {
  readonly #isOn: boolean;

  constructor(isTerminal: boolean) {
    this.#isOn = isTerminal && !process.env["NO_COLOR"];
  }

  bold(text: string): string {
    return this.#isOn ? `${BOLD}${text}${PLAIN}` : text;
  }

  verdict(isGood: boolean): string {
    const text = isGood ? "ok" : "FAILED";
    return this.#isOn ? `${isGood ? GREEN : RED}${text}${PLAIN}` : text;
  }
}

/** "3.42 Gbit/s" */
export function formatRate(bitsPerSecond: number): string {
  const isGiga = bitsPerSecond >= 1e9;
  return `${(bitsPerSecond / (isGiga ? 1e9 : 1e6)).toFixed(isGiga ? 2 : 0)} ${isGiga ? "Gbit/s" : "Mbit/s"}`;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function pingLine(result: PingResult): string {
  const times = result.roundTrips;
  const time = times.length === 0 ? "" : `, ${mean(times).toFixed(2)} ms on average`;
  return `${result.received} of ${result.sent} answered${time}`;
}

/** Whether everything that the demo tried was as said. */
export function isSuccess(report: TunnelReport | GridReport): boolean {
  const all =
    "tenants" in report ? [...tunnelChecks(report), ...report.tenants.checks] : report.checks;
  return all.every(({ isGood }) => isGood);
}

/** A path without loss: a demo machine that is busy may lose some datagrams. */
const UDP_LOSS_MAX = 5;

function tunnelChecks(report: TunnelReport): Check[] {
  const { ping4, ping6, tcp, tcpReverse, udp } = report;
  const isAnswered = (result: PingResult): boolean => result.received === result.sent;
  return [
    { title: "ping, IPv4 inside", isGood: isAnswered(ping4), text: pingLine(ping4) },
    { title: "ping, IPv6 inside", isGood: isAnswered(ping6), text: pingLine(ping6) },
    { title: "TCP, there", isGood: tcp.bytes > 0, text: formatRate(tcp.bitsPerSecond) },
    {
      title: "TCP, back",
      isGood: tcpReverse.bytes > 0,
      text: formatRate(tcpReverse.bitsPerSecond),
    },
    {
      title: "UDP",
      isGood: udp.lostPercent < UDP_LOSS_MAX,
      text: `${formatRate(udp.bitsPerSecond)}, ${udp.lostPercent.toFixed(2)} % lost`,
    },
  ];
}

function checkLines(list: readonly Check[], width: number, palette: Palette): string[] {
  return list.map(
    ({ title, isGood, text }) => `  ${title.padEnd(width)}  ${palette.verdict(isGood)}  ${text}`,
  );
}

function widthOf(list: readonly Check[]): number {
  return Math.max(...list.map(({ title }) => title.length));
}

export function formatTunnel(report: TunnelReport, palette: Palette): string {
  const tunnel = tunnelChecks(report);
  const { checks, explanation } = report.tenants;
  const width = widthOf([...tunnel, ...checks]);
  const [first, second] = report.implementations;
  return [
    palette.bold(`${first} <-> ${second}`),
    ...checkLines(tunnel, width, palette),
    "",
    ...report.show.flatMap((text) => [text.trim(), ""]),
    palette.bold("red and green: two tenants, both with 10.1.0.0/16, on two nodes, a and b"),
    ...checkLines(checks, width, palette),
    "",
    "wirehaul node explain 10.1.2.5, on a:",
    ...explanation
      .trimEnd()
      .split("\n")
      .map((line) => `  ${line}`),
    "",
  ].join("\n");
}

export function formatGrid(report: GridReport, palette: Palette): string {
  return [
    "",
    palette.bold("red and green: two tenants, both with 10.1.0.0/16, on all nodes"),
    ...checkLines(report.checks, widthOf(report.checks), palette),
    "",
    ...report.status.flatMap((text) => [text.trimEnd(), ""]),
    report.explanation.trimEnd(),
    "",
  ].join("\n");
}
