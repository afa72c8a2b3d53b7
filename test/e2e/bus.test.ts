/** zbus: networks made by it from TypeScript and by zbus's own Go clients of both wires, Redis that goes, callers that mean harm. */
import { join } from "node:path";
import { expect } from "vitest";
import { generateKeys, type KeyPair } from "../../src/cli/demo/keys.ts";
import { toGoIpNet } from "../../src/control/bus/go-types.ts";
import { decodeReply, encodeRequest } from "../../src/control/bus/message.ts";
import { encodeMsgpack } from "../../src/control/bus/msgpack.ts";
import { until } from "../../src/control/linux/command.ts";
import type { AgentStatus } from "../../src/control/node/agent.ts";
import { BootMachine, Internet, REGISTRY4 } from "./harness/boot-machine.ts";
import { oneNode, PROGRAM, sides, twoNodes } from "./harness/bus-node.ts";
import { labTest } from "./harness/lab-test.ts";
import { CABLE, OUTER } from "./harness/mesh.ts";
import { RedisServer } from "./harness/redis.ts";
import {
  callNetworkd,
  GoCaller,
  goJsonBytes,
  goJsonPrefix,
  requireGo,
  startIdentityd,
  zosNetwork,
} from "./harness/zbus.ts";

const QUEUE = "network.network@0.0.1";
const LONG = 180_000;

labTest(
  "items 14, 15: networks by the bus, from TypeScript, over both wires; changes by difference",
  async (lab) => {
    const [a, b] = await twoNodes(lab);
    const [left, right] = sides("busnet", 1, [3000, 4000]);
    const network = zosNetwork(left, toGoIpNet);
    expect(await a.call(1, "CreateNR", ["7-21-net", network])).toEqual(["n-busnet"]);
    const old = { Name: "net", NodeID: "node", ...zosNetwork(right, toGoIpNet) };
    expect(await b.call(0, "CreateNR", [old])).toEqual(["n-busnet"]);
    await a.machine.untilReaches("10.1.2.1", "n-busnet");
    const before = await a.show("busnet");
    expect(before).toMatchObject({ name: "net", owner: "7", listenPort: 3000, problem: null });
    expect(before.resource).toMatchObject({
      range: "10.1.0.0/16",
      subnet: "10.1.1.0/24",
      // zos's: "busne" in hexadecimal, and the third octet.
      subnet6: "fd62:7573:6e65:1::/64",
      tunnelAddresses: ["100.64.1.1/32"],
    });
    const handshakes = before.device?.peers[0]?.handshakes;
    expect(handshakes).toBeGreaterThan(0);
    // A peer more, and the same prefix at two of them: the last has it, and the first one's session goes on.
    const hidden = generateKeys().publicKey;
    const [peer] = network["Peers"] as { AllowedIPs: unknown[] }[];
    const shared = ["10.1.9.0/24", "10.1.2.128/25"].map(toGoIpNet);
    const relay = { ...peer, AllowedIPs: [...(peer?.AllowedIPs ?? []), ...shared] };
    const more = { WGPublicKey: hidden, Endpoint: "", AllowedIPs: [shared[0]] };
    await a.call(1, "CreateNR", ["7-22-net", { ...network, Peers: [relay, more] }]);
    const after = await a.show("busnet");
    expect(after.resource.peers.map(({ allowedIps }) => allowedIps)).toEqual([
      ["10.1.2.0/24", "100.64.1.2/32", "10.1.2.128/25"],
      ["10.1.9.0/24"],
    ]);
    const known = after.device?.peers.find((other) => other.publicKey !== hidden);
    expect(known?.handshakes).toBe(handshakes);
    // Workloads.
    const config = { IPs: ["10.1.1.9"], PublicIP6: false, YggdrasilIP: false };
    const [member] = await a.call(0, "Join", ["busnet", "container-number-one", config]);
    expect(member).toMatchObject({ Namespace: "container-number-one" });
    await b.machine.untilReaches("10.1.1.9", "n-busnet");
    const join = { ...config, IPs: ["10.1.1.10"] };
    expect(await a.call(0, "Join", ["busnet", "two", join])).toMatchObject([{ Namespace: "two" }]);
    expect(await a.machine.reaches("fd62:7573:6e65:1::9", "two")).toBe(true);
    await expect(a.call(1, "DeleteNR", ["7-21-net"], 0)).rejects.toThrow(/has workloads/);
    for (const container of ["container-number-one", "two", "two"]) {
      expect(await a.call(0, "Leave", ["busnet", container], 0)).toEqual([]);
    }
    const [tap] = await a.call(1, "SetupPrivTap", ["busnet", "vm1"]);
    await expect(a.call(0, "Join", ["busnet", "vm1", config])).rejects.toThrow(/a tap of that id/);
    await a.call(0, "Leave", ["busnet", "vm1"], 0);
    expect(await a.call(1, "TapExists", ["vm1"])).toEqual([true]);
    expect(await a.machine.links()).toContain(tap);
    await a.call(1, "RemoveTap", ["vm1"], 0);
    expect(await a.call(1, "TapExists", ["vm1"])).toEqual([false]);
    expect(await a.call(1, "WireguardPorts", [])).toMatchObject([
      expect.arrayContaining([3000, 9943]),
    ]);
    // Gone, and gone again.
    await a.call(1, "DeleteNR", ["7-22-net"], 0);
    await a.call(1, "DeleteNR", ["7-22-net"], 0);
    await b.call(0, "DeleteNR", [old], 0);
    expect(await a.machine.namespaces()).toEqual([]);
    expect(await b.machine.namespaces()).toEqual([]);
  },
  LONG,
);

