/**
 * Child of `registry-heartbeats`: many nodes in one process. Opens a stream for each, then sends their heartbeats, each on a connection of its
 * own: at the pace of a grid, and as fast as answers come. Reads an order as JSON in a line, answers with figures likewise.
 */
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Identity } from "../src/control/registry/key.ts";
import { ask, inParallel, openStream } from "./registry-client.ts";
import { percentile } from "./statistics.ts";

export type LoadOrder =
  | { readonly kind: "open"; readonly url: string; readonly keys: readonly string[] }
  /** `perSecond` undefined: as many as `atOnce` at a time get through. */
  | {
      readonly kind: "beat";
      readonly seconds: number;
      readonly perSecond?: number | undefined;
      readonly atOnce: number;
    };

export interface LoadFigures {
  readonly seconds: number;
  readonly answered: number;
  readonly failed: number;
  /** Milliseconds. */
  readonly medianMs: number;
  readonly p99Ms: number;
  /** Streams that have been lost since they were opened. */
  readonly lost: number;
  readonly fault?: string | undefined;
}

const STREAMS_AT_ONCE = 64;

let url = new URL("http://127.0.0.1");
let nodes: Identity[] = [];
let lost = 0;
let fault: string | undefined;
let uptime = 0;

async function open(order: Extract<LoadOrder, { kind: "open" }>): Promise<LoadFigures> {
  url = new URL(order.url);
  nodes = order.keys.map((pem) => Identity.parse(pem));
  const begin = performance.now();
  await inParallel(nodes, STREAMS_AT_ONCE, async (node) => {
    await openStream(
      url,
      node,
      () => undefined,
      (why) => {
        lost += 1;
        fault ??= why;
      },
    );
  });
  return figuresOf(begin, [], 0, nodes.length);
}

async function beat({
  seconds,
  perSecond,
  atOnce,
}: Extract<LoadOrder, { kind: "beat" }>): Promise<LoadFigures> {
  const times: number[] = [];
  let failed = 0;
  let next = 0;
  const begin = performance.now();
  const end = begin + seconds * 1_000;
  const one = async (): Promise<void> => {
    const node = nodes[next++ % nodes.length]!;
    const sent = performance.now();
    uptime += 1;
    try {
      await ask(url, node, {
        ...{ method: "POST", path: `/api/v2/nodes/${node.keyId}/heartbeat` },
        body: { uptime },
      });
      times.push(performance.now() - sent);
    } catch (error) {
      failed += 1;
      fault ??= (error as Error).message;
    }
  };
  if (perSecond === undefined) {
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        while (performance.now() < end) await one();
      }),
    );
  } else {
    // At their times, whether or not earlier ones are answered.
    const all: Promise<void>[] = [];
    while (performance.now() < end) {
      const due = ((performance.now() - begin) / 1_000) * perSecond;
      while (all.length < due) all.push(one());
      await sleep(2);
    }
    await Promise.all(all);
  }
  return figuresOf(begin, times, failed, times.length);
}

function figuresOf(
  begin: number,
  times: readonly number[],
  failed: number,
  answered: number,
): LoadFigures {
  const [medianMs, p99Ms] = [percentile(times, 0.5), percentile(times, 0.99)];
  const seconds = (performance.now() - begin) / 1_000;
  return { seconds, answered, failed, medianMs, p99Ms, lost, fault };
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as LoadOrder;
  const figures = order.kind === "open" ? await open(order) : await beat(order);
  process.stdout.write(`${JSON.stringify(figures)}\n`);
}
process.exit(0);
