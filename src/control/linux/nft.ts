/**
 * nftables through `nft -j`: a list of commands goes in as JSON and takes effect as one transaction or not at all. Only tables
 * that are Wirehaul's own are named here; no ruleset is ever flushed.
 */
import { attempt, run } from "./command.ts";
import { commandIn } from "./ip.ts";

/** A command of libnftables-json(5), such as `{ add: { table: ... } }`. */
export type NftCommand = Readonly<Record<string, unknown>>;

/** Applies commands in one transaction. Rejects with nft's words. */
export async function nftApply(commands: readonly NftCommand[], namespace?: string): Promise<void> {
  if (commands.length === 0) return;
  const input = JSON.stringify({ nftables: commands });
  const result = await attempt(commandIn(namespace, ["nft", "-j", "-f", "-"]), { input });
  if (result.code === 0) return;
  const where = namespace === undefined ? "" : ` in namespace ${namespace}`;
  throw new Error(`nft refused its rules${where}: ${(result.stderr || result.stdout).trim()}`);
}

/** What `nft -j list table` says of a table; undefined: there is none. */
export async function nftTable(
  family: string,
  name: string,
  namespace?: string,
): Promise<readonly NftCommand[] | undefined> {
  const command = commandIn(namespace, ["nft", "-j", "list", "table", family, name]);
  const result = await attempt(command);
  if (result.code !== 0) {
    if (/No such file or directory/.test(result.stderr)) return undefined;
    throw new Error(`\`${command.join(" ")}\` failed: ${result.stderr.trim()}`);
  }
  return (JSON.parse(result.stdout) as { nftables: NftCommand[] }).nftables;
}

/** All tables there are, as [family, name]. */
export async function nftTables(
  namespace?: string,
): Promise<readonly (readonly [string, string])[]> {
  const text = await run(commandIn(namespace, ["nft", "-j", "list", "tables"]));
  const { nftables } = JSON.parse(text) as {
    nftables: readonly { readonly table?: { readonly family: string; readonly name: string } }[];
  };
  return nftables.flatMap(({ table }) =>
    table === undefined ? [] : [[table.family, table.name] as const],
  );
}
