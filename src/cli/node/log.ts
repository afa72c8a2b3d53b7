/** The log of `wirehaul node run`: pino's JSON lines; under systemd with the priority in front that journald reads (sd-daemon(3)). */
import { type DestinationStream, destination, pino } from "pino";
import { withoutKeys } from "../../bytes/secret-text.ts";

const LEVELS: readonly string[] = ["fatal", "error", "warn", "info", "debug", "trace", "silent"];
/** From pino's levels to those of syslog (RFC 5424 6.2.1). */
const PRIORITIES: readonly (readonly [number, number])[] = [
  [60, 2],
  [50, 3],
  [40, 4],
  [30, 6],
];

export interface NodeLog {
  error(text: string): void;
  info(text: string): void;
}

/** Writes at once, so that nothing is lost when the process ends. Throws for a level that there is not. */
export function nodeLog(levelText: string | undefined, isJournal: boolean): NodeLog {
  const level = levelText === undefined || levelText === "" ? "info" : levelText;
  if (!LEVELS.includes(level)) {
    throw new Error(`LOG_LEVEL is none of ${LEVELS.join(", ")}`);
  }
  const out = destination({ dest: 1, sync: true });
  const stream: DestinationStream = isJournal
    ? {
        write: (line) => {
          const weight = (JSON.parse(line) as { level: number }).level;
          const priority = PRIORITIES.find(([least]) => weight >= least)?.[1] ?? 7;
          out.write(`<${priority}>${line}`);
        },
      }
    : out;
  const logger = pino({ level, base: null }, stream);
  return {
    error: (text) => logger.error(withoutKeys(text)),
    info: (text) => logger.info(withoutKeys(text)),
  };
}
