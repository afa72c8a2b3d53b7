/**
 * Rotations in the store: each event is one transaction under the network's lock, ends in plans and in what nodes have to do, and leaves
 * everything in the database, so that another registry, or this one after a restart, goes on with it. What may happen is `rotation.ts`.
 */
import { RefusedError } from "../model/problem.ts";
import { type Actor, needNode, needOwner } from "./actor.ts";
import { renameKey } from "./health/links.ts";
import { partsOf } from "./kept-plans.ts";
import { confirmPort, takePort } from "./leases.ts";
import { lockNetwork, type PlanNetwork, replan } from "./planning.ts";
import { isLive, type Rotation, type RotationEvent, type RotationPhase, step } from "./rotation.ts";
import { tell } from "./rotation-tasks.ts";
import type { Queries } from "./store/database.ts";
import type { Store, Write } from "./store/store.ts";

/** Ours: of each phase. A node that is there takes seconds; in this time one reboots. */
const PHASE_S = 600;

export interface RotationWish {
  readonly key: boolean;
  readonly port: boolean;
}

export interface RotationView {
  readonly network: string;
  readonly node: string;
  readonly phase: RotationPhase;
  readonly isKey: boolean;
  readonly publicKey: string | null;
  readonly port: number | null;
  /** Peers that have not confirmed. */
  readonly waitsFor: readonly string[];
  readonly seenBy: readonly string[];
  readonly reason: string;
  readonly started: Date;
  readonly deadline: Date;
  /** Clients that come in at this node: their files have to be made again. */
  readonly clients: readonly string[];
}

interface Row extends Rotation {
  readonly network: string;
  readonly node: string;
  readonly started: Date;
  readonly deadline: Date;
}

const ROW = `network, node, phase, is_key as "isKey", public_key as "publicKey", port, waits, seen_by as "seenBy",
  reason, started, deadline`;

export interface Place {
  readonly network: string;
  readonly node: string;
}

async function ownerOf(queries: Queries, actor: Actor, network: string): Promise<number> {
  const [row] = await queries.rows<{ owner: number }>("select owner from networks where id = $1", [
    network,
  ]);
  needOwner(actor, row?.owner ?? -1, `network ${network}`);
  if (row === undefined) throw new RefusedError("missing", `there is no network ${network}`);
  return row.owner;
}

async function read(queries: Queries, { network, node }: Place): Promise<Row | undefined> {
  const [row] = await queries.rows<Row>(
    `select ${ROW} from rotations where network = $1 and node = $2`,
    [network, node],
  );
  return row;
}

async function viewOf(queries: Queries, place: Place): Promise<RotationView> {
  const row = await read(queries, place);
  if (row === undefined) {
    throw new RefusedError(
      "missing",
      `node ${place.node} has no rotation in network ${place.network}`,
    );
  }
  const clients = await queries.rows<{ name: string }>(
    "select name from network_clients where network = $1 and access = $2 order by name",
    [place.network, place.node],
  );
  const { waits, ...rest } = row;
  return {
    ...rest,
    waitsFor: Object.keys(waits).sort(),
    clients: clients.map(({ name }) => name),
  };
}

/** The last one of a node in a network, under way or over. */
export async function showRotation(
  store: Store,
  actor: Actor,
  place: Place,
): Promise<RotationView> {
  await ownerOf(store.database, actor, place.network);
  return await viewOf(store.database, place);
}

export async function startRotation(
  store: Store,
  actor: Actor,
  place: Place,
  wish: RotationWish,
): Promise<RotationView> {
  await store.write({ actor: actor.keyId, action: "network.rotate" }, async (write) => {
    await lockNetwork(write, place.network);
    const owner = await ownerOf(write, actor, place.network);
    const [sealed] = await write.rows(
      "select 1 from sealed_keys where network = $1 and node = $2",
      [place.network, place.node],
    );
    if (wish.key && sealed !== undefined) {
      throw new RefusedError(
        "conflict",
        "the key was brought by you: bring another, or take it back (sealed-key)",
      );
    }
    await begin(write, place, owner, wish);
  });
  return await viewOf(store.database, place);
}

