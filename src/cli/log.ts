/** Log lines of `wirehaul-wg`, in the form and at the levels of wireguard-go (LOG_LEVEL=verbose|error|silent). */
import { withoutKeys } from "../bytes/secret-text.ts";

export type LogLevel = "verbose" | "error" | "silent";

/** The level that an environment variable names; anything unknown is `error`, as with wireguard-go. */
export function logLevel(text: string | undefined): LogLevel {
  if (text === "verbose" || text === "debug") return "verbose";
  return text === "silent" ? "silent" : "error";
}

/** Writes a line if the level allows; errors that end the program (`isFinal`) are always told. */
export function writeLog(
  level: LogLevel,
  lineLevel: "verbose" | "error",
  device: string,
  text: string,
  isFinal = false,
): void {
  if (!isFinal && (level === "silent" || (level === "error" && lineLevel === "verbose"))) return;
  const time = new Date().toISOString().slice(0, 19).replace("T", " ");
  const label = lineLevel === "verbose" ? "DEBUG" : "ERROR";
  // The name may be anything that stood on the command line.
  process.stderr.write(`${label}: (${withoutKeys(device)}) ${time} ${text}\n`);
}
