/**
 * Where a workload is attached to a network: a cable into a namespace (`join`), a TAP for a virtual machine, a public address on
 * a bridge of the node. Pure.
 */
import { z } from "zod";
import { addressText, cidrOf, contains, formatCidr, parseCidr, widthOf } from "./cidr.ts";
import { isId, shortId } from "./names.ts";
import { gateway6Of, gatewayOf, type NetworkResource } from "./network-resource.ts";
import { parseOrRefuse, RefusedError } from "./problem.ts";

/** A cable into a namespace: made (and removed again) by the node if there is none of that name, else only used. */
export interface Join {
  readonly kind: "join";
  /** Unique in its network. */
  readonly id: string;
  readonly namespace: string;
  /** Set by the node: there was no such namespace, so it is the node's to make and to remove. */
  readonly isMade?: boolean | undefined;
  /** What the cable is called in there. */
  readonly interface: string;
  /** Addresses of the network's subnets, without lengths. */
  readonly addresses: readonly string[];
}

/** A persistent TAP on the network's bridge. */
export interface Tap {
  readonly kind: "tap";
  readonly id: string;
  /** User id that may open it; absent: root. */
  readonly owner?: number | undefined;
}

/** Addresses of the outside, on a bridge of the node; nothing else can be sent from there. */
export interface PublicAddress {
  readonly kind: "public";
  readonly id: string;
  readonly bridge: string;
  /** As in {@link Join}; absent: a TAP. */
  readonly namespace?: string | undefined;
  readonly isMade?: boolean | undefined;
  readonly interface: string;
  /** With lengths. */
  readonly addresses: readonly string[];
  readonly gateway4?: string | undefined;
  readonly gateway6?: string | undefined;
}

export type Workload = Join | Tap | PublicAddress;

const interfaceName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/, "is no interface name: 1 to 15 of A-Z a-z 0-9 _ . -");
const namespaceName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/, "is no namespace name: letters, digits, _ . - only");
const address = z.string().refine((value) => {
  const parsed = parseCidr(value);
  return parsed !== undefined && parsed.length === widthOf(parsed.family) && !value.includes("/");
}, "is no address");
const prefix = z
  .string()
  .refine((value) => value.includes("/") && parseCidr(value) !== undefined, "is not ADDRESS/LENGTH")
  .transform((value) => formatCidr(cidrOf(value)));
/** Ids of other systems may be longer than a name allows. */
const id = z
  .string()
  .min(1)
  .max(128)
  .transform((value) => (isId(value) ? value : shortId(value)));

export const workloadSchema: z.ZodType<Workload> = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("join"),
    id,
    namespace: namespaceName,
    isMade: z.boolean().optional(),
    interface: interfaceName.default("eth0"),
    addresses: z.array(address).min(1).max(16),
  }),
  z.strictObject({
    kind: z.literal("tap"),
    id,
    owner: z.int().min(0).optional(),
  }),
  z.strictObject({
    kind: z.literal("public"),
    id,
    bridge: interfaceName,
    namespace: namespaceName.optional(),
    isMade: z.boolean().optional(),
    interface: interfaceName.default("public"),
    addresses: z.array(prefix).min(1).max(16),
    gateway4: address.optional(),
    gateway6: address.optional(),
  }),
]);

/** Parses a workload from outside; throws a RefusedError that names each fault. */
export function parseWorkload(value: unknown): Workload {
  return parseOrRefuse(workloadSchema, value, "the workload");
}

/** Refuses a workload that doesn't fit into its network or takes what another one has. */
export function checkWorkload(
  workload: Workload,
  resource: NetworkResource,
  others: readonly Workload[],
): void {
  for (const other of others) {
    if (other.id === workload.id) continue;
    const clash = clashOf(workload, other);
    if (clash !== undefined) {
      throw new RefusedError(
        "conflict",
        `${clash} is workload ${other.id}'s already: choose another`,
      );
    }
  }
  if (workload.kind === "public") checkGateways(workload);
  if (workload.kind !== "join") return;
  for (const text of workload.addresses) {
    const subnet = subnetOf(text, resource);
    if (subnet === undefined) {
      const { subnet: own, subnet6 } = resource;
      const where = subnet6 === undefined ? own : `${own} and ${subnet6}`;
      throw new RefusedError("invalid", `${text} is not inside the network's subnet (${where})`);
    }
    const gateways = [gatewayOf(resource), gateway6Of(resource)];
    if (
      gateways.some((gateway) => gateway !== undefined && addressText(cidrOf(gateway)) === text)
    ) {
      throw new RefusedError("invalid", `${text} is the gateway's address: choose another`);
    }
  }
}

/** The network's subnet that an address lies in. */
export function subnetOf(text: string, { subnet, subnet6 }: NetworkResource): string | undefined {
  return [subnet, subnet6].find(
    (candidate) => candidate !== undefined && contains(cidrOf(candidate), cidrOf(text)),
  );
}

function checkGateways({ addresses, gateway4, gateway6 }: PublicAddress): void {
  for (const gateway of [gateway4, gateway6]) {
    if (gateway === undefined) continue;
    const parsed = cidrOf(gateway);
    const isLinkLocal = contains(cidrOf("fe80::/10"), parsed);
    if (!isLinkLocal && !addresses.some((own) => contains(cidrOf(own), parsed))) {
      throw new RefusedError("invalid", `the gateway ${gateway} is in no subnet of the addresses`);
    }
  }
}

/** What both would have. */
function clashOf(a: Workload, b: Workload): string | undefined {
  if (a.kind === "tap" || b.kind === "tap") return undefined;
  const shared = a.addresses.find((text) =>
    b.addresses.some((other) => addressText(cidrOf(other)) === addressText(cidrOf(text))),
  );
  if (shared !== undefined) return `the address ${shared}`;
  if (a.namespace !== undefined && a.namespace === b.namespace && a.interface === b.interface) {
    return `the interface ${a.interface} in ${a.namespace}`;
  }
  return undefined;
}