labTest(
  "items 14, 15: networks by zbus's Go clients of both wires, several at once; the key sealed",
  async (lab, context) => {
    await requireGo(context);
    const [a, b] = await twoNodes(lab);
    const callers = [GoCaller.start(lab, a.redis), GoCaller.start(lab, b.redis)] as const;
    await startIdentityd(lab, a.redis, 1);
    await startIdentityd(lab, b.redis, 0);
    const networks = Array.from({ length: 6 }, (_, at) =>
      sides(`gonet${at + 1}`, at < 2 ? 1 : at, [3000 + at, 4000 + at]),
    );
    // The last two have one name: it says nothing.
    const nameOf = (at: number): string => `9-${at + 1}-net${Math.min(at, 4)}`;
    let busiest = 0;
    let isDone = false;
    const watch = (async () => {
      while (!isDone) {
        const { workers } = await callers[0].status();
        busiest = Math.max(busiest, workers.filter(({ state }) => state === "busy").length);
      }
    })();
    const made = networks.flatMap(([left, right], at) => {
      const seal = ({ privateKey }: KeyPair): string =>
        Buffer.from(`sealed:${privateKey}`).toString("hex");
      const sealed = seal(right.keys[1]);
      const old = { Name: "n", NodeID: "x", ...zosNetwork({ ...right, sealed }, goJsonPrefix) };
      return [
        callers[0].call(1, "CreateNR", nameOf(at), zosNetwork(left, goJsonPrefix)),
        callers[1].call(0, "CreateNR", old),
      ];
    });
    const answers = await Promise.all(made);
    isDone = true;
    await watch;
    expect(answers).toEqual(
      networks.flatMap(([{ id }]) => {
        const answer = { results: [`n-${id}`], error: null };
        return [answer, answer];
      }),
    );
    expect(busiest).toBeGreaterThan(1);
    // The first two overlap.
    for (const [{ id, octet }] of networks) {
      await a.machine.untilReaches(`10.${octet}.2.1`, `n-${id}`);
    }
    const [go] = callers;
    const net = { IP: "10.1.1.0", Mask: "////AA==" };
    expect(await go.call(1, "GetSubnet", "gonet1")).toEqual({ results: [net], error: null });
    // zbusc makes []byte of a net.IP.
    expect((await go.call(1, "GetDefaultGwIP", "gonet1")).results).toEqual([
      goJsonBytes("10.1.1.1"),
      goJsonBytes("fd67:6f6e:6574:1::1"),
    ]);
    const four = goJsonBytes("10.1.2.5");
    expect((await callers[1].call(0, "GetIPv6From4", "gonet1", four)).results).toMatchObject([
      { IP: "fd67:6f6e:6574:2::5" },
    ]);
    const joined = await callers[1].call(0, "Join", "gonet1", "c1", { IPs: ["10.1.2.9"] });
    expect(joined.results).toEqual([
      { Namespace: "c1", IPv4: "10.1.2.9", IPv6: "fd67:6f6e:6574:2::9", YggdrasilIP: "" },
    ]);
    expect((await go.call(1, "Addrs", CABLE[0], "")).results[0]).toContain(goJsonBytes(OUTER[0]));
    expect((await go.call(1, "Interfaces", CABLE[0], "")).results).toMatchObject([
      { Interfaces: { [CABLE[0]]: { IPs: [{ IP: OUTER[0] }] } } },
    ]);
    const { results: ports } = await go.call(1, "WireguardPorts");
    expect(ports[0]).toEqual(expect.arrayContaining([3000, 3001, 3005, 9943]));
    expect(await go.call(1, "DeleteNR", nameOf(0))).toEqual({ results: [], error: null });
    expect((await go.call(1, "GetSubnet", "gonet1")).error).toBe("there is no network gonet1");
    expect((await go.call(1, "DeleteNR", nameOf(5))).error).toMatch(
      /^several networks of 9 are called net4 \(gonet5, gonet6\): /,
    );
    expect((await go.call(1, "GetSubnet", "gonet5")).error).toBeNull();
  },
  LONG,
);

