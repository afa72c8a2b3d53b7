/**
 * What there should be on the machine for a network, or for what all networks share, as data: namespaces with their links,
 * addresses, routes, kernel settings and firewall. Made by `blueprint.ts` and `exit.ts`, compared by `plan.ts`. Pure.
 */
import { createHash } from "node:crypto";
import type { Sysctl } from "../linux/sysctl.ts";

export interface WantedLink {
  readonly name: string;
  readonly kind: "bridge" | "macvlan" | "veth" | "tap" | "tun";
  /**
   * A line for `ip -batch` in the host's namespace that makes it, with its group; absent: made together with another link (the far
   * end of a cable), or by the engine.
   */
  readonly create?: string;
  readonly alias: string;
  readonly mac?: string;
  readonly mtu?: number;
  readonly master?: string;
  /** With lengths, all of them; the kernel's own link-local ones are left alone. */
  readonly addresses: readonly string[];
}

export interface WantedRoute {
  /** "default" or a prefix. */
  readonly to: string;
  readonly family: 4 | 6;
  readonly via?: string;
  readonly dev: string;
}

export interface WantedTable {
  readonly family: "inet" | "bridge";
  readonly name: string;
  /** Chains and sets, in nft's language. */
  readonly rules: string;
}

/** One network namespace's part; undefined: the host's. */
export interface WantedPlace {
  readonly namespace: string | undefined;
  /** The mark of a namespace that the node makes and removes; undefined: the host's. */
  readonly mark: string | undefined;
  /** It may be somebody else's: then it is used, and only what the node put into it is removed. */
  readonly isShared?: boolean;
  /** Below /proc/sys; set when the links are there and not up yet. */
  readonly sysctls: readonly Sysctl[];
  /** In the order in which they can be made. */
  readonly links: readonly WantedLink[];
  readonly routes: readonly WantedRoute[];
  readonly tables: readonly WantedTable[];
}

export interface Wanted {
  /** The mark of all that belongs to it. */
  readonly mark: string;
  readonly places: readonly WantedPlace[];
}

/** Ours: the protocol number of routes that Wirehaul sets (rtnetlink leaves 128 to 255 to whoever uses them). */
export const ROUTE_PROTOCOL = 157;

/** An empty chain of this name in a table tells which rules it holds: nft 1.0.6 lists no comments as JSON. */
export function digestChain({ rules }: WantedTable): string {
  return `is_${createHash("sha256").update(rules).digest("hex").slice(0, 24)}`;
}

/** Text for `nft -f` that replaces the table as a whole, in one transaction. */
export function tableText(table: WantedTable): string {
  const { family, name, rules } = table;
  return [
    `table ${family} ${name}`,
    `delete table ${family} ${name}`,
    `table ${family} ${name} {`,
    `  comment "made by wirehaul"`,
    `  chain ${digestChain(table)} {`,
    "  }",
    rules,
    "}",
    "",
  ].join("\n");
}
