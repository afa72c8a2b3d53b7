/** What workloads of the old API are made of (research, sections 4.4 and 5.1): networks and their parts, results, signatures; and what is signed. */
import { z } from "zod";

/** BCDB's numbers. */
const NETWORK = 3;
const NETWORK_RESOURCE = 10;
/** Ours: nodes of a network, and who may have to agree. */
const RESOURCES_MAX = 1_000;
const SIGNERS_MAX = 64;

interface OldPeer {
  readonly public_key: string;
  readonly endpoint: string;
  readonly iprange: string;
  readonly allowed_iprange: readonly string[];
}

/** A node's part of a network. */
interface OldPart {
  readonly wireguard_private_key_encrypted: string;
  readonly wireguard_public_key: string;
  readonly wireguard_listen_port: number;
  readonly iprange: string;
  readonly peers: readonly OldPeer[];
}

interface SigningRequest {
  readonly signers: readonly number[];
  readonly quorum_min: number;
}

interface Common {
  readonly workload_id: number;
  readonly pool_id: number;
  readonly reference: string;
  readonly description: string;
  readonly metadata: string;
  readonly customer_tid: number;
  readonly customer_signature: string;
  readonly epoch: number;
  readonly name: string;
  readonly signing_request_provision: SigningRequest;
  readonly signing_request_delete: SigningRequest;
}

export interface OldResource extends Common, OldPart {
  readonly workload_type: typeof NETWORK_RESOURCE;
  readonly node_id: string;
  readonly network_iprange: string;
}

export interface OldNetwork extends Common {
  readonly workload_type: typeof NETWORK;
  /** The whole. */
  readonly iprange: string;
  readonly network_resources: readonly (OldPart & { readonly node_id: string })[];
}

export type OldWorkload = OldResource | OldNetwork;

export interface OldResult {
  readonly category: number;
  readonly workload_id: string;
  readonly data_json?: unknown;
  readonly signature: string;
  readonly state: number;
  readonly message: string;
  readonly epoch: number;
  readonly node_id: string;
}

export interface OldSignature {
  readonly tid: number;
  readonly signature: string;
}

const text = z
  .string()
  .max(1_024)
  .regex(/^\P{Cc}*$/u, "has control characters")
  .default("");
const whole = z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0);
const signature = z.string().regex(/^[0-9a-fA-F]{128}$/, "is no signature in hexadecimal");
const request = z
  .object({
    signers: z
      .array(z.int().min(1))
      .max(SIGNERS_MAX)
      .nullish()
      .transform((value) => value ?? []),
    quorum_min: z.int().min(0).max(SIGNERS_MAX).default(0),
  })
  .default({ signers: [], quorum_min: 0 })
  .refine(
    ({ signers, quorum_min: quorum }) =>
      quorum <= Math.max(new Set(signers).size, signers.length === 0 ? 1 : 0),
    "quorum_min is more than there are signers",
  );
const part = {
  wireguard_private_key_encrypted: z
    .string()
    .regex(/^[0-9a-fA-F]{96,512}$/, "is no sealed key in hexadecimal"),
  wireguard_public_key: text,
  wireguard_listen_port: z.int().min(1).max(65_535),
  iprange: text,
  peers: z
    .array(
      z.object({
        public_key: text,
        endpoint: text,
        iprange: text,
        allowed_iprange: z.array(z.string().max(64)).max(1_024),
      }),
    )
    .max(4_096),
};
const common = {
  workload_id: whole,
  pool_id: whole,
  reference: text,
  description: text,
  metadata: text,
  customer_tid: whole,
  customer_signature: signature,
  epoch: whole,
  name: text,
  signing_request_provision: request,
  signing_request_delete: request,
};

export const workloadSchema: z.ZodType<OldWorkload> = z.discriminatedUnion(
  "workload_type",
  [
    z.object({
      ...{ ...common, ...part, node_id: text, network_iprange: text },
      workload_type: z.literal(NETWORK_RESOURCE),
    }),
    z.object({
      ...common,
      workload_type: z.literal(NETWORK),
      iprange: text,
      network_resources: z
        .array(z.object({ ...part, node_id: text }))
        .min(1)
        .max(RESOURCES_MAX)
        .refine(
          (parts) => new Set(parts.map(({ node_id: node }) => node)).size === parts.length,
          "names a node twice",
        ),
    }),
  ],
  "only 3 (network) and 10 (network_resource) are possible",
);
export const resultSchema: z.ZodType<OldResult> = z.object({
  category: whole,
  workload_id: text,
  data_json: z.json().optional(),
  signature: text,
  state: z.int().min(0).max(2),
  message: text,
  epoch: whole,
  node_id: text,
});
export const signSchema: z.ZodType<OldSignature> = z.object({ tid: whole, signature });

export function nodesOf(workload: OldWorkload): string[] {
  return workload.workload_type === NETWORK
    ? workload.network_resources.map(({ node_id: node }) => node)
    : [workload.node_id];
}

function partText({
  wireguard_private_key_encrypted: sealed,
  iprange,
  peers,
  ...rest
}: OldPart): (string | number)[] {
  return [
    ...[sealed, rest.wireguard_public_key, rest.wireguard_listen_port, iprange],
    ...peers.flatMap((peer) => [
      ...[peer.public_key, peer.endpoint, peer.iprange, ...peer.allowed_iprange],
    ]),
  ];
}

/**
 * What a customer signs, before it is hashed (research, section 5.1). Of a network, which has no node of its own: "NETWORK", its
 * name and range, then node and part of each resource, in their order (ours: the source has no challenge for it).
 */
export function challengeOf(workload: OldWorkload): string {
  const isWhole = workload.workload_type === NETWORK;
  return [
    ...[workload.workload_id, isWhole ? "" : workload.node_id, workload.pool_id],
    ...[workload.reference, workload.customer_tid, isWhole ? "NETWORK" : "NETWORK_RESOURCE"],
    ...[workload.epoch, workload.description, workload.metadata, workload.name],
    ...(isWhole
      ? [
          workload.iprange,
          ...workload.network_resources.flatMap((one) => [one.node_id, ...partText(one)]),
        ]
      : [workload.network_iprange, ...partText(workload)]),
  ].join("");
}
