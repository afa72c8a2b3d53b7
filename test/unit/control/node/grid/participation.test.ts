/** Networks made as the registry wants them: joining, refusing ports, trying again, leaving local ones alone. */
import { describe, expect, it } from "vitest";
import { until } from "../../../../../src/control/linux/command.ts";
import type { NetworkResource } from "../../../../../src/control/model/network-resource.ts";
import { RefusedError } from "../../../../../src/control/model/problem.ts";
import { Participation } from "../../../../../src/control/node/grid/participation.ts";
import type { GridNetwork } from "../../../../../src/control/node/grid/source.ts";
import { PortTakenError } from "../../../../../src/control/node/ports.ts";
import {
  type NodePart,
  RegistryFault,
  type RotationTask,
} from "../../../../../src/control/registry/client.ts";

const NETWORK: NetworkResource = {
  ...{ id: "x", name: "x", owner: "u", range: "10.1.0.0/16", subnet: "10.1.1.0/24", revision: 1 },
  ...{ tunnelAddresses: ["100.64.1.1/32"], internet: true, lan: [], listenPort: 2_000, peers: [] },
};

class Scene {
  readonly wanted = new Map<string, NodePart>([["x", NETWORK]]);
  readonly stored = new Map<string, GridNetwork>();
  readonly done: string[] = [];
  readonly logged: string[] = [];
  readonly privateKeys: (string | undefined)[] = [];
  tasks: RotationTask[] = [];
  takenPort = 0;
  switchFault: Error | undefined;
  joinFault: Error | undefined;
  applyFault: Error | undefined;
  doubts = 0;
  readonly participation: Participation;

  constructor() {
    this.participation = new Participation({
      networks: {
        apply: async (value, isOfGrid) => {
          const resource = value as NetworkResource;
          expect(isOfGrid).toBe(true);
          this.done.push(`apply ${resource.id} ${resource.listenPort}`);
          this.privateKeys.push(resource.privateKey);
          expect(resource).not.toHaveProperty("sealedKey");
          if (this.applyFault !== undefined) throw this.applyFault;
          if (resource.listenPort === this.takenPort) {
            throw new PortTakenError(this.takenPort, `the listen port ${this.takenPort} is in use`);
          }
          this.stored.set(resource.id, { resource, publicKey: "key", problem: undefined });
          const { id, name, owner, revision, listenPort = 0 } = resource;
          return { ...{ id, name, owner, revision, listenPort }, ...REST };
        },
        remove: async (id) => {
          this.done.push(`remove ${id}`);
          this.stored.delete(id);
        },
        rotate: async (id, { kind }) => {
          this.done.push(`${kind} ${id}`);
          const { next, ...stored } = this.stored.get(id)!;
          if (kind !== "use") return;
          const resource = { ...stored.resource, listenPort: next?.listenPort ?? 0 };
          this.stored.set(id, { ...stored, resource });
        },
        ofGrid: () => [...this.stored.values()],
      },
      client: {
        join: async (id, { publicKey, port }) => {
          this.done.push(`join ${id} ${publicKey} ${port}`);
          if (this.joinFault !== undefined) throw this.joinFault;
        },
        answerRotation: async () => undefined,
        switchedRotation: async (id) => {
          this.done.push(`switched ${id}`);
          if (this.switchFault !== undefined) throw this.switchFault;
        },
        refuseRotation: async (_id, reason) => void this.done.push(`refuse: ${reason}`),
        reportRotation: async (id, node, { revision }) =>
          void this.done.push(`confirm ${id} ${node} ${revision}`),
        refuseLease: async (port) => {
          this.done.push(`refuse ${port}`);
          return LEASE;
        },
      },
      wanted: (id) => this.wanted.get(id),
      tasks: () => this.tasks,
      openKey: (network, { box }) => {
        if (box === "") throw new RefusedError("invalid", `the sealed key of ${network}`);
        return "the opened key";
      },
      onDoubt: () => {
        this.doubts += 1;
      },
      log: (_level, text) => this.logged.push(text),
    });
  }
}

const REST = { publicKey: "key", workloads: 0, problem: null };
const LEASE = {
  ...{ node: "n", port: 2_001, holder: "network:x", owner: 1, expires: null },
  state: "offered" as const,
};