labTest(
  "a Go caller never crashes: each refusal is an error with as many results as the method has",
  async (lab, context) => {
    await requireGo(context);
    const node = await oneNode(lab);
    const go = GoCaller.start(lab, node.redis);
    const text = ["nosuch", "nosuch"];
    const refused: readonly (readonly [0 | 1, string, ...unknown[]])[] = [
      [1, "Missing", "a", 1],
      [1, "CreateNR", "no workload id", {}],
      [1, "CreateNR", "1-2-x", {}],
      [1, "DeleteNR", "no workload id"],
      [1, "SetupPrivTap", ...text],
      [1, "SetupMyceliumTap", ...text, { Seed: null }],
      [1, "GetSubnet", "nosuch"],
      [1, "GetNet", ""],
      [1, "GetDefaultGwIP", "nosuch"],
      [1, "Interfaces", "nosuch", ""],
      [1, "Interfaces", "lo", "-x; rm"],
      [1, "Addrs", ...text],
      [1, "QSFSPrepare", "x"],
      [1, "GetPublicIPV6Gateway"],
      [1, "SetPublicConfig", { Type: "macvlan", GW4: "192.0.2.1" }],
      [1, "GetPublicConfig"],
      [1, "Metrics"],
      [0, "CreateNR", {}],
      [0, "CreateNR", { NetID: "x", WGPrivateKey: "nonsense" }],
      [0, "Join", ...text, {}],
      [0, "ZDBPrepare", null],
      [0, "SetupTap", "nosuch"],
      [0, "SetupPubTap", "x"],
      [0, "GetSubnet", "nosuch"],
      [0, "GetPublicIPv6Subnet"],
      [0, "GetDefaultGwIP", "nosuch"],
      [0, "GetIPv6From4", "nosuch", goJsonBytes("10.0.0.1")],
      [0, "Addrs", ...text],
    ];
    for (const [wire, method, ...args] of refused) {
      const { error } = await go.call(wire, method, ...args);
      expect(error, `${method} of wire ${wire}`).toMatch(/\w{3}/);
    }
    const fine: readonly (readonly [0 | 1, string, ...unknown[]])[] = [
      [1, "Ready"],
      [1, "DeleteNR", "1-2-x"],
      [1, "Namespace", "x"],
      [1, "TapExists", "x"],
      [1, "RemoveTap", "x"],
      [1, "WireguardPorts"],
      [1, "PublicIPv4Support"],
      [1, "PubIPFilterExists", "x"],
      [1, "GetPublicExitDevice"],
      [1, "Interfaces", "", ""],
      [0, "Ready"],
      [0, "DeleteNR", { NetID: "x" }],
      [0, "Leave", ...text],
      [0, "TapExists", "x"],
      [0, "RemoveTap", "x"],
      [0, "PublicIPv4Support"],
      [0, "PubTapExists", "x"],
    ];
    for (const [wire, method, ...args] of fine) {
      const { error } = await go.call(wire, method, ...args);
      expect(error, `${method} of wire ${wire}`).toBeNull();
    }
    expect((await go.status()).objects).toEqual([{ Name: "network", Version: "0.0.1" }]);
    expect(await node.bus()).toMatchObject({ errors: refused.length, drops: {} });
  },
  LONG,
);

