/**
 * `wirehaul COMMAND ...`: what a person types. Each command is a module of its own; this one only chooses, and reads no other: a
 * registry's modules take a second to read.
 */
import { VERSION } from "../version.ts";

const USAGE = `Usage: wirehaul COMMAND [OPTIONS]

  status [IFACE] [--json]    what \`wg show\` cannot tell: drops by reason, paths, handshakes, batches
  demo [--keep] [--json]     a registry, five nodes and two tenants, in namespaces of this machine
  demo tunnel [--peer wireguard-go] [--seconds N] [--json]
                             a tunnel, measured, and two tenants on two nodes
  node run|status|plan|explain|ports|nics|config
                             a node of the grid, and what asks it (wirehaul node --help)
  network add|attach|detach|show|rm --local
                             networks on this node (wirehaul network --help)
  network create|list|show|status|add-node|remove-node|rotate|rotation|delete|client
                             networks over nodes of the grid, at a registry
  explain NODE NODE [--network NAME]
                             why two nodes meet as they do, and what stands in the way of better
  registry run|backup|restore|key|token|user|farm|node
                             the registry of a grid (wirehaul registry --help)
  --version, --help

An interface is made by: wirehaul-wg IFACE
`;

export async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args;
  switch (command) {
    case "status":
      return await (await import("./status.ts")).status(rest);
    case "demo":
      return await (await import("./demo.ts")).demo(rest);
    case "node":
      return await (await import("./node.ts")).nodeCommands(args);
    case "network":
      return rest.includes("--local")
        ? await (await import("./node.ts")).nodeCommands(args)
        : await (await import("./network.ts")).networkCommands(args);
    case "explain":
      return await (await import("./network.ts")).networkCommands(args);
    case "registry":
      return await (await import("./registry.ts")).registryCommands(args);
    case "--version":
      process.stdout.write(`wirehaul v${VERSION}\n`);
      return 0;
    case "--help":
    case "-h":
      process.stdout.write(USAGE);
      return 0;
    case undefined:
      process.stderr.write(USAGE);
      return 1;
    default:
      process.stderr.write(`wirehaul: there is no command "${command}"\n\n${USAGE}`);
      return 1;
  }
}