/** Asks the node for a key or a port; the lock and the right to do so are the caller's. */
export async function begin(
  write: Write,
  { network, node }: Place,
  owner: number,
  { key, port }: RotationWish,
): Promise<void> {
  const [member] = await write.rows<{ is_ready: boolean | null }>(
    `select m.public_key is not null and l.state = 'confirmed' as is_ready from network_nodes m
     left join port_leases l on l.node = m.node and l.port = m.port where m.network = $1 and m.node = $2`,
    [network, node],
  );
  if (member === undefined) {
    throw new RefusedError("missing", `node ${node} is not in network ${network}`);
  }
  if (member.is_ready !== true) {
    throw new RefusedError(
      "conflict",
      `node ${node} has not taken part in network ${network} yet: there is nothing to rotate`,
    );
  }
  const old = await read(write, { network, node });
  if (old !== undefined && isLive(old)) {
    throw new RefusedError(
      "conflict",
      `a rotation is under way already (${old.phase}): wait, or end it`,
    );
  }
  const lease = port
    ? await takePort(write, { node, holder: nextHolder(network), owner, network })
    : undefined;
  await write.rows(
    `insert into rotations (network, node, phase, is_key, port, deadline)
     values ($1, $2, 'making', $3, $4, now() + make_interval(secs => $5))
     on conflict (network, node) do update set phase = 'making', is_key = excluded.is_key, port = excluded.port,
       public_key = null, waits = '{}', seen_by = '[]', reason = '', started = now(), deadline = excluded.deadline`,
    [network, node, key, lease?.port ?? null, PHASE_S],
  );
  write.change({ kind: "rotation", subject: `${network}/${node}`, owner });
  await tell(write, network, [node]);
}

function nextHolder(network: string): string {
  return `network:${network}:next`;
}

/** Puts an event into a rotation and does what follows. The network's lock is the caller's. Throws where there is none. */
export async function advance(
  write: Write,
  place: Place,
  event: RotationEvent,
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  const before = await read(write, place);
  if (before === undefined) {
    throw new RefusedError(
      "missing",
      `node ${place.node} has no rotation in network ${place.network}`,
    );
  }
  let after = step(before, event);
  if (after === before) return;
  const { network, node } = place;
  const isNewPhase = after.phase !== before.phase;
  const concerned = new Set(isNewPhase ? [node, ...Object.keys(before.waits)] : []);
  if ("node" in event) concerned.add(event.node);
  if (isNewPhase && before.phase !== "making") {
    for (const peer of Object.keys(await waitsOf(write, place, before))) concerned.add(peer);
  }
  if (before.phase === "making" && after.phase === "spreading" && after.port !== null) {
    await confirmPort(write, node, after.port);
  }
  await save(write, place, after, isNewPhase);
  if (after.phase === "done") await promote(write, place, after);
  if (after.phase === "undone") await giveUp(write, place, after);
  if (isNewPhase || after.seenBy !== before.seenBy) await replan(write, network, planNetwork);
  if (event.kind === "made" && after.phase === "spreading") {
    const spread = { kind: "spread", waits: await waitsOf(write, place, after) } as const;
    const next = step(after, spread);
    for (const peer of Object.keys(next.waits)) concerned.add(peer);
    await save(write, place, next, next.phase !== after.phase);
    // No peer at all: it may switch, and its own plan has the new port.
    if (next.phase !== after.phase) await replan(write, network, planNetwork);
    after = next;
  }
  await tell(write, network, [...concerned]);
  if (isNewPhase) {
    const [row] = await write.rows<{ owner: number }>("select owner from networks where id = $1", [
      network,
    ]);
    write.change({ kind: "rotation", subject: `${network}/${node}`, owner: row?.owner ?? 0 });
  }
}

async function save(
  write: Write,
  { network, node }: Place,
  { phase, publicKey, waits, seenBy, reason }: Rotation,
  isNewPhase: boolean,
): Promise<void> {
  await write.rows(
    `update rotations set phase = $3, public_key = $4, waits = $5::jsonb, seen_by = $6::jsonb, reason = $7,
       deadline = case when $8 then now() + make_interval(secs => $9) else deadline end
     where network = $1 and node = $2`,
    [
      ...[network, node, phase, publicKey, JSON.stringify(waits), JSON.stringify(seenBy), reason],
      ...[isNewPhase, PHASE_S],
    ],
  );
}

/** The new ones are the node's; the old ones are nobody's. */
async function promote(
  write: Write,
  { network, node }: Place,
  { publicKey, port }: Rotation,
): Promise<void> {
  const [old] = await write.rows<{ port: number; public_key: string }>(
    "select port, public_key from network_nodes where network = $1 and node = $2",
    [network, node],
  );
  await write.rows(
    `update network_nodes set public_key = coalesce($3, public_key), port = coalesce($4, port)
     where network = $1 and node = $2`,
    [network, node, publicKey, port],
  );
  if (publicKey !== null && old !== undefined) {
    await renameKey(write, network, old.public_key, publicKey);
  }
  if (port === null) return;
  await write.rows("delete from port_leases where node = $1 and port = $2", [node, old?.port ?? 0]);
  await write.rows("update port_leases set holder = $3 where node = $1 and port = $2", [
    ...[node, port, `network:${network}`],
  ]);
}

