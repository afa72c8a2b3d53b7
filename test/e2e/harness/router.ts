/** A namespace that passes packets on between its cables, of both families. */
import type { Lab, Namespace } from "../../../src/cli/demo/lab.ts";

export async function makeRouter(lab: Lab, label: string): Promise<Namespace> {
  const router = await lab.namespace(label);
  const settings = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"];
  await router.exec(["sysctl", "-q", "-w", ...settings]);
  return router;
}

export interface RoutedCable {
  readonly router: Namespace;
  readonly namespace: Namespace;
  /** Makes the names of the cable's ends; one letter is added. */
  readonly label: string;
  /** The host has 10.NET.0.2 and 2001:db8:NET::2, the router the same with 1. */
  readonly net: number;
  readonly mtu?: number;
  /** Of the host's default routes through this cable; none unless told. */
  readonly metric?: number;
}

export interface Uplink {
  readonly cable: string;
  readonly v4: string;
  readonly v6: string;
  /** The far end, in the router. */
  readonly routerCable: string;
  /** Lines for `ip -batch`: default routes through this cable. */
  readonly routes: readonly string[];
}

/** Lays a cable from a host to the router and leads the host's default routes over it. */
export async function connect(lab: Lab, settings: RoutedCable): Promise<Uplink> {
  const { router, namespace, label, net, mtu, metric } = settings;
  const [cable, routerCable] = [lab.name(`${label}h`), lab.name(`${label}r`)];
  const uplink: Uplink = {
    cable,
    routerCable,
    v4: `10.${net}.0.2`,
    v6: `2001:db8:${net}::2`,
    routes: [`10.${net}.0.1`, `2001:db8:${net}::1`].map((gateway) => {
      const all = gateway.includes(":") ? "::/0" : "0.0.0.0/0";
      const end = metric === undefined ? "" : ` metric ${metric}`;
      return `route replace ${all} via ${gateway} dev ${cable}${end}`;
    }),
  };
  await lab.cable(
    { namespace, name: cable, addresses: [`${uplink.v4}/24`, `${uplink.v6}/64`] },
    {
      namespace: router,
      name: routerCable,
      addresses: [`10.${net}.0.1/24`, `2001:db8:${net}::1/64`],
    },
    mtu,
  );
  await namespace.ip(uplink.routes);
  return uplink;
}
