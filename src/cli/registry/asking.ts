/** What all commands share that ask a registry: where it is, whom they sign as, how the answer is shown. */
import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { Identity, RegistryClient } from "../../control/registry/client.ts";

export interface Asking {
  readonly url: string;
  readonly key: string;
  readonly json?: true;
}

/** Of `wirehaul registry ...`. */
export function asking(command: Command, text: string): Command {
  return command
    .description(text)
    .requiredOption("--url <url>", "the registry")
    .requiredOption("--key <file>", "the private key to sign with")
    .option("--json", "the answer as JSON");
}

/** Of commands that may be about something else than a registry as well: it is named, or in the environment. */
export interface NamingRegistry {
  readonly registry: string;
  readonly key: string;
  readonly json?: true;
}

export function namingRegistry(command: Command, text: string): Command {
  return command
    .description(text)
    .addOption(
      new Option("--registry <url>", "the registry").env("WIREHAUL_REGISTRY").makeOptionMandatory(),
    )
    .addOption(
      new Option("--key <file>", "the private key to sign with")
        .env("WIREHAUL_KEY")
        .makeOptionMandatory(),
    )
    .option("--json", "the answer as JSON");
}

export function clientOf(flags: Asking | NamingRegistry): RegistryClient {
  const url = "url" in flags ? flags.url : flags.registry;
  return new RegistryClient({ url, identity: Identity.parse(readFileSync(flags.key, "utf8")) });
}

export function print(
  { json }: { readonly json?: true },
  answer: unknown,
  lines: readonly string[],
): void {
  const text = json === true ? JSON.stringify(answer, null, 2) : lines.join("\n");
  if (text !== "") process.stdout.write(`${text}\n`);
}
