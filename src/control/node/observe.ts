/** What there is on the machine of what a plan speaks of: only what carries Wirehaul's marks counts as its own. Reads, never changes. */
import { listLinks, listNamespaces } from "../linux/ip.ts";
import { type Found, type FoundLink, type LookAt, lookAt } from "../linux/namespace.ts";
import type { Shells } from "../linux/shell.ts";
import { LINK_GROUP, MARK } from "../model/names.ts";
import { ROUTE_PROTOCOL, type Wanted } from "./wanted.ts";

export interface SeenLink {
  readonly name: string;
  readonly kind: string;
  readonly alias: string | undefined;
  /** Made by Wirehaul: by its group or its alias. */
  readonly isOwn: boolean;
  readonly mac: string;
  readonly mtu: number;
  readonly master: string | undefined;
  readonly isUp: boolean;
  /** With lengths; without those that the kernel gives by itself. */
  readonly addresses: readonly string[];
}

export interface SeenRoute {
  readonly to: string;
  readonly family: 4 | 6;
  readonly via: string | undefined;
  readonly dev: string | undefined;
}

export interface SeenPlace {
  readonly namespace: string | undefined;
  /** The alias of its loopback: whose namespace it is. */
  readonly mark: string | undefined;
  /** As `ip netns add` leaves it, but for links of Wirehaul's: nobody else has done anything in it. */
  readonly isPristine: boolean;
  readonly links: readonly SeenLink[];
  /** Those that Wirehaul set. */
  readonly routes: readonly SeenRoute[];
  readonly chains: readonly (readonly [family: string, table: string, chain: string])[];
  readonly sysctls: ReadonlyMap<string, string>;
}

/** Places by namespace; undefined: the host's. Absent: there is no such namespace. */
export type Seen = ReadonlyMap<string | undefined, SeenPlace>;

/** Looks at all that the given states speak of: what is wanted, and what was wanted before. */
export async function observe(shells: Shells, states: readonly Wanted[]): Promise<Seen> {
  const looks = looksOf(states);
  const found = await lookAt(shells, looks);
  const seen = new Map<string | undefined, SeenPlace>();
  for (const [index, { namespace }] of looks.entries()) {
    const place = found[index];
    if (place !== undefined) seen.set(namespace, seenOf(namespace, place));
  }
  return seen;
}

function looksOf(states: readonly Wanted[]): LookAt[] {
  const byNamespace = new Map<string | undefined, Wanted["places"][number][]>();
  for (const { places } of states) {
    for (const place of places) {
      const list = byNamespace.get(place.namespace) ?? [];
      list.push(place);
      byNamespace.set(place.namespace, list);
    }
  }
  return [...byNamespace].map(([namespace, places]): LookAt => {
    const links = places.flatMap((place) => place.links);
    const tables = places.flatMap((place) => place.tables);
    return {
      namespace,
      links: unique(links.map(({ name }) => name)),
      masters: unique(links.filter(({ kind }) => kind === "bridge").map(({ name }) => name)),
      // A namespace may hold some of earlier.
      routesOf:
        namespace === undefined && places.every(({ routes }) => routes.length === 0)
          ? undefined
          : ROUTE_PROTOCOL,
      tables: unique(tables.map(({ family, name }) => `${family} ${name}`)).map((text) => {
        const [family = "", name = ""] = text.split(" ");
        return [family, name] as const;
      }),
      sysctls: unique(places.flatMap(({ sysctls }) => sysctls.map(([path]) => path))),
    };
  });
}

function seenOf(namespace: string | undefined, found: Found): SeenPlace {
  const loopback = found.links.find(({ ifname }) => ifname === "lo");
  const links = found.links.filter(({ ifname }) => ifname !== "lo").map(seenLink);
  const mark = loopback?.ifalias;
  return {
    namespace,
    mark: mark?.startsWith(MARK) ? mark : undefined,
    isPristine:
      links.every(({ isOwn }) => isOwn) &&
      mark === undefined &&
      loopback?.flags.includes("UP") !== true,
    links,
    routes: [
      ...found.routes4.map((route) => ({ ...routeOf(route), family: 4 as const })),
      ...found.routes6.map((route) => ({ ...routeOf(route), family: 6 as const })),
    ],
    chains: found.chains,
    sysctls: found.sysctls,
  };
}

function seenLink(link: FoundLink): SeenLink {
  const alias = link.ifalias;
  return {
    name: link.ifname,
    kind: link.linkinfo?.info_kind ?? "",
    alias,
    isOwn: link.group === String(LINK_GROUP) || alias?.startsWith(MARK) === true,
    mac: link.address,
    mtu: link.mtu,
    master: link.master,
    isUp: link.flags.includes("UP"),
    addresses: link.addr_info
      .filter(({ dynamic, protocol }) => dynamic !== true && !protocol?.startsWith("kernel"))
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  };
}

function routeOf({
  dst,
  gateway,
  dev,
}: {
  dst: string;
  gateway?: string | undefined;
  dev?: string | undefined;
}): {
  readonly to: string;
  readonly via: string | undefined;
  readonly dev: string | undefined;
} {
  // A host route is printed without its length.
  const isWhole = dst !== "default" && !dst.includes("/");
  return { to: isWhole ? `${dst}/${dst.includes(":") ? 128 : 32}` : dst, via: gateway, dev };
}

/** Marks that are found in the host's links and in namespaces: of networks that are wanted, and of those that are not any more. */
export async function findMarks(shells: Shells): Promise<{
  readonly links: readonly { readonly name: string; readonly mark: string }[];
  readonly namespaces: readonly { readonly name: string; readonly mark: string }[];
}> {
  const links = (await listLinks()).flatMap(({ ifname, ifalias }) =>
    ifalias?.startsWith(MARK) ? [{ name: ifname, mark: ifalias }] : [],
  );
  const names = await listNamespaces();
  const found: { name: string; mark: string }[] = [];
  for (let at = 0; at < names.length; at += NAMESPACES_AT_ONCE) {
    const some = names.slice(at, at + NAMESPACES_AT_ONCE);
    const looks = some.map(
      (namespace): LookAt => ({
        namespace,
        links: [],
        masters: [],
        routesOf: undefined,
        tables: [],
        sysctls: [],
      }),
    );
    for (const [index, place] of (await lookAt(shells, looks)).entries()) {
      const mark = place?.links.find(({ ifname }) => ifname === "lo")?.ifalias;
      if (mark?.startsWith(MARK)) found.push({ name: some[index]!, mark });
    }
  }
  return { links, namespaces: found };
}

/** Ours: looked at by one process. */
const NAMESPACES_AT_ONCE = 64;

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
