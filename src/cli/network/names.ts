/** From what people call networks and nodes to their ids: an id is taken as it is, a name is looked up, two of a name are a refusal. */
import { RefusedError } from "../../control/model/problem.ts";
import type { NetworkSummary, NodeView, RegistryClient } from "../../control/registry/client.ts";

/** As many as a request may ask for. */
const PAGE = 1_000;

/** All of a list that comes in pages, in the order of ids. */
export async function allOf<Item extends { readonly id: string }>(
  page: (wish: { readonly after?: string; readonly limit: number }) => Promise<readonly Item[]>,
): Promise<Item[]> {
  const all: Item[] = [];
  for (;;) {
    const after = all.at(-1)?.id;
    const items = await page({ limit: PAGE, ...(after === undefined ? {} : { after }) });
    all.push(...items);
    if (items.length < PAGE) return all;
  }
}

export async function networkIdOf(client: RegistryClient, text: string): Promise<string> {
  return pick<NetworkSummary>(await allOf((wish) => client.networks(wish)), text, "network");
}

/** In the order of the texts. */
export async function nodeIdsOf(
  client: RegistryClient,
  texts: readonly string[],
): Promise<string[]> {
  if (texts.length === 0) return [];
  const nodes = await allOf((wish) => client.nodes(wish));
  return texts.map((text) => pick<NodeView>(nodes, text, "node"));
}

export function pick<Item extends { readonly id: string; readonly name: string }>(
  items: readonly Item[],
  text: string,
  what: string,
): string {
  if (items.some(({ id }) => id === text)) return text;
  const named = items.filter(({ name }) => name === text);
  if (named.length === 1) return named[0]!.id;
  if (named.length === 0) throw new RefusedError("missing", `there is no ${what} "${text}"`);
  throw new RefusedError(
    "conflict",
    `there are ${named.length} of the name "${text}": say which by its id: ${named.map(({ id }) => id).join(", ")}`,
  );
}
