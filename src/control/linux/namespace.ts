/**
 * Work in many network namespaces with few processes: what there is, read by one shell for several places; steps of several kinds,
 * carried out in their order by one shell. What people read is never parsed. Names are checked by the models before they come here.
 */
import { closeSync, openSync } from "node:fs";
import { z } from "zod";
import { namespacePath } from "./ip.ts";
import type { Shells } from "./shell.ts";
import type { Sysctl } from "./sysctl.ts";

/** A link with its addresses, as `ip -d -j address` has it, as far as it is looked at. */
export interface FoundLink {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly address: string;
  readonly group: string;
  readonly master?: string | undefined;
  readonly ifalias?: string | undefined;
  readonly linkinfo?: { readonly info_kind?: string | undefined } | undefined;
  readonly addr_info: readonly {
    readonly local?: string | undefined;
    readonly prefixlen: number;
    readonly scope: string;
    readonly protocol?: string | undefined;
    readonly dynamic?: boolean | undefined;
  }[];
}

export interface FoundRoute {
  readonly dst: string;
  readonly gateway?: string | undefined;
  readonly dev?: string | undefined;
}

/** What to look for in a place; the host's: only links of these names and those on these bridges. */
export interface LookAt {
  readonly namespace: string | undefined;
  readonly links: readonly string[];
  readonly masters: readonly string[];
  /** Routes of this protocol number; undefined: none. */
  readonly routesOf: number | undefined;
  readonly tables: readonly (readonly [family: string, name: string])[];
  readonly sysctls: readonly string[];
}

/** What was found; undefined in its stead: there is no such namespace. */
export interface Found {
  readonly links: readonly FoundLink[];
  readonly routes4: readonly FoundRoute[];
  readonly routes6: readonly FoundRoute[];
  /** Chains of the tables asked for: [family, table, chain]. */
  readonly chains: readonly (readonly [family: string, table: string, chain: string])[];
  readonly sysctls: ReadonlyMap<string, string>;
}

const linksSchema: z.ZodType<FoundLink[]> = z.array(
  z.looseObject({
    ifname: z.string(),
    flags: z.array(z.string()).default([]),
    mtu: z.number(),
    address: z.string().default(""),
    group: z.string().default("default"),
    master: z.string().optional(),
    ifalias: z.string().optional(),
    linkinfo: z.looseObject({ info_kind: z.string().optional() }).optional(),
    addr_info: z
      .array(
        z.looseObject({
          local: z.string().optional(),
          prefixlen: z.number(),
          scope: z.string().default("global"),
          protocol: z.string().optional(),
          dynamic: z.boolean().optional(),
        }),
      )
      .default([]),
  }),
);

const routesSchema: z.ZodType<FoundRoute[]> = z.array(
  z.looseObject({
    dst: z.string(),
    gateway: z.string().optional(),
    dev: z.string().optional(),
  }),
);

/** No output of ours holds it. */
const CUT = "@@wirehaul@@";
const PARTS = 6;

/** Looks at several places with one process. The answers are in the order of the questions. */
export async function lookAt(
  shells: Shells,
  places: readonly LookAt[],
): Promise<(Found | undefined)[]> {
  if (places.length === 0) return [];
  const script = places.map((place) => lookScript(place)).join("\n");
  const { stdout, stderr } = await shells.run(script);
  const parts = stdout.split(`${CUT}\n`).slice(1);
  if (parts.length !== places.length * PARTS) {
    throw new Error(`looking at the machine failed: ${stderr.trim()}`);
  }
  return places.map((_place, index) => foundOf(parts.slice(index * PARTS, (index + 1) * PARTS)));
}

