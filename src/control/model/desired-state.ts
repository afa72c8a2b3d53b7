/** What the node keeps on its disk: networks with all that was chosen for them, leases of ports. Versioned. Pure. */
import { z } from "zod";
import { parseBase64Key } from "../../bytes/base64.ts";
import { type NetworkResource, parseNetworkResource } from "./network-resource.ts";
import { parseOrRefuse } from "./problem.ts";
import { parseWorkload, type Workload } from "./workload.ts";

/** Made by the node for a rotation, and not in use yet; each if it is asked for. */
export interface NextKeys {
  /** Base64; a secret. */
  readonly privateKey?: string | undefined;
  readonly listenPort?: number | undefined;
}

/** A network with what the node has chosen: key and port are there. */
export interface DesiredNetwork {
  readonly resource: NetworkResource & { readonly privateKey: string; readonly listenPort: number };
  /** Number of its address in the exit's range. */
  readonly exitIndex: number;
  readonly workloads: readonly Workload[];
  /** It is the registry's, which alone changes or removes it; absent: it was made on this node. */
  readonly isOfGrid?: true | undefined;
  /** In the middle of a rotation: what it is to use next. */
  readonly next?: NextKeys | undefined;
}

/** A port that was promised to somebody for a time. */
export interface PortLease {
  readonly port: number;
  readonly holder: string;
  /** Milliseconds since 1970. */
  readonly expiresMs: number;
}

/** Version of the files' contents. */
export const STATE_VERSION = 1;

const port = z.int().min(1).max(65_535);

const networkSchema = z.strictObject({
  resource: z.unknown(),
  exitIndex: z.int().min(2),
  workloads: z.array(z.unknown()),
  isOfGrid: z.literal(true).optional(),
  next: z
    .strictObject({
      privateKey: z
        .string()
        .refine((text) => parseBase64Key(text) !== undefined, "is no WireGuard key")
        .optional(),
      listenPort: port.optional(),
    })
    .optional(),
});

const leaseSchema: z.ZodType<PortLease> = z.strictObject({
  port,
  holder: z.string().min(1).max(256),
  expiresMs: z.number(),
});

/** Reads a network from the disk; throws what is wrong with it. */
export function parseDesiredNetwork(value: unknown): DesiredNetwork {
  const { resource, exitIndex, workloads, isOfGrid, next } = parseOrRefuse(
    networkSchema,
    value,
    "the stored network",
  );
  const parsed = parseNetworkResource(resource);
  const { privateKey, listenPort } = parsed;
  if (privateKey === undefined || listenPort === undefined) {
    throw new Error("the stored network has no key or no port");
  }
  return {
    resource: { ...parsed, privateKey, listenPort },
    exitIndex,
    workloads: workloads.map(parseWorkload),
    ...(isOfGrid === undefined ? {} : { isOfGrid }),
    ...(next === undefined ? {} : { next }),
  };
}

export function parseLeases(value: unknown): PortLease[] {
  return parseOrRefuse(z.array(leaseSchema), value, "the stored leases");
}
