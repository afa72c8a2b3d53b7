/**
 * Which implementations the end-to-end tests put together. The subject is wirehaul; WIREHAUL_SUBJECT=wireguard-go runs the same
 * tests on wireguard-go alone, which shows whether a failing test or the subject is to blame.
 */
import {
  IMPLEMENTATIONS,
  type Implementation,
  startCommand,
} from "../../../src/cli/demo/implementations.ts";

function chosen(): Implementation {
  const text = process.env["WIREHAUL_SUBJECT"] ?? "wirehaul";
  const found = IMPLEMENTATIONS.find((name) => name === text);
  if (found === undefined)
    throw new Error(`WIREHAUL_SUBJECT: there is no implementation "${text}"`);
  return found;
}

export const SUBJECT: Implementation = chosen();
/** The reference, Debian's. */
export const REFERENCE: Implementation = "wireguard-go";

export interface Roles {
  /** Initiates. */
  readonly a: Implementation;
  readonly b: Implementation;
  readonly title: string;
}

function roles(a: Implementation, b: Implementation): Roles {
  return { a, b, title: `${a} -> ${b}` };
}

/** Every pair once; the first initiates. */
export const PAIRS: readonly Roles[] =
  SUBJECT === REFERENCE
    ? [roles(SUBJECT, SUBJECT)]
    : [roles(SUBJECT, SUBJECT), roles(SUBJECT, REFERENCE), roles(REFERENCE, SUBJECT)];

/** Pairs with other implementations that happen to be on this machine; no test is skipped where they are not. */
export const FURTHER_PAIRS: readonly Roles[] = (["wireguard-go-newest", "boringtun"] as const)
  .filter((name) => name !== SUBJECT && startCommand(name) !== undefined)
  .flatMap((name) => [roles(SUBJECT, name), roles(name, SUBJECT)]);
