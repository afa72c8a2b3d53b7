/** The suite by the name that a person gives on the command line. The only module that knows every backend. */
import { nobleSuite } from "./noble.ts";
import { opensslSuite } from "./openssl.ts";
import type { Suite } from "./suite.ts";

export type SuiteName = Suite["name"];

export const SUITE_NAMES: readonly SuiteName[] = ["openssl", "noble"];

/** The suite called `name` exactly, or undefined. */
export function suiteByName(name: string): Suite | undefined {
  if (name === "openssl") return opensslSuite;
  return name === "noble" ? nobleSuite : undefined;
}
