/**
 * `registry-change`: one node is added to a network of 199 others that all listen. Two requests: an admin adds the node, which is told its port;
 * the node takes part with its key, and all 200 are told their new peers. Measured from the first request until the last event is there.
 */
import { inLab } from "./in-lab.ts";
import type { RegistryEffort } from "./options.ts";
import { tell } from "./progress.ts";
import { ask, inParallel, openStream } from "./registry-client.ts";
import { keyAt, type SeededNode } from "./registry-grid.ts";
import { RegistryService } from "./registry-service.ts";
import { percentile } from "./statistics.ts";
import { align } from "./table.ts";

export interface ChangeFigures {
  /** Of the network, the new one among them. */
  readonly nodes: number;
  readonly changes: number;
  /** Milliseconds from the admin's request until the last node's event. */
  readonly medianMs: number;
  readonly p99Ms: number;
  /** The first one, when the registry has just started. */
  readonly firstMs: number;
  /** Its parts, median: until the new node is told; from the node's key until its answer; until the last event. */
  readonly toldMs: number;
  readonly answerMs: number;
  readonly deliveredMs: number;
  /** Bytes of all events of one change. */
  readonly eventBytes: number;
}

interface Network {
  readonly listenPort: number;
}

const STREAMS_AT_ONCE = 32;
const WAIT_MS = 30_000;

export async function measureChange({
  members: size,
  changes,
}: RegistryEffort): Promise<ChangeFigures> {
  return await inLab(async (lab) => {
    const service = await RegistryService.fill(lab, 2 * size);
    const { id, nodes } = await service.grid.network(size);
    const url = new URL(await service.serve());
    const { admin } = service.grid;
    const newcomer = nodes.at(-1)!;
    const told = new Heard(nodes);
    await inParallel(nodes, STREAMS_AT_ONCE, (node) => told.listen(url, node));
    const path = `/api/v2/networks/${id}/nodes`;
    const node = newcomer.identity.keyId;
    const leave = async (leavers = nodes): Promise<void> => {
      const all = told.next(leavers);
      await ask(url, admin, { method: "DELETE", path: `${path}/${node}` });
      await all;
    };
    // Nobody has been told of peers yet: the first one that leaves does it.
    await leave();
    const figures: { whole: number; told: number; answer: number; delivered: number }[] = [];
    let bytes = 0;
    for (let at = 0; at <= changes; at++) {
      const begin = performance.now();
      const here = told.next([newcomer]);
      const added = ask(url, admin, { method: "POST", path, body: { node } });
      const port = portOf(await here);
      const heard = performance.now();
      const before = told.bytes;
      const all = told.next(nodes);
      const publicKey = keyAt(900_000 + at);
      await ask(url, newcomer.identity, {
        ...{ method: "PUT", path: `/api/v2/nodes/${node}/networks/${id}` },
        body: { publicKey, port },
      });
      const answered = performance.now();
      await all;
      const end = performance.now();
      bytes = told.bytes - before;
      await added;
      figures.push({
        ...{ whole: end - begin, told: heard - begin },
        ...{ answer: answered - heard, delivered: end - heard },
      });
      await leave();
    }
    told.close();
    const faults = service.faults();
    await service.close();
    if (faults.length > 0) throw new Error(`the registry says: ${faults[0]}`);
    const [first, ...rest] = figures;
    const half = (key: keyof (typeof figures)[0]): number =>
      percentile(
        rest.map((one) => one[key]),
        0.5,
      );
    return {
      ...{ nodes: size, changes, medianMs: half("whole"), firstMs: first?.whole ?? Number.NaN },
      p99Ms: percentile(
        rest.map(({ whole }) => whole),
        0.99,
      ),
      ...{ toldMs: half("told"), answerMs: half("answer"), deliveredMs: half("delivered") },
      eventBytes: bytes,
    };
  });
}

/** The new node's port is in the event that tells it of the network. */
function portOf(events: ReadonlyMap<SeededNode, string>): number {
  const [text = ""] = events.values();
  const { body } = JSON.parse(/^data: (.+)$/m.exec(text)?.[1] ?? "{}") as {
    body?: { resource?: Network };
  };
  const port = body?.resource?.listenPort;
  if (port === undefined) throw new Error("the new node was not told its port");
  return port;
}

/** Who has been told a plan. */
class Heard {
  bytes = 0;
  readonly #ends: (() => void)[] = [];
  readonly #told = new Map<SeededNode, string>();
  #waiting: { readonly nodes: Set<SeededNode>; readonly done: () => void } | undefined;

  constructor(nodes: readonly SeededNode[]) {
    tell(`registry-change: ${nodes.length} streams`);
  }

  async listen(url: URL, node: SeededNode): Promise<void> {
    const hear = (kind: string, text: string): void => {
      if (kind !== "plan") return;
      this.bytes += text.length;
      this.#told.set(node, text);
      this.#waiting?.nodes.delete(node);
      if (this.#waiting?.nodes.size === 0) this.#waiting.done();
    };
    const lose = (why: string): void => tell(`registry-change: a stream is lost: ${why}`);
    this.#ends.push(await openStream(url, node.identity, hear, lose));
  }

  /** The next plans of all of these. */
  async next(nodes: readonly SeededNode[]): Promise<ReadonlyMap<SeededNode, string>> {
    this.#told.clear();
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const waiting = { nodes: new Set(nodes), done: resolve };
        this.#waiting = waiting;
        timer = setTimeout(
          () => reject(new Error(`${waiting.nodes.size} nodes were not told`)),
          WAIT_MS,
        );
      });
    } finally {
      clearTimeout(timer);
      this.#waiting = undefined;
    }
    return this.#told;
  }

  close(): void {
    for (const end of this.#ends) end();
  }
}

export function formatChange(figures: ChangeFigures): string {
  const ms = (value: number): string => `${value.toFixed(1)} ms`;
  return align([
    ["nodes of the network, changes", `${figures.nodes}, ${figures.changes}`],
    ["added until the last node's event, median", ms(figures.medianMs)],
    ["  p99", ms(figures.p99Ms)],
    ["  the first after the start", ms(figures.firstMs)],
    ["  until the new node is told", ms(figures.toldMs)],
    ["  from its key to its answer", ms(figures.answerMs)],
    ["  from its key to the last event", ms(figures.deliveredMs)],
    ["events of one change", `${(figures.eventBytes / 1024).toFixed(0)} KiB`],
  ]);
}
