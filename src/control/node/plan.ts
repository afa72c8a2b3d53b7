/**
 * From what is wanted and what was seen to what is to be done, in order. Pure: a plan can be printed, and after it was carried out
 * planning again gives nothing. What doesn't carry Wirehaul's marks is never changed: where it is in the way, the plan is refused.
 */
import { LINK_GROUP, MARK } from "../model/names.ts";
import { RefusedError } from "../model/problem.ts";
import type { Action } from "./action.ts";
import type { Seen, SeenLink, SeenPlace } from "./observe.ts";
import {
  digestChain,
  ROUTE_PROTOCOL,
  type Wanted,
  type WantedLink,
  type WantedPlace,
  type WantedTable,
} from "./wanted.ts";

/** What the engine has for a network, and what it is to have. */
export interface DevicePlan {
  readonly name: string;
  /** undefined: not wanted. */
  readonly wanted: { readonly mtu: number; readonly namespace: string } | undefined;
  readonly exists: boolean;
  /** What is to be set, or be opened elsewhere, before it is up. */
  readonly settings: readonly Action[];
}

const NOTHING: SeenPlace = {
  namespace: undefined,
  mark: undefined,
  isPristine: true,
  links: [],
  routes: [],
  chains: [],
  sysctls: new Map(),
};

/**
 * `before`: what was wanted when it was last looked at; namespaces and tables that are only in there are removed. Links are found
 * by their marks. Throws a RefusedError where something else is in the way.
 */
export function plan(
  wanted: Wanted,
  before: Wanted,
  seen: Seen,
  device?: DevicePlan | undefined,
): Action[] {
  const places = wanted.places.map((place) => ({ place, seen: seen.get(place.namespace) }));
  for (const { place, seen: found } of places) refuseConflicts(place, found);
  const isTunMissing = device?.wanted !== undefined && !device.exists;
  const inHost = places.filter(({ place }) => place.namespace === undefined);
  const inside = places.filter(({ place }) => place.namespace !== undefined);
  // Few visits to each namespace: a shell's visit costs more than what it does there.
  return [
    ...removals(wanted, before, seen, device, isTunMissing),
    ...inside.flatMap(namespaceActions),
    ...engineActions(device),
    ...inHost.flatMap(({ place, seen: found }) => tableActions(place, found)),
    ...linkActions(places),
    ...[...inHost, ...inside].flatMap(({ place, seen: found }) => [
      // Before anything in there is up.
      ...(place.namespace === undefined ? [] : tableActions(place, found)),
      ...sysctlActions(place, found),
      ...settingActions(place, found, isTunMissing),
      ...upActions(place, found, isTunMissing),
      ...routeActions(place, found, isTunMissing),
    ]),
  ];
}

function refuseConflicts(place: WantedPlace, found: SeenPlace | undefined): void {
  const { namespace, mark, isShared } = place;
  if (found === undefined) return;
  if (mark !== undefined && isShared !== true && found.mark !== mark && !found.isPristine) {
    throw new RefusedError(
      "conflict",
      `the namespace ${namespace} exists and is not this network's: remove it with "ip netns delete ${namespace}" if nobody needs it`,
    );
  }
  for (const link of place.links) {
    const other = found.links.find(({ name }) => name === link.name);
    if (other === undefined || isOurs(link, other)) continue;
    const inside = namespace === undefined ? "" : ` in ${namespace}`;
    throw new RefusedError(
      "conflict",
      `the interface ${link.name}${inside} exists and was not made by Wirehaul: rename or remove it`,
    );
  }
}

/** A TAP gets its group after it was made, and its name is a digest: without an alias it is one that was just made. */
function isOurs(link: WantedLink, other: SeenLink): boolean {
  if (other.isOwn) return other.alias === undefined || other.alias === link.alias;
  const isFresh = other.alias === undefined || other.alias === "";
  return isFresh && (link.kind === "tap" || link.kind === "tun") && other.kind === "tun";
}

/** Of a kind or a place that can't be changed into what is wanted. */
function mustGo(link: WantedLink, found: SeenLink): boolean {
  const kind = link.kind === "tap" ? "tun" : link.kind;
  return found.kind !== kind;
}

function findLink(found: SeenPlace | undefined, link: WantedLink): SeenLink | undefined {
  const other = found?.links.find(({ name }) => name === link.name);
  return other === undefined || mustGo(link, other) ? undefined : other;
}

