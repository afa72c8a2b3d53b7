/**
 * zos's public configuration, which is where WireGuard's own datagrams leave: here the role "overlay" of a NIC. Its exit device is
 * that NIC; without one they leave by the uplink, and there is no place for other addresses.
 */
import { z } from "zod";
import type { NicSettings, NodeConfig } from "../model/node-config.ts";
import { RefusedError } from "../model/problem.ts";
import type { Agent } from "../node/agent.ts";
import { type GoIpNet, goIp, goIpNet, goText, NO_IP_NET, toGoIp, toGoIpNet } from "./go-types.ts";

type Configured = Pick<Agent, "configuration" | "configure">;
type Shown = Pick<Agent, "configuration">;

/** zos's form on the wire. */
export interface GoPublicConfig {
  readonly Type: string;
  readonly IPv4: GoIpNet | typeof NO_IP_NET;
  readonly IPv6: GoIpNet | typeof NO_IP_NET;
  readonly GW4: Uint8Array | null;
  readonly GW6: Uint8Array | null;
  readonly Domain: string;
}

export interface PublicConfig {
  readonly addresses: readonly string[];
  readonly gateways: readonly string[];
}

export const publicConfigSchema: z.ZodType<PublicConfig> = z
  .object({
    IPv4: goIpNet.optional(),
    IPv6: goIpNet.optional(),
    GW4: goIp.optional(),
    GW6: goIp.optional(),
    Domain: goText.optional(),
  })
  .transform(({ IPv4, IPv6, GW4, GW6 }) => ({
    addresses: [IPv4, IPv6].filter((text) => text !== undefined && text !== ""),
    gateways: [GW4, GW6].filter((text) => text !== undefined && text !== ""),
  })) as z.ZodType<PublicConfig>;

/** Undefined: none is set. */
export function publicConfigOf({ configuration }: Shown): GoPublicConfig | undefined {
  const overlay = overlayOf(configuration?.config);
  if (overlay === undefined || overlay.addresses.length === 0) return undefined;
  const prefix = (mark: string): GoPublicConfig["IPv4"] => {
    const text = overlay.addresses.find((address) => address.includes(mark));
    return text === undefined ? NO_IP_NET : toGoIpNet(text);
  };
  const gateway = (mark: string): Uint8Array | null =>
    toGoIp(overlay.gateways.find((text) => text.includes(mark)));
  return {
    Type: "macvlan",
    IPv4: prefix("."),
    IPv6: prefix(":"),
    GW4: gateway("."),
    GW6: gateway(":"),
    Domain: "",
  };
}

export function exitDevice({ configuration }: Shown): Readonly<Record<string, unknown>> {
  const nic = overlayOf(configuration?.config)?.nic;
  return {
    IsSingle: nic === undefined,
    IsDual: nic !== undefined,
    AsDualInterface: nic ?? "",
  };
}

/** Static addresses for the overlay's NIC; on probation until the registry answers. */
export async function setPublicConfig(node: Configured, config: PublicConfig): Promise<void> {
  const before = configOf(node);
  const overlay = overlayOf(before);
  if (overlay === undefined) {
    throw new RefusedError(
      "conflict",
      "no NIC has the role overlay: name one by SetPublicExitDevice, or by `wirehaul node config put`",
    );
  }
  await change(node, before, (nic) => (nic === overlay ? { ...nic, ...config } : nic));
}

/** The overlay's NIC has the addresses that its LAN gives it. */
export async function unsetPublicConfig(node: Configured): Promise<void> {
  const before = configOf(node);
  const overlay = overlayOf(before);
  if (overlay === undefined || overlay.addresses.length === 0) return;
  await change(node, before, (nic) =>
    nic === overlay ? { ...nic, addresses: [], gateways: [] } : nic,
  );
}

/** Gives the role overlay to this NIC, and takes it from another one. */
export async function setExitDevice(node: Configured, name: string): Promise<void> {
  const before = configOf(node);
  const overlay = overlayOf(before);
  if (overlay?.nic === name) return;
  const others = before.nics.filter((nic) => nic !== overlay && nic.nic !== name);
  const own = before.nics.find((nic) => nic.nic === name) ?? { ...NO_SETTINGS, nic: name };
  const left = overlay?.roles.filter((role) => role !== "overlay") ?? [];
  const rest = overlay === undefined || left.length === 0 ? [] : [{ ...overlay, roles: left }];
  const nics = [...others, ...rest, { ...own, roles: [...own.roles, "overlay" as const] }];
  await node.configure({ ...before, nics, revision: before.revision + 1 }, true);
}

const NO_SETTINGS: Omit<NicSettings, "nic"> = { roles: [], addresses: [], gateways: [], dns: [] };

async function change(
  node: Configured,
  before: NodeConfig,
  replace: (nic: NicSettings) => NicSettings,
): Promise<void> {
  const nics = before.nics.map(replace);
  await node.configure({ ...before, nics, revision: before.revision + 1 }, true);
}

function configOf({ configuration }: Shown): NodeConfig {
  if (configuration === null) {
    throw new RefusedError(
      "conflict",
      "this node has no registry, so its NICs are the machine's own: start it with --registry",
    );
  }
  return configuration.config;
}

/** The NIC that WireGuard's datagrams leave by, if it is another than management's. */
function overlayOf(config: NodeConfig | undefined): NicSettings | undefined {
  return config?.nics.find(
    ({ roles }) => roles.includes("overlay") && !roles.includes("management"),
  );
}