describe("participation", () => {
  it("applies and joins once; what is as wanted is not touched again", async () => {
    const scene = new Scene();
    await scene.participation.follow(["x", "x"]);
    await scene.participation.follow(["x"]);
    expect(scene.done).toEqual(["apply x 2000", "join x key 2000"]);
    expect(scene.participation.problems).toEqual([]);
    scene.participation.forget();
    await scene.participation.follow(["x"]);
    expect(scene.done.slice(2)).toEqual(["join x key 2000"]);
    await scene.participation.stop();
  });

  it("a port that is taken here is refused, and the next lease is taken", async () => {
    const scene = new Scene();
    scene.takenPort = 2_000;
    await scene.participation.follow(["x"]);
    expect(scene.done).toEqual(["apply x 2000", "refuse 2000"]);
    expect(scene.doubts).toBe(1);
    expect(scene.participation.problems).toMatchObject([{ network: "x" }]);
    scene.wanted.set("x", { ...NETWORK, revision: 2, listenPort: 2_001 });
    await scene.participation.follow(["x"]);
    expect(scene.done.slice(2)).toEqual(["apply x 2001", "join x key 2001"]);
    expect(scene.participation.problems).toEqual([]);
    await scene.participation.stop();
  });

  it("a key that a user has sealed is the first one of a network, and no part of what is applied", async () => {
    const scene = new Scene();
    scene.wanted.set("x", { ...NETWORK, sealedKey: { publicKey: "key", box: "" } });
    await scene.participation.follow(["x"]);
    expect(scene.done).toEqual([]);
    expect(scene.participation.problems).toMatchObject([{ problem: "the sealed key of x" }]);
    scene.wanted.set("x", { ...NETWORK, sealedKey: { publicKey: "key", box: "b" } });
    await scene.participation.follow(["x"]);
    expect(scene.done).toEqual(["apply x 2000", "join x key 2000"]);
    expect(scene.privateKeys).toEqual(["the opened key"]);
    scene.wanted.set("x", {
      ...{ ...NETWORK, revision: 2, internet: false },
      sealedKey: { publicKey: "another", box: "b" },
    });
    await scene.participation.follow(["x"]);
    expect(scene.privateKeys.slice(1)).toEqual([undefined]);
    await scene.participation.stop();
  });

  it("a network that is not wanted goes; another owner's is made anew, with nothing of the old one", async () => {
    const scene = new Scene();
    await scene.participation.follow(["x"]);
    scene.wanted.set("x", { ...NETWORK, owner: "somebody else" });
    await scene.participation.follow(["x"]);
    scene.wanted.clear();
    await scene.participation.follow(["x", "never heard of"]);
    expect(scene.done.slice(2)).toEqual(["remove x", "apply x 2000", "remove x"]);
    await scene.participation.stop();
  });

  it("what fails is tried again by itself, said once, and stops nothing else", async () => {
    const scene = new Scene();
    scene.wanted.set("y", { ...NETWORK, id: "y", listenPort: 2_005 });
    scene.applyFault = new RefusedError("conflict", "network x was made on this node");
    await scene.participation.follow(["x"]);
    scene.applyFault = undefined;
    await scene.participation.follow(["y"]);
    expect(scene.participation.problems).toEqual([
      { network: "x", problem: "network x was made on this node" },
    ]);
    expect(scene.logged).toHaveLength(1);
    await until("it was tried again", () => scene.participation.problems.length === 0);
    expect(scene.done).toEqual([
      ...["apply x 2000", "apply y 2005", "join y key 2005"],
      ...["apply x 2000", "join x key 2000"],
    ]);
    await scene.participation.stop();
  });

  it("a registry that is away costs the joining only, which is made up for when it is back", async () => {
    const scene = new Scene();
    scene.joinFault = new RegistryFault("unreachable", "nobody there");
    await scene.participation.follow(["x"]);
    expect(scene.stored.has("x")).toBe(true);
    scene.joinFault = undefined;
    await scene.participation.again();
    expect(scene.done).toEqual(["apply x 2000", "join x key 2000", "join x key 2000"]);
    expect(scene.doubts).toBe(0);
    scene.joinFault = new RegistryFault("conflict", "another port is the node's");
    scene.participation.forget();
    await scene.participation.follow(["x"]);
    expect(scene.doubts).toBe(1);
    await scene.participation.stop();
  });

  it("others' rotations are confirmed once the plan is in force, and not before", async () => {
    const scene = new Scene();
    scene.tasks = [{ kind: "confirm", network: "x", node: "n", revision: 2 }];
    await scene.participation.follow(["x"]);
    scene.wanted.set("x", { ...NETWORK, revision: 2 });
    scene.applyFault = new Error("no");
    await scene.participation.follow(["x"]);
    scene.applyFault = undefined;
    await scene.participation.follow(["x"]);
    expect(scene.done).toEqual([
      ...["apply x 2000", "join x key 2000"],
      ...["apply x 2000", "apply x 2000", "confirm x n 2"],
    ]);
    await scene.participation.stop();
  });

  it("a plan is put in force although the registry does not hear that the node has switched", async () => {
    const scene = new Scene();
    await scene.participation.follow(["x"]);
    const next = { publicKey: undefined, listenPort: 3_000 };
    scene.stored.set("x", { ...scene.stored.get("x")!, next });
    // The plan comes first, and its port waits.
    scene.tasks = [{ kind: "keep", network: "x", port: 3_000 }];
    scene.wanted.set("x", { ...NETWORK, revision: 2, listenPort: 3_000 });
    await scene.participation.follow(["x"]);
    scene.stored.set("x", { ...scene.stored.get("x")!, next });
    scene.tasks = [{ kind: "switch", network: "x", port: 3_000 }];
    scene.wanted.set("x", { ...NETWORK, revision: 3, listenPort: 3_000 });
    scene.switchFault = new RegistryFault("unreachable", "nobody there");
    await scene.participation.follow(["x"]);
    expect(scene.done.slice(2)).toEqual([
      ...["apply x 2000", "use x", "switched x", "apply x 3000", "join x key 3000"],
    ]);
    expect(scene.participation.problems).toMatchObject([{ problem: "nobody there" }]);
    scene.switchFault = undefined;
    await scene.participation.follow(["x"]);
    expect(scene.done.slice(7)).toEqual(["switched x", "settle x"]);
    expect(scene.participation.problems).toEqual([]);
    await scene.participation.stop();
  });

  it("without a leased port nothing is made", async () => {
    const scene = new Scene();
    const { listenPort: _port, ...rest } = NETWORK;
    scene.wanted.set("x", rest);
    await scene.participation.follow(["x"]);
    expect(scene.done).toEqual([]);
    expect(scene.participation.problems[0]?.problem).toMatch(/leased no port/);
    await scene.participation.stop();
  });
});
