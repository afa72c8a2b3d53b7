/** What the registry's API takes, as zod schemas: the validators, the types and the description are these. Every list and text has a bound. */
import { z } from "zod";
import { parseBase64Key } from "../../bytes/base64.ts";
import type { Measured, RelayState, Standing } from "../mesh/grid.ts";
import { isNetwork, parseCidr, parseInterfaceAddress } from "../model/cidr.ts";
import { type Nic, nicSchema } from "../model/nic.ts";
import { keyBytes } from "./key.ts";

/** Ours: far above what a node or a person has; bounds what one request can cost. */
const NICS_MAX = 256;
const ADDRESSES_MAX = 64;
const LINKS_MAX = 4_096;
const PORTS_MAX = 65_535;
/** Ours: nodes in one request for a network, and so in a page. */
export const LIST_MAX = 1_000;
/** Ours: a lease or a token is for people to use, not to forget. */
const LEASE_MAX_S = 24 * 3_600;
const TOKEN_MAX_S = 30 * 24 * 3_600;

export interface NewUser {
  readonly name: string;
  readonly key: string;
  readonly role: "admin" | "farmer" | "user";
}

export interface NewFarm {
  readonly name: string;
  /** A user's id; absent: who asks. */
  readonly owner?: number | undefined;
}

export interface NewToken {
  readonly seconds: number;
}

export interface NewNode {
  readonly farm: number;
  readonly name: string;
  /** Absent or spent: the node waits for approval. */
  readonly token?: string | undefined;
  readonly hostname?: string | undefined;
  readonly osVersion?: string | undefined;
  readonly location?: Readonly<Record<string, string | number | undefined>> | undefined;
  readonly capacity?: Readonly<Record<"cru" | "mru" | "hru" | "sru", number>> | undefined;
}

export interface UsedPorts {
  readonly ports: readonly number[];
}

export type { Standing };

export interface Link extends Measured {
  readonly node: string;
}

/** A node's word on one peer of a network. */
export interface PeerLink {
  /** WireGuard public key of the peer in that network. */
  readonly publicKey: string;
  /** Seconds since the last handshake; absent: there was none. */
  readonly handshakeAge?: number | undefined;
  /** "ADDRESS:PORT" in use; absent: none is known. */
  readonly endpoint?: string | undefined;
  /** Did the peer answer the last probes through the tunnel? absent: it was not probed. */
  readonly isAlive?: boolean | undefined;
  /** Median round trip of the probes that were answered. */
  readonly roundTripMs?: number | undefined;
  /** Share of the last probes (at most 20) that were not answered, 0 to 1. */
  readonly loss?: number | undefined;
}

/**
 * Of each network that it names all peers: one that is not named has no link. Networks that it does not name stay as they were reported, so that
 * a node with thousands of peers says it in several requests.
 */
export interface LinksReport {
  readonly networks: readonly {
    readonly network: string;
    readonly peers: readonly PeerLink[];
  }[];
}

/** What a node measured of itself and of others. */
export interface Reachability {
  readonly v4: Standing;
  readonly v6: Standing;
  readonly relay: RelayState;
  readonly links: readonly Link[];
}

export interface Heartbeat {
  /** Seconds. */
  readonly uptime: number;
}

export interface NewLease {
  /** Who it is for, in the words of who asks; the same holder gets the same port again. */
  readonly holder: string;
  readonly seconds: number;
}

export interface NewMember {
  readonly node: string;
  readonly subnet?: string | undefined;
  /** The network's revision that who asks has seen; another: nothing is done. */
  readonly revision?: number | undefined;
}

export interface NewNetwork {
  readonly name: string;
  readonly cidr: string;
  readonly cidr6?: string | undefined;
  readonly tunnelRange?: string | undefined;
  readonly subnetLength?: number | undefined;
  readonly nodes: readonly (
    | string
    | { readonly node: string; readonly subnet?: string | undefined }
  )[];
}

export interface NewClient {
  readonly name: string;
  readonly publicKey: string;
  /** The node that it comes to. */
  readonly access: string;
  readonly revision?: number | undefined;
}

/** A node takes part: its public key there, and the port that it was offered. */
export interface Join {
  readonly publicKey: string;
  readonly port: number;
}

/** Query parameters are text; absent ones are left out. */
export type Query = z.ZodType<Record<string, string>, unknown>;

