/** The state on the disk: generations, corruption, and that nothing is lost or brought back. */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DesiredNetwork } from "../../../../src/control/model/desired-state.ts";
import { parseNetworkResource } from "../../../../src/control/model/network-resource.ts";
import { Store } from "../../../../src/control/node/store.ts";

const KEY = "wD2HUHnLyHZGXgwo3Xk6wOxnnTAzl3F7oCmYdPJ8E1Q=";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "wirehaul-store-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function network(id: string, revision = 0): DesiredNetwork {
  const resource = parseNetworkResource({
    id,
    name: id,
    owner: "1",
    range: "10.1.0.0/16",
    subnet: "10.1.1.0/24",
    revision,
  });
  return {
    resource: { ...resource, privateKey: KEY, listenPort: 3000 },
    exitIndex: 2,
    workloads: [{ kind: "tap", id: "vm" }],
  };
}

const file = (name: string): string => join(folder, "networks", name);

describe("Store", () => {
  it("gives back what it was given, in files for their owner only", () => {
    const store = new Store(folder);
    store.saveNetwork(network("aaa"));
    const rotating = { ...network("bbb", 7), next: { privateKey: KEY, listenPort: 3001 } };
    store.saveNetwork(rotating);
    store.saveLeases([{ port: 3100, holder: "bob", expiresMs: 5 }]);
    const loaded = new Store(folder).load();
    expect(loaded.networks).toEqual([network("aaa"), rotating]);
    expect(loaded.leases).toEqual([{ port: 3100, holder: "bob", expiresMs: 5 }]);
    expect([loaded.complaints, loaded.lost]).toEqual([[], []]);
    for (const name of readdirSync(join(folder, "networks"))) {
      expect(statSync(file(name)).mode & 0o777).toBe(0o600);
    }
  });

  it("has a seed that stays, and is no other folder's", () => {
    const seed = new Store(folder).seed();
    expect(new Store(folder).seed()).toBe(seed);
    expect(new Store(join(folder, "other")).seed()).not.toBe(seed);
  });

  it("forgets what was removed, all generations of it", () => {
    const store = new Store(folder);
    for (const revision of [1, 2, 3]) store.saveNetwork(network("aaa", revision));
    store.removeNetwork("aaa");
    expect(readdirSync(join(folder, "networks"))).toEqual([]);
    expect(new Store(folder).load()).toMatchObject({ networks: [], lost: [] });
    store.removeNetwork("aaa");
  });

  it.each([
    ["empty", (path: string): void => truncateSync(path, 0)],
    ["cut off", (path: string): void => truncateSync(path, statSync(path).size - 9)],
    ["zeros", (path: string): void => writeFileSync(path, new Uint8Array(600))],
    [
      "another bit",
      (path: string): void =>
        writeFileSync(path, readFileSync(path, "utf8").replace("10.1.1.0", "10.1.9.0")),
    ],
    [
      "another version",
      (path: string): void =>
        writeFileSync(path, readFileSync(path, "utf8").replace('"version":1', '"version":9')),
    ],
    [
      "another network's",
      (path: string): void => writeFileSync(path, readFileSync(file("bbb.json"))),
    ],
  ])("a file that is %s is put aside, and the generation before is used", (_what, harm) => {
    const store = new Store(folder, () => 1234);
    store.saveNetwork(network("bbb"));
    store.saveNetwork(network("aaa", 1));
    store.saveNetwork(network("aaa", 2));
    harm(file("aaa.json"));
    const loaded = store.load();
    expect(loaded.networks).toEqual([network("aaa", 1), network("bbb")]);
    expect(loaded.complaints.join("\n")).toMatch(
      /aaa\.json cannot be used .*: put aside as .*aaa\.json\.corrupt-1234/,
    );
    expect(existsSync(file("aaa.json.corrupt-1234"))).toBe(true);
    expect(loaded.complaints.join("\n")).not.toContain(KEY);
  });

  it("with no good generation the network is lost, and said to be; the others are not", () => {
    const store = new Store(folder);
    store.saveNetwork(network("aaa", 1));
    store.saveNetwork(network("aaa", 2));
    store.saveNetwork(network("bbb"));
    for (const name of ["aaa.json", "aaa.json.previous"]) truncateSync(file(name), 3);
    for (const _start of [1, 2]) {
      expect(store.load()).toMatchObject({ networks: [network("bbb")], lost: ["aaa"] });
    }
    store.saveNetwork(network("aaa", 3));
    expect(store.load()).toMatchObject({ networks: [network("aaa", 3), network("bbb")], lost: [] });
    store.removeNetwork("aaa");
    expect(readdirSync(join(folder, "networks"))).toEqual(["bbb.json"]);
  });

  it("takes the last change back", () => {
    const store = new Store(folder);
    for (const revision of [1, 2, 3]) store.saveNetwork(network("aaa", revision));
    store.takeBack("aaa");
    expect(store.load()).toMatchObject({ networks: [network("aaa", 2)], complaints: [] });
    expect(readdirSync(join(folder, "networks"))).toEqual(["aaa.json"]);
    store.saveNetwork(network("aaa", 4));
    expect(store.load().networks).toEqual([network("aaa", 4)]);
  });

  it("what was only half written is no state", () => {
    const store = new Store(folder);
    store.saveNetwork(network("aaa", 1));
    writeFileSync(file("aaa.json.new"), "half");
    writeFileSync(file("ccc.json.new"), "half");
    expect(store.load()).toMatchObject({ networks: [network("aaa", 1)], complaints: [], lost: [] });
    store.saveNetwork(network("aaa", 2));
    expect(store.load().networks).toEqual([network("aaa", 2)]);
  });
});
