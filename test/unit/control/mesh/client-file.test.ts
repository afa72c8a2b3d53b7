/** The wg-quick file of an external client. */
import { describe, expect, test } from "vitest";
import { clientFile, wgQuickText } from "../../../../src/control/mesh/client-file.ts";
import { planMesh } from "../../../../src/control/mesh/mesh-plan.ts";
import { resourcePeers } from "../../../../src/control/mesh/peers.ts";
import type { NetworkPeer } from "../../../../src/control/model/network-resource.ts";
import { MeshWorld, type WorldInterface } from "../../../reference/mesh-world.ts";
import { gridOf, HIDDEN, keyOf, member, node, publicAt } from "./grids.ts";

const CLIENT = {
  id: "laptop",
  publicKey: keyOf("laptop"),
  addresses: ["10.1.0.2/32"],
  access: "a",
};
const ACCESS = node("a", publicAt("198.51.100.1"), { v6: publicAt("2001:db8::1") });

function fileIn(grid: ReturnType<typeof gridOf>, client = CLIENT) {
  return clientFile(grid.networks.get("n")!, client, grid);
}

test("the text: one endpoint, the others as comments, the whole network behind the access node", () => {
  const text = wgQuickText(fileIn(gridOf([ACCESS])), {
    privateKey: "SECRET=",
    presharedKey: "PSK=",
  });
  expect(text).toBe(`[Interface]
PrivateKey = SECRET=
Address = 10.1.0.2/32

[Peer]
PublicKey = ${keyOf("a")}
PresharedKey = PSK=
AllowedIPs = 10.1.0.0/16
Endpoint = 198.51.100.1:3001
# or: Endpoint = [2001:db8::1]:3001
PersistentKeepalive = 25
`);
});

test("without the private key a comment tells where it belongs", () => {
  expect(wgQuickText(fileIn(gridOf([ACCESS])))).toContain(
    "# PrivateKey = (the one whose public key was given)",
  );
});

test("in the middle of a rotation: the key and the port that the node uses", () => {
  const rotation = { publicKey: keyOf("new"), isSwitched: true, seenBy: [] };
  const turning = member("a", 1, { rotation, portRotation: { port: 9, isSwitched: true } });
  expect(fileIn(gridOf([ACCESS], { members: [turning] }))).toMatchObject({
    publicKey: keyOf("new"),
    endpoint: "198.51.100.1:9",
  });
});

describe("no way in", () => {
  test.each([
    [node("a", HIDDEN), "client laptop: node a is not public in v4 or v6: name one that is"],
    [
      node("b", publicAt("198.51.100.2")),
      "client laptop: node a is not in the network: name one that is",
    ],
  ])("%o", (access, message) => {
    expect(() => fileIn(gridOf([access]))).toThrow(message);
  });
});

test("with it a client reaches every member, hidden ones too, and they reach it", () => {
  const nodes = [ACCESS, node("b", publicAt("198.51.100.2")), node("h", HIDDEN), node("i", HIDDEN)];
  const grid = gridOf(nodes, { clients: [CLIENT] });
  const interfaces = planMesh(grid)
    .plan.networks.get("n")!
    .members.map(
      (part, at): WorldInterface => ({
        node: {
          id: part.node,
          v4: at < 2 ? { kind: "public", address: `198.51.100.${at + 1}` } : { kind: "hidden" },
          v6: at === 0 ? { kind: "public", address: "2001:db8::1" } : { kind: "none" },
          site: 0,
          lan: [],
          isForwarding: at < 2,
        },
        publicKey: keyOf(part.node),
        port: 3001 + at,
        own: [`10.1.${at + 1}.0/24`],
        peers: resourcePeers(part),
      }),
    );
  const world = new MeshWorld(
    [...interfaces, clientInterface(wgQuickText(fileIn(grid)))],
    new Set(),
  );
  expect(world.ownerFaults()).toEqual([]);
  for (const [at, { id }] of nodes.entries()) {
    const path = world.trace("laptop", "10.1.0.2", `10.1.${at + 1}.9`);
    expect(path).toEqual(id === "a" ? ["laptop", "a"] : ["laptop", "a", id]);
    expect(world.trace(id, `10.1.${at + 1}.9`, "10.1.0.2")).toEqual([...path].reverse());
  }
});

/** Reads the file as wg-quick does: names and values. */
function clientInterface(text: string): WorldInterface {
  const value = (name: string): string => new RegExp(`^${name} = (.*)$`, "m").exec(text)![1]!;
  const peer: NetworkPeer = {
    publicKey: value("PublicKey"),
    endpoint: value("Endpoint"),
    allowedIps: value("AllowedIPs").split(", "),
    keepalive: Number(value("PersistentKeepalive")),
  };
  return {
    node: {
      id: "laptop",
      v4: { kind: "hidden" },
      v6: { kind: "none" },
      site: 0,
      lan: [],
      isForwarding: false,
    },
    publicKey: CLIENT.publicKey,
    port: 1,
    own: value("Address").split(", "),
    peers: [peer],
  };
}
