/** `wirehaul network ...` without --local, and `wirehaul explain`: what people ask a registry of networks. */
import { Command } from "commander";
import { addNetworkCommands } from "./network/commands.ts";
import { allOf, networkIdOf, pick } from "./network/names.ts";
import { explanationLines } from "./network/show.ts";
import { runProgram } from "./program.ts";
import { type Asking, asking, clientOf, print } from "./registry/asking.ts";

/** Runs `wirehaul network ARGS` or `wirehaul explain ARGS`; returns the exit code. */
export async function networkCommands(args: readonly string[]): Promise<number> {
  const program = new Command("wirehaul").exitOverride();
  const network = program
    .command("network")
    .description("networks over nodes of the grid, at a registry")
    .addHelpText(
      "after",
      "\nOn one node, by its own API: wirehaul network add|show|attach|detach|rm --local (wirehaul network --local --help)",
    );
  addNetworkCommands(network);
  asking(
    program.command("explain <node> <other>"),
    "why two nodes meet as they do, and what stands in the way of better",
  )
    .option("--network <network>", "in this one, by name or id; none: in all that hold both")
    .action(async (from: string, to: string, flags: Asking & { readonly network?: string }) => {
      const client = clientOf(flags);
      const nodes = await allOf((wish) => client.nodes(wish));
      const [one, other] = [from, to].map((text) => pick(nodes, text, "node"));
      const id = flags.network === undefined ? undefined : await networkIdOf(client, flags.network);
      const found = await client.explain(one!, other!, id);
      const names = new Map(nodes.map((node) => [node.id, node.name]));
      print(flags, found, explanationLines(found, names));
    });
  return await runProgram(program, args, () => 0);
}
