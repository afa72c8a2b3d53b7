/**
 * The methods of zos's networkd as data: what each takes, how many results it has, what it does here. A method that this node has
 * nothing for is in the list too: its callers get an error and results of the right number, where Go's stubs would otherwise crash.
 */
import type { z } from "zod";
import { readNics } from "../linux/nics.ts";
import { parseCidr } from "../model/cidr.ts";
import { namespaceName, portName } from "../model/names.ts";
import { gateway6Of, gatewayOf } from "../model/network-resource.ts";
import type { Nic } from "../model/nic.ts";
import { RefusedError } from "../model/problem.ts";
import type { Workload } from "../model/workload.ts";
import type { Agent } from "../node/agent.ts";
import type { Networks } from "../node/networks.ts";
import { goBytes, goIp, goText, isGlobal, toGoIp, toGoIpNet } from "./go-types.ts";
import type { Wire } from "./message.ts";
import {
  exitDevice,
  publicConfigOf,
  publicConfigSchema,
  setExitDevice,
  setPublicConfig,
  unsetPublicConfig,
} from "./public-config.ts";
import {
  deletedSchema,
  ipv6Of,
  joinSchema,
  ownId,
  parseWorkloadName,
  resourceOf,
  sealedKeyOf,
  seedSchema,
  type WorkloadName,
  withIpv6,
  type ZosNetwork,
  zosNetworkId,
  zosNetworkSchema,
} from "./zos-network.ts";

/** What of the node the methods use. */
export interface BusNode extends Pick<Agent, "nics" | "boot" | "configuration" | "configure"> {
  readonly networks: Pick<
    Networks,
    "apply" | "remove" | "views" | "view" | "attach" | "detach" | "ports"
  >;
}

export interface Caller {
  readonly node: BusNode;
  readonly wire: Wire;
  /** Has the node's identity open what was sealed for it. */
  readonly open: (sealed: Uint8Array) => Promise<Uint8Array>;
}

export interface Variant {
  /** Undefined: of both. */
  readonly wire?: Wire | undefined;
  readonly takes: readonly z.ZodType[];
  /** Results without the error: a bool can't be nil in Go, all others can. */
  readonly gives: readonly ("bool" | "other")[];
  /** Whether an error is the last result. */
  readonly hasError: boolean;
  /** The results, in their order. */
  readonly run: (caller: Caller, args: readonly unknown[]) => unknown;
}

type Values<Takes extends readonly z.ZodType[]> = { [At in keyof Takes]: z.output<Takes[At]> };

function method<const Takes extends readonly z.ZodType[]>(
  takes: Takes,
  gives: Variant["gives"],
  run: (
    caller: Caller,
    ...args: Values<Takes>
  ) => readonly unknown[] | undefined | Promise<readonly unknown[] | undefined>,
  more: Partial<Pick<Variant, "wire" | "hasError">> = {},
): Variant {
  const call = (caller: Caller, args: readonly unknown[]): unknown =>
    run(caller, ...(args as Values<Takes>));
  return { takes, gives, hasError: true, ...more, run: call };
}

/** A method that this node has nothing for. */
function absent(takes: readonly z.ZodType[], gives: Variant["gives"], why: string): Variant {
  return method(takes, gives, () => {
    throw new RefusedError("invalid", why);
  });
}

const NO_STORAGE = "this node has no storage namespaces";
const NO_YGGDRASIL = "this node has no Yggdrasil";
const NO_MYCELIUM = "this node has no Mycelium";
const NO_PUBLIC_TAP =
  "a public TAP needs its addresses, so that nobody takes others': attach a public workload by the node's API";
/** Ours: what an older zos calls the one TAP of a network. */
const ONLY_TAP = "tap";
const one = ["other"] as const;
const two = ["other", "other"] as const;
const bool = ["bool"] as const;

