/** Two machines on one cable, and networks over both, as a control plane would compute them. */

import { generateKeys } from "../../../src/cli/demo/keys.ts";
import type { Lab } from "../../../src/cli/demo/lab.ts";
import { Machine } from "./machine.ts";

export const OUTER: readonly [string, string] = ["192.0.2.1", "192.0.2.2"];
/** The cable's end on each machine. */
export const CABLE: readonly [string, string] = ["up0", "up1"];

export async function twoMachines(lab: Lab): Promise<readonly [Machine, Machine]> {
  const a = await Machine.create(lab, "ma");
  const b = await Machine.create(lab, "mb");
  await lab.cable(
    { namespace: a.host, name: CABLE[0], addresses: [`${OUTER[0]}/24`] },
    { namespace: b.host, name: CABLE[1], addresses: [`${OUTER[1]}/24`] },
  );
  return [a, b];
}

export interface MeshOptions {
  readonly id: string;
  readonly owner?: string;
  readonly ports: readonly [number, number];
  readonly more?: Readonly<Record<string, unknown>>;
}

/** The network resource of each side: 10.1.<side + 1>.0/24 of 10.1.0.0/16. */
export async function meshResources(options: MeshOptions): Promise<readonly [object, object]> {
  const { id, owner = "1", ports, more = {} } = options;
  const keys = [generateKeys(), generateKeys()] as const;
  const side = (own: 0 | 1, other: 0 | 1): object => ({
    id,
    name: `net ${id}`,
    owner,
    range: "10.1.0.0/16",
    range6: "fd00:1::/48",
    subnet: `10.1.${own + 1}.0/24`,
    subnet6: `fd00:1:0:${own + 1}::/64`,
    privateKey: keys[own].privateKey,
    listenPort: ports[own],
    peers: [
      {
        publicKey: keys[other].publicKey,
        endpoint: `${OUTER[other]}:${ports[other]}`,
        allowedIps: [
          `10.1.${other + 1}.0/24`,
          `fd00:1:0:${other + 1}::/64`,
          `100.64.1.${other + 1}/32`,
        ],
      },
    ],
    ...more,
  });
  return [side(0, 1), side(1, 0)];
}