function lookScript(place: LookAt): string {
  const { namespace, links, masters, routesOf, tables, sysctls } = place;
  const cut = `echo ${CUT}`;
  const lines =
    namespace === undefined
      ? [
          ...links.map((name) => `address show dev ${name}`),
          ...masters.map((name) => `address show master ${name}`),
        ]
      : ["address show"];
  // Where a bridge or a link is missing ip says so, and goes on.
  const show = `ip -d -j -force -batch - 2>/dev/null <<'END'\n${lines.join("\n")}\nEND`;
  const nft = tables.map(([family, name]) => `nft -j list table ${family} ${name} 2>/dev/null`);
  const body = [
    cut,
    "echo here",
    cut,
    lines.length === 0 ? "true" : show,
    cut,
    routesOf === undefined ? "true" : `ip -j -4 route show proto ${routesOf} 2>/dev/null`,
    cut,
    routesOf === undefined ? "true" : `ip -j -6 route show proto ${routesOf} 2>/dev/null`,
    cut,
    ...nft,
    cut,
    sysctls.length === 0 ? "true" : `cd /proc/sys && grep -sH '' ${sysctls.join(" ")}`,
  ];
  if (namespace === undefined) return `(\n${body.join("\n")}\n)`;
  const missing = new Array<string>(PARTS).fill(cut).join("; ");
  return [
    `if [ -e ${namespacePath(namespace)} ]; then ${visit(namespace)} <<'PLACE' || true`,
    ...body,
    "PLACE",
    `else ${missing}; fi`,
  ].join("\n");
}

function foundOf(parts: readonly string[]): Found | undefined {
  const [here = "", links = "", routes4 = "", routes6 = "", chains = "", sysctls = ""] = parts;
  if (here.trim() !== "here") return undefined;
  return {
    links: dedupe(linksSchema.parse(arrays(links))),
    routes4: routesSchema.parse(arrays(routes4)),
    routes6: routesSchema.parse(arrays(routes6)),
    chains: documents(chains).flatMap(chainsOf),
    sysctls: new Map(
      sysctls
        .split("\n")
        .filter((line) => line.includes(":"))
        .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]),
    ),
  };
}

/** `ip -j` in a batch prints an array for each line that found something; its lines may be broken. */
function documents(text: string): unknown[] {
  const found: unknown[] = [];
  for (const line of text.split("\n")) if (line.trim() !== "") found.push(JSON.parse(line));
  return found;
}

function arrays(text: string): unknown[] {
  // What is filtered out leaves empty objects behind.
  return (documents(text).flat() as Record<string, unknown>[]).filter(
    (entry) => Object.keys(entry).length > 0,
  );
}

function dedupe(links: readonly FoundLink[]): FoundLink[] {
  return [...new Map(links.map((link) => [link.ifname, link])).values()];
}

function chainsOf(document: unknown): (readonly [string, string, string])[] {
  const { nftables } = document as {
    nftables: { chain?: { family: string; table: string; name: string } }[];
  };
  return nftables.flatMap(({ chain }) =>
    chain === undefined ? [] : [[chain.family, chain.table, chain.name] as const],
  );
}

/** A step that a shell can do. */
export type Step =
  | { readonly kind: "ip"; readonly namespace: string | undefined; readonly line: string }
  /** Removes a link; no matter if it went with another one. */
  | { readonly kind: "unlink"; readonly namespace: string | undefined; readonly name: string }
  | { readonly kind: "sysctl"; readonly namespace: string | undefined; readonly setting: Sysctl }
  | { readonly kind: "nft"; readonly namespace: string | undefined; readonly text: string };

/** A step was refused; those before it were carried out. */
export class StepError extends Error {
  /** Its place in the list. */
  readonly at: number;

  constructor(steps: readonly Step[], at: number, reason: string) {
    const step = steps[at];
    const where = step?.namespace === undefined ? "" : ` in namespace ${step.namespace}`;
    super(`${step === undefined ? "a step" : stepText(step)}${where} was refused: ${reason}`);
    this.at = at;
  }
}

function stepText(step: Step): string {
  if (step.kind === "ip") return `"ip ${step.line}"`;
  if (step.kind === "unlink") return `"ip link delete dev ${step.name}"`;
  if (step.kind === "sysctl") return `"sysctl ${step.setting.join("=")}"`;
  return "the firewall";
}

