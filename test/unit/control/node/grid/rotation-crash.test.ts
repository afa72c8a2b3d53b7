/**
 * A rotation on a node that dies at any step: before or after each write to the disk and each request to the registry, with the answer lost.
 * The state on the disk is real, so are the node's decisions and the registry's; what happens between them is played.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DesiredNetwork } from "../../../../../src/control/model/desired-state.ts";
import type { NetworkResource } from "../../../../../src/control/model/network-resource.ts";
import { RefusedError } from "../../../../../src/control/model/problem.ts";
import { freshKey } from "../../../../../src/control/node/fresh-key.ts";
import { type Carrier, Participation } from "../../../../../src/control/node/grid/participation.ts";
import { type GridNetwork, gridNetworkOf } from "../../../../../src/control/node/grid/source.ts";
import { type NextStep, portsOf, withStep } from "../../../../../src/control/node/next-keys.ts";
import { PortTakenError } from "../../../../../src/control/node/ports.ts";
import { Store } from "../../../../../src/control/node/store.ts";
import { publicKeyOf } from "../../../../../src/control/node/view.ts";
import {
  RegistryFault,
  type RotationTask,
  type SealedKey,
} from "../../../../../src/control/registry/client.ts";
import {
  step as advance,
  isLive,
  type Rotation,
  type RotationEvent,
} from "../../../../../src/control/registry/rotation.ts";

const ID = "x";
const NETWORK: NetworkResource = {
  ...{ id: ID, name: "x", owner: "u", range: "10.1.0.0/16", subnet: "10.1.1.0/24", revision: 1 },
  ...{ tunnelAddresses: ["100.64.1.1/32"], internet: true, lan: [], peers: [] },
};
const OLD_PORT = 2_000;
const NEW_PORT = 3_000;

/** Ends the node before, or after, one of its effects. */
class Fate {
  count = 0;
  readonly #at: number;
  readonly #onDeath: () => void;
  isDead = false;

  constructor(at: number, onDeath: () => void) {
    this.#at = at;
    this.#onDeath = onDeath;
  }

  async effect<Result>(work: () => Result | Promise<Result>): Promise<Result> {
    this.#pass();
    const result = await work();
    this.#pass();
    return result;
  }

  #pass(): void {
    if (this.isDead) throw new Error("dead");
    if (this.count++ !== this.#at) return;
    this.isDead = true;
    this.#onDeath();
    throw new Error("dead");
  }
}

/** The registry's half as far as one node sees it: the steps are the real ones. */
class Registry {
  member: { publicKey: string | undefined; port: number } = {
    publicKey: undefined,
    port: OLD_PORT,
  };
  rotation: Rotation | undefined;
  sealed: SealedKey | undefined;
  revision = 1;
  #port = NEW_PORT;

