/**
 * Two that did not answer each other's echoes for some seconds, while its sessions lived on: packets under them are no sign that it can be relied on.
 * They call each other until they answer, long before WireGuard would renew the session by itself.
 */
import { expect } from "vitest";
import { GridLab } from "../../src/cli/demo/grid-lab.ts";
import { addressOf, type GridNode, workloadName } from "../../src/cli/demo/grid-node.ts";
import { publicPlaces } from "../../src/cli/demo/grid-sites.ts";
import { until } from "../../src/control/linux/command.ts";
import type {
  NetworkDetails,
  NetworkStatus,
  PairStatus,
} from "../../src/control/registry/client.ts";
import { REKEY_AFTER_TIME } from "../../src/wire/constants.ts";
import { populate } from "./harness/grid-workloads.ts";
import { labTest } from "./harness/lab-test.ts";

/** Three misses of echoes that go out each 10 s, then each 2 s; what is not answered counts after 2 s. */
const LOST_MS = 40_000;

const DEAF = (sources: string): string => `table inet deaf {
 chain in { type filter hook input priority -5; ip saddr { ${sources} } icmp type echo-request drop; }
}
`;

async function pairOf(
  grid: GridLab,
  { id }: NetworkDetails,
  one: GridNode,
  other: GridNode,
): Promise<PairStatus> {
  const { pairs } = await grid.ask<NetworkStatus>(grid.admin, "network", "status", id);
  const ends = [one.id, other.id];
  return pairs.find(({ from, to }) => ends.includes(from) && ends.includes(to))!;
}

/** Of the newest handshake that a node has had with a peer, in milliseconds since 1970. */
async function handshakeOf(node: GridNode, id: string, publicKey: string): Promise<number> {
  const text = await node.exec(["wg", "show", `w-${id}`, "latest-handshakes"], `n-${id}`);
  const line = text.split("\n").find((row) => row.startsWith(publicKey)) ?? "";
  return Number(line.split("\t")[1]) * 1_000;
}

labTest(
  "what was deaf for some seconds carries its own traffic again by a handshake that was asked for, not by the next renewal",
  async (lab) => {
    const grid = await GridLab.make(lab, { places: publicPlaces("a", "b", "c") });
    await grid.startNodes();
    const [a, c] = [grid.node("a"), grid.node("c")];
    const network = await grid.create(grid.admin, "shop", "10.20.0.0/16");
    await populate(grid.nodes, network);
    const target = addressOf(network, a.id);
    const space = workloadName(network);
    await c.untilReaches(target, space);
    const isDirect = async (): Promise<boolean> => {
      const { path, state } = await pairOf(grid, network, a, c);
      return state === "up" && path !== "relay";
    };
    await until("a and c meet", isDirect, LOST_MS, 500);
    const keyOfA = (await a.untilNetwork(network.id)).publicKey;
    const renewal = (await handshakeOf(c, network.id, keyOfA)) + REKEY_AFTER_TIME;

    // Requests arrive, and so keep the sessions alive: nobody has sent for 15 s without hearing anything (WP 6.5).
    const inside = `n-${network.id}`;
    const deafen = async (node: GridNode, to: GridNode): Promise<void> => {
      const { subnet = "", tunnel = "" } =
        network.members.find((member) => member.node === to.id) ?? {};
      await node.exec(["nft", "-f", "-"], inside, { input: DEAF(`${subnet}, ${tunnel}`) });
    };
    await Promise.all([deafen(a, c), deafen(c, a)]);
    const deaf = Date.now();
    await until(
      "c reaches a by way of b",
      async () => (await pairOf(grid, network, a, c)).path === "relay",
      LOST_MS,
      250,
    );
    for (const node of [a, c]) {
      await node.exec(["nft", "delete", "table", "inet", "deaf"], inside);
    }
    const healed = Date.now();
    await until("a and c meet again", isDirect, 2 * REKEY_AFTER_TIME, 250);
    const back = Date.now();
    console.log(
      `back ${Math.round((back - healed) / 1_000)} s after it was there again, ${Math.round((renewal - back) / 1_000)} s before the renewal`,
    );
    expect(back).toBeLessThan(renewal);
    // It is asked for when the routes move, which may be some seconds before the two hear each other again.
    expect(await handshakeOf(c, network.id, keyOfA)).toBeGreaterThan(deaf);
    await c.untilReaches(target, space);
  },
  300_000,
);
