/** What a run found, part by part, and the file that keeps it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { ROOT } from "../src/cli/demo/implementations.ts";
import { attempt } from "../src/control/linux/command.ts";
import type { FloodFigures } from "./flood.ts";
import type { HandshakesFigures } from "./handshakes.ts";
import type { LaneResult } from "./lane.ts";
import type { Figures } from "./measures.ts";
import type { MicroFigure } from "./micro.ts";
import type { NodeFigures } from "./node.ts";
import type { PeersFigures } from "./peers.ts";
import type { ChangeFigures } from "./registry-change.ts";
import type { HeartbeatFigures } from "./registry-heartbeats.ts";
import type { PlanFigures } from "./registry-plan.ts";
import type { ByContestant } from "./rounds.ts";
import type { ScaleFigures } from "./scale.ts";

/** Parts that were not run are missing. */
export interface Results {
  lane?: LaneResult;
  micro?: readonly MicroFigure[];
  e2e?: ByContestant<Figures>;
  peers?: ByContestant<PeersFigures>;
  handshakes?: ByContestant<HandshakesFigures>;
  flood?: ByContestant<FloodFigures>;
  scale?: readonly ScaleFigures[];
  node?: NodeFigures;
  registryPlan?: PlanFigures;
  registryChange?: ChangeFigures;
  registryHeartbeats?: HeartbeatFigures;
}

async function facts(): Promise<object> {
  const iperf = await attempt(["iperf3", "--version"]).catch(() => undefined);
  return {
    machine: {
      processor: cpus()[0]?.model,
      cores: cpus().length,
      memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    },
    kernel: release(),
    node: process.version,
    openssl: process.versions.openssl,
    iperf3: iperf?.stdout.split("\n")[0],
  };
}

/** Writes one JSON file with machine, versions and date in it; gives its path. Figures that are missing become null. */
export async function save(results: Results, settings: object): Promise<string> {
  const folder = join(ROOT, "bench", "results");
  mkdirSync(folder, { recursive: true });
  const date = new Date().toISOString();
  const path = join(folder, `${date.replaceAll(":", "-").slice(0, 19)}.json`);
  const content = { date, ...(await facts()), ...settings, results };
  const plain = (_key: string, value: unknown): unknown =>
    value instanceof Map ? Object.fromEntries(value) : value;
  writeFileSync(path, `${JSON.stringify(content, plain, 2)}\n`);
  return path;
}