function query(shape: Record<string, z.ZodType>): Query {
  return z.strictObject(shape) as unknown as Query;
}

/** What people name things: no spaces at the ends, no control characters. */
const name = z
  .string()
  .min(1)
  .max(64)
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{N} ._-]*$/u,
    "has other characters than letters, digits, space, . _ -",
  );
const PLAIN = /^[^\p{Cc}\p{Cs}]*$/u;
export const text: z.ZodString = z
  .string()
  .max(256)
  .regex(PLAIN, "has control characters, or halves of characters");
const keyId = z
  .string()
  .refine(
    (value) => keyBytes(value) !== undefined,
    "is no key id: base58 of an ed25519 public key",
  );
/** The message never shows the value. */
export const wireguardKey: z.ZodType<string> = z
  .string()
  .refine(
    (value) => parseBase64Key(value) !== undefined,
    "is no WireGuard public key: 44 characters of base64 for 32 bytes",
  );
export const port: z.ZodType<number> = z.int().min(1).max(65_535);
const rowId = z.int().min(1).max(Number.MAX_SAFE_INTEGER);
export const revision: z.ZodType<number> = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const address = z
  .string()
  .max(64)
  .refine((value) => !value.includes("/") && parseCidr(value) !== undefined, "is no address");

function prefix(family: 2 | 10, shortest: number, longest: number): z.ZodType<string> {
  return z
    .string()
    .max(64)
    .refine(
      (value) => {
        const parsed = value.includes("/") ? parseCidr(value) : undefined;
        return (
          parsed?.family === family &&
          isNetwork(parsed) &&
          parsed.length >= shortest &&
          parsed.length <= longest
        );
      },
      `is no IPv${family === 2 ? 4 : 6} prefix of ${shortest} to ${longest} bits (no bits after its length)`,
    );
}

export const userSchema: z.ZodType<NewUser> = z.strictObject({
  name,
  key: keyId,
  role: z.enum(["admin", "farmer", "user"]),
});

export const farmSchema: z.ZodType<NewFarm> = z.strictObject({ name, owner: rowId.optional() });

export const tokenSchema: z.ZodType<NewToken> = z.strictObject({
  seconds: z.int().min(60).max(TOKEN_MAX_S).default(3_600),
});

export const nodeSchema: z.ZodType<NewNode> = z.strictObject({
  farm: rowId,
  name,
  token: z.string().max(128).optional(),
  hostname: text.optional(),
  osVersion: text.optional(),
  location: z
    .strictObject({
      city: text.optional(),
      country: text.optional(),
      continent: text.optional(),
      latitude: z.number().min(-90).max(90).optional(),
      longitude: z.number().min(-180).max(180).optional(),
    })
    .optional(),
  capacity: z
    .strictObject({
      cru: z.number().min(0),
      mru: z.number().min(0),
      hru: z.number().min(0),
      sru: z.number().min(0),
    })
    .optional(),
});

function textsOf({ routes, ...rest }: Nic): string {
  return [...Object.values(rest), ...routes.flatMap(({ to, via }) => [to, via])].flat().join(" ");
}

const boundedNic: z.ZodType<Nic> = nicSchema
  .refine(
    ({ addresses }) => addresses.every((text) => parseInterfaceAddress(text) !== undefined),
    "has an address that is none, with a length, such as 192.0.2.7/24",
  )
  .refine((nic) => PLAIN.test(textsOf(nic)), "has control characters, or halves of characters")
  .refine(
    ({ name: nic, addresses, routes, gateways, ...rest }) =>
      [nic, ...addresses, ...gateways, ...Object.values(rest)].every(
        (part) => String(part).length <= 256,
      ) &&
      routes.every(({ to, via = "" }) => to.length <= 64 && via.length <= 64) &&
      Math.max(addresses.length, gateways.length) <= ADDRESSES_MAX &&
      routes.length <= LIST_MAX,
    "has too many addresses or routes, or texts that are too long",
  );
export const censusBodySchema: z.ZodType<readonly Nic[]> = z.array(boundedNic).max(NICS_MAX);

export const portsSchema: z.ZodType<UsedPorts> = z.strictObject({
  ports: z.array(port).max(PORTS_MAX),
});

