/** `wirehaul network ...` at a registry: networks as their owners want them; the registry chooses the rest. */
import type { Command } from "commander";
import type { NetworkDetails } from "../../control/registry/client.ts";
import { type Asking, asking, clientOf, print } from "../registry/asking.ts";
import { type AddClient, addClient } from "./client.ts";
import { allOf, networkIdOf, nodeIdsOf } from "./names.ts";
import { addRotationCommands } from "./rotate.ts";
import { statusLines } from "./show.ts";

interface Revision {
  readonly revision?: string;
}

/** Absent parts are left out. */
function revisionOf({ revision }: Revision): number | undefined {
  return revision === undefined ? undefined : Number(revision);
}

export function addNetworkCommands(network: Command): void {
  const changing = (parent: Command, usage: string, text: string): Command =>
    asking(parent.command(usage), text).option(
      "--revision <n>",
      "refuse it if the network has another one by now",
    );
  asking(network.command("create <name>"), "makes one")
    .requiredOption("--cidr <prefix>", "IPv4 range of all of it, such as 10.20.0.0/16")
    .option("--cidr6 <prefix>", "IPv6 range; none: a unique local one")
    .option("--nodes <nodes>", "names or ids of nodes, with commas between", "")
    .action(
      async (
        name: string,
        flags: Asking & { cidr: string; cidr6?: string; nodes: string },
      ): Promise<void> => {
        const { cidr, cidr6 } = flags;
        const client = clientOf(flags);
        const texts = flags.nodes.split(",").filter((text) => text !== "");
        const nodes = await nodeIdsOf(client, texts);
        const made = await client.createNetwork({
          ...{ name, cidr, nodes },
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
  asking(network.command("show <network>"), "one with its nodes and clients").action(
    async (text: string, flags: Asking) => {
      const client = clientOf(flags);
      const found = await client.network(await networkIdOf(client, text));
      // Names are for people only.
      const nodes = flags.json === true ? [] : await allOf((wish) => client.nodes(wish));
      const names = new Map(nodes.map((node) => [node.id, node.name]));
      print(flags, found, networkLines(found, names));
    },
  );
  asking(
    network.command("status <network>"),
    "how each pair of nodes reaches the other: path, handshake, round trip, loss, since when",
  ).action(async (text: string, flags: Asking) => {
    const client = clientOf(flags);
    const status = await client.networkStatus(await networkIdOf(client, text));
    print(flags, status, statusLines(status, Date.now()));
  });
  changing(network, "add-node <network> <node>", "adds a node")
    .option("--subnet <prefix>", "its subnet; none: the first that is free")
    .action(
      async (text: string, nodeText: string, flags: Asking & Revision & { subnet?: string }) => {
        const client = clientOf(flags);
        const [node = ""] = await nodeIdsOf(client, [nodeText]);
        const changed = await client.addNode(await networkIdOf(client, text), {
          ...{ node, subnet: flags.subnet, revision: revisionOf(flags) },
        });
        print(flags, changed, networkLines(changed));
      },
    );
  changing(network, "remove-node <network> <node>", "takes a node out").action(
    async (text: string, nodeText: string, flags: Asking & Revision) => {
      const client = clientOf(flags);
      const id = await networkIdOf(client, text);
      const [node = ""] = await nodeIdsOf(client, [nodeText]);
      const changed = await client.removeNode(id, node, revisionOf(flags));
      print(flags, changed, networkLines(changed));
    },
  );
  changing(network, "delete <network>", "takes it away from all its nodes").action(
    async (text: string, flags: Asking & Revision) => {
      const client = clientOf(flags);
      await client.deleteNetwork(await networkIdOf(client, text), revisionOf(flags));
    },
  );
  addRotationCommands(network);
  const client = network.command("client").description("machines outside the grid");
  changing(
    client,
    "add <network> <name>",
    "adds one: makes its key here, prints its wg-quick file, and as a QR code for the terminal",
  )
    .requiredOption("--access <node>", "the public node that it comes to, by name or id")
    .option("--output <file>", "writes the file there (mode 0600, never overwrites)")
    .option("--qr", "the QR code, also where there is no terminal (on standard error)")
    .option("--no-qr", "no QR code")
    .action(async (text: string, name: string, flags: Asking & Revision & AddClient) => {
      await addClient(clientOf(flags), text, name, { ...flags, expected: revisionOf(flags) });
    });
  changing(client, "remove <network> <name>", "removes one: it has no way in from then on").action(
    async (text: string, name: string, flags: Asking & Revision) => {
      const asked = clientOf(flags);
      const id = await networkIdOf(asked, text);
      const changed = await asked.removeClient(id, name, revisionOf(flags));
      print(flags, changed, networkLines(changed));
    },
  );
}

/** Nodes by their names too, where those are known. */
function networkLines(
  network: NetworkDetails,
  names: ReadonlyMap<string, string> = new Map(),
): string[] {
  const { id, name, range, range6, revision, members, clients, faults } = network;
  const called = (node: string): string => {
    const known = names.get(node);
    return known === undefined ? node : `${known} (${node})`;
  };
  return [
    `${id} ${name}: ${range}, ${range6}, revision ${revision}`,
    ...faults.map((fault) => `  fault: ${fault}`),
    ...members.map(
      ({ node, subnet, subnet6, port, publicKey }) =>
        `  node ${called(node)}: ${subnet}, ${subnet6}, port ${port ?? "none"}${publicKey === null ? ", has not taken part yet" : ""}`,
    ),
    ...clients.map(
      ({ name: client, address, access }) =>
        `  client ${client}: ${address}, comes to ${called(access)}`,
    ),
  ];
}
