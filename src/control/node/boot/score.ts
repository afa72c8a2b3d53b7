/**
 * Which NIC becomes the uplink: a fixed order of criteria, each with its words, so that the choice is the same whenever the facts
 * are, and can be explained. Pure.
 */

/** What a probe found out about a NIC. */
export interface ProbeResult {
  readonly nic: string;
  readonly carrier: boolean;
  readonly speedMbps?: number | undefined;
  /** With prefix lengths, link-local ones left out. */
  readonly addresses: readonly string[];
  readonly gateway4?: string | undefined;
  readonly gateway6?: string | undefined;
  /** Families in which the registry answered, and any of the other hosts. */
  readonly registry: readonly (4 | 6)[];
  readonly hosts: readonly (4 | 6)[];
  /** "dhcp", "router advertisement", "static". */
  readonly sources: readonly string[];
  /** What went wrong, if something did. */
  readonly fault?: string | undefined;
}

export interface Criterion {
  readonly name: "operator" | "registry" | "hosts" | "gateway" | "family" | "speed" | "name";
  /** Higher is better; names compare the other way round, as text. */
  readonly value: number | string;
  readonly text: string;
}

export interface NicScore {
  readonly nic: string;
  /** 1 is the best; undefined: can't be the uplink. */
  readonly rank?: number | undefined;
  /** Why it is where it is: what decided against the next better one, or why it can't be chosen. */
  readonly why: string;
  readonly criteria: readonly Criterion[];
}

/** The facts of a probe as criteria, in the order in which they count. */
function criteriaOf(result: ProbeResult, chosen: string | undefined): Criterion[] {
  const isChosen = result.nic === chosen;
  const families = [
    ...(result.gateway4 === undefined ? [] : ["IPv4"]),
    ...(result.gateway6 === undefined ? [] : ["IPv6"]),
  ];
  const gateways = [result.gateway4, result.gateway6].filter((gateway) => gateway !== undefined);
  // Both are worth more than one; IPv4 alone more than IPv6 alone, since more of the Internet answers it.
  const family = (result.gateway4 === undefined ? 0 : 2) + (result.gateway6 === undefined ? 0 : 1);
  const reached = (list: readonly (4 | 6)[]): string =>
    list.length === 0 ? "no answer" : `answers by ${list.map((f) => `IPv${f}`).join(" and ")}`;
  return [
    { name: "operator", value: isChosen ? 1 : 0, text: isChosen ? "chosen" : "not chosen" },
    {
      name: "registry",
      value: result.registry.length > 0 ? 1 : 0,
      text: `registry: ${reached(result.registry)}`,
    },
    {
      name: "hosts",
      value: result.hosts.length > 0 ? 1 : 0,
      text: `other hosts: ${reached(result.hosts)}`,
    },
    {
      name: "gateway",
      value: gateways.length > 0 ? 1 : 0,
      text: gateways.length > 0 ? `gateway ${gateways.join(" and ")}` : "no default gateway",
    },
    { name: "family", value: family, text: families.join(" and ") || "no family" },
    {
      name: "speed",
      value: result.speedMbps ?? 0,
      text: result.speedMbps === undefined ? "unknown speed" : `${result.speedMbps} Mbit/s`,
    },
    { name: "name", value: result.nic, text: `name ${result.nic}` },
  ];
}

/** Negative: `a` is better. Names at the end make it a total order. */
function firstDifference(a: readonly Criterion[], b: readonly Criterion[]): [number, number] {
  for (const [index, criterion] of a.entries()) {
    const other = b[index]?.value ?? 0;
    if (criterion.value === other) continue;
    const isLess = criterion.value < other;
    return [index, typeof criterion.value === "string" ? (isLess ? -1 : 1) : isLess ? 1 : -1];
  }
  return [a.length - 1, 0];
}

/** A name in order: eth2 before eth10. */
function compareNames(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

function ineligible(result: ProbeResult): string | undefined {
  if (!result.carrier) return "no carrier";
  if (result.gateway4 === undefined && result.gateway6 === undefined) {
    const what = result.addresses.length === 0 ? "no address" : "no default gateway";
    return result.fault === undefined ? what : `${what}: ${result.fault}`;
  }
  return undefined;
}

/** All probed NICs, the best first, those that can't be the uplink last. */
export function scoreNics(results: readonly ProbeResult[], chosen?: string): NicScore[] {
  const entries = results.map((result) => ({
    result,
    criteria: criteriaOf(result, chosen),
    reason: ineligible(result),
  }));
  const compare = (a: (typeof entries)[number], b: (typeof entries)[number]): number => {
    if (a.reason !== undefined || b.reason !== undefined) {
      if (a.reason === undefined) return -1;
      if (b.reason === undefined) return 1;
      return compareNames(a.result.nic, b.result.nic);
    }
    const [index, sign] = firstDifference(a.criteria, b.criteria);
    return a.criteria[index]?.name === "name" ? compareNames(a.result.nic, b.result.nic) : sign;
  };
  entries.sort(compare);
  return entries.map(({ result, criteria, reason }, index): NicScore => {
    if (reason !== undefined) return { nic: result.nic, why: reason, criteria };
    return { nic: result.nic, rank: index + 1, why: explain(entries, index), criteria };
  });
}

function explain(
  entries: readonly {
    readonly criteria: readonly Criterion[];
    readonly result: ProbeResult;
    readonly reason: string | undefined;
  }[],
  index: number,
): string {
  const own = entries[index];
  const other = index === 0 ? entries[1] : entries[0];
  if (own === undefined) return "";
  if (other === undefined || other.reason !== undefined) {
    return `the only NIC with a default gateway (${own.criteria.map(({ text }) => text).join(", ")})`;
  }
  const [at] = firstDifference(own.criteria, other.criteria);
  const [mine, theirs] = [own.criteria[at], other.criteria[at]];
  const verb = index === 0 ? "before" : "after";
  return `${verb} ${other.result.nic} by ${mine?.name}: ${mine?.text}, against ${theirs?.text}`;
}

/** Whether a probe's NIC would do better than what the uplink is now: only answers and gateways count, so that nothing flaps. */
export function isBetter(candidate: ProbeResult, current: ProbeResult): boolean {
  const worth = ({ registry, hosts, gateway4, gateway6, carrier }: ProbeResult): number =>
    (registry.length > 0 ? 8 : 0) +
    (hosts.length > 0 ? 4 : 0) +
    (gateway4 !== undefined || gateway6 !== undefined ? 2 : 0) +
    (carrier ? 1 : 0);
  return ineligible(candidate) === undefined && worth(candidate) > worth(current);
}
