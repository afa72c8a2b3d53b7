/** A gateway that hides one side behind its own address and forgets UDP flows after two seconds. */
import type { Namespace } from "../../../src/cli/demo/lab.ts";

export const UDP_TIMEOUT_SECONDS = 2;

/** Makes a namespace a masquerading router towards the interface `outside`. */
export async function makeNatGateway(gateway: Namespace, outside: string): Promise<void> {
  await gateway.exec(["nft", "-f", "-"], {
    input: `table inet nat {
  chain forced {
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "${outside}" jump forced
    oifname "${outside}" masquerade
  }
}
`,
  });
  await gateway.exec([
    "sysctl",
    "-q",
    "-w",
    "net.ipv4.ip_forward=1",
    `net.netfilter.nf_conntrack_udp_timeout=${UDP_TIMEOUT_SECONDS}`,
    `net.netfilter.nf_conntrack_udp_timeout_stream=${UDP_TIMEOUT_SECONDS}`,
  ]);
}

/** From now on new UDP flows leave from this port of the gateway. */
export async function setNatPort(gateway: Namespace, port: number): Promise<void> {
  await gateway.exec([
    "nft",
    "add",
    "rule",
    "inet",
    "nat",
    "forced",
    "meta",
    "l4proto",
    "udp",
    "masquerade",
    "to",
    `:${port}`,
  ]);
}

/** How many UDP flows the gateway knows; asking also clears away those that have run out (net/netfilter/nf_conntrack_standalone.c). */
export async function knownFlows(gateway: Namespace): Promise<number> {
  const table = await gateway.exec(["cat", "/proc/net/nf_conntrack"]);
  return table.split("\n").filter((line) => line.includes(" udp ")).length;
}