export const METHODS: Readonly<Record<string, readonly Variant[]>> = {
  Ready: [method([], [], () => [])],
  CreateNR: [
    method([zosNetworkSchema], one, (caller, network) => create(caller, network)),
    method([goText, zosNetworkSchema], one, (caller, workload, network) =>
      create(caller, network, parseWorkloadName(workload)),
    ),
  ],
  DeleteNR: [
    method([deletedSchema], [], async ({ node }, which) => {
      const id = typeof which === "string" ? findByName(node, which) : ownId(which.NetID);
      await unlessMissing(node.networks.remove(id));
      return [];
    }),
  ],
  Namespace: [
    method([goText], one, (_caller, network) => [namespaceName(ownId(network))], {
      hasError: false,
    }),
  ],
  Join: [
    method([goText, goText, joinSchema], one, async ({ node }, network, container, config) => {
      if (config.PublicIP6) {
        throw new RefusedError(
          "invalid",
          "public IPv6 is attached by the node's API, with its address",
        );
      }
      if (config.YggdrasilIP) throw new RefusedError("invalid", NO_YGGDRASIL);
      const id = ownId(network);
      const { subnet6 } = node.networks.view(id).resource;
      refuseOther(node, id, container, "join");
      const addresses = withIpv6(id, config.IPs, subnet6);
      await node.networks.attach(id, {
        kind: "join",
        id: container,
        namespace: container,
        addresses,
      });
      const of = (mark: string): Uint8Array | null =>
        toGoIp(addresses.find((address) => address.includes(mark)));
      return [{ Namespace: container, IPv6: of(":"), IPv4: of("."), YggdrasilIP: null }];
    }),
  ],
  Leave: [
    method([goText, goText], [], async ({ node }, network, container) => {
      await detach(node, ownId(network), ownId(container), "join");
      return [];
    }),
  ],
  SetupTap: [method([goText], one, ({ node }, network) => tap(node, ownId(network), ONLY_TAP))],
  SetupPrivTap: [
    method([goText, goText], one, ({ node }, network, name) => tap(node, ownId(network), name)),
  ],
  TapExists: [method([goText], bool, ({ node }, name) => [tapsOf(node, name).length > 0])],
  RemoveTap: [
    method([goText], [], async ({ node }, name) => {
      for (const [network, id] of tapsOf(node, name)) await detach(node, network, id, "tap");
      return [];
    }),
  ],
  GetSubnet: [
    method([goText], one, ({ node }, id) => [
      toGoIpNet(node.networks.view(ownId(id)).resource.subnet),
    ]),
  ],
  GetNet: [
    method([goText], one, ({ node }, id) => [
      toGoIpNet(node.networks.view(ownId(id)).resource.range),
    ]),
  ],
  GetDefaultGwIP: [
    method([goText], two, ({ node }, id) => {
      const { resource } = node.networks.view(ownId(id));
      return [toGoIp(gatewayOf(resource)), toGoIp(gateway6Of(resource))];
    }),
  ],
  GetIPv6From4: [
    method([goText, goIp], one, ({ node }, network, address) => {
      const id = ownId(network);
      node.networks.view(id);
      return [toGoIpNet(ipv6Of(id, address))];
    }),
  ],
  Addrs: [
    method([goText, goText], one, async (_caller, ...which) => [(await addrs(...which)).ips], {
      wire: 0,
    }),
    method(
      [goText, goText],
      two,
      async (_caller, ...which) => {
        const { ips, mac } = await addrs(...which);
        return [ips, mac];
      },
      { wire: 1 },
    ),
  ],
  Interfaces: [
    method([goText, goText], one, async (_caller, name, namespace) => {
      const nics = await nicsIn(namespace);
      const wanted = nics.filter((nic) =>
        name === "" ? nic.kind === "device" || nic.mark === "uplink" : nic.name === name,
      );
      if (name !== "" && wanted.length === 0) throw noInterface(name);
      const rows = wanted.map((nic) => [
        nic.name,
        { Name: nic.name, IPs: globalAddresses(nic).map(toGoIpNet), Mac: nic.mac },
      ]);
      return [{ Interfaces: Object.fromEntries(rows) }];
    }),
  ],
  WireguardPorts: [
    method([], one, ({ node }) => {
      const { used, leases, reserved } = node.networks.ports();
      const taken = [
        ...used.map(({ port }) => port),
        ...leases.map(({ port }) => port),
        ...reserved,
      ];
      return [[...new Set(taken)].sort((a, b) => a - b)];
    }),
  ],
  PublicIPv4Support: [
    method(
      [],
      bool,
      ({ node }) => [
        node.configuration?.config.nics.some(({ roles }) => roles.includes("public")) === true,
      ],
      { hasError: false },
    ),
  ],
  GetPublicConfig: [
    method([], one, ({ node }) => {
      const config = publicConfigOf(node);
      if (config === undefined) throw new RefusedError("missing", "no public configuration is set");
      return [config];
    }),
  ],
  SetPublicConfig: [
    method([publicConfigSchema], [], async ({ node }, config) => {
      await setPublicConfig(node, config);
      return [];
    }),
  ],
  UnsetPublicConfig: [
    method([], [], async ({ node }) => {
      await unsetPublicConfig(node);
      return [];
    }),
  ],
  GetPublicExitDevice: [method([], one, ({ node }) => [exitDevice(node)])],
  SetPublicExitDevice: [
    method([goText], [], async ({ node }, name) => {
      await setExitDevice(node, name);
      return [];
    }),
  ],
  Metrics: [absent([], one, "counters are at GET /metrics of the node's API")],
  ZDBPrepare: [absent([goBytes], one, NO_STORAGE)],
  EnsureZDBPrepare: [absent([goText], one, NO_STORAGE)],
  ZDBDestroy: [absent([goText], [], NO_STORAGE)],
  MigrateZdbMacvlanToVeth: [absent([], [], NO_STORAGE)],
  QSFSNamespace: [method([goText], one, () => [""], { hasError: false })],
  QSFSYggIP: [absent([goText], one, NO_STORAGE)],
  QSFSPrepare: [absent([goText], two, NO_STORAGE)],
  QSFSDestroy: [absent([goText], [], NO_STORAGE)],
  SetupMyceliumTap: [absent([goText, goText, seedSchema], one, NO_MYCELIUM)],
  SetupYggTap: [absent([goText], one, NO_YGGDRASIL)],
  SetupPubTap: [absent([goText], one, NO_PUBLIC_TAP)],
  PubTapExists: [method([goText], bool, () => [false])],
  RemovePubTap: [absent([goText], [], NO_PUBLIC_TAP)],
  DisconnectPubTap: [absent([goText], [], NO_PUBLIC_TAP)],
  SetupPubIPFilter: [absent([goText, goText, goBytes, goBytes, goText], [], NO_PUBLIC_TAP)],
  RemovePubIPFilter: [absent([goText], [], NO_PUBLIC_TAP)],
  PubIPFilterExists: [method([goText], bool, () => [false], { hasError: false })],
  GetPublicIPv6Subnet: [absent([], one, "this node has no public IPv6 subnet of its own")],
  GetPublicIPV6Gateway: [absent([], one, "this node has no public IPv6 subnet of its own")],
};

