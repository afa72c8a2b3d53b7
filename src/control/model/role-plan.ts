/** What roles of NICs mean on the machine: bridges on NICs and legs of namespaces on those. Pure. */
import { EXIT_NAMESPACE } from "./names.ts";
import { findNic, type Nic } from "./nic.ts";
import type { NicSettings, NodeConfig, Role } from "./node-config.ts";

export interface NicBridge {
  readonly name: string;
  readonly nic: string;
  readonly mtu?: number | undefined;
}

/** A macvlan on a NIC's bridge, in a namespace, with addresses of its own. */
export interface RoleLeg {
  readonly namespace: string;
  readonly link: string;
  readonly bridge: string;
  readonly nic: string;
  readonly roles: readonly Role[];
  readonly addressing: Pick<NicSettings, "addresses" | "gateways" | "dns">;
}

export interface RolePlan {
  readonly bridges: readonly NicBridge[];
  readonly legs: readonly RoleLeg[];
  /** Where WireGuard's sockets are; undefined: in the host's namespace. */
  readonly overlayNamespace?: string | undefined;
  /** Whether the exit has a NIC of its own; it leaves by the uplink otherwise. */
  readonly hasExitLeg: boolean;
  /** Bridges on which workloads may have public addresses. */
  readonly publicBridges: readonly string[];
}

export const OVERLAY_NAMESPACE = "wh-overlay";
/** The leg's name in its namespace. */
export const ROLE_LEG = "uplink";

const NAME_MAX = 15;
const BRIDGE_PREFIX = "u-";

/** The bridge of a NIC; long names lose their middle. */
export function nicBridgeName(nic: string): string {
  const room = NAME_MAX - BRIDGE_PREFIX.length;
  if (nic.length <= room) return `${BRIDGE_PREFIX}${nic}`;
  return `${BRIDGE_PREFIX}${nic.slice(0, 3)}${nic.slice(-(room - 3))}`;
}

/**
 * Bridges and legs for a configuration. Roles that stand beside "management" in one entry stay where management is, in the host's
 * namespace; an entry with overlay and exit has one leg, in the exit's namespace, since an address can be in one place only.
 */
export function planRoles(
  config: NodeConfig,
  census: readonly Nic[],
  uplinkBridge: string,
): RolePlan {
  const bridges: NicBridge[] = [];
  const legs: RoleLeg[] = [];
  const publicBridges: string[] = [];
  let overlayNamespace: string | undefined;
  const uplinks = new Set(
    config.nics
      .filter(({ roles }) => roles.includes("management"))
      .map(({ nic }) => findNic(census, nic)?.name),
  );
  for (const settings of config.nics) {
    const nic = findNic(census, settings.nic)?.name ?? settings.nic;
    const isUplink = uplinks.has(nic);
    const bridge = isUplink ? uplinkBridge : nicBridgeName(nic);
    const roles = settings.roles.filter((role) => role !== "management");
    if (roles.length === 0) continue;
    if (!isUplink && !bridges.some(({ name }) => name === bridge)) {
      bridges.push({ name: bridge, nic, mtu: settings.mtu });
    }
    if (roles.includes("public")) publicBridges.push(bridge);
    if (settings.roles.includes("management")) continue;
    const { addresses, gateways, dns } = settings;
    const namespace = roles.includes("exit")
      ? EXIT_NAMESPACE
      : roles.includes("overlay")
        ? OVERLAY_NAMESPACE
        : undefined;
    if (namespace === undefined) continue;
    if (roles.includes("overlay")) overlayNamespace = namespace;
    const addressing = { addresses, gateways, dns };
    legs.push({ namespace, link: ROLE_LEG, bridge, nic, roles, addressing });
  }
  const hasExitLeg = legs.some(({ namespace }) => namespace === EXIT_NAMESPACE);
  return { bridges, legs, overlayNamespace, hasExitLeg, publicBridges };
}

/** NICs by name that are no candidates for the uplink, and the role that they have. */
export function reservedNics(config: NodeConfig, census: readonly Nic[]): Map<string, string> {
  const reserved = new Map<string, string>();
  const management = new Set<string>();
  for (const { nic, roles } of config.nics) {
    const name = findNic(census, nic)?.name ?? nic;
    if (roles.includes("management")) management.add(name);
    else reserved.set(name, roles.join(", "));
  }
  for (const name of management) reserved.delete(name);
  return reserved;
}
