/** Entry of a thread of a registry's full plan: plans networks in the server's database, with connections of its own. */
import { planNetwork } from "../../control/mesh/network-plan.ts";
import { type FullPlanTask, planNetworks } from "../../control/registry/full-plan.ts";
import { openServer } from "../../control/registry/store/server.ts";
import { Store } from "../../control/registry/store/store.ts";

let opened: { readonly url: string; readonly store: Promise<Store> } | undefined;

function storeOf(url: string): Promise<Store> {
  if (opened?.url !== url) {
    // Connections that break are told by the queries on them.
    const store = openServer(url, () => undefined).then((database) => new Store(database));
    opened = { url, store };
  }
  return opened.store;
}

/** How many of them differ from before. */
export async function plan({ database, networks }: FullPlanTask): Promise<number> {
  return await planNetworks(await storeOf(database), networks, planNetwork);
}
