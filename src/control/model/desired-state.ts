/** What the node keeps on its disk: networks with all that was chosen for them, leases of ports. Versioned. Pure. */
import { z } from "zod";
import { type NetworkResource, parseNetworkResource } from "./network-resource.ts";
import { parseOrRefuse } from "./problem.ts";
import { parseWorkload, type Workload } from "./workload.ts";

/** A network with what the node has chosen: key and port are there. */
export interface DesiredNetwork {
  readonly resource: NetworkResource & { readonly privateKey: string; readonly listenPort: number };
  /** Number of its address in the exit's range. */
  readonly exitIndex: number;
  readonly workloads: readonly Workload[];
  /** It is the registry's, which alone changes or removes it; absent: it was made on this node. */
  readonly isOfGrid?: true | undefined;
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

const networkSchema = z.strictObject({
  resource: z.unknown(),
  exitIndex: z.int().min(2),
  workloads: z.array(z.unknown()),
  isOfGrid: z.literal(true).optional(),
});

const leaseSchema: z.ZodType<PortLease> = z.strictObject({
  port: z.int().min(1).max(65_535),
  holder: z.string().min(1).max(256),
  expiresMs: z.number(),
});

/** Reads a network from the disk; throws what is wrong with it. */
export function parseDesiredNetwork(value: unknown): DesiredNetwork {
  const { resource, exitIndex, workloads, isOfGrid } = parseOrRefuse(
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
  };
}

export function parseLeases(value: unknown): PortLease[] {
  return parseOrRefuse(z.array(leaseSchema), value, "the stored leases");
}
