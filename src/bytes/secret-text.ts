/** Text from outside that goes into a message: what looks like a key in it is taken out, for people paste keys into wrong places. */
import { CONCEALED } from "./secret-bytes.ts";

/** 32 bytes in hexadecimal or in base64, at least. Without its "=", base64 can't be told from a path. */
const KEYS = /[0-9a-fA-F]{64,}|[A-Za-z0-9+/_-]{43,}=/g;

/** `text`, with each part that may be a key replaced by a placeholder. */
export function withoutKeys(text: string): string {
  return text.replace(KEYS, CONCEALED);
}
