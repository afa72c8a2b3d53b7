/** What people see of health: a network's matrix, and why a pair meets as it does. */
import { ApiError } from "../../api/errors.ts";
import { type Explanation, explainPair } from "../../mesh/explain.ts";
import type { Network, Underlay } from "../../mesh/grid.ts";
import { type NetworkPlan, planNetwork } from "../../mesh/network-plan.ts";
import { type Actor, needUser } from "../actor.ts";
import { readParts } from "../kept-plans.ts";
import type { MemberRow } from "../members.ts";
import { showNetwork } from "../networks.ts";
import { planningOf, withHealth } from "../planning.ts";
import type { Queries } from "../store/database.ts";
import type { Store } from "../store/store.ts";
import { toldPlan } from "../told-plan.ts";
import type { Health } from "./judge.ts";
import { relayRecords } from "./relays.ts";
import { type NetworkStatus, pairsOf } from "./status.ts";

interface View {
  readonly members: readonly MemberRow[];
  readonly input: Network;
  readonly underlay: Underlay;
  readonly plan: NetworkPlan;
  readonly health: ReadonlyMap<string, Health>;
  readonly at: number;
}

async function viewOf(
  queries: Queries,
  network: { readonly id: string; readonly range: string; readonly range6: string },
): Promise<View> {
  const { members, input, underlay } = await planningOf(queries, network);
  const { before, at } = await relayRecords(queries, network.id);
  const health = new Map([...before].map(([node, record]) => [node, record.health]));
  const judged = withHealth(underlay, health);
  let plan = planNetwork(input, judged);
  if (plan.isKept) {
    const { parts } = await readParts(queries, network.id, undefined);
    plan = planNetwork(input, judged, toldPlan(input, judged, parts));
  }
  return { members, input, underlay: judged, plan, health, at };
}

export async function networkStatus(
  store: Store,
  actor: Actor,
  id: string,
): Promise<NetworkStatus> {
  const network = await showNetwork(store, actor, id);
  const { members, input, underlay, plan, health, at } = await viewOf(store.database, network);
  const ready = new Set(input.members.map(({ node }) => node));
  return {
    ...{ id, name: network.name },
    nodes: members.map(({ node, name, silent, seen }) => {
      const { v4, v6 } = underlay.nodes.get(node)!;
      const isPublic = v4.kind === "public" || v6.kind === "public";
      return {
        ...{ node, name, isAway: silent, seen: seen?.toISOString() ?? null },
        isReady: ready.has(node),
        ...(isPublic ? { relay: health.get(node) ?? "up" } : {}),
      };
    }),
    pairs: pairsOf(members, underlay.nodes, plan, at),
    faults: plan.faults,
  };
}

export interface NetworkExplanation extends Explanation {
  readonly network: string;
  readonly name: string;
}

/**
 * In each network that holds both: for its owner, for admins, and for farmers of one of the nodes. What a LAN's addresses are is for who
 * has both nodes.
 */
export async function explain(
  store: Store,
  actor: Actor,
  wish: { readonly from: string; readonly to: string; readonly network: string | undefined },
): Promise<NetworkExplanation[]> {
  const user = needUser(actor);
  const { from, to } = wish;
  if (from === to) throw new ApiError("invalid", "to: is the same node as from");
  const networks = await store.database.rows<{
    id: string;
    name: string;
    range: string;
    range6: string;
    farmed: number;
  }>(
    `select * from (
       select w.id, w.name, w.owner, w.range::text, w.range6::text,
         (select count(*) from nodes n join farms f on f.id = n.farm
          where n.id in ($1, $2) and f.owner = $4) as farmed
       from networks w
       join network_nodes a on a.network = w.id and a.node = $1
       join network_nodes b on b.network = w.id and b.node = $2
       where $3::text is null or w.id = $3) both_in
     where $5 or owner = $4 or farmed > 0 order by id`,
    [from, to, wish.network ?? null, user.id, user.role === "admin"],
  );
  if (networks.length === 0) {
    throw new ApiError("missing", `there is no network (of yours) that holds ${from} and ${to}`);
  }
  const explanations: NetworkExplanation[] = [];
  for (const { farmed, name, ...network } of networks) {
    const { input, underlay, plan } = await viewOf(store.database, network);
    const { obstacles, ...rest } = explainPair(input, underlay, plan, from, to);
    const maySeeLan = user.role === "admin" || farmed === 2;
    explanations.push({
      ...{ network: network.id, name, ...rest },
      obstacles: maySeeLan ? obstacles : obstacles.map(withoutAddresses),
    });
  }
  return explanations;
}

function withoutAddresses(sentence: string): string {
  return sentence.replace(/^LAN: .* was tried/, "LAN: it was tried");
}
