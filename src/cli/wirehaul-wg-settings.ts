/**
 * What `wirehaul-wg` is told by its arguments and its environment. Pure: both come in as values. What is wrong is said by the name of
 * the option or variable.
 */
import { withoutKeys } from "../bytes/secret-text.ts";
import { type Lanes, parseLanes } from "../engine/lane-count.ts";
import { LANE_NICE, parseNice } from "../engine/lane-nice.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Arguments {
  readonly name: string;
  readonly isForeground: boolean;
  /** As text, not checked yet: they go to the background process by its environment. */
  readonly crypto: string | undefined;
  readonly lanes: string | undefined;
}

/** Undefined: the usage is to be shown. */
export function parseArguments(args: readonly string[]): Arguments | undefined {
  const name = args.at(-1);
  if (name === undefined || name.startsWith("-")) return undefined;
  let isForeground = false;
  let crypto: string | undefined;
  let lanes: string | undefined;
  const options = args.slice(0, -1);
  for (let option = options.shift(); option !== undefined; option = options.shift()) {
    if (option === "--lanes") lanes = options.shift() ?? "";
    else if (option.startsWith("--lanes=")) lanes = option.slice("--lanes=".length);
    else if (option === "-f" || option === "--foreground") isForeground = true;
    else if (option.startsWith("--crypto=")) crypto = option.slice("--crypto=".length);
    else return undefined;
  }
  return { name, isForeground, crypto, lanes };
}

/** The descriptor in an environment variable; undefined: none. Throws if it is no number. */
export function descriptor(environment: Environment, variable: string): number | undefined {
  const text = environment[variable];
  return text === undefined || text === "" ? undefined : parseDescriptor(text, variable);
}

/** Descriptors with commas between them. Throws if one is no number. */
export function descriptors(environment: Environment, variable: string): number[] {
  const text = environment[variable] ?? "";
  return text === "" ? [] : text.split(",").map((part) => parseDescriptor(part, variable));
}

function parseDescriptor(text: string, variable: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  throw new Error(`${variable} must be a file descriptor's number, it is "${withoutKeys(text)}"`);
}

export function cryptoBackend(environment: Environment): "openssl" | "noble" {
  const text = environment["WIREHAUL_CRYPTO"] ?? "openssl";
  if (text === "openssl" || text === "noble") return text;
  throw new Error(
    `--crypto or WIREHAUL_CRYPTO must be openssl or noble, it is "${withoutKeys(text)}"`,
  );
}

export function lanesOption(environment: Environment): Lanes {
  return parseLanes(environment["WIREHAUL_LANES"] ?? "1", "--lanes or WIREHAUL_LANES");
}

export function laneNice(environment: Environment): number {
  return parseNice(environment["WIREHAUL_LANE_NICE"] ?? `${LANE_NICE}`, "WIREHAUL_LANE_NICE");
}
