/** A node's side of networks: taking part in one with a key and a port, and asking what it has to have. */
import { RefusedError } from "../model/problem.ts";
import { type Actor, needNode } from "./actor.ts";
import { KEPT_PART, type KeptPart, type NodePart, partOf } from "./kept-plans.ts";
import { confirmPort } from "./leases.ts";
import { lockNetwork, type PlanNetwork, replan } from "./planning.ts";
import { type RotationTask, tasksOf } from "./rotation-tasks.ts";
import { advance, needSealed } from "./rotations.ts";
import type { Join } from "./schemas.ts";
import type { Store } from "./store/store.ts";

/** A node takes part in a network: it has made a key, and the port is free. */
export async function joinNetwork(
  store: Store,
  actor: Actor,
  node: string,
  id: string,
  { publicKey, port }: Join,
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  needNode(actor, node);
  await store.write({ actor: actor.keyId, action: "network.join" }, async (write) => {
    await lockNetwork(write, id);
    const [member] = await write.rows<{
      port: number | null;
      public_key: string | null;
      state: string;
      phase: string | null;
      new_key: string | null;
      new_port: number | null;
    }>(
      `select m.port, m.public_key, l.state, r.phase, r.public_key as new_key, r.port as new_port
       from network_nodes m left join port_leases l on l.node = m.node and l.port = m.port
       left join rotations r on r.network = m.network and r.node = m.node
         and r.phase in ('making', 'spreading', 'switching')
       where m.network = $1 and m.node = $2`,
      [id, node],
    );
    if (member === undefined)
      throw new RefusedError("missing", `node ${node} is not in network ${id}`);
    const place = { network: id, node };
    const isNew =
      publicKey === (member.new_key ?? member.public_key) &&
      port === (member.new_port ?? member.port) &&
      !(publicKey === member.public_key && port === member.port);
    if (isNew && member.phase !== null && member.phase !== "making") {
      await advance(write, place, { kind: "joined" }, planNetwork);
      return;
    }
    if (member.port !== port) {
      throw new RefusedError(
        "conflict",
        `port ${port} is not the node's in this network: ${member.port} is`,
      );
    }
    if (member.state === "confirmed" && member.public_key === publicKey) return;
    await needSealed(write, place, publicKey);
    if (member.phase !== null && member.public_key !== publicKey) {
      const reason = `node ${node} has taken another key`;
      await advance(write, place, { kind: "ended", reason }, planNetwork);
    }
    await confirmPort(write, node, port);
    await write.rows("update network_nodes set public_key = $3 where network = $1 and node = $2", [
      id,
      node,
      publicKey,
    ]);
    await replan(write, id, planNetwork);
  });
}

/** What a node has to have. */
export interface Desired {
  /** Of the registry: ask for the difference from here on. */
  readonly revision: number;
  /** All networks, since the difference is not known any more, or was not asked for. */
  readonly isWhole: boolean;
  readonly networks: readonly NodePart[];
  /** Ids of networks that the node has to remove; if it is whole, those that are not named go too. */
  readonly removed: readonly string[];
  /** All that it has to do for rotations, whatever it asked for. */
  readonly rotations?: readonly RotationTask[] | undefined;
}

/** All that a node has to have, or what differs from an earlier revision. */
export async function desiredOf(
  store: Store,
  actor: Actor,
  node: string,
  since: number | undefined,
): Promise<Desired> {
  needNode(actor, node);
  return await store.database.transaction(async (queries) => {
    await queries.script("set transaction isolation level repeatable read, read only");
    const [position] = await queries.rows<{ revision: number; pruned: number }>(
      "select revision, pruned from log_position",
    );
    const { revision = 0, pruned = 0 } = position ?? {};
    const isWhole = since === undefined || since < pruned || since > revision;
    const plans = await queries.rows<{ network: string } & (KeptPart | { plan: null })>(
      isWhole
        ? `select p.network, ${KEPT_PART} from plans p where p.node = $1 order by p.network`
        : `select c.subject as network, ${KEPT_PART} from
             (select distinct subject from changes where node = $1 and kind = 'plan' and revision > $2) c
           left join plans p on p.node = $1 and p.network = c.subject order by 1`,
      isWhole ? [node] : [node, since],
    );
    return {
      revision,
      isWhole,
      networks: plans.flatMap((part) => (part.plan === null ? [] : partOf(part))),
      removed: plans.flatMap(({ network, plan }) => (plan === null ? [network] : [])),
      rotations: await tasksOf(queries, node),
    };
  });
}
