/**
 * An Internet in small, with the places in which nodes of a grid stand: two that are public, one of them by IPv6 alone; two in one LAN
 * behind a NAT; one behind another NAT that forgets soon, in a LAN with the same addresses; one with IPv6 alone behind a firewall; or
 * whatever places are asked for. The registry has a place of its own, and one is left for a guest.
 */
import type { Lab, Namespace } from "./lab.ts";
import { type LabMachine, type Power, powerOn } from "./lab-machine.ts";

/** A node's place. */
export interface Place {
  readonly label: string;
  readonly title: string;
  /** Its site, 1 to 5: 198.18.NET.0/24 and 2001:db8:NET::/64 are what the Internet sees of it. */
  readonly net: number;
  /** Its host number in the LAN behind the site's gateway; undefined: it is at the site's address itself. */
  readonly host?: number;
  readonly hasV4: boolean;
}

export const PLACES: readonly Place[] = [
  publicPlace("a", 1),
  { label: "b", title: "public, IPv6 only", net: 2, hasV4: false },
  { label: "c", title: "behind NAT 1", net: 3, host: 2, hasV4: true },
  { label: "d", title: "behind NAT 1, in the LAN of c", net: 3, host: 3, hasV4: true },
  { label: "e", title: "behind NAT 2, which forgets soon", net: 4, host: 2, hasV4: true },
  { label: "f", title: "IPv6 only, behind a firewall", net: 5, host: 2, hasV4: false },
];

/** At a site of its own, with both families. */
function publicPlace(label: string, net: number): Place {
  return { label, title: "public, IPv4 and IPv6", net, hasV4: true };
}

/** Each at a site of its own, with both families; five at most. */
export function publicPlaces(...labels: readonly string[]): Place[] {
  return labels.map((label, at) => publicPlace(label, at + 1));
}

/** Of what stands at a site's own address. */
const SITE_HOST = 2;
const REGISTRY_NET = 6;
const GUEST_NET = 7;
const REGISTRY_PORT = 8480;
const RESPONDER_PORT = 3479;
/** Of NAT 2: a mapping lives so long. */
export const SHORT_LIFE_SECONDS = 10;
const SHORT_LIFE_NET = 4;
/** By which a machine hangs on its site: what a power cut leaves. */
export const UPLINK = "up0";

export interface GridSites<Node extends LabMachine> {
  readonly internet: Namespace;
  readonly registry: LabMachine;
  readonly guest: LabMachine;
  /** In the order of their places. */
  readonly nodes: readonly Node[];
}

/** All machines are on; nothing runs on them. */
export async function makeSites<Node extends LabMachine>(
  lab: Lab,
  places: readonly Place[],
  makeNode: (power: Power, place: Place) => Node,
  makeMachine: (power: Power) => LabMachine,
): Promise<GridSites<Node>> {
  const internet = await lab.namespace("in");
  await forward(internet);
  const machine = async (label: string, net: number): Promise<LabMachine> => {
    const power = await powerOn(lab, label);
    await join(lab, internet, power.host, net, true);
    return makeMachine(power);
  };
  const gateways = new Map<number, Namespace>();
  const nodes: Node[] = [];
  for (const place of places) {
    const power = await powerOn(lab, place.label);
    const { net, host, hasV4 } = place;
    if (host === undefined) await join(lab, internet, power.host, net, hasV4);
    else {
      let gateway = gateways.get(net);
      if (gateway === undefined) {
        gateway = await makeGateway(lab, internet, net, hasV4);
        gateways.set(net, gateway);
      }
      await joinLan(lab, gateway, power.host, net, host, hasV4);
    }
    nodes.push(makeNode(power, place));
  }
  return {
    internet,
    registry: await machine("re", REGISTRY_NET),
    guest: await machine("gu", GUEST_NET),
    nodes,
  };
}

export function registryAddresses(): readonly [v4: string, v6: string] {
  return addressesAt(REGISTRY_NET, SITE_HOST);
}

/** As the Internet sees what stands there. */
export function siteAddresses({ net }: Pick<Place, "net">): readonly [v4: string, v6: string] {
  return addressesAt(net, SITE_HOST);
}

/** As a node in that place asks it. */
export function registryUrl({ hasV4 }: Pick<Place, "hasV4">, isTls = false): string {
  const [v4, v6] = registryAddresses();
  return `${isTls ? "https" : "http"}://${hasV4 ? v4 : `[${v6}]`}:${REGISTRY_PORT}`;
}

