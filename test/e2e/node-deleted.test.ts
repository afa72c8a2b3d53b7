/**
 * A node that was deleted, or taken out of a network, while it was away, and that never hears of it: nobody shakes hands with it any more,
 * whatever it has on its disk. Real WireGuard, real echoes.
 */
import { expect } from "vitest";
import { GridLab } from "../../src/cli/demo/grid-lab.ts";
import { addressOf, type GridNode, workloadName } from "../../src/cli/demo/grid-node.ts";
import { publicPlaces, registryAddresses, UPLINK } from "../../src/cli/demo/grid-sites.ts";
import { until } from "../../src/control/linux/command.ts";
import { populate, untilAllReach } from "./harness/grid-workloads.ts";
import { labTest } from "./harness/lab-test.ts";

/** Longer than an initiation, its retries within 5 s and the answer to one of them take. */
const TRIES_MS = 60_000;

interface Peer {
  readonly publicKey: string;
  readonly handshake: number;
  readonly sent: number;
  readonly received: number;
}

async function peersOf(node: GridNode, id: string): Promise<Peer[]> {
  const text = await node.exec(["wg", "show", `w-${id}`, "dump"], `n-${id}`);
  return text
    .split("\n")
    .slice(1)
    .filter((line) => line !== "")
    .map((line) => {
      const [publicKey = "", , , , handshake, received, sent] = line.split("\t");
      return {
        ...{ publicKey, handshake: Number(handshake) },
        ...{ received: Number(received), sent: Number(sent) },
      };
    });
}

const [REGISTRY] = registryAddresses();
/** Packets of the registry's address are lost on this machine, both ways. */
const DEAF = `table inet deaf {
 chain in { type filter hook input priority -5; ip saddr ${REGISTRY} drop; }
 chain out { type filter hook output priority -5; ip daddr ${REGISTRY} drop; }
}
`;

/** Comes back from its disk without the registry, calls all its peers, and none answers. */
async function isRefusedByAll(
  node: GridNode,
  others: readonly GridNode[],
  id: string,
): Promise<void> {
  await node.exec(["nft", "-f", "-"], undefined, { input: DEAF });
  await node.start();
  const { publicKey } = await node.untilNetwork(id);
  await until(
    "it calls them all, again and again",
    async () => {
      const peers = await peersOf(node, id);
      // An initiation has 148 bytes (WP 5.4.2).
      return peers.length === others.length && peers.every(({ sent }) => sent >= 4 * 148);
    },
    TRIES_MS,
    250,
  );
  for (const { handshake, received } of await peersOf(node, id)) {
    expect([handshake, received]).toEqual([0, 0]);
  }
  for (const other of others) {
    expect((await peersOf(other, id)).map((peer) => peer.publicKey)).not.toContain(publicKey);
  }
  expect((await node.grid()).state).toBe("unregistered");
}

labTest(
  "deleted while it is away, without ever hearing of it: no peer shakes hands, no workload is reached; the others go on",
  async (lab) => {
    const grid = await GridLab.make(lab, { places: publicPlaces("a", "b", "c") });
    await grid.startNodes();
    const [a, b, c] = grid.nodes as [GridNode, GridNode, GridNode];
    const network = await grid.create(grid.admin, "shop", "10.20.0.0/16");
    await populate([a, b, c], network);
    await untilAllReach([a, b, c], network);

    await b.end("SIGKILL");
    await grid.asAdmin("node", "delete", b.id);
    for (const node of [a, c]) {
      await until(
        `${node.label} has one peer`,
        async () => (await node.peers(network.id)).length === 1,
      );
    }
    // Its disk has the networks and the keys as they were; the sessions of before are gone with the power.
    await b.reboot([UPLINK]);
    await isRefusedByAll(b, [a, c], network.id);
    for (const to of [a, c]) {
      expect(await b.reaches(addressOf(network, to.id), workloadName(network))).toBe(false);
    }
    await untilAllReach([a, c], network);

    // It hears it: gone.
    await b.exec(["nft", "delete", "table", "inet", "deaf"]);
    await until("b knows", async () => (await b.grid()).state === "deleted", 90_000);
    await until("b has nothing of the grid", async () => (await b.networks()).length === 0);

    // Taken out of the network only: the same.
    await c.end("SIGKILL");
    await grid.ask(grid.admin, "network", "remove-node", network.id, c.id);
    await until("a is alone", async () => (await a.peers(network.id)).length === 0);
    await c.reboot([UPLINK]);
    await c.exec(["nft", "-f", "-"], undefined, { input: DEAF });
    await c.start();
    const { publicKey } = await c.untilNetwork(network.id);
    await until(
      "c calls a, again and again",
      async () => (await peersOf(c, network.id)).some(({ sent }) => sent >= 4 * 148),
      TRIES_MS,
      250,
    );
    const refused = (await peersOf(c, network.id)).map(({ handshake }) => handshake);
    expect(refused).toEqual([0]);
    expect(await a.peers(network.id)).not.toContain(publicKey);
  },
  600_000,
);
