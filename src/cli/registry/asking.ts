/** What all commands share that ask a registry: where it is, whom they sign as, how the answer is shown. */
import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { Identity, RegistryClient } from "../../control/registry/client.ts";

export interface Asking {
  readonly registry: string;
  readonly key: string;
  readonly json?: true;
}

/** The registry and the key are named, or in the environment. */
export function asking(command: Command, text: string): Command {
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

export function clientOf({ registry, key }: Asking): RegistryClient {
  return new RegistryClient({ url: registry, identity: Identity.parse(readFileSync(key, "utf8")) });
}

export function print(
  { json }: { readonly json?: true },
  answer: unknown,
  lines: readonly string[],
): void {
  const text = json === true ? JSON.stringify(answer, null, 2) : lines.join("\n");
  if (text !== "") process.stdout.write(`${text}\n`);
}