/** Flags of `wirehaul registry run`. */
export const REGISTRY_FLAGS: readonly string[] = [
  ...["--listen", `[::]:${REGISTRY_PORT}`],
  ...["--respond", `${RESPONDER_PORT}`],
];

/** Flags of `wirehaul node run` in that place. `ca`: the file with the CA of a registry that speaks TLS. */
export function nodeFlags(place: Place, ca?: string): string[] {
  const [v4, v6] = registryAddresses();
  return [
    ...["--registry", registryUrl(place, ca !== undefined)],
    ...(ca === undefined ? [] : ["--registry-ca", ca]),
    ...["--uplink", "none", "--nic-kinds", "veth"],
    ...["--responders", `${v4}:${RESPONDER_PORT},[${v6}]:${RESPONDER_PORT}`],
  ];
}

function addressesAt(net: number, host: number): readonly [v4: string, v6: string] {
  return [`198.18.${net}.${host}`, `2001:db8:${net}::${host}`];
}

/** Behind a site's gateway: one range for all, as at people's homes; the IPv6 prefix is the site's own. */
function lanAddressesAt(net: number, host: number): readonly [v4: string, v6: string] {
  return [`192.168.1.${host}`, `2001:db8:${net}0::${host}`];
}

async function forward(namespace: Namespace): Promise<void> {
  const settings = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"];
  await namespace.exec(["sysctl", "-qw", ...settings]);
}

async function join(
  lab: Lab,
  internet: Namespace,
  namespace: Namespace,
  net: number,
  hasV4: boolean,
): Promise<void> {
  const [own4, own6] = addressesAt(net, SITE_HOST);
  const [router4, router6] = addressesAt(net, 1);
  const both = (v4: string, v6: string): string[] => [...(hasV4 ? [`${v4}/24`] : []), `${v6}/64`];
  await lab.cable(
    { namespace, name: UPLINK, addresses: both(own4, own6) },
    { namespace: internet, name: `net${net}`, addresses: both(router4, router6) },
  );
  await namespace.ip([
    ...(hasV4 ? [`route add default via ${router4}`] : []),
    `route add default via ${router6}`,
  ]);
}

/** Masquerades IPv4; of both families nothing gets in that nobody inside has asked for. */
async function makeGateway(
  lab: Lab,
  internet: Namespace,
  net: number,
  hasV4: boolean,
): Promise<Namespace> {
  const gateway = await lab.namespace(`g${net}`);
  await forward(gateway);
  await join(lab, internet, gateway, net, hasV4);
  const [v4, v6] = lanAddressesAt(net, 1);
  await gateway.ip([
    "link add lan type bridge",
    "link set dev lan up",
    ...(hasV4 ? [`address add ${v4}/24 dev lan`] : []),
    `address add ${v6}/64 dev lan nodad`,
  ]);
  await internet.ip([`route add 2001:db8:${net}0::/64 via ${addressesAt(net, SITE_HOST)[1]}`]);
  await gateway.exec(["nft", "-f", "-"], {
    input: `table inet gateway {
  chain postrouting {
    type nat hook postrouting priority srcnat
    meta nfproto ipv4 oifname "${UPLINK}" masquerade
  }
  chain forward {
    type filter hook forward priority filter
    iifname "${UPLINK}" ct state established,related accept
    iifname "${UPLINK}" drop
  }
}
`,
  });
  if (net === SHORT_LIFE_NET) {
    const timeout = "net.netfilter.nf_conntrack_udp_timeout";
    const settings = [timeout, `${timeout}_stream`].map((key) => `${key}=${SHORT_LIFE_SECONDS}`);
    await gateway.exec(["sysctl", "-qw", ...settings]);
  }
  return gateway;
}

async function joinLan(
  lab: Lab,
  gateway: Namespace,
  namespace: Namespace,
  net: number,
  host: number,
  hasV4: boolean,
): Promise<void> {
  const [v4, v6] = lanAddressesAt(net, host);
  const [gateway4, gateway6] = lanAddressesAt(net, 1);
  const port = `lan${host}`;
  await lab.cable(
    { namespace, name: UPLINK, addresses: [...(hasV4 ? [`${v4}/24`] : []), `${v6}/64`] },
    { namespace: gateway, name: port, addresses: [] },
  );
  await gateway.ip([`link set dev ${port} master lan`]);
  await namespace.ip([
    ...(hasV4 ? [`route add default via ${gateway4}`] : []),
    `route add default via ${gateway6}`,
  ]);
}
