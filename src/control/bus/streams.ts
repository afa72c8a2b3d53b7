/** What the bus tells those who listen: addresses of the uplink and of the way out, as zos's streams have them. */

import { type GoIpNet, toGoIpNet } from "./go-types.ts";
import type { BusNode } from "./methods.ts";
import { globalAddresses } from "./methods.ts";
import { publicConfigOf } from "./public-config.ts";

/** The present value of each stream by its name. */
export function streamsOf(node: BusNode): Readonly<Record<string, unknown>> {
  const { boot, configuration } = node;
  const bridge = boot?.uplink?.bridge;
  // Without a registry there is no uplink of the node's: all of the machine's NICs are.
  const uplinks = node.nics.filter(({ name }) => bridge === undefined || name === bridge);
  const own = uplinks.flatMap(globalAddresses).map(toGoIpNet);
  const exit = configuration?.config.nics.find(
    ({ roles }) => roles.includes("exit") && !roles.includes("management"),
  );
  const out: readonly GoIpNet[] = exit === undefined ? own : exit.addresses.map(toGoIpNet);
  const config = publicConfigOf(node);
  return {
    ZOSAddresses: own,
    DMZAddresses: out,
    YggAddresses: [],
    // An older zos has a list here, a newer one a map: an empty list is nothing to both.
    PublicAddresses: config === undefined ? [] : { ...config, HasPublicConfig: true },
  };
}
