/**
 * Links, addresses, routes and namespaces through iproute2's `ip`: JSON out (`-j`), batches in (`-batch -`). What people read is
 * never parsed. A namespace is named as `ip netns` does; undefined is the process's own.
 */
import { z } from "zod";
import { attempt, run } from "./command.ts";
import type { Shells } from "./shell.ts";

/** `ip -j` prints an empty line, not an empty list, when there is nothing. */
function parseJson(text: string): unknown {
  return text.trim() === "" ? [] : JSON.parse(text);
}

function inNamespace(namespace: string | undefined): string[] {
  return namespace === undefined ? [] : ["-n", namespace];
}

/** Runs `ip -j ARGS` and returns what it printed, parsed. Rejects with the command and its words. */
export async function ipJson(args: readonly string[], namespace?: string): Promise<unknown> {
  return parseJson(await run(["ip", "-j", ...inNamespace(namespace), ...args]));
}

/**
 * Runs lines in their order, in one process; the first that fails ends it, and those before it stay. Rejects with the line
 * and its reason.
 */
export async function ipBatch(lines: readonly string[], namespace?: string): Promise<void> {
  if (lines.length === 0) return;
  const command = ["ip", ...inNamespace(namespace), "-batch", "-"];
  const result = await attempt(command, { input: `${lines.join("\n")}\n` });
  if (result.code === 0) return;
  throw new BatchError(lines, result.stderr.trim(), namespace);
}

/** A line of a batch was refused. */
export class BatchError extends Error {
  /** The line, as far as `ip` names it. */
  readonly line: string | undefined;

  constructor(lines: readonly string[], reason: string, namespace: string | undefined) {
    const number = Number(/Command failed -:(\d+)/.exec(reason)?.[1]);
    const line = Number.isInteger(number) ? lines[number - 1] : undefined;
    const where = namespace === undefined ? "" : ` in namespace ${namespace}`;
    const what = line === undefined ? "a batch" : `"${line}"`;
    super(`ip refused ${what}${where}: ${reason.replace(/\s*Command failed -:\d+\s*$/, "")}`);
    this.line = line;
  }
}

/** A link as `ip -d -j link` has it, as far as it is looked at. */
export interface LinkInfo {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  /** "UP", "DOWN", "LOWERLAYERDOWN", "UNKNOWN" ... */
  readonly operstate: string;
  /** "ether", "loopback", "none" (a TUN) ... */
  readonly link_type: string;
  readonly address: string;
  readonly master?: string | undefined;
  readonly ifalias?: string | undefined;
  readonly linkinfo?: LinkKind | undefined;
}

/** "bridge", "veth", "macvlan", "tun" ...; absent: a device. */
export interface LinkKind {
  readonly info_kind?: string | undefined;
  readonly info_slave_kind?: string | undefined;
}

/** A link's addresses as `ip -j address` has them. */
export interface AddressInfo {
  readonly ifname: string;
  readonly addr_info: readonly LinkAddress[];
}

export interface LinkAddress {
  readonly family: "inet" | "inet6";
  readonly local?: string | undefined;
  readonly prefixlen: number;
  readonly scope: string;
  /** From a router's advertisement. */
  readonly dynamic?: boolean | undefined;
  readonly tentative?: boolean | undefined;
  readonly deprecated?: boolean | undefined;
}

/** A route as `ip -j route` has it; `dst` is "default" or a prefix. */
export interface RouteInfo {
  readonly dst: string;
  readonly gateway?: string | undefined;
  readonly dev?: string | undefined;
  readonly protocol?: string | undefined;
  readonly metric?: number | undefined;
  readonly type?: string | undefined;
}

const linkSchema: z.ZodType<LinkInfo> = z.looseObject({
  ifindex: z.number(),
  ifname: z.string(),
  flags: z.array(z.string()).default([]),
  mtu: z.number(),
  operstate: z.string().default("UNKNOWN"),
  link_type: z.string().default(""),
  address: z.string().default(""),
  master: z.string().optional(),
  ifalias: z.string().optional(),
  linkinfo: z
    .looseObject({ info_kind: z.string().optional(), info_slave_kind: z.string().optional() })
    .optional(),
});

