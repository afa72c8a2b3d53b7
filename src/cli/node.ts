/** `wirehaul node ...` and `wirehaul network ...`: the node agent, and what asks it. Each answer is the API's, as text or with --json. */
import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { API_SOCKET, askApi } from "../control/api/client.ts";
import type { Nic } from "../control/model/nic.ts";
import type { Workload } from "../control/model/workload.ts";
import type { AgentStatus } from "../control/node/agent.ts";
import type { Explanation } from "../control/node/explain.ts";
import type { DryRun } from "../control/node/networks.ts";
import type { PortList } from "../control/node/ports.ts";
import type { NetworkDetails, NetworkSummary } from "../control/node/view.ts";
import { pick } from "./network/names.ts";
import {
  detailLines,
  explanationLines,
  nicLines,
  planLines,
  portLines,
  statusLines,
  summaryLines,
  workloadLines,
} from "./node/show.ts";
import { runProgram } from "./program.ts";

interface Common {
  readonly socket: string;
  readonly json?: true;
}

interface RunFlags {
  readonly socket: string;
  readonly state: string;
  readonly registry?: string;
  readonly registryCa?: string;
  readonly bus?: string;
  readonly farm?: string;
  readonly joinTokenFile?: string;
  readonly name?: string;
  readonly relay: boolean;
  readonly uplink?: string;
  readonly bridge: string;
  readonly host: string[];
  readonly nicKinds: string[];
  readonly nicNames?: string;
  readonly responders: string;
  readonly respond?: string;
}

