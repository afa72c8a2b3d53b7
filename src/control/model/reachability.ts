/**
 * Whether this node can be reached from outside, per family, as it was measured; and the keepalive that a peer needs because of it.
 * Items 26 and 30 to 32 of docs/networkd.md. Pure.
 */
import { z } from "zod";
import type { NetworkPeer } from "./network-resource.ts";

/**
 * "public": a packet from an address and port that was never spoken to arrived on a port that had sent nothing. "hidden": responders
 * answered, and no such packet came; a mapping that our own packets hold open may let others in (RFC 4787 section 5), as long as it
 * lives. "unknown": no responder answered, so nothing was measured.
 */
export type Verdict = "public" | "hidden" | "unknown";

export interface FamilyReachability {
  readonly verdict: Verdict;
  /** One sentence. */
  readonly why: string;
  /** The address and port from which a probe was seen to come; null: nobody has seen one. */
  readonly seen: string | null;
  /** The address at which others reach this node's listen ports; null unless public. */
  readonly address: string | null;
  /** A mapping of a NAT or firewall lived through so much silence; null: not measured, or nothing to measure. */
  readonly lifetimeMs: number | null;
  /** It did not live through that; null: it lived through all that was tried. */
  readonly lifetimeBelowMs: number | null;
  /** Of peers that need one. */
  readonly keepaliveSeconds: number;
  /** Of the last probe that was answered, milliseconds since 1970; null: none was. */
  readonly checkedMs: number | null;
}

export interface Reachability {
  readonly ipv4: FamilyReachability;
  readonly ipv6: FamilyReachability;
}

/** wireguard.com/quickstart, "NAT and Firewall Traversal Persistence": an interval that works with a wide variety of firewalls. */
export const DEFAULT_KEEPALIVE = 25;
/** Ours: with half of what a mapping lives through, one lost keepalive does not close it. */
const PARTS_OF_LIFETIME = 2;
/** The unit of the configuration protocol. */
const KEEPALIVE_MIN = 1;
/** Ours: a NAT that forgot by itself (it was restarted) is passed again after a minute. */
export const KEEPALIVE_MAX = 60;

export const UNKNOWN: FamilyReachability = {
  verdict: "unknown",
  why: "nothing was measured yet",
  seen: null,
  address: null,
  lifetimeMs: null,
  lifetimeBelowMs: null,
  keepaliveSeconds: DEFAULT_KEEPALIVE,
  checkedMs: null,
};

const milliseconds = z.number().min(0).nullable();
const familySchema: z.ZodType<FamilyReachability> = z.strictObject({
  verdict: z.enum(["public", "hidden", "unknown"]),
  why: z.string(),
  seen: z.string().nullable(),
  address: z.string().nullable(),
  lifetimeMs: milliseconds,
  lifetimeBelowMs: milliseconds,
  keepaliveSeconds: z.int().min(KEEPALIVE_MIN).max(KEEPALIVE_MAX),
  checkedMs: milliseconds,
});
export const reachabilitySchema: z.ZodType<Reachability> = z.strictObject({
  ipv4: familySchema,
  ipv6: familySchema,
});

/** Parses what was stored. Throws what is wrong with it. */
export function parseReachability(value: unknown): Reachability {
  return reachabilitySchema.parse(value);
}

/** What is kept over a restart: without the ports of probes, and times, which change with each. */
export function lasting({ ipv4, ipv6 }: Reachability): Reachability {
  const of = (state: FamilyReachability): FamilyReachability => ({
    ...state,
    seen: state.seen?.replace(/:\d+$/, ":0") ?? null,
    why: "",
    checkedMs: null,
  });
  return { ipv4: of(ipv4), ipv6: of(ipv6) };
}

/** The interval that holds a mapping open which lives through `lifetimeMs` of silence; null: not measured. In seconds. */
export function keepaliveFor(lifetimeMs: number | null): number {
  if (lifetimeMs === null) return DEFAULT_KEEPALIVE;
  const seconds = Math.floor(lifetimeMs / 1000 / PARTS_OF_LIFETIME);
  return Math.min(Math.max(seconds, KEEPALIVE_MIN), KEEPALIVE_MAX);
}

/** What a peer's keepalive "auto" is, in seconds: 0 only if both ends can be reached, ours measured, the peer's by its endpoint. */
export function autoKeepalive(
  { endpoint }: Pick<NetworkPeer, "endpoint">,
  reachability: Reachability | undefined,
): number {
  if (reachability === undefined) return DEFAULT_KEEPALIVE;
  const { ipv4, ipv6 } = reachability;
  // By which family a peer will come that has to come to us, nobody knows.
  if (endpoint === undefined) return Math.min(ipv4.keepaliveSeconds, ipv6.keepaliveSeconds);
  const way = familyOf(endpoint, reachability);
  return way.verdict === "public" ? 0 : way.keepaliveSeconds;
}

/** Of the family of an address or endpoint. */
export function familyOf(endpoint: string, { ipv4, ipv6 }: Reachability): FamilyReachability {
  return endpoint.startsWith("[") || endpoint.split(":").length > 2 ? ipv6 : ipv4;
}

/** Why a peer has its keepalive, and who of the two begins: sentences for people. */
export function explainKeepalive(
  peer: Pick<NetworkPeer, "endpoint" | "keepalive">,
  reachability: Reachability | undefined,
): string[] {
  const { endpoint, keepalive } = peer;
  const seconds = keepalive === "auto" ? autoKeepalive(peer, reachability) : keepalive;
  const interval = seconds === 0 ? "no keepalive" : `keepalive every ${seconds} s`;
  if (keepalive !== "auto") return [`${interval}, as configured`];
  if (reachability === undefined) {
    return [`${interval}: nothing is measured without responders (--responders)`];
  }
  if (endpoint === undefined) {
    const ways = [reachability.ipv4, reachability.ipv6];
    const isReached = ways.some(({ verdict }) => verdict === "public");
    const isHidden = !isReached && ways.some(({ verdict }) => verdict === "hidden");
    return [
      isHidden
        ? `${interval}: this node is hidden and the peer has no endpoint, so neither can begin`
        : `${interval}: the peer has no endpoint, it is taken for hidden and begins`,
    ];
  }
  const family = familyOf(endpoint, reachability) === reachability.ipv6 ? "IPv6" : "IPv4";
  const { verdict, lifetimeMs } = familyOf(endpoint, reachability);
  if (verdict === "public") return [`${interval}: in ${family} both ends can be reached`];
  const known =
    lifetimeMs === null
      ? "the default until a mapping's lifetime is measured"
      : `a silent mapping lives ${lifetimeMs / 1000} s at least`;
  return verdict === "hidden"
    ? [`this node is hidden in ${family}: it begins`, `${interval}: ${known}`]
    : [`${interval}: whether this node can be reached in ${family} is not known`];
}