function removals(
  wanted: Wanted,
  before: Wanted,
  seen: Seen,
  device: DevicePlan | undefined,
  isTunMissing: boolean,
): Action[] {
  const actions: Action[] = [];
  if (device?.exists === true && device.wanted === undefined) {
    actions.push({ kind: "closeTun", name: device.name });
  }
  for (const found of seen.values()) {
    const { namespace } = found;
    const place = wanted.places.find((candidate) => candidate.namespace === namespace);
    // Two of a namespace, when a change from one to the other was cut off.
    const old = before.places.filter((candidate) => candidate.namespace === namespace);
    const wantedLinks = place?.links ?? [];
    for (const link of found.links) {
      const target = wantedLinks.find(({ name }) => name === link.name);
      if (target !== undefined && !mustGo(target, link)) {
        // One that the engine doesn't serve is a dead process's, or goes with it.
        if (target.kind !== "tun" || !isTunMissing) continue;
      }
      if (target === undefined && !isRemovable(link, wanted.mark, old)) continue;
      // The engine's own goes with its descriptor.
      if (link.name === device?.name && device.exists && target === undefined) continue;
      actions.push({ kind: "unlink", namespace, name: link.name });
    }
    if (place === undefined && namespace !== undefined) {
      const isOurs =
        found.mark === wanted.mark ||
        (found.isPristine && old.some(({ isShared }) => isShared !== true));
      const heir = found.links.find(({ alias }) => isMark(alias) && alias !== wanted.mark);
      if (isOurs && heir !== undefined) {
        // Another network's workload is in there: it is that network's from now on.
        actions.push({ kind: "ip", namespace, line: `link set dev lo alias ${heir.alias}` });
      } else if (isOurs) {
        actions.push({ kind: "ip", namespace: undefined, line: `netns delete ${namespace}` });
        continue;
      }
    }
    for (const { family, name } of tablesOf(old)) {
      const isWanted = place?.tables.some(
        (table) => table.family === family && table.name === name,
      );
      const isThere = found.chains.some(([f, table]) => f === family && table === name);
      if (isThere && isWanted !== true)
        actions.push({ kind: "dropTable", namespace, family, name });
    }
  }
  return actions;
}

function tablesOf(places: readonly WantedPlace[]): readonly WantedTable[] {
  const all = places.flatMap(({ tables }) => tables);
  return [...new Map(all.map((table) => [`${table.family} ${table.name}`, table])).values()];
}

/** By its alias; one that was only just made has none, and is known by its name. */
function isRemovable(link: SeenLink, mark: string, old: readonly WantedPlace[]): boolean {
  if (link.alias === mark) return true;
  const hasAlias = link.alias !== undefined && link.alias !== "";
  const known = old.flatMap(({ links }) => links).find(({ name }) => name === link.name);
  return !hasAlias && known !== undefined && isOurs(known, link);
}

function engineActions(device: DevicePlan | undefined): Action[] {
  if (device?.wanted === undefined) return [];
  const { name, wanted, exists, settings } = device;
  return exists ? [...settings] : [{ kind: "tun", name, ...wanted }, ...settings];
}

/** Marked before anything is in it. */
function namespaceActions({ place, seen }: Pairing): Action[] {
  const { namespace, mark, isShared } = place;
  if (namespace === undefined || mark === undefined) return [];
  if (seen !== undefined && (isShared === true || !seen.isPristine)) return [];
  const line = `link set dev lo alias ${mark} up`;
  const marking: Action = { kind: "ip", namespace, line };
  if (seen !== undefined) return [marking];
  return [{ kind: "ip", namespace: undefined, line: `netns add ${namespace}` }, marking];
}

function tableActions(place: WantedPlace, found: SeenPlace | undefined): Action[] {
  const { namespace } = place;
  return place.tables.flatMap((table): Action[] => {
    const digest = digestChain(table);
    const isThere = found?.chains.some(
      ([family, name, chain]) => family === table.family && name === table.name && chain === digest,
    );
    return isThere === true ? [] : [{ kind: "table", namespace, table }];
  });
}

interface Pairing {
  readonly place: WantedPlace;
  readonly seen: SeenPlace | undefined;
}

function linkActions(places: readonly Pairing[]): Action[] {
  const actions: Action[] = [];
  for (const { place, seen } of places) {
    for (const link of place.links) {
      // The engine makes its own.
      if (link.create === undefined || findLink(seen, link) !== undefined) continue;
      actions.push(...farEnd(link, places));
      actions.push({ kind: "ip", namespace: undefined, line: link.create });
    }
  }
  return actions;
}

/** A link that is made in another place or with a far end there: what is left of it there goes first. */
function farEnd(link: WantedLink, places: readonly Pairing[]): Action[] {
  const match = /\b(?:peer )?name (\S+) netns (\S+)/.exec(link.create ?? "");
  if (match === null || link.kind !== "veth") return [];
  const [, name, namespace] = match;
  const far = places.find(({ place }) => place.namespace === namespace)?.seen;
  const isThere = far?.links.some((other) => other.name === name) === true;
  return isThere && name !== undefined ? [{ kind: "unlink", namespace, name }] : [];
}

