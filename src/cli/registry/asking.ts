/** What all commands share that ask a registry: where it is, whom they sign as, how the answer is shown. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { Identity, RegistryClient } from "../../control/registry/client.ts";

export interface Asking {
  readonly url: string;
  readonly key: string;
  readonly json?: true;
}

export function asking(command: Command, text: string): Command {
  return command
    .description(text)
    .requiredOption("--url <url>", "the registry")
    .requiredOption("--key <file>", "the private key to sign with")
    .option("--json", "the answer as JSON");
}

export function clientOf({ url, key }: Asking): RegistryClient {
  return new RegistryClient({ url, identity: Identity.parse(readFileSync(key, "utf8")) });
}

export function print({ json }: Asking, answer: unknown, lines: readonly string[]): void {
  const text = json === true ? JSON.stringify(answer, null, 2) : lines.join("\n");
  if (text !== "") process.stdout.write(`${text}\n`);
}
