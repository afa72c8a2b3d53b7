/** The verdict of one family from what each responder's part of a probe brought. Pure. */
import type { Verdict } from "../../model/reachability.ts";
import type { SocketAddress } from "./message.ts";

export interface Finding {
  /** As the operator named it. */
  readonly responder: string;
  /** Where it saw us; undefined: it did not answer. */
  readonly seen: SocketAddress | undefined;
  /** Its packet to the silent port arrived; undefined: it never said that it sent one. */
  readonly isReached: boolean | undefined;
  /** Why it has nothing to say. */
  readonly fault: string | undefined;
}

export interface Judgement {
  readonly verdict: Verdict;
  readonly why: string;
  readonly seen: SocketAddress | undefined;
}

/**
 * A responder may stand on our side of a firewall, so one that reaches us proves less than one that does not: "public" takes all that
 * tried, and "hidden" costs no more than keepalives.
 */
export function judge(findings: readonly Finding[], silentPort: number): Judgement {
  const tried = findings.filter(({ isReached }) => isReached !== undefined);
  const failed = tried.filter(({ isReached }) => isReached === false);
  const seen = (failed[0] ?? tried[0] ?? findings.find((finding) => finding.seen))?.seen;
  if (tried.length === 0) {
    const faults = findings.map(({ responder, fault }) => `${responder}: ${fault ?? "no answer"}`);
    const why =
      faults.length === 0 ? "no responder has an address of this family" : faults.join("; ");
    return { verdict: "unknown", why, seen };
  }
  const names = (list: readonly Finding[]): string =>
    list.map(({ responder }) => responder).join(", ");
  if (failed.length === 0) {
    return {
      verdict: "public",
      why: `a packet from ${names(tried)} that nobody asked for arrived on port ${silentPort}, which had sent nothing`,
      seen,
    };
  }
  const rest = tried.filter((finding) => !failed.includes(finding));
  const but = rest.length === 0 ? "" : `, though one from ${names(rest)} did`;
  return {
    verdict: "hidden",
    why: `no packet from ${names(failed)} arrived on port ${silentPort}, which had sent nothing${but}`,
    seen,
  };
}
