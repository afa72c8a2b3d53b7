/**
 * Bridges on NICs: the uplink bridge (`zos`), which has the NIC's MAC address and the machine's addresses, and the plain ones of NICs
 * with other roles. Made, adopted after a restart, and given up without touching what else is on them.
 */
import { findLink, ipBatch, type LinkInfo, listLinks } from "../../linux/ip.ts";
import { markOf } from "../../linux/nics.ts";
import { setSysctls } from "../../linux/sysctl.ts";
import { MARK } from "../../model/names.ts";

/** What a bridge of ours is for; its mark. */
export type BridgeUse = "uplink" | "nic-bridge";

export interface BridgeSettings {
  readonly name: string;
  readonly nic: string;
  readonly use: BridgeUse;
  /** Undefined: what the NIC has. */
  readonly mtu?: number | undefined;
}

/** What MTUs NICs had before a configuration set others: they get them back. Known as long as the agent runs. */
export class OwnMtus {
  readonly #own = new Map<string, number>();

  /** The MTU that a NIC is to have; `configured` undefined: its own. */
  wanted(nic: string, present: number, configured: number | undefined): number {
    const own = this.#own.get(nic);
    if (configured === undefined) {
      this.#own.delete(nic);
      return own ?? present;
    }
    if (own === undefined) this.#own.set(nic, present);
    return configured;
  }
}

/** A bridge of this name is there, and isn't ours. */
export class ForeignLink extends Error {
  constructor(name: string) {
    super(`a link ${name} is there that Wirehaul did not make; remove or rename it`);
  }
}

/** The bridge's link, undefined if there is none. Rejects if the name is another's. */
export async function findBridge(name: string, use: BridgeUse): Promise<LinkInfo | undefined> {
  const link = await findLink(name);
  if (link === undefined) return undefined;
  if (markOf(link.ifalias) !== use) throw new ForeignLink(name);
  return link;
}

/** The NIC that is the port of our bridge; other ports (workloads' TAPs and veths) carry marks or are not of the NIC's kind. */
export async function portOf(
  name: string,
  isNic: (link: LinkInfo) => boolean,
): Promise<string | undefined> {
  const links = await listLinks();
  return links.find((link) => link.master === name && link.ifalias === undefined && isNic(link))
    ?.ifname;
}

/**
 * A link gets its mark only after it was made; so that being killed in between leaves nothing unknown, it gets its name last. No STP:
 * the machine is a leaf of its network.
 */
async function makeBridge(name: string, use: BridgeUse, mac: string): Promise<void> {
  const making = use === "uplink" ? "wh-new-uplink" : "wh-new-bridge";
  if ((await findLink(making)) !== undefined) await ipBatch([`link del dev ${making}`]);
  await ipBatch([
    `link add name ${making} address ${mac} type bridge stp_state 0 forward_delay 0`,
    `link set dev ${making} alias ${MARK}${use}`,
    `link set dev ${making} name ${name}`,
  ]);
}

/** Makes the bridge if need be and puts the NIC on it. Doing it again changes nothing. */
export async function attachNic(settings: BridgeSettings, mtus: OwnMtus): Promise<void> {
  const { name, nic, use } = settings;
  const link = await findLink(nic);
  if (link === undefined) throw new Error(`the NIC ${nic} has gone`);
  const bridge = await findBridge(name, use);
  if (bridge === undefined) await makeBridge(name, use, link.address);
  // Its addresses are the bridge's matter; a NIC-bridge has none in the host's namespace.
  await setSysctls([
    [`net/ipv6/conf/${nic}/disable_ipv6`, 1],
    [`net/ipv6/conf/${name}/disable_ipv6`, use === "uplink" ? 0 : 1],
    [`net/ipv6/conf/${name}/accept_ra`, use === "uplink" ? 2 : 0],
  ]);
  const mtu = mtus.wanted(nic, link.mtu, settings.mtu);
  const lines = [`address flush dev ${nic}`];
  if (link.mtu !== mtu) lines.push(`link set dev ${nic} mtu ${mtu}`);
  if (link.master !== name) lines.push(`link set dev ${nic} master ${name}`);
  lines.push(`link set dev ${nic} up`);
  if (bridge?.address !== link.address) {
    lines.push(`link set dev ${name} address ${link.address}`);
  }
  lines.push(`link set dev ${name} mtu ${mtu}`, `link set dev ${name} up`);
  await ipBatch(lines);
}

/** Takes the NIC off its bridge and leaves it idle: up, so that the census sees its carrier, and without addresses. */
export async function releaseNic(nic: string, mtus: OwnMtus): Promise<void> {
  const link = await findLink(nic);
  if (link === undefined) return;
  const mtu = mtus.wanted(nic, link.mtu, undefined);
  await ipBatch([
    `link set dev ${nic} nomaster`,
    `link set dev ${nic} mtu ${mtu}`,
    `link set dev ${nic} up`,
  ]);
}

/** The bridge forgets addresses and routes of the network that it was on; IPv6 asks for routers anew. */
export async function forgetNetwork(name: string): Promise<void> {
  await setSysctls([[`net/ipv6/conf/${name}/disable_ipv6`, 1]]);
  await ipBatch([`address flush dev ${name}`]);
  await setSysctls([[`net/ipv6/conf/${name}/disable_ipv6`, 0]]);
}
