/** What all commands share that ask a registry: where it is, whom they sign as, how the answer is shown. */
import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { Identity, RegistryClient } from "../../control/registry/client.ts";
import { readCa } from "./trusted.ts";

export interface Asking {
  readonly registry: string;
  readonly key: string;
  readonly registryCa?: string;
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
    .addOption(
      new Option(
        "--registry-ca <file>",
        "certificates (PEM) to trust in place of the system's",
      ).env("WIREHAUL_REGISTRY_CA"),
    )
    .option("--json", "the answer as JSON");
}

export function clientOf({ registry, key, registryCa }: Asking): RegistryClient {
  const identity = Identity.parse(readFileSync(key, "utf8"));
  return new RegistryClient({ url: registry, identity, ca: readCa(registryCa) });
}

export function print(
  { json }: { readonly json?: true },
  answer: unknown,
  lines: readonly string[],
): void {
  const text = json === true ? JSON.stringify(answer, null, 2) : lines.join("\n");
  if (text !== "") process.stdout.write(`${text}\n`);
}
