/** Text from outside that goes into a message: what looks like a key in it is taken out, for people paste keys into wrong places. */
import { CONCEALED } from "./secret-bytes.ts";

/**
 * 32 bytes in base64 or in hexadecimal, at least. Without its "=", base64 can't be told from a path. A match begins where its run of
 * letters does: else the time would grow with the square of a long run's length.
 */
const KEYS = /(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{43,}=|[0-9a-fA-F]{64,}/g;

/** `text`, with each part that may be a key replaced by a placeholder. */
export function withoutKeys(text: string): string {
  return text.replace(KEYS, CONCEALED);
}
