/** `wirehaul demo tunnel`: a tunnel between a wirehaul-wg and a second WireGuard, measured; then two tenants on two nodes. */
import { attempt } from "../../control/linux/command.ts";
import type { Implementation } from "./implementations.ts";
import type { Lab } from "./lab.ts";
import { iperf, ping, pingUntil } from "./measure.ts";
import { makePair } from "./pair.ts";
import type { TunnelReport } from "./report.ts";
import { showTenants } from "./tenants.ts";

const PINGS = { count: 10, intervalSeconds: 0.05 };
const UDP_RATE = 100_000_000;
/** A datagram that fits the tunnel's MTU of 1420 whole. */
const UDP_BYTES = 1200;

export interface TunnelWish {
  readonly peer: Implementation;
  /** Of each measurement with iperf3. */
  readonly seconds: number;
}

export async function showTunnel(
  lab: Lab,
  { peer, seconds }: TunnelWish,
  tell: (text: string) => void,
): Promise<TunnelReport> {
  tell(`two namespaces, wirehaul in one, ${peer} in the other ...`);
  const { a, b } = await makePair(lab, { a: "wirehaul", b: peer });
  await pingUntil(a.namespace, b.inner4);
  tell("ping ...");
  const ping4 = await ping(a.namespace, b.inner4, PINGS);
  const ping6 = await ping(a.namespace, b.inner6, PINGS);
  tell(`iperf3, three times ${seconds} s ...`);
  const tcp = await iperf(a.namespace, b.namespace, b.inner4, { seconds });
  const tcpReverse = await iperf(a.namespace, b.namespace, b.inner4, { seconds, isReverse: true });
  const udp = await iperf(a.namespace, b.namespace, b.inner4, {
    seconds,
    isUdp: true,
    rate: UDP_RATE,
    size: UDP_BYTES,
  });
  return {
    implementations: ["wirehaul", peer],
    ping4,
    ping6,
    tcp,
    tcpReverse,
    udp,
    show: [await shown(a.node.name), await shown(b.node.name)],
    tenants: await showTenants(lab, (text) => tell(`${text} ...`)),
  };
}

/** `wg show` hides the secrets by itself. */
async function shown(name: string): Promise<string> {
  return (await attempt(["wg", "show", name])).stdout;
}