  begin(isKey: boolean, isPort: boolean): void {
    this.rotation = {
      ...{ phase: "making", isKey, publicKey: null, port: isPort ? this.#port : null },
      ...{ waits: {}, seenBy: [], reason: "" },
    };
  }

  happen(event: RotationEvent): void {
    if (this.rotation === undefined) throw new RegistryFault("missing", "no rotation");
    const before = this.rotation;
    try {
      this.rotation = advance(before, event);
    } catch (error) {
      throw new RegistryFault("conflict", (error as Error).message);
    }
    this.revision += 1;
    const { phase, publicKey, port } = this.rotation;
    if (phase !== "done" || before.phase === "done") return;
    this.member = { publicKey: publicKey ?? this.member.publicKey, port: port ?? this.member.port };
  }

  plan(): NetworkResource {
    const { phase, port } = this.rotation ?? {};
    const listenPort = phase === "switching" ? (port ?? this.member.port) : this.member.port;
    return { ...NETWORK, revision: this.revision, listenPort };
  }

  tasks(): RotationTask[] {
    if (this.rotation === undefined || !isLive(this.rotation)) return [];
    const { phase, isKey, publicKey, port } = this.rotation;
    const newPort = port === null ? {} : { port };
    const newKey = publicKey === null ? {} : { publicKey };
    const sealedKey = this.sealed === undefined || !isKey ? {} : { sealedKey: this.sealed };
    if (phase === "making") return [{ kind: "make", network: ID, isKey, ...newPort, ...sealedKey }];
    return [
      { kind: phase === "spreading" ? "keep" : "switch", network: ID, ...newKey, ...newPort },
    ];
  }

  /** As `participation.ts` of the registry has it. */
  join(publicKey: string, port: number): void {
    const { member, rotation } = this;
    const isUnderWay = rotation !== undefined && isLive(rotation);
    const newKey = (isUnderWay ? rotation.publicKey : null) ?? member.publicKey;
    const newPort = (isUnderWay ? rotation.port : null) ?? member.port;
    const isOld = publicKey === member.publicKey && port === member.port;
    if (publicKey === newKey && port === newPort && !isOld && rotation?.phase !== "making") {
      this.happen({ kind: "joined" });
      return;
    }
    if (member.port !== port) throw new RegistryFault("conflict", `${member.port} is the port`);
    if (member.publicKey === publicKey) return;
    if (isUnderWay) this.happen({ kind: "ended", reason: "another key" });
    this.member = { publicKey, port };
  }

  answer({ publicKey, port }: { publicKey?: string; port?: number }): void {
    if ((port ?? null) !== this.rotation?.port) throw new RegistryFault("conflict", "the port");
    this.happen({ kind: "made", publicKey });
    // The one peer.
    this.happen({ kind: "spread", waits: { peer: 7 } });
  }

  refusePort(port: number): number {
    if (this.rotation?.phase !== "making" || this.rotation.port !== port) {
      throw new RegistryFault("missing", "not leased");
    }
    this.#port += 1;
    this.rotation = { ...this.rotation, port: this.#port };
    return this.#port;
  }
}

/** One life of the node, from what is on the disk. */
class Life {
  readonly fate: Fate;
  readonly participation: Participation;
  readonly #store: Store;
  readonly #networks = new Map<string, DesiredNetwork>();
  readonly #registry: Registry;

  constructor(folder: string, registry: Registry, fate: Fate, takenPorts: ReadonlySet<number>) {
    this.fate = fate;
    this.#registry = registry;
    this.#store = new Store(folder);
    const { networks, complaints } = this.#store.load();
    expect(complaints).toEqual([]);
    for (const network of networks) this.#networks.set(network.resource.id, network);
    const save = async (after: DesiredNetwork): Promise<void> => {
      const before = this.#networks.get(ID);
      const had = before === undefined ? [] : portsOf(before);
      const taken = portsOf(after).find((port) => takenPorts.has(port) && !had.includes(port));
      if (taken !== undefined) throw new PortTakenError(taken, `${taken} is in use`);
      await fate.effect(() => this.#store.saveNetwork(after));
      this.#networks.set(ID, after);
    };
    const carrier: Carrier = {
      apply: async (value) => {
        const resource = value as NetworkResource;
        const before = this.#networks.get(ID);
        const privateKey = resource.privateKey ?? before?.resource.privateKey ?? freshKey();
        const listenPort = resource.listenPort ?? 0;
        const next = before?.next === undefined ? {} : { next: before.next };
        await save({
          resource: { ...resource, privateKey, listenPort },
          ...{ exitIndex: 2, workloads: [], isOfGrid: true, ...next },
        });
        const { id, name, owner, revision } = resource;
        const publicKey = publicKeyOf(privateKey);
        return { id, name, owner, revision, publicKey, listenPort, workloads: 0, problem: null };
      },
      rotate: async (_id, step: NextStep) => {
        const before = this.#networks.get(ID)!;
        const after = withStep(before, step);
        if (after !== before) await save(after);
      },
      remove: async () => {
        throw new Error("nobody removes it");
      },
      ofGrid: () => this.all(),
    };
    const asked = <Arguments extends readonly unknown[], Result>(
      work: (...args: Arguments) => Result,
    ): ((...args: Arguments) => Promise<Result>) => {
      return (...args) => fate.effect(() => work(...args));
    };
    this.participation = new Participation({
      networks: carrier,
      client: {
        join: asked((_id, { publicKey, port }) => registry.join(publicKey, port)),
        answerRotation: asked((_id, { publicKey, port }) =>
          registry.answer({
            ...(publicKey === undefined ? {} : { publicKey }),
            ...(port === undefined ? {} : { port }),
          }),
        ),
        switchedRotation: asked(() => registry.happen({ kind: "switched" })),
        refuseRotation: asked((_id, reason) => registry.happen({ kind: "ended", reason })),
        reportRotation: async () => undefined,
        refuseLease: asked((port) => ({
          ...{ node: "n", port: registry.refusePort(port), holder: "h", owner: 1 },
          ...{ expires: null, state: "offered" as const },
        })),
      },
      wanted: () => registry.plan(),
      tasks: () => registry.tasks(),
      openKey: (_id, { box }) => {
        if (box === "") throw new RefusedError("invalid", "it can't be opened");
        return box;
      },
      onDoubt: () => undefined,
      log: (_level, text) => expect(text).not.toMatch(/[A-Za-z0-9+/]{42,}=/),
    });
  }

  all(): readonly GridNetwork[] {
    return [...this.#networks.values()].flatMap((network) => gridNetworkOf(network, undefined));
  }

  /** Until nothing is left to do, or it is dead. The peer confirms as soon as it can. */
  async live(): Promise<void> {
    for (let round = 0; round < 8 && !this.fate.isDead; round++) {
      await this.participation.follow([ID]);
      const { phase } = this.#registry.rotation ?? {};
      if (phase === "spreading" && !this.fate.isDead) {
        this.#registry.happen({ kind: "confirmed", node: "peer", revision: 7 });
      }
    }
    await this.participation.stop();
  }
}

interface Story {
  readonly isKey?: boolean;
  readonly isPort?: boolean;
  readonly taken?: readonly number[];
  readonly sealed?: SealedKey;
  /** While the node is dead. */
  readonly meanwhile?: (registry: Registry) => void;
}

interface Ending {
  readonly registry: Registry;
  readonly steps: number;
  /** As the registry knew the node before. */
  readonly before: Registry["member"];
}

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "wirehaul-crash-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function play(at: number, story: Story): Promise<Ending> {
  const { isKey = true, isPort = true, taken = [], meanwhile } = story;
  const state = join(folder, `${at}`);
  const registry = new Registry();
  const ports = new Set(taken);
  const never = new Fate(-1, () => undefined);
  await new Life(state, registry, never, ports).live();
  const before = registry.member;
  registry.sealed = story.sealed;
  registry.begin(isKey, isPort);
  const fate = new Fate(at, () => meanwhile?.(registry));
  await new Life(state, registry, fate, ports).live();
  const last = new Life(state, registry, new Fate(-1, () => undefined), ports);
  await last.live();
  const [own, ...others] = last.all();
  expect(others).toEqual([]);
  // Whatever has happened: both know the same, and nothing is left of it.
  expect(own).toMatchObject({
    ...{ publicKey: registry.member.publicKey, problem: undefined },
    resource: { listenPort: registry.member.port },
  });
  expect(own).not.toHaveProperty("next");
  expect(last.participation.problems).toEqual([]);
  return { registry, steps: fate.count, before };
}

/** All points at which it can die, and none. */
async function playAll(story: Story, look: (ending: Ending, at: number) => void): Promise<void> {
  const { steps } = await play(-1, story);
  expect(steps).toBeGreaterThan(10);
  for (let at = 0; at < steps; at++) look(await play(at, story), at);
}

describe("a node that dies in the middle of a rotation", () => {
  it.each<readonly [string, Story, number]>([
    ["of both", {}, NEW_PORT],
    ["of the key", { isPort: false }, OLD_PORT],
    ["of the port", { isKey: false }, NEW_PORT],
    ["with a port that is taken", { taken: [NEW_PORT] }, NEW_PORT + 1],
  ])("%s goes on with it", async (_name, story, port) => {
    await playAll(story, ({ registry, before }, at) => {
      expect(registry.rotation?.phase, `step ${at}`).toBe("done");
      expect(registry.member.port).toBe(port);
      if (story.isKey === false) expect(registry.member.publicKey).toBe(before.publicKey);
      else expect(registry.member.publicKey).not.toBe(before.publicKey);
    });
  });

  it("to a user's key has that one", async () => {
    const box = freshKey();
    const sealed = { publicKey: publicKeyOf(box), box };
    await playAll({ sealed, isPort: false }, ({ registry }, at) => {
      expect(registry.rotation?.phase, `step ${at}`).toBe("done");
      expect(registry.member.publicKey).toBe(sealed.publicKey);
    });
  });

  it("and finds it ended has the old ones, or the new key where it has switched", async () => {
    const ends = new Set<string>();
    const end = (registry: Registry): void =>
      registry.happen({ kind: "ended", reason: "its owner has ended it" });
    await playAll({ meanwhile: end }, ({ registry, before }) => {
      const { phase } = registry.rotation!;
      const isNew = registry.member.publicKey !== before.publicKey;
      ends.add(`${phase}, ${isNew ? "new" : "old"} key, port ${registry.member.port}`);
    });
    expect([...ends].sort()).toEqual([
      `done, new key, port ${NEW_PORT}`,
      `undone, new key, port ${OLD_PORT}`,
      `undone, old key, port ${OLD_PORT}`,
    ]);
  });
});

it("a box that is not the node's is refused, and nothing has changed", async () => {
  const registry = new Registry();
  const life = new Life(folder, registry, new Fate(-1, () => undefined), new Set());
  await life.participation.follow([ID]);
  const { publicKey } = registry.member;
  registry.sealed = { publicKey: publicKeyOf(freshKey()), box: "" };
  registry.begin(true, false);
  await life.live();
  expect(registry.rotation).toMatchObject({ phase: "undone" });
  expect(registry.member).toEqual({ publicKey, port: OLD_PORT });
});
