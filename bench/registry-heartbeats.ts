/**
 * `registry-heartbeats`: as many nodes as wanted with an open stream each, in a process of their own on the same machine, and their heartbeats:
 * at the pace of a grid (one in 30 s for each), then as many as get through. What the registry and its database cost is counted apart from
 * the nodes, so that machines of their own can be reckoned with.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { inLab } from "./in-lab.ts";
import type { RegistryEffort } from "./options.ts";
import { tell } from "./progress.ts";
import type { LoadFigures, LoadOrder } from "./registry-load-child.ts";
import { RegistryService } from "./registry-service.ts";
import { align, MIB } from "./table.ts";

export interface HeartbeatFigures {
  readonly streams: number;
  /** Streams opened per second. */
  readonly openedPerSecond: number;
  /** Bytes of the registry's process: before the first stream, with all of them, at the end. */
  readonly residentBefore: number;
  readonly residentOpen: number;
  readonly residentAfter: number;
  readonly paced: Beats;
  readonly most: Beats;
}

export interface Beats {
  readonly perSecond: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  /** CPU seconds per second: 1 is one core. */
  readonly registryCores: number;
  readonly databaseCores: number;
}

/** As `wirehaul node` sends them. */
const BEAT_S = 30;
const AT_ONCE = 64;
const CHILD = fileURLToPath(new URL("./registry-load-child.js", import.meta.url));

export async function measureHeartbeats({
  streams,
  seconds,
}: RegistryEffort): Promise<HeartbeatFigures> {
  return await inLab(async (lab) => {
    const service = await RegistryService.fill(lab, streams);
    const url = await service.serve();
    const residentBefore = service.costs().registryResident;
    const load = new Load();
    try {
      tell(`registry-heartbeats: ${streams} streams`);
      const keys = service.grid.nodes.map(({ identity }) => identity.secretPem());
      const opened = await load.order({ kind: "open", url, keys });
      const residentOpen = service.costs().registryResident;
      const beats = async (what: string, perSecond?: number): Promise<Beats> => {
        tell(`registry-heartbeats: ${what}`);
        const before = service.costs();
        const found = await load.order({ kind: "beat", seconds, perSecond, atOnce: AT_ONCE });
        const after = service.costs();
        if (found.failed > 0 || found.lost > 0) {
          throw new Error(
            `${found.failed} heartbeats failed, ${found.lost} streams were lost: ${found.fault}`,
          );
        }
        return {
          perSecond: found.answered / found.seconds,
          medianMs: found.medianMs,
          p99Ms: found.p99Ms,
          registryCores: (after.registryCpu - before.registryCpu) / found.seconds,
          databaseCores: (after.databaseCpu - before.databaseCpu) / found.seconds,
        };
      };
      const pace = streams / BEAT_S;
      const paced = await beats(`${pace.toFixed(0)} heartbeats a second`, pace);
      const most = await beats("as many heartbeats as get through");
      const faults = service.faults();
      if (faults.length > 0) throw new Error(`the registry says: ${faults[0]}`);
      return {
        ...{ streams, openedPerSecond: opened.answered / opened.seconds },
        ...{ residentBefore, residentOpen, residentAfter: service.costs().registryResident },
        ...{ paced, most },
      };
    } finally {
      load.close();
      await service.close();
    }
  });
}

class Load {
  readonly #child: ChildProcess;
  readonly #answers: ((text: string) => void)[] = [];

  constructor() {
    this.#child = spawn(process.execPath, [CHILD], { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: this.#child.stdout! }).on("line", (line) =>
      this.#answers.shift()?.(line),
    );
  }

  async order(order: LoadOrder): Promise<LoadFigures> {
    const answer = new Promise<string>((resolve, reject) => {
      this.#answers.push(resolve);
      this.#child.once("exit", () => reject(new Error("the nodes' process has ended")));
    });
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    return JSON.parse(await answer) as LoadFigures;
  }

  close(): void {
    this.#child.kill("SIGKILL");
  }
}

export function formatHeartbeats(figures: HeartbeatFigures): string {
  const mib = (bytes: number): string => `${(bytes / MIB).toFixed(0)} MiB`;
  const lines = (title: string, beats: Beats): string[][] => [
    [title, `${beats.perSecond.toFixed(0)}/s`],
    ["  median, p99", `${beats.medianMs.toFixed(1)}, ${beats.p99Ms.toFixed(1)} ms`],
    [
      "  cores of the registry, of PostgreSQL",
      `${beats.registryCores.toFixed(2)}, ${beats.databaseCores.toFixed(2)}`,
    ],
  ];
  return align([
    ["open streams", String(figures.streams)],
    ["  opened", `${figures.openedPerSecond.toFixed(0)}/s`],
    ...lines(`heartbeats, each node's in ${BEAT_S} s`, figures.paced),
    ...lines("heartbeats, as many as get through", figures.most),
    ["memory without streams", mib(figures.residentBefore)],
    ["memory with all streams", mib(figures.residentOpen)],
    ["memory at the end", mib(figures.residentAfter)],
  ]);
}
