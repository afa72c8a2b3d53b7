/** Sealed private keys in the store: kept for and passed to the node, with its part of the network. What is in a box is `sealed-key.ts`. */
import { RefusedError } from "../model/problem.ts";
import { type Actor, needOwner } from "./actor.ts";
import { lockNetwork, type PlanNetwork, replan } from "./planning.ts";
import { begin } from "./rotations.ts";
import type { SealedKey } from "./sealed-key.ts";
import type { Store, Write } from "./store/store.ts";

interface Place {
  readonly network: string;
  readonly node: string;
}

interface Member {
  readonly owner: number;
  readonly public_key: string | null;
}

async function memberOf(write: Write, actor: Actor, { network, node }: Place): Promise<Member> {
  const [found] = await write.rows<Member & { node: string | null }>(
    `select w.owner, m.node, m.public_key from networks w
     left join network_nodes m on m.network = w.id and m.node = $2 where w.id = $1`,
    [network, node],
  );
  needOwner(actor, found?.owner ?? -1, `network ${network}`);
  if (found === undefined) throw new RefusedError("missing", `there is no network ${network}`);
  if (found.node === null) {
    throw new RefusedError("missing", `node ${node} is not in network ${network}`);
  }
  return found;
}

/** The node takes this key and no other; one that has another key already is asked to rotate to it. */
export async function putSealedKey(
  store: Store,
  actor: Actor,
  place: Place,
  { publicKey, box }: SealedKey,
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  const { network, node } = place;
  await store.write({ actor: actor.keyId, action: "network.seal-key" }, async (write) => {
    await lockNetwork(write, network);
    const member = await memberOf(write, actor, place);
    await write.rows(
      `insert into sealed_keys (network, node, public_key) values ($1, $2, $3)
       on conflict (network, node) do update set public_key = excluded.public_key`,
      [network, node, publicKey],
    );
    await write.rows(
      `insert into sealed_boxes (network, node, box) values ($1, $2, $3)
       on conflict (network, node) do update set box = excluded.box`,
      [network, node, box],
    );
    if (member.public_key !== null && member.public_key !== publicKey) {
      await begin(write, place, member.owner, { key: true, port: false });
    }
    await replan(write, network, planNetwork);
  });
}

/** From then on the node's keys are made by the node again: the next rotation makes one. */
export async function removeSealedKey(
  store: Store,
  actor: Actor,
  place: Place,
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  const { network, node } = place;
  await store.write({ actor: actor.keyId, action: "network.unseal-key" }, async (write) => {
    await lockNetwork(write, network);
    await memberOf(write, actor, place);
    const gone = await write.rows(
      "delete from sealed_keys where network = $1 and node = $2 returning 1",
      [network, node],
    );
    if (gone.length === 0) {
      throw new RefusedError("missing", `nobody brought a key for node ${node} in ${network}`);
    }
    await replan(write, network, planNetwork);
  });
}
