/** What nodes report of their links, at a registry in the test's own process: a plan that is kept as a whole and differences since. */
import { expect } from "vitest";
import type { NetworkPeer } from "../../src/control/model/network-resource.ts";
import type { PeerLink, RegistryClient } from "../../src/control/registry/client.ts";
import { labTest } from "./harness/lab-test.ts";
import { meshOf, peerOf, Registry } from "./harness/registry-mesh.ts";

/** Of that many nodes a lost peer is a small part of a plan: it is kept as a difference. */
const NODES = 8;

labTest("an old session does not bring a lost peer back, a handshake does", async (lab) => {
  const registry = await Registry.start(lab);
  const { network, nodes, keys } = await meshOf(registry, NODES);
  const [a, b] = nodes as [RegistryClient, RegistryClient];
  const keyOf = ({ keyId }: RegistryClient): string => keys.get(keyId) ?? "";
  const report = async (from: RegistryClient, to: RegistryClient, link: Partial<PeerLink>) => {
    const peer = { publicKey: keyOf(to), endpoint: `203.0.113.${nodes.indexOf(to) + 1}:3000` };
    await from.reportLinks({ networks: [{ network, peers: [{ ...peer, ...link }] }] });
  };
  const seen = (): Promise<NetworkPeer | undefined> => peerOf(b, keyOf(a));
  const direct = await seen();
  expect(direct?.allowedIps.length).toBeGreaterThan(2);
  await report(a, b, { isAlive: true, handshakeAge: 1 });
  await report(b, a, { isAlive: true, handshakeAge: 1 });
  await report(a, b, { isAlive: false, handshakeAge: 1 });
  await report(b, a, { isAlive: false, handshakeAge: 1 });
  expect((await seen())?.allowedIps).toEqual([]);
  const kept = await registry.database.rows(
    "select 1 from plan_differences where network = $1 and node = $2",
    [network, b.keyId],
  );
  expect(kept.length).toBeGreaterThan(0);
  await report(b, a, { isAlive: true, handshakeAge: 3_600 });
  expect((await seen())?.allowedIps).toEqual([]);
  // A report of other networks, or of none, takes back nothing that was said of this one.
  await b.reportLinks({ networks: [] });
  await b.reportLinks({ networks: [{ network: "another", peers: [] }] });
  expect((await seen())?.allowedIps).toEqual([]);
  await report(b, a, { isAlive: true, handshakeAge: 0 });
  expect(await seen()).toMatchObject({ allowedIps: direct?.allowedIps });
  expect(registry.faults).toEqual([]);
  await registry.end();
});
