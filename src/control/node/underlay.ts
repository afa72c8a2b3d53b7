/** What the networks rest on: MTU of the way out, prefixes of the LAN, the link of the IPv6 default route; read from the kernel. */
import { listAll } from "../linux/ip.ts";
import type { Shells } from "../linux/shell.ts";
import { cidrOf, formatCidr, networkOf } from "../model/cidr.ts";
import { isOfNetworks } from "../model/names.ts";
import type { Underlay } from "./exit.ts";

/** Of Ethernet, where nothing else is known. */
const MTU_DEFAULT = 1500;

/** `sockets`: the namespace that holds the sockets; undefined: this process's. Links of networks don't count; the uplink's bridge does. */
export async function readUnderlay(
  shells: Shells,
  sockets: string | undefined,
  seed: string,
): Promise<Underlay> {
  const host = await listAll(undefined, shells);
  const { links, routes4, routes6 } = sockets === undefined ? host : await listAll(sockets, shells);
  const own = new Set(
    host.links.filter(({ ifalias }) => isOfNetworks(ifalias)).map(({ ifname }) => ifname),
  );
  const lan = new Set<string>();
  for (const { ifname, addr_info } of host.addresses) {
    if (ifname === "lo" || own.has(ifname)) continue;
    for (const { local, prefixlen, scope } of addr_info) {
      if (local === undefined || scope === "link") continue;
      lan.add(formatCidr(networkOf(cidrOf(`${local}/${prefixlen}`))));
    }
  }
  const ways = [...routes4, ...routes6].filter(({ dst }) => dst === "default");
  const mtus = ways.flatMap(({ dev }) =>
    links.filter(({ ifname }) => ifname === dev).map(({ mtu }) => mtu),
  );
  return {
    seed,
    mtu: mtus.length === 0 ? MTU_DEFAULT : Math.min(...mtus),
    lan: [...lan].sort(),
    device6: host.routes6.find(({ dst, dev }) => dst === "default" && !own.has(dev ?? ""))?.dev,
  };
}
