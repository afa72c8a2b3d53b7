/** How answers of a node's API look to a person. Pure. */

import type { Nic } from "../../control/model/nic.ts";
import type { FamilyReachability } from "../../control/model/reachability.ts";
import type { Workload } from "../../control/model/workload.ts";
import type { AgentStatus } from "../../control/node/agent.ts";
import type { Explanation } from "../../control/node/explain.ts";
import type { GridStatus } from "../../control/node/grid/grid.ts";
import type { DryRun } from "../../control/node/networks.ts";
import type { PortList } from "../../control/node/ports.ts";
import type { NetworkDetails, NetworkSummary } from "../../control/node/view.ts";

type Lines = readonly string[];

export function statusLines(status: AgentStatus): Lines {
  const { boot, configuration, reachability, isCensusPublished, grid, bus, networks, problems } =
    status;
  const { uplink } = boot ?? {};
  return [
    boot === null
      ? `uplink: the machine's own (${grid === null ? "no registry" : "as told"})`
      : `boot: ${boot.state}: ${boot.why}`,
    ...(uplink == null
      ? []
      : [`uplink: ${uplink.nic} on ${uplink.bridge}: ${uplink.addresses.join(", ")}`]),
    ...(configuration === null
      ? []
      : [`configuration: ${configuration.state}: ${configuration.why}`]),
    ...(reachability === null
      ? ["reachability: not measured (no --responders)"]
      : [
          ...reachabilityLines("IPv4", reachability.ipv4),
          ...reachabilityLines("IPv6", reachability.ipv6),
        ]),
    `census: ${isCensusPublished ? "published" : "not published"}`,
    ...(grid === null ? [] : gridLines(grid)),
    ...(bus === null
      ? []
      : [`bus: ${bus.address}: ${bus.why}; calls ${bus.calls}, with errors: ${bus.errors}`]),
    `networks: ${networks}, with problems: ${problems.length}`,
    ...problems.map(({ network, problem }) => `  ${network}: ${problem}`),
  ];
}

function gridLines(grid: GridStatus): Lines {
  const { registry, node, farm, state, why, revision, lag, heardMs, problems } = grid;
  const known =
    revision === null
      ? "nothing heard of what is wanted since the start"
      : `revision ${revision}, ${lag === 0 ? "up to date" : `behind by ${lag}`}`;
  const heard = heardMs === null ? "never" : new Date(heardMs).toISOString();
  return [
    `grid: ${state}: ${why}`,
    `  ${registry}, farm ${farm}, this node ${node}`,
    `  networks of the grid: ${grid.networks}; ${known}; last heard: ${heard}`,
    ...problems.map(({ network, problem }) => `  ${network}: ${problem}`),
  ];
}

function reachabilityLines(family: string, state: FamilyReachability): Lines {
  const { verdict, why, seen, lifetimeMs, lifetimeBelowMs, keepaliveSeconds } = state;
  const lines = [`${family}: ${verdict}: ${why}`];
  if (seen !== null) lines.push(`  seen as ${seen}`);
  if (verdict === "public") lines.push("  keepalive off for peers with an endpoint");
  if (verdict !== "hidden") return lines;
  const lifetime =
    lifetimeMs === null
      ? "the lifetime of a silent mapping is not measured yet"
      : `a silent mapping lives ${lifetimeMs / 1000} s${lifetimeBelowMs === null ? " or more" : `, not ${lifetimeBelowMs / 1000} s`}`;
  return [...lines, `  ${lifetime}: keepalive ${keepaliveSeconds} s`];
}

export function nicLines(nics: readonly Nic[]): Lines {
  return nics.flatMap((nic) => [
    `${nic.name} ${nic.mac} ${nic.kind}${nic.carrier ? "" : ", no carrier"}, MTU ${nic.mtu}${nic.bridge === undefined ? "" : `, port of ${nic.bridge}`}`,
    ...nic.addresses.map((address) => `  ${address}`),
    ...nic.routes.map(({ to, via }) => `  to ${to}${via === undefined ? "" : ` via ${via}`}`),
  ]);
}

export function planLines(runs: readonly DryRun[]): Lines {
  const busy = runs.filter(({ actions }) => actions.length > 0);
  if (busy.length === 0) return ["nothing to do"];
  return busy.flatMap(({ network, actions }) => [
    `${network}:`,
    ...actions.map((action) => `  ${action}`),
  ]);
}

export function portLines({ used, leases, reserved }: PortList): Lines {
  return [
    ...used.map(({ port, network }) => `${port} network ${network}`),
    ...leases.map(
      ({ port, holder, expiresMs }) =>
        `${port} leased to ${holder} until ${new Date(expiresMs).toISOString()}`,
    ),
    `reserved: ${reserved.join(", ")}`,
  ];
}

export function explanationLines(found: readonly Explanation[]): Lines {
  return found.flatMap(({ network, way, peer, why }) => [
    `${network}: ${way}${peer === null ? "" : ` ${peer}`}`,
    ...why.map((sentence) => `  ${sentence}`),
  ]);
}

export function summaryLines(networks: readonly NetworkSummary[]): Lines {
  return networks.map(
    ({ id, name, listenPort, publicKey, workloads, problem }) =>
      `${id} "${name}" port ${listenPort}, public key ${publicKey}, workloads ${workloads}: ${problem ?? "up"}`,
  );
}

export function detailLines(network: NetworkDetails): Lines {
  const { resource, gateway, namespace, attached, device } = network;
  return [
    ...summaryLines([network]),
    `  subnet ${resource.subnet} of ${resource.range}, gateway ${gateway}, namespace ${namespace}`,
    ...attached.map((workload) => `  workload ${workload.id}: ${workload.kind}`),
    ...resource.peers.map(({ publicKey, allowedIps }) => {
      const now = device?.peers.find((peer) => peer.publicKey === publicKey);
      return `  peer ${publicKey} by ${now?.endpoint ?? "nothing known"} for ${allowedIps.join(", ")}, handshakes ${now?.handshakes ?? 0}`;
    }),
  ];
}

export function workloadLines(workloads: readonly Workload[]): Lines {
  return workloads.map((workload) => {
    if (workload.kind === "tap") return `${workload.id}: TAP`;
    const where =
      workload.namespace === undefined ? "TAP" : `${workload.interface} in ${workload.namespace}`;
    return `${workload.id}: ${workload.kind}, ${where}: ${workload.addresses.join(", ")}`;
  });
}