async function giveUp(write: Write, { network, node }: Place, { port }: Rotation): Promise<void> {
  if (port === null) return;
  await write.rows(
    "delete from port_leases where node = $1 and port = $2 and network = $3 and holder = $4",
    [node, port, network, nextHolder(network)],
  );
}

/** Peers that have the node in their plan, each with that plan's revision. */
async function waitsOf(
  write: Write,
  { network, node }: Place,
  { publicKey }: Rotation,
): Promise<Record<string, number>> {
  const [member] = await write.rows<{ public_key: string | null }>(
    "select public_key from network_nodes where network = $1 and node = $2",
    [network, node],
  );
  const key = publicKey ?? member?.public_key;
  const waits: Record<string, number> = {};
  for (const [peer, { peers, revision }] of await partsOf(write, network)) {
    if (peer === node || !peers.some((one) => one.publicKey === key)) continue;
    waits[peer] = revision;
  }
  return waits;
}

/** An event from who takes part in it. */
async function happen(
  store: Store,
  actor: string,
  place: Place,
  action: string,
  events: readonly RotationEvent[],
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  await store.write({ actor, action: `rotation.${action}` }, async (write) => {
    await lockNetwork(write, place.network);
    for (const event of events) await advance(write, place, event, planNetwork);
  });
}

/** The owner ends it. */
export async function endRotation(
  store: Store,
  actor: Actor,
  place: Place,
  planNetwork: PlanNetwork | undefined,
): Promise<RotationView> {
  await ownerOf(store.database, actor, place.network);
  const event = { kind: "ended", reason: "its owner has ended it" } as const;
  await happen(store, actor.keyId, place, "end", [event], planNetwork);
  return await viewOf(store.database, place);
}

/** The node has made its key, and the port is free. */
export async function answerRotation(
  store: Store,
  actor: Actor,
  place: Place,
  {
    publicKey,
    port,
  }: { readonly publicKey?: string | undefined; readonly port?: number | undefined },
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  needNode(actor, place.node);
  await store.write({ actor: actor.keyId, action: "rotation.made" }, async (write) => {
    await lockNetwork(write, place.network);
    const rotation = await read(write, place);
    if (rotation !== undefined && isLive(rotation) && (port ?? null) !== rotation.port) {
      throw new RefusedError(
        "conflict",
        `port ${port ?? "none"} is not that of the rotation: ${rotation.port ?? "none"} is`,
      );
    }
    await needSealed(write, place, publicKey);
    await advance(write, place, { kind: "made", publicKey }, planNetwork);
  });
}

/** Where a user has brought a key, a node takes no other. */
export async function needSealed(
  queries: Queries,
  { network, node }: Place,
  publicKey: string | undefined,
): Promise<void> {
  const [sealed] = await queries.rows<{ public_key: string }>(
    "select public_key from sealed_keys where network = $1 and node = $2",
    [network, node],
  );
  if (sealed === undefined || publicKey === undefined || sealed.public_key === publicKey) return;
  throw new RefusedError(
    "conflict",
    `the network's owner has brought the key ${sealed.public_key} for the node: open the sealed one`,
  );
}

/** The node uses the new ones. */
export async function switchedRotation(
  store: Store,
  actor: Actor,
  place: Place,
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  needNode(actor, place.node);
  await happen(store, actor.keyId, place, "switched", [{ kind: "switched" }], planNetwork);
}

/** The node can't. */
export async function refuseRotation(
  store: Store,
  actor: Actor,
  place: Place,
  reason: string,
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  needNode(actor, place.node);
  const event = { kind: "ended", reason: `node ${place.node} refused: ${reason}` } as const;
  await happen(store, actor.keyId, place, "refuse", [event], planNetwork);
}

/** What a peer has to say of another's rotation. */
export async function reportRotation(
  store: Store,
  actor: Actor,
  peer: string,
  place: Place,
  {
    revision,
    publicKey,
  }: { readonly revision?: number | undefined; readonly publicKey?: string | undefined },
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  needNode(actor, peer);
  const [member] = await store.database.rows(
    "select 1 from network_nodes where network = $1 and node = $2",
    [place.network, peer],
  );
  if (member === undefined || peer === place.node) {
    throw new RefusedError("missing", `node ${peer} is no peer in network ${place.network}`);
  }
  const events: RotationEvent[] = [];
  if (revision !== undefined) events.push({ kind: "confirmed", node: peer, revision });
  if (publicKey !== undefined) events.push({ kind: "seen", node: peer, publicKey });
  await happen(store, actor.keyId, place, "report", events, planNetwork);
}
