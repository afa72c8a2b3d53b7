/** Reads the links of a namespace as census records; `ip -j` for most, sysfs for speed and driver. */
import { readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { isOfNetworks, MARK } from "../model/names.ts";
import type { Nic, NicRoute } from "../model/nic.ts";
import { attempt } from "./command.ts";
import { commandIn, listAll, type RouteInfo } from "./ip.ts";
import type { Shells } from "./shell.ts";

/** What a link with this alias was made for; undefined: not by Wirehaul. */
export function markOf(alias: string | undefined): string | undefined {
  return alias?.startsWith(MARK) ? alias.slice(MARK.length) : undefined;
}

/**
 * All links but loopback and those of networks, by name, with what the kernel tells of them. To ask for the speed of thousands of
 * bridges takes the kernel's one lock on network settings each time, and nobody wants to know it.
 */
export async function readNics(namespace?: string, shells?: Shells): Promise<Nic[]> {
  const { links, addresses, routes4, routes6 } = await listAll(namespace, shells);
  const addressesOf = new Map(addresses.map(({ ifname, addr_info }) => [ifname, addr_info]));
  const routesOf = groupRoutes([...routes4, ...routes6]);
  return links
    .filter(({ link_type, ifalias }) => link_type !== "loopback" && !isOfNetworks(ifalias))
    .map((link): Nic => {
      const routes = routesOf.get(link.ifname) ?? [];
      const isOwn = namespace === undefined;
      return {
        name: link.ifname,
        mac: link.address,
        kind: link.linkinfo?.info_kind ?? (link.link_type === "ether" ? "device" : link.link_type),
        driver: isOwn ? driverOf(link.ifname) : undefined,
        speedMbps: isOwn ? parseSpeed(readText(`/sys/class/net/${link.ifname}/speed`)) : undefined,
        mtu: link.mtu,
        carrier: link.flags.includes("LOWER_UP"),
        up: link.flags.includes("UP"),
        bridge: link.linkinfo?.info_slave_kind === "bridge" ? link.master : undefined,
        mark: markOf(link.ifalias),
        addresses: (addressesOf.get(link.ifname) ?? []).flatMap(({ local, prefixlen }) =>
          local === undefined ? [] : [`${local}/${prefixlen}`],
        ),
        routes,
        gateways: routes.flatMap(({ to, via }) =>
          to === "default" && via !== undefined ? [via] : [],
        ),
      };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function groupRoutes(routes: readonly RouteInfo[]): Map<string, NicRoute[]> {
  const groups = new Map<string, NicRoute[]>();
  for (const { dst, gateway, dev, metric, type } of routes) {
    if (dev === undefined || (type !== undefined && type !== "unicast")) continue;
    const list = groups.get(dev) ?? [];
    if (list.length === 0) groups.set(dev, list);
    list.push({ to: dst, via: gateway, metric });
  }
  return groups;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // A link that is down, or has gone, doesn't tell.
    return "";
  }
}

/** Sysfs has -1 for an unknown speed. */
function parseSpeed(text: string): number | undefined {
  const speed = Number(text.trim());
  return Number.isInteger(speed) && speed > 0 ? speed : undefined;
}

function driverOf(name: string): string | undefined {
  try {
    return basename(readlinkSync(`/sys/class/net/${name}/device/driver`));
  } catch {
    return undefined;
  }
}

/** The speed of a link in a namespace, in Mbit/s; undefined: it doesn't tell. */
export async function readSpeed(name: string, namespace: string): Promise<number | undefined> {
  const result = await attempt(commandIn(namespace, ["cat", `/sys/class/net/${name}/speed`]));
  return result.code === 0 ? parseSpeed(result.stdout) : undefined;
}
