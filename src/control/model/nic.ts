/**
 * What the census says of a network interface, and which one a setting means. Pure: `linux/nics.ts` reads it from the machine,
 * the registry gets it as it is here.
 */
import { z } from "zod";

/** A route as the census publishes it; `to` is "default" or a prefix. */
export interface NicRoute {
  readonly to: string;
  readonly via?: string | undefined;
  readonly metric?: number | undefined;
}

export interface Nic {
  readonly name: string;
  readonly mac: string;
  /** "device" (physical), "bridge", "veth" ...: the kernel's kind of link. */
  readonly kind: string;
  /** Undefined: no driver is bound to it. */
  readonly driver?: string | undefined;
  /** Undefined: down, or it doesn't tell. */
  readonly speedMbps?: number | undefined;
  readonly mtu: number;
  readonly carrier: boolean;
  /** Brought up, whether or not it has a carrier. */
  readonly up: boolean;
  /** The bridge that it is a port of. */
  readonly bridge?: string | undefined;
  /** What Wirehaul made it for, if it did. */
  readonly mark?: string | undefined;
  /** With prefix lengths, in the order of the kernel; link-local ones as well. */
  readonly addresses: readonly string[];
  readonly routes: readonly NicRoute[];
  /** Of its default routes, of both families. */
  readonly gateways: readonly string[];
}

export const nicSchema: z.ZodType<Nic> = z.object({
  name: z.string(),
  mac: z.string(),
  kind: z.string(),
  driver: z.string().optional(),
  speedMbps: z.number().int().positive().optional(),
  mtu: z.number().int(),
  carrier: z.boolean(),
  up: z.boolean(),
  bridge: z.string().optional(),
  mark: z.string().optional(),
  addresses: z.array(z.string()),
  routes: z.array(
    z.object({ to: z.string(), via: z.string().optional(), metric: z.number().optional() }),
  ),
  gateways: z.array(z.string()),
});

/** A census as it travels and is kept: NICs in the order of their names. */
export const censusSchema: z.ZodType<readonly Nic[]> = z.array(nicSchema);

/** Marks of bridges that Wirehaul makes on NICs: the NICs' addresses are on them. */
export const BRIDGE_MARKS: readonly string[] = ["uplink", "nic-bridge"];

/** The link that a setting means by name or by MAC address; a port before its bridge, which may have the same MAC. */
export function findNic<
  T extends { readonly name: string; readonly mac: string; readonly kind: string },
>(nics: readonly T[], nameOrMac: string): T | undefined {
  const mac = nameOrMac.toLowerCase();
  return (
    nics.find(({ name }) => name === nameOrMac) ??
    nics.find((nic) => nic.mac.toLowerCase() === mac && nic.kind !== "bridge")
  );
}

/** The MAC address's look: six bytes in hexadecimal with colons. */
export const MAC_PATTERN: RegExp = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;
