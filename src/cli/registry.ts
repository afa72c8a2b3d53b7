/**
 * `wirehaul registry ...`: the registry itself, its backups, identities, and what farmers and admins ask of it. What asks a registry is not to
 * wait until all that is one has been read: that is imported when it is needed.
 */
import { writeFileSync } from "node:fs";
import { Command } from "commander";
import { Identity } from "../control/registry/client.ts";
import type { DatabasePlace } from "../control/registry/store/open.ts";
import { runProgram } from "./program.ts";
import { type Asking, asking, clientOf, print } from "./registry/asking.ts";
import type { RegistryRunOptions } from "./registry/run.ts";

/** Runs `wirehaul registry ARGS`; returns the exit code. */
export async function registryCommands(args: readonly string[]): Promise<number> {
  let code = 0;
  const program = new Command("wirehaul").exitOverride();
  const registry = program.command("registry").description("the registry of a grid");
  onStore(registry.command("run"))
    .description("runs it in the foreground; LOG_LEVEL=fatal|error|warn|info|debug|silent")
    .option("--listen <host:port>", "where it serves", "127.0.0.1:8480")
    .option("--tls-cert <file>", "certificate chain in PEM; SIGHUP reads it again")
    .option("--tls-key <file>", "its private key in PEM")
    .option("--authority <names...>", "HOST or HOST:PORT by which clients call it", [])
    .option("--admin <name=key...>", "admins to add if they are not there", [])
    .option("--rate-per-key <n>", "requests a second, four times as many at once; 50 unless told")
    .option("--rate-per-address <n>", "of all clients behind one address; 500 unless told")
    .option(
      "--old-signatures",
      "/api/v1 takes the old signatures too: path and body are not in them",
    )
    .option("--respond <port>", "tells nodes whether they can be reached, as wirehaul node does")
    .action(async (flags: RegistryRunOptions) => {
      const { runRegistry } = await import("./registry/run.ts");
      const { planNetwork } = await import("../control/mesh/network-plan.ts");
      code = await runRegistry({ planNetwork, ...flags });
    });
  onStore(registry.command("plan"))
    .description(
      "plans all networks anew, as after an update with other rules; nodes hear what differs",
    )
    .action(async (flags: DatabasePlace) => {
      const { planAllOf } = await import("./registry/offline.ts");
      process.stdout.write(`${await planAllOf(flags)}\n`);
    });
  onStore(registry.command("backup <file>"))
    .description("writes all of it into one file; of a --data folder while no registry runs on it")
    .action(async (file: string, flags: DatabasePlace) => {
      const { backUpTo } = await import("./registry/offline.ts");
      process.stdout.write(`${await backUpTo(file, flags)}\n`);
    });
  onStore(registry.command("restore <file>"))
    .description("fills an empty database from such a file")
    .action(async (file: string, flags: DatabasePlace) => {
      const { restoreFrom } = await import("./registry/offline.ts");
      process.stdout.write(`${await restoreFrom(file, flags)}\n`);
    });
  registry
    .command("key")
    .description("identities")
    .command("new <file>")
    .description("makes a private key (mode 0600, never overwrites) and shows its public key")
    .action((file: string) => {
      const identity = Identity.generate();
      writeFileSync(file, identity.secretPem(), { mode: 0o600, flag: "wx" });
      process.stdout.write(`${identity.keyId}\n`);
    });
  const token = registry.command("token").description("tokens by which nodes join a farm");
  asking(token.command("add <farm>"), "a token for one node, shown once")
    .option("--seconds <n>", "how long it is good", "3600")
    .action(async (farm: string, flags: Asking & { seconds: string }) => {
      const made = await clientOf(flags).addToken(Number(farm), Number(flags.seconds));
      print(flags, made, [made.token]);
    });
  asking(token.command("list <farm>"), "those that are good, by digest").action(
    async (farm: string, flags: Asking) => {
      const tokens = await clientOf(flags).tokens(Number(farm));
      print(
        flags,
        tokens,
        tokens.map(({ digest, expires }) => `${digest} until ${expires}`),
      );
    },
  );
  asking(token.command("remove <farm> <digest>"), "takes one back").action(
    async (farm: string, digest: string, flags: Asking) => {
      await clientOf(flags).removeToken(Number(farm), digest);
    },
  );
  const user = registry.command("user").description("users (admins)");
  asking(user.command("add <name> <key>"), "adds one by the public key")
    .option("--role <role>", "admin, farmer or user", "user")
    .action(async (name: string, key: string, flags: Asking & { role: string }) => {
      const role = flags.role as "admin" | "farmer" | "user";
      const made = await clientOf(flags).addUser({ name, key, role });
      print(flags, made, [`user ${made.id} ${made.name} ${made.role}`]);
    });
  const farm = registry.command("farm").description("farms");
  asking(farm.command("add <name>"), "adds one").action(async (name: string, flags: Asking) => {
    const made = await clientOf(flags).addFarm({ name });
    print(flags, made, [`farm ${made.id} ${made.name}`]);
  });
  const node = registry.command("node").description("nodes");
  asking(node.command("list"), "all that are not deleted").action(async (flags: Asking) => {
    const nodes = await clientOf(flags).nodes({ limit: 1_000 });
    print(
      flags,
      nodes,
      nodes.map(
        ({ id, farm: of, name, state, seen }) =>
          `${id} farm ${of} ${name} ${state} ${seen ?? "never seen"}`,
      ),
    );
  });
  asking(node.command("approve <node>"), "lets one in that waits").action(
    async (id: string, flags: Asking) => {
      await clientOf(flags).approveNode(id);
    },
  );
  asking(node.command("delete <node>"), "takes one out of the grid and all its networks").action(
    async (id: string, flags: Asking) => {
      await clientOf(flags).deleteNode(id);
    },
  );
  return await runProgram(program, args, () => code);
}

function onStore(command: Command): Command {
  return command
    .option("--data <folder>", "a folder of its own: PostgreSQL in this process")
    .option("--database <url>", "a PostgreSQL server: postgres://...");
}