async function create(
  { node, open }: Caller,
  network: ZosNetwork,
  workload?: WorkloadName,
): Promise<readonly unknown[]> {
  const sealed = sealedKeyOf(network);
  const opened = sealed === undefined ? undefined : await open(sealed);
  const { id } = await node.networks.apply(resourceOf({ network, workload, opened }));
  return [namespaceName(id)];
}

/** Whoever asks twice wants it gone. */
async function unlessMissing(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof RefusedError) || error.reason !== "missing") throw error;
  }
}

/** What of another kind has the id that a workload would have. */
function otherOf(
  { networks }: BusNode,
  network: string,
  id: string,
  kind: Workload["kind"],
): Workload | undefined {
  const view = networks.views().find(({ resource }) => resource.id === network);
  return view?.attached.find((other) => other.id === ownId(id) && other.kind !== kind);
}

/** A workload is not to take the place of one of another kind. */
function refuseOther(node: BusNode, network: string, id: string, kind: Workload["kind"]): void {
  const other = otherOf(node, network, id, kind);
  if (other === undefined) return;
  throw new RefusedError("conflict", `there is a ${other.kind} of that id: choose another`);
}

/** The network that a workload made: by twin and name, whatever id it came with. */
function findByName({ networks }: BusNode, workload: string): string {
  const { owner, name } = parseWorkloadName(workload);
  const ids = networks
    .views()
    .filter(({ resource }) => resource.owner === owner && resource.name === name)
    .map(({ resource }) => resource.id);
  const usual = zosNetworkId(owner, name);
  if (ids.length > 1 && !ids.includes(usual)) {
    throw new RefusedError(
      "conflict",
      `several networks of ${owner} are called ${name} (${ids.sort().join(", ")}): remove one by the node's API, which takes an id`,
    );
  }
  return ids.length === 1 ? ids[0]! : usual;
}

async function tap(node: BusNode, network: string, name: string): Promise<[string]> {
  refuseOther(node, network, name, "tap");
  const { id } = await node.networks.attach(network, { kind: "tap", id: name });
  return [portName("tap", network, id)];
}

/** TAPs that a name means: a workload's, or (older zos) a network's only one. */
function tapsOf({ networks }: BusNode, name: string): [network: string, id: string][] {
  const wanted = ownId(name);
  return networks.views().flatMap(({ resource, attached }) =>
    attached
      .filter(({ kind }) => kind === "tap")
      .filter(({ id }) => id === wanted || (id === ONLY_TAP && resource.id === wanted))
      .map(({ id }): [string, string] => [resource.id, id]),
  );
}

/** No matter if it is not there, or something else is. */
async function detach(
  node: BusNode,
  network: string,
  id: string,
  kind: Workload["kind"],
): Promise<void> {
  if (otherOf(node, network, id, kind) !== undefined) return;
  await unlessMissing(node.networks.detach(network, id));
}

const NAMESPACE = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

async function nicsIn(namespace: string): Promise<Nic[]> {
  if (namespace === "") return await readNics();
  if (!NAMESPACE.test(namespace)) throw new RefusedError("invalid", "that is no namespace's name");
  return await readNics(namespace);
}

async function addrs(
  name: string,
  namespace: string,
): Promise<{ readonly ips: readonly (Uint8Array | null)[]; readonly mac: string }> {
  const nic = (await nicsIn(namespace)).find((other) => other.name === name);
  if (nic === undefined) throw noInterface(name);
  return { ips: nic.addresses.map(toGoIp), mac: nic.mac };
}

function noInterface(name: string): RefusedError {
  const what = /^[^\s/:]{1,15}$/.test(name) ? name : "that name";
  return new RefusedError("missing", `there is no interface ${what}`);
}

/** As zos: those that another machine may reach, with their lengths. */
export function globalAddresses({ addresses }: Pick<Nic, "addresses">): string[] {
  return addresses.filter((text) => parseCidr(text) !== undefined && isGlobal(text));
}