/** Carries steps out in their order with one shell; the first that is refused ends it, and throws a {@link StepError}. */
export async function doSteps(shells: Shells, steps: readonly Step[]): Promise<void> {
  if (steps.length === 0) return;
  const visits = visitsOf(steps, groupsOf(steps));
  const script = visits.map((groups) => visitScript(steps, groups)).join("\n");
  const result = await shells.run(script);
  if (result.code === 0) return;
  const { stderr } = result;
  const first = Number(/@@group (\d+)/.exec(stderr)?.[1] ?? 0);
  const line = Number(/Command failed -:(\d+)/.exec(stderr)?.[1] ?? 1);
  const reason = stderr
    .replace(/@@group \d+\s*/g, "")
    .replace(/\s*Command failed -:\d+\s*/g, "")
    .trim();
  throw new StepError(steps, first + line - 1, reason || `exit code ${result.code}`);
}

/** Steps in a row of one kind and place: [first, end). */
function groupsOf(steps: readonly Step[]): (readonly [first: number, end: number])[] {
  const groups: (readonly [number, number])[] = [];
  let first = 0;
  for (let at = 1; at <= steps.length; at++) {
    const [before, step] = [steps[at - 1]!, steps[at]];
    const isSame =
      step !== undefined && step.kind === before.kind && step.namespace === before.namespace;
    if (isSame && step.kind !== "nft") continue;
    groups.push([first, at]);
    first = at;
  }
  return groups;
}

/** Not `ip netns exec`: that copies the mount namespace, which grows with each network namespace. */
function visit(namespace: string): string {
  return `nsenter --net=${namespacePath(namespace)} sh -s`;
}

/** Groups in a row of one namespace share one visit to it. */
function visitsOf(
  steps: readonly Step[],
  groups: readonly (readonly [number, number])[],
): (readonly (readonly [number, number])[])[] {
  const visits: (readonly [number, number])[][] = [];
  for (const group of groups) {
    const last = visits.at(-1);
    const before = last?.[0] === undefined ? undefined : steps[last[0][0]];
    if (last !== undefined && before?.namespace === steps[group[0]]?.namespace) last.push(group);
    else visits.push([group]);
  }
  return visits;
}

function visitScript(
  steps: readonly Step[],
  groups: readonly (readonly [number, number])[],
): string {
  const namespace = steps[groups[0]?.[0] ?? 0]?.namespace;
  const isInside = namespace !== undefined && groups.some(([first]) => steps[first]?.kind !== "ip");
  const option = namespace === undefined || isInside ? "" : `-n ${namespace} `;
  const body = groups.map((group) => groupScript(steps, group, option)).join("\n");
  return isInside ? `${visit(namespace)} <<'VISIT' || exit 1\n${body}\nVISIT` : body;
}

function groupScript(
  steps: readonly Step[],
  [first, end]: readonly [number, number],
  option: string,
): string {
  const group = steps.slice(first, end);
  const fail = (line: number): string =>
    `{ echo "@@group ${first}" >&2; echo "Command failed -:${line}" >&2; exit 1; }`;
  const lines = group.map((step, index) => {
    if (step.kind === "ip") return step.line;
    if (step.kind === "nft") return step.text;
    if (step.kind === "unlink") return unlinkScript(step.name, fail(index + 1));
    const [path, value] = step.setting;
    return `echo ${value} > /proc/sys/${path} || ${fail(index + 1)}`;
  });
  const { kind } = group[0]!;
  if (kind === "unlink" || kind === "sysctl") return lines.join("\n");
  // ip names the line itself.
  const failed = `|| { echo "@@group ${first}" >&2; exit 1; }`;
  const program = kind === "ip" ? `ip ${option}-batch -` : "nft -f -";
  return `${program} <<'STEPS' ${failed}\n${lines.join("\n")}\nSTEPS`;
}

function unlinkScript(name: string, fail: string): string {
  const isGone = `! ip link show dev ${name} >/dev/null 2>&1`;
  return `ip link delete dev ${name} 2>/dev/null || ${isGone} || ${fail}`;
}

/** Opens a namespace by its name; undefined: this process's own. The descriptor is the caller's. */
export function openNamespace(name: string | undefined): number {
  return openSync(name === undefined ? "/proc/self/ns/net" : namespacePath(name), "r");
}

export function closeNamespace(fd: number): void {
  closeSync(fd);
}
