/**
 * Hostile input on the socket of a node's API: each is refused with one of the errors of docs/errors.md or cut off, memory is bounded,
 * and the networks go on.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import type { LabMachine } from "../../src/cli/demo/lab-machine.ts";
import { API_SOCKET, ApiFault, askApi } from "../../src/control/api/client.ts";
import { BODY_BYTES_MAX } from "../../src/control/api/server.ts";
import { type Background, until } from "../../src/control/linux/command.ts";
import type { NetworkSummary } from "../../src/control/node/view.ts";
import { labTest } from "./harness/lab-test.ts";
import type { Machine } from "./harness/machine.ts";
import { meshResources, twoMachines } from "./harness/mesh.ts";
import { type RawAnswer, RawConnection } from "./harness/raw-http.ts";

const MIB = 2 ** 20;

interface Site {
  readonly machine: Machine;
  readonly node: Background;
  readonly resource: Readonly<Record<string, unknown>>;
  /** Of the API, as seen from here. */
  readonly path: string;
}

/** Two nodes with a network; then `body`, while pings go through it; then they must all have arrived, and nothing be changed. */
async function underAttack(
  lab: Parameters<typeof twoMachines>[0],
  body: (site: Site) => Promise<void>,
): Promise<void> {
  const machines = await twoMachines(lab);
  const [machine] = machines;
  const [node] = await Promise.all(machines.map((each) => each.runNode()));
  if (node === undefined) throw new Error("no node");
  const resources = await meshResources({ id: "aaa", ports: [3000, 4000] });
  for (const [side, each] of machines.entries()) {
    await askApi(
      each.pathOf(API_SOCKET),
      "PUT",
      "/v1/networks/aaa",
      JSON.stringify(resources[side]),
    );
  }
  await machine.untilReaches("10.1.2.1", "n-aaa");
  const path = machine.pathOf(API_SOCKET);
  const pings = machine.spawn(["ping", "-n", "-i", "0.1", "10.1.2.1"], "n-aaa");
  const resource = resources[0] as Readonly<Record<string, unknown>>;
  await body({ machine, node, resource, path });
  expect(await machine.wirehaul(["node", "plan"])).toBe("nothing to do\n");
  const networks = (await askApi(path, "GET", "/v1/networks")) as NetworkSummary[];
  expect(networks).toMatchObject([{ id: "aaa", listenPort: 3000, problem: null }]);
  pings.signal("SIGINT");
  const { stdout } = await pings.ended;
  const [, sent = 0, received = 0] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
  expect(Number(sent)).toBeGreaterThan(0);
  // The last one may be on its way.
  expect(Number(received)).toBeGreaterThanOrEqual(Number(sent) - 1);
  expect(node.isRunning).toBe(true);
}

async function raw(path: string, ...parts: readonly (string | Uint8Array)[]): Promise<RawAnswer[]> {
  return await new RawConnection(path).write(...parts).answers();
}

/** The code of the error, or "done". */
async function codeOf(path: string, method: string, url: string, body?: string): Promise<string> {
  return await askApi(path, method, url, body).then(
    () => "done",
    (error: unknown) => (error instanceof ApiFault ? error.code : String(error)),
  );
}

/** A field of /proc/PID/status in bytes. */
function memory(pid: number, field: "VmRSS" | "VmHWM"): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) * 1024;
}

const HEAD = "POST /v1/ports/leases HTTP/1.1\r\nContent-Type: application/json\r\n";
/** What a smuggler would have the node take for a request of its own. */
const SMUGGLED = "DELETE /v1/networks/aaa HTTP/1.1\r\nHost: node\r\n\r\n";