labTest(
  "streams reach who listens, by Go as well; a change is told at once",
  async (lab, context) => {
    await requireGo(context);
    const node = await oneNode(lab);
    const go = GoCaller.start(lab, node.redis);
    await go.listen(1, "ZOSAddresses");
    await go.listen(0, "YggAddresses");
    await go.listen(1, "PublicAddresses");
    await node.machine.exec(["ip", "address", "add", "198.51.100.7/24", "dev", CABLE[0]]);
    const has = (address: string) => (value: unknown) =>
      (value as { readonly IP: string }[]).some(({ IP }) => IP === address);
    await go.untilEvent("ZOSAddresses", has("198.51.100.7"));
    expect(go.events("ZOSAddresses").some(has(OUTER[0]))).toBe(true);
    // After Redis has come back whoever listens anew gets the present value.
    await node.redis.kill();
    await node.redis.start();
    const again = GoCaller.start(lab, node.redis);
    await again.listen(0, "ZOSAddresses");
    await again.listen(1, "PublicAddresses");
    await again.untilEvent("PublicAddresses", (value) => {
      return (value as { readonly HasPublicConfig: boolean }).HasPublicConfig === false;
    });
    await again.untilEvent("ZOSAddresses", has("198.51.100.7"));
  },
  LONG,
);

labTest(
  "Redis is killed and comes back: nothing that was asked is lost, the networks go on",
  async (lab) => {
    const [a, b] = await twoNodes(lab);
    const [left, right] = sides("steady", 1, [3000, 4000]);
    await a.call(1, "CreateNR", ["7-1-net", zosNetwork(left, toGoIpNet)]);
    await b.call(1, "CreateNR", ["7-1-net", zosNetwork(right, toGoIpNet)]);
    await a.machine.untilReaches("10.1.2.1", "n-steady");
    await a.redis.kill();
    await until("the node knows", async () => !(await a.bus()).isConnected);
    expect(await a.machine.reaches("10.1.2.1", "n-steady", 5)).toBe(true);
    expect((await a.show("steady")).problem).toBeNull();
    // Calls that were asked before the end, and one that a node that was killed had begun.
    const id = (name: string) => ({ wire: 1, id: name, replyTo: name }) as const;
    const object = ["network", "0.0.1"] as const;
    const asked = encodeRequest(id("asked"), object, "GetSubnet", ["steady"]);
    const begun = encodeRequest(id("begun"), object, "CreateNR", [
      "7-2-second",
      zosNetwork(sides("second", 2, [3001, 4001])[0], toGoIpNet),
    ]);
    a.process.signal("SIGKILL");
    await a.process.ended;
    await a.redis.start();
    await a.redis.do("rpush", QUEUE, asked);
    await a.redis.do("rpush", `${QUEUE}.taken`, begun);
    await a.redis.kill();
    await a.redis.start();
    await a.restart();
    for (const [name, result] of [
      ["asked", toGoIpNet("10.1.1.0/24")],
      ["begun", "n-second"],
    ] as const) {
      const bytes = await until(`${name} is answered`, async () => {
        return (await popBytes(a.redis, name)) ?? false;
      });
      expect(decodeReply(bytes, 1, 1)).toMatchObject({ id: name, results: [result] });
    }
    expect(await a.redis.do("llen", `${QUEUE}.taken`)).toBe(0);
    await a.machine.untilReaches("10.1.2.1", "n-steady");
    // Once more, while it waits for calls.
    await a.redis.kill();
    await a.redis.start();
    expect(await a.call(0, "GetNet", ["second"])).toEqual([toGoIpNet("10.2.0.0/16")]);
    a.process.signal("SIGTERM");
    expect((await a.process.ended).code).toBe(0);
  },
  LONG,
);

