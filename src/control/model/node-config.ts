/**
 * Phase two of a node's configuration: which NIC serves what, and static addresses. The admin of the farm writes it, through the
 * registry or the command line. Its form is parsed here; `node-config-check.ts` holds it against a census. Pure.
 */
import { z } from "zod";
import { parseHost, parseInterfaceAddress } from "./cidr.ts";
import { MAC_PATTERN } from "./nic.ts";

/**
 * management: boot, registration, polling (the uplink bridge). overlay: WireGuard's own datagrams. exit: the workloads' way to the
 * Internet. public: addresses of workloads on that NIC's wire.
 */
export const ROLES = ["management", "overlay", "exit", "public"] as const;
export type Role = (typeof ROLES)[number];

/** An interface's name as the kernel takes it. */
const NIC_NAME = /^[^\s/:]{1,15}$/;

export interface NicSettings {
  /** Name or MAC address. */
  readonly nic: string;
  readonly roles: readonly Role[];
  /** With prefix lengths; none: DHCP and router advertisements. Each role but "public" uses them in its own place. */
  readonly addresses: readonly string[];
  /** At most one of each family. */
  readonly gateways: readonly string[];
  /** Name servers that go with the static addresses. */
  readonly dns: readonly string[];
  readonly mtu?: number | undefined;
}

export interface NodeConfig {
  readonly revision: number;
  readonly nics: readonly NicSettings[];
  /** Addresses of the exit's inner side, one for each network. */
  readonly exitRange: string;
  /** Addresses of tunnels. */
  readonly tunnelRange: string;
}

/** Carrier-grade NAT's space (RFC 6598), as zos has it: its users' own networks are mostly elsewhere. */
export const DEFAULT_EXIT_RANGE = "100.127.0.0/16";
export const DEFAULT_TUNNEL_RANGE = "100.64.0.0/10";

const cidrText = z.string().refine((text) => parseInterfaceAddress(text) !== undefined, {
  error: ({ input }) => `"${input}" is no address with a prefix length, such as 192.0.2.7/24`,
});
const hostText = z.string().refine((text) => parseHost(text) !== undefined, {
  error: ({ input }) => `"${input}" is no IP address`,
});
const range4 = cidrText.refine(
  (text) => parseInterfaceAddress(text)?.family === 2,
  "is no IPv4 range",
);

/** MTU: IPv6 needs 1280 (RFC 8200 section 5); above 9216 no NIC goes. */
const nicSettingsSchema: z.ZodType<NicSettings, unknown> = z.strictObject({
  nic: z
    .string()
    .refine((text) => NIC_NAME.test(text) || MAC_PATTERN.test(text), "is no name or MAC address"),
  roles: z.array(z.enum(ROLES)).min(1, "has no role"),
  addresses: z.array(cidrText).default([]),
  gateways: z.array(hostText).default([]),
  dns: z.array(hostText).default([]),
  mtu: z.number().int().min(1280).max(9216).optional(),
});

export const nodeConfigSchema: z.ZodType<NodeConfig, unknown> = z.strictObject({
  revision: z.number().int().nonnegative().default(0),
  nics: z.array(nicSettingsSchema).default([]),
  exitRange: range4.default(DEFAULT_EXIT_RANGE),
  tunnelRange: range4.default(DEFAULT_TUNNEL_RANGE),
});

/** The configuration of a node that nobody configured. */
export const EMPTY_NODE_CONFIG: NodeConfig = {
  revision: 0,
  nics: [],
  exitRange: DEFAULT_EXIT_RANGE,
  tunnelRange: DEFAULT_TUNNEL_RANGE,
};

/** Parses what came from outside. Throws naming the place and the fault. */
export function parseNodeConfig(value: unknown): NodeConfig {
  const result = nodeConfigSchema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path, message }) => {
    const where = path.length === 0 ? "node configuration" : path.join(".");
    return `${where}: ${message}`;
  });
  throw new Error(`the node configuration is wrong: ${faults.join("; ")}`);
}

/** The settings of the NIC that has a role (the first of several). */
export function nicWithRole(config: NodeConfig, role: Role): NicSettings | undefined {
  return config.nics.find(({ roles }) => roles.includes(role));
}
