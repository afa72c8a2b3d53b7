/** Ping and iperf3 between two namespaces, as figures. */
import { type Finished, type RunOptions, until } from "../../control/linux/command.ts";
import type { Namespace } from "./lab.ts";

export interface PingOptions {
  readonly count?: number;
  /** All at once unless told. Once any answer came, ping(8) waits for the last one that long, or two round trips, and no longer. */
  readonly intervalSeconds?: number;
  /** Bytes of payload: 28 (IPv4) or 48 (IPv6) less than the packet. */
  readonly size?: number;
  /** Sets "do not fragment". */
  readonly isWhole?: boolean;
  /** How long to wait for the last answer, where `intervalSeconds` is not set; else for the first. */
  readonly waitSeconds?: number;
}

export interface PingResult {
  readonly sent: number;
  readonly received: number;
  /** Milliseconds, in order of arrival. */
  readonly roundTrips: readonly number[];
}

/** Where a program can be run: a namespace, or one of a machine of its own. */
export interface Place {
  attempt(command: readonly string[], options?: RunOptions): Promise<Finished>;
}

export async function ping(
  from: Place,
  address: string,
  options: PingOptions = {},
): Promise<PingResult> {
  const count = options.count ?? 3;
  const wait = options.waitSeconds ?? 2;
  const interval = options.intervalSeconds ?? wait;
  const command = ["ping", "-n", "-c", `${count}`, "-i", `${interval}`, "-W", `${wait}`];
  if (options.intervalSeconds === undefined) command.push("-l", `${count}`);
  if (options.size !== undefined) command.push("-s", `${options.size}`);
  if (options.isWhole) command.push("-M", "do");
  const limitMs = (count * interval + wait + 30) * 1000;
  const { stdout, stderr } = await from.attempt([...command, address], { limitMs });
  const summary = /(\d+) packets transmitted, (\d+) received/.exec(stdout);
  if (summary === null) throw new Error(`ping ${address}: ${stderr.trim() || stdout.trim()}`);
  return {
    sent: Number(summary[1]),
    received: Number(summary[2]),
    roundTrips: [...stdout.matchAll(/time=([\d.]+) ms/g)].map((match) => Number(match[1])),
  };
}

/** Pings once at a time until an answer comes. */
export async function pingUntil(from: Place, address: string, limitMs = 20_000): Promise<void> {
  await until(
    `${address} answers`,
    async () => (await ping(from, address, { count: 1, waitSeconds: 1 })).received === 1,
    limitMs,
  );
}

export interface IperfOptions {
  readonly seconds?: number;
  readonly isUdp?: boolean;
  /** UDP: bits per second to offer; 0 is as fast as it can. */
  readonly rate?: number;
  /** UDP: bytes of payload. */
  readonly size?: number;
  /** The server sends. */
  readonly isReverse?: boolean;
  readonly streams?: number;
  /** Both sides send at once; the result is the sum of both directions. */
  readonly isBothWays?: boolean;
  /** Bytes of the socket buffers of both sides; the system's default unless told. */
  readonly bufferBytes?: number;
  /** Send this many bytes instead of for a time; `seconds` is then how long that may take. */
  readonly bytes?: number;
  /** How long the server may take to be reached; ten seconds unless told. */
  readonly connectSeconds?: number;
}

export interface IperfResult {
  /** What arrived. */
  readonly bitsPerSecond: number;
  /** What the sender sent; more than what arrived where datagrams were lost. */
  readonly sentBitsPerSecond: number;
  readonly bytes: number;
  readonly retransmits: number;
  /** UDP only, 0 to 100. */
  readonly lostPercent: number;
  /** UDP only: datagrams sent, and lost. */
  readonly packets: number;
  readonly lostPackets: number;
}

interface IperfSum {
  readonly bits_per_second: number;
  readonly bytes: number;
  readonly lost_percent?: number;
  readonly packets?: number;
  readonly lost_packets?: number;
  readonly retransmits?: number;
}

interface IperfJson {
  readonly error?: string;
  readonly end?: {
    readonly sum_sent?: IperfSum;
    readonly sum_received?: IperfSum;
    readonly sum_received_bidir_reverse?: IperfSum;
    readonly sum?: IperfSum;
  };
}

/**
 * iperf3 ends when all bytes are sent, not when they have arrived: what is still in the sockets' buffers then is not counted, and
 * stays below four times this (Linux doubles it, on both sides).
 */
const COUNTED_BUFFER_BYTES = 200_000;

/** Runs an iperf3 client against a server for one test; `address` is the server's. */
export async function iperf(
  from: Namespace,
  to: Namespace,
  address: string,
  options: IperfOptions = {},
): Promise<IperfResult> {
  const seconds = options.seconds ?? 2;
  const connectSeconds = options.connectSeconds ?? 10;
  const server = to.spawn(["iperf3", "-s", "-1", "-B", address, "--forceflush"]);
  await server.waitFor("Server listening");
  const command = ["iperf3", "-c", address, "-J", "--connect-timeout", `${connectSeconds}000`];
  if (options.bytes !== undefined) command.push("-n", `${options.bytes}`);
  else command.push("-t", `${seconds}`);
  if (options.isUdp) command.push("-u", "-b", `${options.rate ?? 10_000_000}`);
  if (options.size !== undefined) command.push("-l", `${options.size}`);
  const bufferBytes =
    options.bufferBytes ?? (options.bytes === undefined ? undefined : COUNTED_BUFFER_BYTES);
  if (bufferBytes !== undefined) command.push("-w", `${bufferBytes}`);
  if (options.isReverse) command.push("-R");
  if (options.isBothWays) command.push("--bidir");
  if (options.streams !== undefined) command.push("-P", `${options.streams}`);
  try {
    const result = await from.attempt(command, { limitMs: (seconds + connectSeconds + 60) * 1000 });
    return readIperf(result.stdout, result.stderr);
  } finally {
    await server.stop();
  }
}

function readIperf(text: string, errors: string): IperfResult {
  let report: IperfJson;
  try {
    report = JSON.parse(text) as IperfJson;
  } catch {
    throw new Error(`iperf3: ${errors.trim() || text.trim()}`);
  }
  const received = report.end?.sum_received ?? report.end?.sum;
  if (report.error !== undefined || received === undefined) {
    throw new Error(`iperf3: ${report.error ?? "no result"}`);
  }
  const back = report.end?.sum_received_bidir_reverse;
  return {
    bitsPerSecond: received.bits_per_second + (back?.bits_per_second ?? 0),
    sentBitsPerSecond: report.end?.sum_sent?.bits_per_second ?? received.bits_per_second,
    bytes: received.bytes + (back?.bytes ?? 0),
    retransmits: report.end?.sum_sent?.retransmits ?? 0,
    lostPercent: received.lost_percent ?? report.end?.sum?.lost_percent ?? 0,
    packets: received.packets ?? report.end?.sum?.packets ?? 0,
    lostPackets: received.lost_packets ?? report.end?.sum?.lost_packets ?? 0,
  };
}
