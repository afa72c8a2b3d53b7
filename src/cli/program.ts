/** Runs a tree of commands for its exit code: what was typed wrongly is said by commander, what fails by us, without secrets. */
import { type Command, CommanderError } from "commander";
import { withoutKeys } from "../bytes/secret-text.ts";

/** Returns the exit code; `code` is asked for it when all went well. */
export async function runProgram(
  program: Command,
  args: readonly string[],
  code: () => number,
): Promise<number> {
  try {
    await program.parseAsync(args, { from: "user" });
    return code();
  } catch (error) {
    // Commander has said it already.
    if (error instanceof CommanderError) return error.exitCode;
    process.stderr.write(`wirehaul: ${withoutKeys((error as Error).message)}\n`);
    return 1;
  }
}