const addressSchema: z.ZodType<AddressInfo> = z.looseObject({
  ifname: z.string(),
  addr_info: z
    .array(
      z.looseObject({
        family: z.enum(["inet", "inet6"]),
        local: z.string().optional(),
        prefixlen: z.number(),
        scope: z.string().default("global"),
        dynamic: z.boolean().optional(),
        tentative: z.boolean().optional(),
        deprecated: z.boolean().optional(),
      }),
    )
    .default([]),
});

const routeSchema: z.ZodType<RouteInfo> = z.looseObject({
  dst: z.string(),
  gateway: z.string().optional(),
  dev: z.string().optional(),
  protocol: z.string().optional(),
  metric: z.number().optional(),
  type: z.string().optional(),
});

/** All links of a namespace, or the one of a name (an empty list if there is none). */
export async function listLinks(namespace?: string): Promise<LinkInfo[]> {
  return z.array(linkSchema).parse(await ipJson(["-d", "link", "show"], namespace));
}

/** One link, undefined if there is none of this name. */
export async function findLink(name: string, namespace?: string): Promise<LinkInfo | undefined> {
  const result = await attempt([
    "ip",
    "-j",
    "-d",
    ...inNamespace(namespace),
    "link",
    "show",
    "dev",
    name,
  ]);
  if (result.code !== 0) return undefined;
  return z.array(linkSchema).parse(parseJson(result.stdout))[0];
}

export async function listAddresses(namespace?: string): Promise<AddressInfo[]> {
  return z.array(addressSchema).parse(await ipJson(["address", "show"], namespace));
}

/** The main table's routes of one family. */
export async function listRoutes(family: 4 | 6, namespace?: string): Promise<RouteInfo[]> {
  return z.array(routeSchema).parse(await ipJson([`-${family}`, "route", "show"], namespace));
}

export interface Links {
  readonly links: LinkInfo[];
  readonly addresses: AddressInfo[];
  readonly routes4: RouteInfo[];
  readonly routes6: RouteInfo[];
}

/** No output of ip holds it. */
const CUT = "@@cut@@";

/** All of a namespace at once. With `shells` by one that is there: to start programs stops a large process for a while. */
export async function listAll(namespace?: string, shells?: Shells): Promise<Links> {
  if (shells === undefined) {
    const [links, addresses, routes4, routes6] = await Promise.all([
      listLinks(namespace),
      listAddresses(namespace),
      listRoutes(4, namespace),
      listRoutes(6, namespace),
    ]);
    return { links, addresses, routes4, routes6 };
  }
  const ip = ["ip", "-j", ...inNamespace(namespace)].join(" ");
  const asked = ["-d link show", "address show", "-4 route show", "-6 route show"];
  const script = asked.map((words) => `${ip} ${words} || exit 1`).join(`\necho "${CUT}"\n`);
  const { code, stdout, stderr } = await shells.run(script);
  if (code !== 0) throw new Error(`\`${ip}\` ended with ${code}: ${stderr.trim()}`);
  const [links = "", addresses = "", routes4 = "", routes6 = ""] = stdout.split(`${CUT}\n`);
  return {
    links: z.array(linkSchema).parse(parseJson(links)),
    addresses: z.array(addressSchema).parse(parseJson(addresses)),
    routes4: z.array(routeSchema).parse(parseJson(routes4)),
    routes6: z.array(routeSchema).parse(parseJson(routes6)),
  };
}

/** Names of `ip netns`. */
export async function listNamespaces(): Promise<string[]> {
  const list = z.array(z.looseObject({ name: z.string() }));
  return list.parse(await ipJson(["netns", "list"])).map(({ name }) => name);
}

/** Where the namespace of a name is bound. */
export function namespacePath(name: string): string {
  return `/run/netns/${name}`;
}

/** A command line that runs in a namespace; the process id stays that of the command. */
export function commandIn(namespace: string | undefined, command: readonly string[]): string[] {
  return namespace === undefined ? [...command] : ["ip", "netns", "exec", namespace, ...command];
}