async function popBytes(redis: RedisServer, key: string): Promise<Uint8Array | undefined> {
  return ((await redis.bytes("lpop", key)) as Uint8Array | null) ?? undefined;
}

labTest(
  "hostile messages are answered with an error or dropped and counted; no key is in any of it",
  async (lab) => {
    const node = await oneNode(lab);
    const secret = generateKeys().privateKey;
    const [side] = sides("rude", 1, [3000, 4000]);
    const good = zosNetwork(side, toGoIpNet);
    const request = (replyTo: string, method: string, args: readonly unknown[]): Uint8Array =>
      encodeRequest({ wire: 1, id: "x", replyTo }, ["network", "0.0.1"], method, args);
    await node.redis.do("set", "a-text", "here");
    const dropped = [
      Buffer.from("rubbish"),
      Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
      encodeMsgpack({ ID: 1, Inputs: [] }),
      encodeMsgpack({ ID: "x", ReplyTo: "y".repeat(1_000), Method: "Ready", Inputs: [] }),
      request(QUEUE, "Ready", []),
      request("network.zbus@1.0", "Ready", []),
      request("a-text", "Ready", []),
      new Uint8Array(5 * 1024 * 1024),
    ];
    for (const message of dropped) await node.redis.do("rpush", QUEUE, message);
    await node.redis.do("rpush", "network.zbus@1.0", Buffer.from("rubbish"));
    const wrong: readonly (readonly [method: string, args: readonly unknown[], why: RegExp])[] = [
      ["CreateNR", ["1-2-x", 7], /argument 2 of CreateNR is no network/],
      ["CreateNR", ["1-2-x", { ...good, WGListenPort: 70_000 }], /WGListenPort is no uint16/],
      ["CreateNR", ["1-2-x", { ...good, WGListenPort: 1.5 }], /WGListenPort/],
      ["CreateNR", ["1-2-x", { ...good, Subnet: "10.1.1.0/24" }], /Subnet is no net.IPNet/],
      [
        "CreateNR",
        ["1-2-x", { ...good, Subnet: { IP: Buffer.from("abc"), Mask: null } }],
        /Subnet/,
      ],
      ["CreateNR", ["1-2-x", { ...good, WGPrivateKey: `${secret}x` }], /WGPrivateKey/],
      ["CreateNR", ["1-2-x", { ...good, Mycelium: { Key: secret } }], /no Mycelium/],
      ["CreateNR", ["1-2-x", { ...good, Subnet: toGoIpNet("10.9.1.0/24") }], /is not inside/],
      ["CreateNR", [], /invalid number of arguments/],
      ["GetSubnet", [{ a: 1 }], /argument 1 of GetSubnet is no string/],
      ["constructor", [], /no such method/],
      ["__proto__", [], /no such method/],
      ["Interfaces", ["", "../../proc/1"], /no namespace's name/],
      ["Join", ["rude", "../x", { IPs: ["10.1.1.9"] }], /no network rude/],
    ];
    const said: string[] = [];
    for (const [method, args, why] of wrong) {
      const error = await node.call(1, method, args).then(
        () => "it was taken",
        (refusal: Error) => refusal.message,
      );
      expect(error).toMatch(why);
      said.push(error);
    }
    await until("all are counted", async () => {
      const { drops } = await node.bus();
      return Object.values(drops).reduce((sum, count) => sum + count, 0) === dropped.length + 1;
    });
    expect((await node.bus()).drops).toEqual({ malformed: 7, too_large: 1, reply_refused: 1 });
    expect(await node.redis.do("get", "a-text")).toBe("here");
    expect(await node.redis.do("llen", `${QUEUE}.taken`)).toBe(0);
    expect(await node.call(1, "CreateNR", ["1-2-x", good])).toEqual(["n-rude"]);
    expect([...said, node.process.output].join(" ")).not.toContain(secret.slice(0, 20));
    expect(node.process.output).not.toContain(side.keys[0].privateKey.slice(0, 20));
  },
  LONG,
);

labTest(
  "items 12, 20: the bus opens after the census has arrived; the public configuration of zos is the role overlay",
  async (lab) => {
    const internet = await Internet.make(lab);
    await internet.startRegistry(404);
    const machine = await BootMachine.make(lab);
    await machine.plug("eth1", await internet.router(1));
    await machine.plug("eth2", await internet.router(2));
    const redis = await RedisServer.start(lab);
    const args = ["--state", join(lab.folder, "state"), "--bus", redis.url, "--nic-kinds", "veth"];
    const registry = `http://${REGISTRY4}`;
    const command = [PROGRAM, "node", "run", "--registry", registry, "--uplink", "eth1", ...args];
    const node = machine.spawn([process.execPath, ...command]);
    await node.waitFor("serving", 60_000);
    const early = callNetworkd(redis, 1, "Ready", [], 0);
    early.catch(() => undefined);
    // The registry is there, and does not take the census: nobody takes the call.
    await node.waitFor("the census can't be published", 60_000);
    const ask = [process.execPath, PROGRAM, "node", "status", "--json"];
    const status = JSON.parse(await machine.exec(ask)) as AgentStatus;
    expect(status).toMatchObject({ isCensusPublished: false, bus: null });
    expect(status.boot?.state).toBe("online");
    expect(await redis.do("llen", QUEUE)).toBe(1);
    expect(node.output).not.toContain("the bus is open");
    await internet.stopRegistry();
    await internet.startRegistry();
    expect(await early).toEqual([]);
    expect(internet.censuses().length).toBeGreaterThan(0);
    expect(node.output).toContain("the bus is open");
    const call = (method: string, args: readonly unknown[], results = 0) =>
      callNetworkd(redis, 1, method, args, results);
    const config = {
      Type: "macvlan",
      IPv4: toGoIpNet("10.2.0.50/24"),
      IPv6: null,
      GW4: Buffer.from([10, 2, 0, 1]),
      GW6: null,
      Domain: "",
    };
    await expect(call("SetPublicConfig", [config])).rejects.toThrow(/no NIC has the role overlay/);
    const device = { IsSingle: true, IsDual: false, AsDualInterface: "" };
    expect(await call("GetPublicExitDevice", [], 1)).toEqual([device]);
    await call("SetPublicExitDevice", ["eth2"]);
    expect(await call("GetPublicExitDevice", [], 1)).toEqual([
      { IsSingle: false, IsDual: true, AsDualInterface: "eth2" },
    ]);
    const outside = { ...config, GW4: Buffer.from([10, 9, 0, 1]) };
    await expect(call("SetPublicConfig", [outside])).rejects.toThrow(/10\.9\.0\.1/);
    await expect(call("GetPublicConfig", [], 1)).rejects.toThrow(/no public configuration/);
    await call("SetPublicConfig", [config]);
    const none = { IP: null, Mask: null };
    expect(await call("GetPublicConfig", [], 1)).toEqual([
      { ...config, IPv6: none, GW4: new Uint8Array([10, 2, 0, 1]) },
    ]);
    const show = ["ip", "-n", "wh-overlay", "address", "show"];
    expect(await machine.exec(show)).toContain("inet 10.2.0.50/24");
    await call("UnsetPublicConfig", []);
    await until("the static address has gone", async () => {
      return !(await machine.exec(show)).includes("10.2.0.50");
    });
    node.signal("SIGTERM");
    expect((await node.ended).code).toBe(0);
  },
  LONG,
);
