/**
 * Names of error numbers. The addon returns -errno; people read names.
 *
 * Owns: the table, taken from `node:os`. Doesn't: decide what an error means.
 */
import { constants } from "node:os";

const names = new Map<number, string>();
for (const [name, value] of Object.entries(constants.errno)) {
  // EAGAIN and EWOULDBLOCK, EOPNOTSUPP and ENOTSUP share numbers on Linux: the commoner name wins.
  if (name !== "EWOULDBLOCK" && name !== "ENOTSUP") names.set(value, name);
}
// What the addon returns and node:os lacks (asm-generic/errno.h).
names.set(77, "EBADFD");
names.set(91, "EPROTOTYPE");
names.set(94, "ESOCKTNOSUPPORT");
names.set(96, "EPFNOSUPPORT");
names.set(108, "ESHUTDOWN");
names.set(112, "EHOSTDOWN");

/** `errnoName(-98)` and `errnoName(98)` are "EADDRINUSE"; a number without a name gives "errno 4095". */
export function errnoName(error: number): string {
  const number = Math.abs(error);
  return names.get(number) ?? `errno ${number}`;
}
