/**
 * `npm run bench`: how fast, how prompt and how large wirehaul is, beside the other WireGuard implementations on this machine
 * and the bare cable. The command line is in `options.ts`. Both ends run on the same machine: only ratios within one run mean
 * something.
 *
 *   lane        the packet path without system calls and cipher
 *   micro       single steps
 *   e2e         throughput, delay, CPU, memory, start
 *   peers       memory and time of 10,000 configured peers
 *   handshakes  initiations answered per second
 *   flood       what a flood of initiations from one source leaves of a TCP stream
 *   scale       many interfaces in one process
 *   node        many networks on one node: rebuilt from its disk, started again, one peer changed
 *   registry    a registry with 10,000 nodes: all networks planned, one changed, streams and heartbeats
 */
import { type Contestant, makeCourse, versionOf, withTunnel } from "./contestant.ts";
import { FLOOD_LINES, measureFlood } from "./flood.ts";
import { checkGates } from "./gates.ts";
import { HANDSHAKES_LINES, measureHandshakes, prepareHandshakes } from "./handshakes.ts";
import { inLab } from "./in-lab.ts";
import { formatLane, measureLane } from "./lane.ts";
import { LINES, measure } from "./measures.ts";
import { formatMicro, measureMicro } from "./micro.ts";
import { formatNode, measureNode } from "./node.ts";
import { type Options, type Part, parseOptions, REGISTRY_PARTS, USAGE } from "./options.ts";
import { measurePeers, PEERS_LINES } from "./peers.ts";
import { tell } from "./progress.ts";
import { formatRatios } from "./ratios.ts";
import { formatChange, measureChange } from "./registry-change.ts";
import { formatHeartbeats, measureHeartbeats } from "./registry-heartbeats.ts";
import { formatPlan, measurePlan } from "./registry-plan.ts";
import { type Results, save } from "./results.ts";
import { measureRounds } from "./rounds.ts";
import { formatScale, measureScale } from "./scale.ts";
import { formatFigures } from "./table.ts";

const HANDSHAKE_SECONDS_MAX = 2;
const PARTS_OF_ROOT: readonly Part[] = [
  ...(["e2e", "peers", "handshakes", "flood", "scale", "node"] as const),
  ...REGISTRY_PARTS,
];

function print(part: Part | "ratios", text: string): void {
  process.stdout.write(`\n${part}\n\n${text}\n`);
}

/** Runs one part, prints its table, and puts what it found into `results`. Gives the number of failures. */
async function runPart(part: Part, options: Options, results: Results): Promise<number> {
  const { contestants, rounds, effort } = options;
  switch (part) {
    case "lane": {
      tell("lane");
      results.lane = await measureLane();
      print(part, formatLane(results.lane));
      return 0;
    }
    case "micro": {
      tell("micro");
      results.micro = measureMicro(options.microSeconds, ({ name }) => tell(`micro: ${name}`));
      print(part, results.micro.map(formatMicro).join("\n"));
      return 0;
    }
    case "e2e": {
      const { results: found, failures } = await measureRounds(
        part,
        rounds,
        contestants,
        (name, round) =>
          inLab(async (lab) => {
            // Once is enough for the volume: it takes longer than all the rest.
            const gigabytes = round === 1 ? effort.gigabytes : 0;
            return await measure(lab, await makeCourse(lab, name), { ...effort, gigabytes });
          }),
      );
      results.e2e = found;
      print(part, formatFigures(LINES, found));
      return failures;
    }
    case "peers": {
      // Memory hardly differs from round to round.
      const { results: found, failures } = await measureRounds(
        part,
        1,
        withTunnel(contestants),
        measurePeers,
      );
      results.peers = found;
      print(part, formatFigures(PEERS_LINES, found));
      return failures;
    }
    case "handshakes": {
      tell("handshakes: preparing initiations");
      const seconds = Math.min(effort.seconds, HANDSHAKE_SECONDS_MAX);
      const initiations = prepareHandshakes(seconds);
      const { results: found, failures } = await measureRounds(
        part,
        rounds,
        withTunnel(contestants),
        (name) => inLab((lab) => measureHandshakes(lab, name, initiations, seconds)),
      );
      results.handshakes = found;
      print(part, formatFigures(HANDSHAKES_LINES, found));
      return failures;
    }
    case "flood": {
      const { results: found, failures } = await measureRounds(
        part,
        1,
        withTunnel(contestants),
        (name) => inLab((lab) => measureFlood(lab, name, effort.seconds)),
      );
      results.flood = found;
      print(part, formatFigures(FLOOD_LINES, found));
      return failures;
    }
    case "scale": {
      results.scale = await measureScale(options.most);
      print(part, formatScale(results.scale));
      return 0;
    }
    case "node": {
      results.node = await measureNode(options.networks);
      print(part, formatNode(results.node));
      return 0;
    }
    case "registry-plan": {
      results.registryPlan = await measurePlan(options.registry);
      print(part, formatPlan(results.registryPlan));
      return 0;
    }
    case "registry-change": {
      results.registryChange = await measureChange(options.registry);
      print(part, formatChange(results.registryChange));
      return 0;
    }
    case "registry-heartbeats": {
      results.registryHeartbeats = await measureHeartbeats(options.registry);
      print(part, formatHeartbeats(results.registryHeartbeats));
      return 0;
    }
  }
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (typeof options === "string") {
    process.stderr.write(`bench: ${options}\n${USAGE}`);
    return 1;
  }
  const { parts, contestants } = options;
  if (process.getuid?.() !== 0 && parts.some((part) => PARTS_OF_ROOT.includes(part))) {
    tell(
      "root is needed to make network namespaces: run it with sudo, or only the parts lane and micro",
    );
    return 1;
  }
  const versions: { [name: string]: string } = {};
  for (const name of contestants) versions[name] = await versionOf(name);
  const results: Results = {};
  let failures = 0;
  for (const part of parts) {
    try {
      failures += await runPart(part, options, results);
    } catch (error) {
      tell(`${part} failed: ${(error as Error).message}`);
      failures++;
    }
  }
  const rival = firstOf(contestants, ["wireguard-go-newest", "wireguard-go"]);
  if (contestants.includes("wirehaul")) {
    const ratios = formatRatios(results, rival ?? "wireguard-go");
    if (ratios !== "") print("ratios", ratios);
  }
  tell(`written to ${await save(results, { versions, options })}`);
  if (options.isChecked) {
    const gates = checkGates(
      results,
      firstOf(contestants, ["wireguard-go", "wireguard-go-newest"]),
    );
    process.stdout.write(`\n${gates.text}\n`);
    if (!gates.isMet) failures++;
  }
  return failures === 0 ? 0 : 1;
}

function firstOf(
  contestants: readonly Contestant[],
  wanted: readonly Contestant[],
): Contestant | undefined {
  return wanted.find((name) => contestants.includes(name));
}

process.exitCode = await main();
