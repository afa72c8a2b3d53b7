/** Which links of the machine may become its uplink, and why others may not. Pure. */
import { findNic, type Nic } from "../../model/nic.ts";

export interface NicMatch {
  /** The kernel's kinds of link; "device" is what physical and virtio NICs are. */
  readonly kinds: readonly string[];
  /** A name with `*` for anything; undefined: every name. */
  readonly names?: string | undefined;
}

export const PHYSICAL: NicMatch = { kinds: ["device"] };

export interface CandidateRules {
  readonly match: NicMatch;
  /** Our uplink bridge: its port is a candidate, other bridges' ports are not. */
  readonly bridge: string;
  /** The operator's choice, by name or MAC address: it may have addresses that others gave it. */
  readonly chosen?: string | undefined;
  /** NICs by name that have another role. */
  readonly reserved: ReadonlyMap<string, string>;
}

export interface Candidates {
  /** The operator's choice by name; undefined: none, or not there. */
  readonly chosen?: string | undefined;
  readonly names: readonly string[];
  /** NIC by name, and why it is none. Links that the match leaves out are not listed. */
  readonly excluded: ReadonlyMap<string, string>;
}

/** Whether a link is a NIC of the machine by kind and name. */
export function isMatch(match: NicMatch, { kind, name }: Pick<Nic, "kind" | "name">): boolean {
  if (!match.kinds.includes(kind)) return false;
  if (match.names === undefined) return true;
  const parts = match.names.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(name);
}

/** Those of a census that may be probed. */
export function selectCandidates(census: readonly Nic[], rules: CandidateRules): Candidates {
  const chosen = rules.chosen === undefined ? undefined : findNic(census, rules.chosen)?.name;
  const names: string[] = [];
  const excluded = new Map<string, string>();
  for (const nic of census) {
    if (!isMatch(rules.match, nic) || nic.mark !== undefined) continue;
    const reason = exclusion(nic, rules, nic.name === chosen);
    if (reason === undefined) names.push(nic.name);
    else excluded.set(nic.name, reason);
  }
  if (rules.chosen !== undefined && chosen === undefined) {
    excluded.set(rules.chosen, "chosen by the operator, but there is no such NIC");
  }
  return { chosen, names, excluded };
}

function exclusion(nic: Nic, rules: CandidateRules, isChosen: boolean): string | undefined {
  const role = rules.reserved.get(nic.name);
  if (role !== undefined) return `has the role ${role}`;
  if (nic.bridge === rules.bridge) return undefined;
  if (nic.bridge !== undefined) return `is a port of ${nic.bridge}`;
  if (isChosen) return undefined;
  // What router advertisements gave has an IPv6 form; IPv4 is there because somebody wanted it.
  const foreign = nic.addresses.find((address) => !address.includes(":"));
  return foreign === undefined
    ? undefined
    : `has the address ${foreign}, which Wirehaul did not set`;
}
