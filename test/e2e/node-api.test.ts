/** `wirehaul node run` and what asks it: networks by the command line, the API's socket, hostile input. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { Lab } from "../../src/cli/demo/lab.ts";
import type { NetworkSummary } from "../../src/control/node/view.ts";
import { labTest } from "./harness/lab-test.ts";
import type { Machine } from "./harness/machine.ts";
import { CABLE, meshResources, twoMachines } from "./harness/mesh.ts";

const SOCKET = "/run/wirehaul/api.sock";

function file(lab: Lab, name: string, value: unknown): string {
  const path = join(lab.folder, name);
  writeFileSync(path, JSON.stringify(value));
  return path;
}

async function curl(
  machine: Machine,
  path: string,
  ...options: readonly string[]
): Promise<{ status: number; body: string }> {
  const command = ["curl", "-s", "--unix-socket", SOCKET, "-w", "\n%{http_code}", ...options];
  const text = await machine.exec([...command, `http://node${path}`]);
  const cut = text.trimEnd().lastIndexOf("\n");
  return { status: Number(text.slice(cut + 1)), body: text.slice(0, cut) };
}

labTest(
  "item 28: networks by the command line; a restart keeps keys, ports, addresses",
  async (lab) => {
    const machines = await twoMachines(lab);
    const nodes = await Promise.all(machines.map((machine) => machine.runNode()));
    const resources = await meshResources({ id: "aaa", ports: [3000, 4000] });
    for (const [side, machine] of machines.entries()) {
      const path = file(lab, `net${side}.json`, resources[side]);
      await machine.wirehaul(["network", "add", "--local", path]);
    }
    const [a] = machines;
    await a.untilReaches("10.1.2.1", "n-aaa");
    const show = async (): Promise<NetworkSummary[]> =>
      JSON.parse(await a.wirehaul(["network", "show", "--local", "--json"])) as NetworkSummary[];
    const before = await show();
    expect(before).toMatchObject([{ id: "aaa", listenPort: 3000, problem: null }]);
    expect(await a.wirehaul(["node", "status"])).toContain("networks: 1, with problems: 0");
    expect(await a.wirehaul(["node", "plan"])).toBe("nothing to do\n");
    expect(await a.wirehaul(["node", "ports", "list"])).toContain("3000 network aaa");
    const why = await a.wirehaul(["node", "explain", "10.1.2.9"]);
    expect(why).toContain("aaa: peer ");
    expect(why).toContain("10.1.2.0/24 is the longest of the peers' prefixes");
    expect(await a.wirehaul(["node", "nics", "--json"])).toContain("[");
    const { body: metrics } = await curl(a, "/metrics");
    expect(metrics).toMatch(
      /wirehaul_peer_bytes_total\{network="aaa",peer="\S+",direction="sent"\} [1-9]/,
    );
    // No key of either side in anything that was said.
    const secret = (resources[0] as { privateKey: string }).privateKey;
    const { body: details } = await curl(a, "/v1/networks/aaa");
    expect(details).toContain("publicKey");
    expect([details, metrics, nodes[0]?.output].join("")).not.toContain(secret);
    nodes[0]?.signal("SIGTERM");
    expect((await nodes[0]?.ended)?.code).toBe(0);
    await a.reboot([CABLE[0]]);
    await a.runNode();
    expect(await show()).toEqual(before);
    await a.untilReaches("10.1.2.1", "n-aaa");
    await a.wirehaul(["network", "rm", "aaa", "--local"]);
    expect(await a.namespaces()).toEqual([]);
  },
  180_000,
);

labTest("a network is called by its id or its name; two of one name by their ids", async (lab) => {
  const [a] = await twoMachines(lab);
  await a.runNode();
  const add = async (id: string, name: string): Promise<void> => {
    const resource = { id, name, owner: id, range: "10.1.0.0/16", subnet: "10.1.1.0/24" };
    await a.wirehaul(["network", "add", "-", "--local"], JSON.stringify(resource));
  };
  const idOf = async (text: string): Promise<string> => {
    const shown = await a.wirehaul(["network", "show", text, "--local", "--json"]);
    return (JSON.parse(shown) as NetworkSummary).id;
  };
  await add("one", "shop");
  expect([await idOf("one"), await idOf("shop")]).toEqual(["one", "one"]);
  const workload = { kind: "join", id: "w", namespace: "w", addresses: ["10.1.1.5"] };
  await a.wirehaul(["network", "attach", "shop", "-", "--local"], JSON.stringify(workload));
  await add("two", "shop");
  for (const [words, wanted] of [
    [["show", "shop"], 'there are 2 of the name "shop": say which by its id: one, two'],
    [["detach", "shop", "w"], "say which by its id: one, two"],
    [["show", "nothing"], "there is no network nothing"],
  ] as const) {
    await expect(a.wirehaul(["network", ...words, "--local"])).rejects.toThrow(wanted);
  }
  await a.wirehaul(["network", "detach", "one", "w", "--local"]);
  await a.wirehaul(["network", "rm", "one", "--local"]);
  expect(await idOf("shop")).toBe("two");
  // An id goes before another's name.
  await add("shop", "other");
  expect(await idOf("shop")).toBe("shop");
});
