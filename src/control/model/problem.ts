/** What is wrong with a value from outside: where it stands, what is wrong, what to do. */
import type { z } from "zod";

/** Refused by value: the caller's input or its timing is at fault, not the machine. The message never holds a secret. */
export class RefusedError extends Error {
  /** "invalid": never acceptable; "conflict": not with what there is; "missing": what it speaks of isn't there. */
  readonly reason: "invalid" | "conflict" | "missing";

  constructor(reason: "invalid" | "conflict" | "missing", message: string) {
    super(message);
    this.name = "RefusedError";
    this.reason = reason;
  }
}

/** Parses a value from outside; throws a {@link RefusedError} that names each place and its fault, and no value. */
export function parseOrRefuse<Value>(
  schema: z.ZodType<Value>,
  value: unknown,
  what: string,
): Value {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path, message }) => {
    const place = path.map(String).join(".");
    return place === "" ? message : `${place}: ${message}`;
  });
  throw new RefusedError("invalid", `${what} is not valid: ${faults.join("; ")}`);
}
