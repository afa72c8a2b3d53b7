/** A part of a list: what comes after something, so many of it. Pure. */
import { RefusedError } from "../model/problem.ts";
import { LIST_MAX } from "./schemas.ts";

const LIMIT_DEFAULT = 100;

export interface Page {
  /** "": from the beginning. */
  readonly after: string;
  /** The same where things are numbered. */
  readonly afterNumber: number;
  readonly limit: number;
}

/** Throws a RefusedError for a limit that there is not. */
export function pageOf(query: Readonly<Record<string, string>>): Page {
  const { after = "", limit = String(LIMIT_DEFAULT) } = query;
  const number = Number(limit);
  if (number < 1 || number > LIST_MAX) {
    throw new RefusedError("invalid", `limit: is none of 1 to ${LIST_MAX}`);
  }
  return { after, afterNumber: /^\d{1,15}$/.test(after) ? Number(after) : 0, limit: number };
}