labTest("what is no HTTP, or two things at once, is one error and the end", async (lab) => {
  await underAttack(lab, async ({ path }) => {
    const bad = [{ status: 400, code: "bad_request" }];
    const large = [{ status: 413, code: "too_large" }];
    for (const [what, parts, expected] of [
      ["garbage", [randomBytes(64 * 1024)], bad],
      ["zeros", [new Uint8Array(4096)], bad],
      ["a TLS hello", [Buffer.from("16030100c8010000c40303", "hex"), randomBytes(200)], bad],
      [
        "both lengths",
        [HEAD, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n", SMUGGLED],
        bad,
      ],
      ["two lengths", [HEAD, `Content-Length: 2\r\nContent-Length: 70\r\n\r\n{}`, SMUGGLED], bad],
      [
        "an unknown coding",
        [HEAD, "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", SMUGGLED],
        bad,
      ],
      ["a length that is none", [HEAD, "Content-Length: -1\r\n\r\n", SMUGGLED], bad],
      [
        "a chunk of too much",
        [HEAD, "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"],
        bad,
      ],
      ["a chunk that is none", [HEAD, "Transfer-Encoding: chunked\r\n\r\nzz\r\n", SMUGGLED], bad],
      ["folded headers", [HEAD, "X: a\r\n b\r\n: c\r\n\r\n"], bad],
      ["a zero in a header", ["GET /v1/status HTTP/1.1\r\nX: a\0b\r\n\r\n"], bad],
      ["headers without end", [HEAD, `X: ${"x".repeat(64 * 1024)}\r\n\r\n`], large],
      ["many headers", [HEAD, "X: y\r\n".repeat(20_000), "\r\n"], large],
      [
        "a wish to be a proxy",
        ["CONNECT 192.0.2.2:22 HTTP/1.1\r\nHost: 192.0.2.2:22\r\n\r\n"],
        bad,
      ],
      ["an expectation", [HEAD, "Expect: a miracle\r\nContent-Length: 2\r\n\r\n{}"], bad],
      ["another version", ["GET /v1/status HTTP/7.3\r\n\r\n"], bad],
      ["a body far too long", [HEAD, "Content-Length: 1099511627776\r\n\r\n{"], large],
    ] as const) {
      expect(await raw(path, ...parts), what).toEqual(expected);
    }
    // A request that is whole, with garbage right behind it: the connection's end, by the same error.
    expect(await raw(path, "GET /v1/nics HTTP/1.1\r\n\r\n", randomBytes(100))).toEqual(bad);
  });
});

labTest(
  "values of wrong types are refused with their place, and never fail the node",
  async (lab) => {
    await underAttack(lab, async ({ machine, path, resource: first }) => {
      // Some of the values are right: they change a network of its own.
      const { privateKey } = generateKeys();
      const resource = { ...first, id: "vvv", listenPort: 3005, privateKey };
      await askApi(path, "PUT", "/v1/networks/vvv", JSON.stringify(resource));
      const values = [
        null,
        7,
        -1,
        1e308,
        0.5,
        true,
        "",
        "x",
        "\0",
        "x".repeat(100_000),
        [],
        {},
        [null],
        [[[]]],
      ];
      const seen = new Set<string>();
      const tell = async (method: string, url: string, body: object): Promise<void> => {
        const code = await codeOf(path, method, url, JSON.stringify(body));
        if (!["done", "invalid", "conflict", "missing"].includes(code)) {
          throw new Error(`${method} ${url} ${JSON.stringify(body).slice(0, 400)}: ${code}`);
        }
        seen.add(code);
        if (code === "done")
          await askApi(path, "PUT", "/v1/networks/vvv", JSON.stringify(resource));
      };
      const [peer = {}] = first["peers"] as Readonly<Record<string, unknown>>[];
      for (const value of values) {
        for (const name of [...Object.keys(resource), "mtu", "lan", "internet", "revision"]) {
          // Numbers of a revision that stay would keep what is right out.
          if (name === "revision" && value === 7) continue;
          await tell("PUT", "/v1/networks/vvv", { ...resource, [name]: value });
        }
        for (const name of [...Object.keys(peer), "presharedKey", "keepalive", "subnet"]) {
          const peers = [{ ...peer, [name]: value }];
          await tell("PUT", "/v1/networks/vvv", { ...resource, peers });
        }
        for (const name of ["kind", "id", "namespace", "interface", "addresses"]) {
          const join = { kind: "join", id: "w", namespace: "work", addresses: ["10.9.9.9"] };
          await tell("POST", "/v1/networks/vvv/workloads", { ...join, [name]: value });
        }
        for (const name of ["holder", "seconds", "port"]) {
          // A port below the node's range, so that none is leased.
          const lease = { holder: "h", seconds: 1, port: 53, [name]: value };
          if (name !== "port") await tell("POST", "/v1/ports/leases", lease);
        }
      }
      expect([...seen].sort()).toEqual(["conflict", "done", "invalid"]);
      await machine.wirehaul(["network", "rm", "vvv", "--local"]);
      for (const [method, url, body, code] of [
        ["PUT", "/v1/networks/aaa", "null", "invalid"],
        ["PUT", "/v1/networks/aaa", '"aaa"', "invalid"],
        ["PUT", "/v1/networks/aaa", "{", "bad_json"],
        ["PUT", "/v1/networks/aaa", "", "bad_json"],
        ["PUT", "/v1/networks/aaa", '{"__proto__":{"x":1}}', "bad_json"],
        ["PUT", "/v1/networks/bbb", JSON.stringify(resource), "invalid"],
        ["PUT", "/v1/networks/aaa", `${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}`, "invalid"],
        ["PUT", "/v1/networks/aaa", `{"id":"aaa","${"k".repeat(3_000_000)}":1}`, "invalid"],
        ["PUT", "/v1/networks/aaa", `{"id":"aaa"${',"\\u0061b":{}'.repeat(200_000)}}`, "invalid"],
        [
          "PUT",
          "/v1/networks/aaa",
          JSON.stringify({ ...resource, peers: Array.from({ length: 50_000 }, () => 7) }),
          "invalid",
        ],
        ["PUT", "/v1/config", '{"nics":7}', "conflict"],
        ["POST", "/v1/networks/zzz/workloads", '{"kind":"tap","id":"t"}', "missing"],
        ["DELETE", "/v1/ports/leases/x?holder=h", undefined, "missing"],
        ["DELETE", "/v1/networks/aaa?drain=maybe", undefined, "invalid"],
        ["GET", "/v1/status?x=1", undefined, "invalid"],
        ["GET", "/v1/explain?peer=a&peer=b", undefined, "invalid"],
        ["GET", "/v1/networks/..%2f..%2fetc%2fpasswd", undefined, "missing"],
        ["GET", "/v1/networks/%zz", undefined, "bad_request"],
        ["GET", `/v1/networks/${"a".repeat(10_000)}`, undefined, "bad_request"],
        ["PATCH", "/v1/networks/aaa", "{}", "no_route"],
      ] as const) {
        expect(await codeOf(path, method, url, body), `${method} ${url.slice(0, 60)}`).toBe(code);
      }
      const fault = await askApi(
        path,
        "PUT",
        "/v1/networks/aaa",
        `{"${"k".repeat(3_000_000)}":1}`,
      ).catch((error: unknown) => error as Error);
      expect(String(fault).length).toBeLessThan(6_000);
    });
  },
  180_000,
);

labTest(
  "bodies, connections and patience are bounded; who goes away takes nothing along",
  async (lab) => {
    await underAttack(lab, async ({ machine, node, path, resource }) => {
      const before = memory(node.pid, "VmRSS");
      // Some who never come to the end of their headers, and some of their bodies.
      const slow = Array.from({ length: 20 }, (_, at) =>
        new RawConnection(path).write(
          at % 2 === 0 ? "GET /v1/st" : `${HEAD}Content-Length: 9\r\n\r\n{`,
        ),
      );
      // More at once than there may be, each with four times the body that it may have.
      const chunk = Buffer.alloc(MIB, "x");
      const size = `${MIB.toString(16)}\r\n`;
      const chunks = Array.from({ length: (4 * BODY_BYTES_MAX) / MIB }, () => [
        size,
        chunk,
        "\r\n",
      ]).flat();
      const many = Array.from({ length: 100 }, () =>
        new RawConnection(path).write(HEAD, "Transfer-Encoding: chunked\r\n\r\n", ...chunks),
      );
      const answers = await Promise.all(many.map((connection) => connection.answers(60_000)));
      const codes = answers.map(([answer]) => answer?.code ?? "cut off");
      expect(new Set(codes)).toEqual(new Set(["too_large", "cut off"]));
      expect(node.output).toContain("64 connections at once are the most");
      // 64 bodies of 4 MiB, and as much again that was not collected yet.
      expect(memory(node.pid, "VmHWM") - before).toBeLessThan(512 * MIB);
      // Gone in the middle of a request: nothing happens. After it: what was asked for is done.
      const { privateKey: _another, ...others } = resource;
      const text = JSON.stringify({ ...others, id: "ccc", listenPort: 3003, peers: [] });
      const head = `PUT /v1/networks/ccc HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n`;
      const half = new RawConnection(path).write(head, text.slice(0, 50));
      await until("it is on its way", () => half.socket.bytesWritten > head.length);
      half.socket.destroy();
      const whole = new RawConnection(path);
      await new Promise((resolve) => whole.socket.write(`${head}${text}`, resolve));
      whole.socket.destroy();
      await until("the network is there", async () => {
        const list = (await askApi(path, "GET", "/v1/networks")) as NetworkSummary[];
        return list.some(({ id, problem }) => id === "ccc" && problem === null);
      });
      expect(await machine.wirehaul(["node", "plan"])).toBe("nothing to do\n");
      await machine.wirehaul(["network", "rm", "ccc", "--local"]);
      const late = await Promise.all(slow.map((connection) => connection.answers(60_000)));
      for (const answer of late) expect(answer).toEqual([{ status: 408, code: "timeout" }]);
    });
  },
  180_000,
);

/** What `wirehaul` says where it is refused: as another user, with these groups. */
async function askAs(machine: LabMachine, user: number, group: number): Promise<string> {
  const identity = ["setpriv", `--reuid=${user}`, `--regid=${group}`, "--clear-groups"];
  const url = "http://node/v1/ports";
  const { stdout, code } = await machine.attempt([
    ...identity,
    ...["curl", "-s", "--unix-socket", API_SOCKET, url],
  ]);
  return code === 0 ? stdout : `curl ended with ${code}`;
}

labTest(
  "root and the socket's group may ask, nobody else, whatever the socket's mode",
  async (lab) => {
    await underAttack(lab, async ({ machine, node }) => {
      const allowed = /^\{"used":\[/;
      expect(await machine.exec(["stat", "-c", "%a %u %g", API_SOCKET])).toBe("660 0 0\n");
      expect(await askAs(machine, 0, 0)).toMatch(allowed);
      // CURLE_COULDNT_CONNECT
      expect(await askAs(machine, 65_534, 65_534)).toBe("curl ended with 7");
      await machine.exec(["chmod", "666", API_SOCKET]);
      const refused = '{"error":{"code":"forbidden"';
      expect(await askAs(machine, 65_534, 65_534)).toContain(refused);
      // Root's group alone is no membership.
      expect(await askAs(machine, 65_534, 0)).toContain(refused);
      expect(node.output).toContain("refused a request of user 65534");
      await machine.exec(["chgrp", "65533", API_SOCKET]);
      expect(await askAs(machine, 65_534, 65_533)).toMatch(allowed);
      expect(await askAs(machine, 65_534, 65_534)).toContain(refused);
    });
  },
);
