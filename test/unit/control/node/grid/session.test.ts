/** The node at its registry: let in or not, differences and resets, deletion, an older registry. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../../../../../src/control/linux/clock.ts";
import { until } from "../../../../../src/control/linux/command.ts";
import type { NetworkResource } from "../../../../../src/control/model/network-resource.ts";
import { Session } from "../../../../../src/control/node/grid/session.ts";
import { speechOf } from "../../../../../src/control/node/grid/speech.ts";
import {
  type Desired,
  type RegistryClient,
  type RegistryEvent,
  RegistryFault,
  type RotationTask,
} from "../../../../../src/control/registry/client.ts";

/** Nobody waits for longer than this. */
const HASTE_MS = 10;
const clock: Clock = {
  now: () => performance.now(),
  wait: (ms) => sleep(Math.min(ms, HASTE_MS)),
  random: () => 0,
};

function network(id: string, revision: number): NetworkResource {
  return {
    ...{ id, name: id, owner: "u", range: "10.1.0.0/16", subnet: "10.1.1.0/24", revision },
    ...{ tunnelAddresses: [], internet: true, lan: [], listenPort: 2_000, peers: [] },
  };
}

let server: Server;
let url = "";
let answer: { status: number; body: string } = { status: 200, body: "{}" };
const V2 = JSON.stringify({ paths: { "/api/v2/nodes": {} } });
beforeEach(async () => {
  answer = { status: 200, body: V2 };
  server = createServer((_request, response) => {
    response.writeHead(answer.status).end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

/** A registry that is asked by the client's methods. */
class Registry {
  state: "pending" | "approved" | "deleted" | undefined;
  token = "good";
  newest = 0;
  networks: NetworkResource[] = [];
  rotations: RotationTask[] = [];
  readonly asked: string[] = [];
  readonly changed: string[][] = [];
  readonly logged: string[] = [];
  deleted = 0;
  approved = 0;
  /** An answer that was given is on its way for so long. */
  onItsWay: Promise<void> = Promise.resolve();
  #events: RegistryEvent[] = [];
  readonly session: Session;

  constructor(tokenFile?: string) {
    const fake = {
      keyId: "KEYKEYKEYKEY",
      register: async ({ token }: { token?: string }) => {
        this.asked.push(`register ${token ?? "without token"}`);
        if (this.state === "deleted") throw new RegistryFault("forbidden", "it was deleted");
        if (token !== undefined && token !== this.token) {
          throw new RegistryFault("forbidden", "the token is spent");
        }
        this.state ??= token === undefined ? "pending" : "approved";
        return { state: this.state };
      },
      node: async () => {
        if (this.state === undefined) throw new RegistryFault("missing", "there is no node");
        return { state: this.state };
      },
      desired: async (since?: number): Promise<Desired> => {
        this.#refuse();
        this.asked.push(`desired ${since ?? "whole"}`);
        const { newest: revision, networks, rotations } = this;
        await this.onItsWay;
        return { revision, isWhole: since === undefined, networks, removed: [], rotations };
      },
      heartbeat: async () => {
        this.#refuse();
        return { revision: this.newest };
      },
      events: (signal: AbortSignal) => this.#stream(signal),
    };
    this.session = new Session({
      ...{ client: () => fake as unknown as RegistryClient, url, farm: 1, tokenFile, clock },
      log: (_level, text) => this.logged.push(text),
      onChange: (ids) => this.changed.push([...ids]),
      onApproved: () => {
        this.approved += 1;
      },
      onReconnect: () => undefined,
      onDeleted: () => {
        this.deleted += 1;
      },
    });
  }

  tell(event: RegistryEvent): void {
    this.#events.push(event);
  }

  #refuse(): void {
    if (this.state !== "approved") throw new RegistryFault("forbidden", "not for this node");
  }

  async *#stream(signal: AbortSignal): AsyncGenerator<RegistryEvent> {
    while (!signal.aborted) {
      const event = this.#events.shift();
      if (event === undefined) await sleep(5);
      else yield event;
    }
  }
}

async function approved(): Promise<Registry> {
  const registry = new Registry();
  registry.state = "approved";
  registry.newest = 10;
  registry.networks = [network("x", 3)];
  registry.session.start();
  await until("it takes part", () => registry.approved === 1);
  expect(registry.asked).toEqual(["register without token", "desired whole"]);
  return registry;
}

describe("a session", () => {
  it("waits for approval without a token, then takes part; a lost node registers anew", async () => {
    const registry = new Registry();
    registry.session.start();
    await until("it waits", () => registry.session.state === "pending");
    expect([registry.session.why, registry.approved]).toEqual([
      ...["waits for its farmer's approval", 0],
    ]);
    registry.state = "approved";
    await until("it takes part", () => registry.approved === 1);
    registry.state = undefined;
    await until("it registers again", () => registry.session.state === "pending");
    await registry.session.stop();
    expect(registry.deleted).toBe(0);
  });

  it("a difference on another base, and a reset, have it ask for what it lacks", async () => {
    const registry = await approved();
    registry.newest = 12;
    const body = { base: 7, resource: network("x", 8), set: [], remove: [] };
    registry.tell({ kind: "plan", subject: "x", revision: 11, body });
    await until("it asks", () => registry.asked.at(-1) === "desired 10");
    expect(registry.session.wanted.revision).toBe(12);
    registry.newest = 20;
    registry.tell({ kind: "reset", revision: 20 });
    await until("it asks for all", () => registry.asked.at(-1) === "desired whole");
    const good = { base: 3, resource: network("x", 4), set: [], remove: [] };
    const asked = registry.asked.length;
    registry.tell({ kind: "plan", subject: "x", revision: 21, body: good });
    await until("it follows", () => registry.session.wanted.get("x")?.revision === 4);
    expect(registry.asked.length).toBe(asked);
    expect(registry.changed).toEqual([["x"], ["x"], ["x"], ["x"]]);
    await registry.session.stop();
  });

  it("tasks of rotations come by the stream and with each answer; what an answer has overtaken changes nothing", async () => {
    const registry = await approved();
    const { wanted } = registry.session;
    const task = { kind: "make", network: "x", isKey: true } as const;
    registry.tell({ kind: "rotation", subject: "x", revision: 9, body: { tasks: [] } });
    registry.tell({ kind: "rotation", subject: "x", revision: 11, body: { tasks: [task] } });
    await until("it knows", () => wanted.tasks("x").length === 1);
    expect([wanted.revision, registry.changed]).toEqual([11, [["x"], ["x"]]]);
    registry.newest = 20;
    registry.rotations = [{ ...task, network: "y" }];
    registry.session.doubt();
    await until("it asks", () => registry.asked.at(-1) === "desired 11");
    await until("it knows the others", () => wanted.tasks("y").length === 1);
    expect([wanted.tasks("x"), wanted.allTasks()]).toEqual([[], registry.rotations]);
    expect(registry.changed.at(-1)).toEqual(["x", "y"]);
    registry.tell({ kind: "rotation", subject: "y", revision: 19, body: { tasks: [] } });
    registry.tell({ kind: "rotation", subject: "z", revision: 21, body: { tasks: [] } });
    await until("it follows", () => wanted.revision === 21);
    expect(wanted.tasks("y")).toHaveLength(1);
    // Out of a network: nothing is asked for there.
    const gone = { base: 0, resource: undefined, set: [], remove: [] };
    registry.tell({ kind: "plan", subject: "y", revision: 22, body: gone });
    await until("it follows", () => wanted.revision === 22);
    expect(wanted.allTasks()).toEqual([]);
    await registry.session.stop();
  });

  it("an answer that the stream has overtaken brings nothing old back", async () => {
    const registry = await approved();
    let arrive = (): void => undefined;
    registry.onItsWay = new Promise((resolve) => {
      arrive = resolve;
    });
    registry.newest = 12;
    registry.networks = [network("x", 4)];
    registry.session.doubt();
    await until("it asks", () => registry.asked.at(-1) === "desired 10");
    const body = { base: 3, resource: network("x", 5), set: [], remove: [] };
    registry.newest = 13;
    registry.tell({ kind: "plan", subject: "x", revision: 13, body });
    await until("it follows", () => registry.session.wanted.get("x")?.revision === 5);
    registry.networks = [network("x", 5)];
    registry.onItsWay = Promise.resolve();
    arrive();
    await until("it asks again", () => registry.asked.at(-1) === "desired 13");
    expect(registry.session.wanted.get("x")?.revision).toBe(5);
    await registry.session.stop();
  });

  it("what the stream did not bring, the heartbeat shows; a doubt is asked about at once", async () => {
    const registry = await approved();
    registry.newest = 15;
    await until("it asks", () => registry.asked.at(-1) === "desired 10");
    await until("it has it", () => registry.session.lag === 0);
    registry.session.doubt();
    await until("it asks again", () => registry.asked.at(-1) === "desired 15");
    await registry.session.stop();
  });

  it("a deleted node hears it once, and asks no more", async () => {
    const registry = await approved();
    registry.state = "deleted";
    await until("it knows", () => registry.session.state === "deleted");
    expect([registry.deleted, registry.session.wanted.ids()]).toEqual([1, []]);
    const asked = registry.asked.length;
    await sleep(20 * HASTE_MS);
    expect(registry.asked.length).toBe(asked);
    await registry.session.stop();
  });

  it("a token file that is not there is said, and it waits for approval", async () => {
    const registry = new Registry("/nowhere/token");
    registry.session.start();
    await until("it waits", () => registry.session.state === "pending");
    expect(registry.logged.join()).toMatch(/\/nowhere\/token can't be read \(ENOENT\)/);
    await registry.session.stop();
  });

  it("with an older registry it is not in a grid, and takes nothing away", async () => {
    answer = { status: 404, body: "no" };
    const registry = new Registry();
    registry.session.start();
    await until("it knows", () => registry.session.state === "old");
    expect([registry.asked, registry.changed, registry.deleted]).toEqual([[], [], 0]);
    await registry.session.stop();
  });
});

describe("the registry's speech", () => {
  it.each([
    [200, V2, "v2"],
    [200, "{}", "old"],
    [200, "<html>", "old"],
    [200, "null", "old"],
    [404, "", "old"],
  ] as const)("%d with %s is %s", async (status, body, speech) => {
    answer = { status, body };
    expect(await speechOf({ url }, new AbortController().signal)).toBe(speech);
  });

  it.each([502, 503, 429])("%d says nothing of it", async (status) => {
    answer = { status, body: "" };
    await expect(speechOf({ url }, new AbortController().signal)).rejects.toThrow(
      `status ${status}`,
    );
  });
});