/** Runs `wirehaul node ARGS` or `wirehaul network ARGS`; returns the exit code. */
export async function nodeCommands(args: readonly string[]): Promise<number> {
  let code = 0;
  const program = new Command("wirehaul").exitOverride();
  const node = program.command("node").description("the node agent");
  node
    .command("run")
    .description("runs the node in the foreground; LOG_LEVEL=fatal|error|warn|info|debug|silent")
    .option("--state <folder>", "desired state", "/var/lib/wirehaul")
    .option("--socket <path>", "the API's socket", API_SOCKET)
    .option("--registry <url>", "sets the NICs up until it answers; none: they are left alone")
    .addOption(
      new Option(
        "--registry-ca <file>",
        "certificates (PEM) to trust in place of the system's",
      ).env("WIREHAUL_REGISTRY_CA"),
    )
    .option("--bus <url>", "serves zbus too: redis+unix:///PATH, redis://HOST, rediss://HOST")
    .option("--farm <number>", "takes its networks from the registry, as a node of this farm")
    .option("--join-token-file <file>", "a token of the farm; none: the farmer has to approve")
    .option("--name <name>", "in the registry; the machine's and the start of the key unless told")
    .option("--no-relay", "never carries traffic between other nodes")
    .option(
      "--uplink <nic>",
      "NIC for the uplink, by name or MAC address; none: all NICs are left alone",
    )
    .option("--bridge <name>", "name of the uplink bridge", "zos")
    .option("--host <url...>", "other hosts that show that the Internet is there", [])
    .addOption(
      new Option("--nic-kinds <kinds...>", "kinds of links that are NICs").default(["device"]),
    )
    .option("--nic-names <pattern>", "names of links that are NICs, with *")
    .option(
      "--responders <list>",
      "HOST:PORT,...: whom to ask whether this node can be reached from outside",
      "",
    )
    .option("--respond <port>", "answers other nodes at this UDP port, and from the one after")
    .action(async ({ host, ...flags }: RunFlags) => {
      // What asks a node is not to wait until all that is one has been read.
      const { runNode } = await import("./node/run.ts");
      code = await runNode({ ...flags, hosts: host });
    });
  const ask = async <Answer>(
    { socket, json }: Common,
    method: string,
    path: string,
    lines: (answer: Answer) => readonly string[],
    body?: string,
  ): Promise<void> => {
    const answer = (await askApi(socket, method, path, body)) as Answer;
    const text = json === true ? JSON.stringify(answer, null, 2) : lines(answer).join("\n");
    if (text !== "") process.stdout.write(`${text}\n`);
  };
  const add = (parent: Command, usage: string, text: string): Command =>
    parent
      .command(usage)
      .description(text)
      .option("--socket <path>", "the API's socket", API_SOCKET)
      .option("--json", "the API's answer as JSON");
  add(node, "status", "boot, configuration, problems").action((flags: Common) =>
    ask<AgentStatus>(flags, "GET", "/v1/status", statusLines),
  );
  add(node, "plan", "what would be done now, without doing it").action((flags: Common) =>
    ask<DryRun[]>(flags, "GET", "/v1/plan", planLines),
  );
  add(node, "nics", "the census").action((flags: Common) =>
    ask<Nic[]>(flags, "GET", "/v1/nics", nicLines),
  );
  add(node, "explain <peer-or-address>", "where packets go, and why").action(
    (target: string, flags: Common) => {
      const name = /^[0-9a-fA-F:.]+$/.test(target) && /[:.]/.test(target) ? "address" : "peer";
      const path = `/v1/explain?${name}=${encodeURIComponent(target)}`;
      return ask<Explanation[]>(flags, "GET", path, explanationLines);
    },
  );
  const ports = node.command("ports").description("listen ports: used, leased, reserved");
  add(ports, "list", "all of them").action((flags: Common) =>
    ask<PortList>(flags, "GET", "/v1/ports", portLines),
  );
  add(ports, "lease <holder>", "promises a port to a network's owner")
    .option("--seconds <n>", "for so long", "600")
    .option("--port <n>", "this one; none: the node chooses")
    .action((holder: string, flags: Common & { seconds: string; port?: string }) => {
      const { seconds, port } = flags;
      const wish = port === undefined ? {} : { port: Number(port) };
      const body = JSON.stringify({ holder, seconds: Number(seconds), ...wish });
      return ask<{ port: number }>(flags, "POST", "/v1/ports/leases", (l) => [`${l.port}`], body);
    });
  add(ports, "release <port> <holder>", "ends a lease").action(
    (port: string, holder: string, flags: Common) => {
      const path = `/v1/ports/leases/${encodeURIComponent(port)}?holder=${encodeURIComponent(holder)}`;
      return ask(flags, "DELETE", path, () => []);
    },
  );
  const config = node.command("config").description("roles and static addresses of NICs");
  const asIs = (answer: unknown): string[] => [JSON.stringify(answer, null, 2)];
  add(config, "get", "what is in force").action((flags: Common) =>
    ask(flags, "GET", "/v1/config", asIs),
  );
  add(config, "put <file>", "changes it; - is standard input")
    .option("--no-probation", "keep it even if the registry is lost")
    .action((file: string, flags: Common & { probation: boolean }) =>
      ask(flags, "PUT", `/v1/config?probation=${flags.probation}`, asIs, readText(file)),
    );
  add(config, "delete", "takes all of it back")
    .option("--no-probation", "even if the registry is lost")
    .action((flags: Common & { probation: boolean }) =>
      ask(flags, "DELETE", `/v1/config?probation=${flags.probation}`, asIs),
    );
  const network = program.command("network").description("networks of this node");
  const local = (command: Command): Command =>
    command.requiredOption("--local", "on this node, by its API");
  local(add(network, "add <file>", "creates or changes one; - is standard input")).action(
    (file: string, flags: Common) => {
      const text = readText(file);
      const path = `/v1/networks/${encodeURIComponent(idOf(text, file))}`;
      return ask<NetworkSummary>(flags, "PUT", path, (made) => summaryLines([made]), text);
    },
  );
  local(add(network, "show [network]", "one, by name or id, or all in short")).action(
    async (text: string | undefined, flags: Common) =>
      text === undefined
        ? await ask<NetworkSummary[]>(flags, "GET", "/v1/networks", summaryLines)
        : await ask<NetworkDetails>(flags, "GET", await pathOf(text, flags), detailLines),
  );
  local(
    add(
      network,
      "attach <network> <file>",
      "attaches a workload, or changes it; - is standard input",
    ),
  ).action(async (text: string, file: string, flags: Common) => {
    const path = `${await pathOf(text, flags)}/workloads`;
    await ask<Workload>(flags, "POST", path, (made) => workloadLines([made]), readText(file));
  });
  local(add(network, "detach <network> <workload>", "detaches a workload")).action(
    async (text: string, workload: string, flags: Common) => {
      const path = `${await pathOf(text, flags)}/workloads/${encodeURIComponent(workload)}`;
      await ask(flags, "DELETE", path, () => []);
    },
  );
  local(add(network, "rm <network>", "removes one"))
    .option("--drain", "detach its workloads first")
    .action(async (text: string, flags: Common & { drain?: true }) => {
      const path = await pathOf(text, flags);
      await ask(flags, "DELETE", `${path}?drain=${flags.drain === true}`, () => []);
    });
  return await runProgram(program, args, () => code);
}

/** The API's path of a network that is there by this name or id. */
async function pathOf(text: string, { socket }: Common): Promise<string> {
  const all = (await askApi(socket, "GET", "/v1/networks")) as NetworkSummary[];
  const isName = all.some(({ name }) => name === text);
  // What is neither is for the API to refuse.
  const id = isName ? pick(all, text, "network") : text;
  return `/v1/networks/${encodeURIComponent(id)}`;
}

function readText(file: string): string {
  return readFileSync(file === "-" ? 0 : file, "utf8");
}

function idOf(text: string, file: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`${file} is no JSON`);
  }
  const { id } = (value ?? {}) as { id?: unknown };
  if (typeof id !== "string") throw new Error(`${file} names no network: "id" is missing`);
  return id;
}
