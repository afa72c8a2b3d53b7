/** A gateway that hides one side behind its own address and forgets UDP flows after two seconds. */
import type { Namespace } from "../../../src/cli/demo/lab.ts";

export const UDP_TIMEOUT_SECONDS = 2;

/** Makes a namespace a masquerading router towards the interface `outside`. */
export async function makeNatGateway(gateway: Namespace, outside: string): Promise<void> {
  await gateway.exec(["nft", "-f", "-"], {
    input: `table inet nat {
  chain postrouting {
    type nat hook postrouting priority srcnat;
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
