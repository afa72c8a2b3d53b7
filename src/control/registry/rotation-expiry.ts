/** Rotations that take too long, or wait for somebody who has left: looked for by every registry now and then, handled by one. */
import { lockNetwork, type PlanNetwork } from "./planning.ts";
import { LIVE } from "./rotation-tasks.ts";
import { advance, type Place } from "./rotations.ts";
import type { Store } from "./store/store.ts";

/** Ours: three heartbeats missed. */
const AWAY_S = 90;

/** Ends or goes on with those whose phase took too long, or that wait for who has left. For every registry, now and then. */
export async function expireRotations(
  store: Store,
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  const due = `select r.network, r.node, r.deadline < now() as is_late,
      array(select key from jsonb_object_keys(r.waits) key where not exists (
        select from network_nodes m where m.network = r.network and m.node = key)) as gone
    from rotations r where r.phase in ${LIVE}`;
  type Due = Place & { readonly is_late: boolean; readonly gone: readonly string[] };
  const found = await store.database.rows<Due>(
    `select * from (${due}) d where is_late or gone <> '{}'`,
  );
  for (const { network, node } of found) {
    await store.write({ actor: "registry", action: "rotation.expire" }, async (write) => {
      await lockNetwork(write, network);
      const [now] = await write.rows<Due>(`${due} and r.network = $1 and r.node = $2`, [
        network,
        node,
      ]);
      if (now === undefined) return;
      for (const peer of now.gone) {
        await advance(write, now, { kind: "left", node: peer }, planNetwork);
      }
      if (!now.is_late) return;
      const away = await write.rows<{ node: string }>(
        `select m.node from network_nodes m left join heartbeats h on h.node = m.node
         where m.network = $1 and coalesce(h.seen, '-infinity') < now() - make_interval(secs => $2)`,
        [network, AWAY_S],
      );
      const event = { kind: "expired", node, away: new Set(away.map((one) => one.node)) } as const;
      await advance(write, now, event, planNetwork);
    });
  }
}