const standing = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("public"),
    addresses: z.array(address).min(1).max(ADDRESSES_MAX),
  }),
  z.strictObject({ kind: z.literal("hidden"), seenAs: address.optional() }),
  z.strictObject({ kind: z.literal("none") }),
]);
const lanAddress = z
  .string()
  .max(64)
  .refine((value) => parseCidr(value) !== undefined, "is no address");
const probe = { isReached: z.boolean(), latencyMs: z.number().min(0).max(600_000).optional() };

export const reachabilitySchema: z.ZodType<Reachability> = z.strictObject({
  v4: standing,
  v6: standing,
  relay: z.strictObject({
    isAllowed: z.boolean(),
    health: z.enum(["up", "probation", "down"]),
    load: z.number().min(0).max(1),
  }),
  links: z
    .array(
      z.strictObject({
        node: keyId,
        v4: z.strictObject(probe).optional(),
        v6: z.strictObject(probe).optional(),
        lan: z
          .array(z.strictObject({ ...probe, address: lanAddress }))
          .max(ADDRESSES_MAX)
          .optional(),
      }),
    )
    .max(LINKS_MAX)
    .default([]),
});

/** "ADDRESS:PORT" or "[IPV6]:PORT". */
const endpoint = z
  .string()
  .max(64)
  .refine((value) => {
    const [, six, four, digit] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(value) ?? [];
    const parsed = parseCidr(six ?? four ?? "");
    return parsed?.family === (six === undefined ? 2 : 10) && Number(digit) <= 65_535;
  }, "is no ADDRESS:PORT or [IPV6]:PORT");

function isOnce<Item>(items: readonly Item[], nameOf: (item: Item) => string): boolean {
  return new Set(items.map(nameOf)).size === items.length;
}

export const linksSchema: z.ZodType<LinksReport> = z.strictObject({
  networks: z
    .array(
      z.strictObject({
        network: text.min(1),
        peers: z
          .array(
            z.strictObject({
              publicKey: wireguardKey,
              handshakeAge: z.number().min(0).max(4_294_967_295).optional(),
              endpoint: endpoint.optional(),
              isAlive: z.boolean().optional(),
              roundTripMs: z.number().min(0).max(600_000).optional(),
              loss: z.number().min(0).max(1).optional(),
            }),
          )
          .max(LINKS_MAX)
          .refine((peers) => isOnce(peers, (peer) => peer.publicKey), "names a peer twice"),
      }),
    )
    .max(LIST_MAX)
    .refine((all) => isOnce(all, ({ network }) => network), "names a network twice"),
});

export const heartbeatSchema: z.ZodType<Heartbeat> = z.strictObject({
  uptime: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
});

export const leaseSchema: z.ZodType<NewLease> = z.strictObject({
  holder: text.min(1),
  seconds: z.int().min(1).max(LEASE_MAX_S).default(600),
});

export const memberSchema: z.ZodType<NewMember> = z.strictObject({
  node: keyId,
  subnet: prefix(2, 8, 30).optional(),
  revision: revision.optional(),
});

export const networkSchema: z.ZodType<NewNetwork> = z.strictObject({
  name,
  cidr: prefix(2, 8, 28),
  cidr6: prefix(10, 16, 62).optional(),
  tunnelRange: prefix(2, 8, 24).optional(),
  subnetLength: z.int().min(9).max(30).optional(),
  nodes: z
    .array(z.union([keyId, z.strictObject({ node: keyId, subnet: prefix(2, 8, 30).optional() })]))
    .max(LIST_MAX)
    .default([]),
});

export const clientSchema: z.ZodType<NewClient> = z.strictObject({
  name,
  publicKey: wireguardKey,
  access: keyId,
  revision: revision.optional(),
});

export const joinSchema: z.ZodType<Join> = z.strictObject({ publicKey: wireguardKey, port });

const digits = z
  .string()
  .regex(/^\d{1,15}$/, "is no whole number")
  .optional();
export const pageQuery: Query = query({ after: text.optional(), limit: digits });
export const sinceQuery: Query = query({ since: digits });
export const revisionQuery: Query = query({ revision: digits });
export const nodesQuery: Query = query({
  after: text.optional(),
  limit: digits,
  farm: digits,
  state: z.enum(["pending", "approved", "deleted"]).optional(),
});
export const explainQuery: Query = query({ from: keyId, to: keyId, network: text.optional() });
