/**
 * A peer that was lost and is there again, with sessions that both sides still have: no packet tells of it, since nothing is led to it any more.
 * It is called until it answers, long before WireGuard would renew the session by itself.
 */
import { expect } from "vitest";
import { until } from "../../src/control/linux/command.ts";
import type {
  NetworkDetails,
  NetworkStatus,
  PairStatus,
} from "../../src/control/registry/client.ts";
import { REKEY_AFTER_TIME } from "../../src/wire/constants.ts";
import { addressIn, type GridMachine, GridMachines } from "./harness/grid-machines.ts";
import { labTest } from "./harness/lab-test.ts";

/** Three misses of echoes that go out each 10 s, then each 2 s; what is not answered counts after 2 s. */
const LOST_MS = 40_000;

const CUT = (net: number): string => `table inet cut {
 chain in { type filter hook input priority -5; ip saddr 10.${net}.0.2 drop; ip6 saddr 2001:db8:${net}::2 drop; }
 chain out { type filter hook output priority -5; ip daddr 10.${net}.0.2 drop; ip6 daddr 2001:db8:${net}::2 drop; }
}
`;

async function pairOf(
  grid: GridMachines,
  { id }: NetworkDetails,
  one: GridMachine,
  other: GridMachine,
): Promise<PairStatus> {
  const { pairs } = await grid.ask<NetworkStatus>("network", "status", id);
  const ends = [one.id, other.id];
  return pairs.find(({ from, to }) => ends.includes(from) && ends.includes(to))!;
}

/** Of the newest handshake that a node has had with a peer, in milliseconds since 1970. */
async function handshakeOf(node: GridMachine, id: string, publicKey: string): Promise<number> {
  const text = await node.exec(["wg", "show", `w-${id}`, "latest-handshakes"], `n-${id}`);
  const line = text.split("\n").find((row) => row.startsWith(publicKey)) ?? "";
  return Number(line.split("\t")[1]) * 1_000;
}

labTest(
  "what was lost for half a minute carries its own traffic again by a handshake that was asked for, not by the next renewal",
  async (lab) => {
    const grid = await GridMachines.make(lab);
    const nodes = [
      await grid.machine("a", 5),
      await grid.machine("b", 6),
      await grid.machine("c", 7),
    ] as const;
    for (const node of nodes) {
      await node.join(grid.farm, "--join-token-file", await grid.token());
      await node.untilReady();
    }
    const [a, , c] = nodes;
    const network = await grid.createNetwork("shop", "10.20.0.0/16", nodes);
    for (const node of nodes) {
      await node.untilNetwork(network.id);
      await node.attach(network);
    }
    const target = addressIn(network.members, a.id);
    const space = `work-${network.id}`;
    await c.untilReaches(target, space);
    const isDirect = async (): Promise<boolean> => {
      const { path, state } = await pairOf(grid, network, a, c);
      return state === "up" && path !== "relay";
    };
    await until("a and c meet", isDirect, LOST_MS, 500);
    const keyOfA = (await a.untilNetwork(network.id)).publicKey;
    const renewal = (await handshakeOf(c, network.id, keyOfA)) + REKEY_AFTER_TIME;

    await c.exec(["nft", "-f", "-"], undefined, { input: CUT(5) });
    await until(
      "c reaches a by way of b",
      async () => (await pairOf(grid, network, a, c)).path === "relay",
      LOST_MS,
      250,
    );
    await c.untilReaches(target, space);
    await c.exec(["nft", "delete", "table", "inet", "cut"]);
    const healed = Date.now();
    await until("a and c meet again", isDirect, 2 * REKEY_AFTER_TIME, 250);
    const back = Date.now();
    console.log(
      `back ${Math.round((back - healed) / 1_000)} s after it was there again, ${Math.round((renewal - back) / 1_000)} s before the renewal`,
    );
    expect(back).toBeLessThan(renewal);
    expect(await handshakeOf(c, network.id, keyOfA)).toBeGreaterThan(healed - 1_000);
    await c.untilReaches(target, space);
  },
  300_000,
);
