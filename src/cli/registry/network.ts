/** `wirehaul registry network ...`: networks as their owners want them; the registry chooses the rest. */
import type { Command } from "commander";
import type { NetworkDetails } from "../../control/registry/client.ts";
import { type Asking, asking, clientOf, print } from "./asking.ts";

interface Revision {
  readonly revision?: string;
}

/** Absent parts are left out. */
function revisionOf({ revision }: Revision): number | undefined {
  return revision === undefined ? undefined : Number(revision);
}

export function addNetworkCommands(registry: Command): void {
  const network = registry.command("network").description("networks over nodes");
  const changing = (usage: string, text: string): Command =>
    asking(network.command(usage), text).option(
      "--revision <n>",
      "refuse it if the network has another one by now",
    );
  asking(network.command("create <name>"), "makes one")
    .requiredOption("--cidr <prefix>", "IPv4 range of all of it, such as 10.20.0.0/16")
    .option("--cidr6 <prefix>", "IPv6 range; none: a unique local one")
    .option("--nodes <ids>", "nodes, with commas between", "")
    .action(
      async (
        name: string,
        flags: Asking & { cidr: string; cidr6?: string; nodes: string },
      ): Promise<void> => {
        const { cidr, cidr6, nodes } = flags;
        const made = await clientOf(flags).createNetwork({
          ...{ name, cidr, nodes: nodes.split(",").filter((id) => id !== "") },
          ...(cidr6 === undefined ? {} : { cidr6 }),
        });
        print(flags, made, networkLines(made));
      },
    );
  asking(network.command("list"), "your networks").action(async (flags: Asking) => {
    const all = await clientOf(flags).networks({ limit: 1_000 });
    print(
      flags,
      all,
      all.map(({ id, name, range, nodes }) => `${id} ${name} ${range}, ${nodes} nodes`),
    );
  });
  asking(network.command("show <id>"), "one with its nodes and clients").action(
    async (id: string, flags: Asking) => {
      const found = await clientOf(flags).network(id);
      print(flags, found, networkLines(found));
    },
  );
  changing("add-node <id> <node>", "adds a node")
    .option("--subnet <prefix>", "its subnet; none: the first that is free")
    .action(async (id: string, node: string, flags: Asking & Revision & { subnet?: string }) => {
      const { subnet } = flags;
      const changed = await clientOf(flags).addNode(id, {
        ...{ node, subnet, revision: revisionOf(flags) },
      });
      print(flags, changed, networkLines(changed));
    });
  changing("remove-node <id> <node>", "takes a node out").action(
    async (id: string, node: string, flags: Asking & Revision) => {
      const changed = await clientOf(flags).removeNode(id, node, revisionOf(flags));
      print(flags, changed, networkLines(changed));
    },
  );
  changing("delete <id>", "takes it away from all its nodes").action(
    async (id: string, flags: Asking & Revision) => {
      await clientOf(flags).deleteNetwork(id, revisionOf(flags));
    },
  );
}

function networkLines(network: NetworkDetails): string[] {
  const { id, name, range, range6, revision, members, clients } = network;
  return [
    `${id} ${name}: ${range}, ${range6}, revision ${revision}`,
    ...members.map(
      ({ node, subnet, subnet6, port, publicKey }) =>
        `  node ${node}: ${subnet}, ${subnet6}, port ${port ?? "none"}${publicKey === null ? ", has not taken part yet" : ""}`,
    ),
    ...clients.map(
      ({ name: client, address, access }) => `  client ${client}: ${address}, comes to ${access}`,
    ),
  ];
}