function sysctlActions(place: WantedPlace, found: SeenPlace | undefined): Action[] {
  const { namespace } = place;
  return place.sysctls
    .filter(([path, value]) => found?.sysctls.get(path) !== String(value))
    .map((setting): Action => ({ kind: "sysctl", namespace, setting }));
}

function settingActions(
  place: WantedPlace,
  found: SeenPlace | undefined,
  isTunMissing: boolean,
): Action[] {
  const { namespace } = place;
  return place.links.flatMap((link): Action[] => {
    const isFresh = link.kind === "tun" && isTunMissing;
    const seen = isFresh ? undefined : findLink(found, link);
    const parts: string[] = [];
    if (seen?.alias !== link.alias) parts.push(`alias ${link.alias}`);
    if (seen !== undefined && !seen.isOwn) parts.push(`group ${LINK_GROUP}`);
    if (seen === undefined && (link.kind === "tap" || link.kind === "tun")) {
      parts.push(`group ${LINK_GROUP}`);
    }
    if (link.mac !== undefined && seen !== undefined && seen.mac !== link.mac) {
      parts.push(`address ${link.mac}`);
    }
    if (
      link.mtu !== undefined &&
      (seen === undefined ? link.kind !== "tun" : seen.mtu !== link.mtu)
    ) {
      parts.push(`mtu ${link.mtu}`);
    }
    if (link.master !== undefined && seen?.master !== link.master)
      parts.push(`master ${link.master}`);
    const lines = parts.length === 0 ? [] : [`link set dev ${link.name} ${parts.join(" ")}`];
    const there = seen?.addresses ?? [];
    for (const address of there) {
      // The kernel's own link-local addresses look like this too.
      if (link.addresses.includes(address) || address.startsWith("fe80:")) continue;
      lines.push(`address delete ${address} dev ${link.name}`);
    }
    for (const address of link.addresses) {
      if (there.includes(address)) continue;
      const isV6 = address.includes(":");
      lines.push(`address add ${address} dev ${link.name}${isV6 ? " nodad" : ""}`);
    }
    return lines.map((line): Action => ({ kind: "ip", namespace, line }));
  });
}

function upActions(
  place: WantedPlace,
  found: SeenPlace | undefined,
  isTunMissing: boolean,
): Action[] {
  return place.links.flatMap((link): Action[] => {
    const isFresh = link.kind === "tun" && isTunMissing;
    if (!isFresh && findLink(found, link)?.isUp === true) return [];
    return [{ kind: "ip", namespace: place.namespace, line: `link set dev ${link.name} up` }];
  });
}

function routeActions(
  place: WantedPlace,
  found: SeenPlace | undefined,
  isTunMissing: boolean,
): Action[] {
  const { namespace } = place;
  const text = (route: {
    readonly to: string;
    readonly via?: string | undefined;
    readonly dev?: string | undefined;
  }): string => `${route.to}${route.via === undefined ? "" : ` via ${route.via}`} dev ${route.dev}`;
  // Routes go with their link.
  const lost = new Set(
    place.links
      .filter(
        (link) => (link.kind === "tun" && isTunMissing) || findLink(found, link)?.isUp !== true,
      )
      .map(({ name }) => name),
  );
  const there = (found ?? NOTHING).routes.filter(({ dev }) => dev !== undefined && !lost.has(dev));
  const names = new Set(place.links.map(({ name }) => name));
  const actions: Action[] = [];
  for (const route of place.routes) {
    const isThere = there.some(
      (other) => other.family === route.family && text(other) === text(route),
    );
    if (isThere) continue;
    const line = `route replace ${text(route)} proto ${ROUTE_PROTOCOL}`;
    actions.push({ kind: "ip", namespace, line });
  }
  for (const route of there) {
    if (!names.has(route.dev ?? "")) continue;
    const isWanted = place.routes.some(
      (other) => other.family === route.family && text(other) === text(route),
    );
    // Replaced above, where the target is the same.
    const isReplaced = place.routes.some(
      (other) => other.family === route.family && other.to === route.to,
    );
    if (isWanted || isReplaced) continue;
    actions.push({
      kind: "ip",
      namespace,
      line: `route delete ${text(route)} proto ${ROUTE_PROTOCOL}`,
    });
  }
  return actions;
}

/** True if an alias is one of Wirehaul's. */
function isMark(alias: string | undefined): boolean {
  return alias?.startsWith(MARK) === true;
}
