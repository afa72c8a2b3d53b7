/** `wirehaul demo` as a user runs it: what it says, its exit code, and that nothing is left of it, even if it is killed. */
import { chmodSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { ROOT } from "../../src/cli/demo/implementations.ts";
import { startTime } from "../../src/cli/demo/leftovers.ts";
import type { TunnelReport } from "../../src/cli/demo/report.ts";
import { attempt, type Background, run, until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";

const DEMO = [process.execPath, join(ROOT, "bin", "wirehaul"), "demo"];
const TUNNEL = [...DEMO, "tunnel", "--seconds", "1"];
const NODES = ["a", "b", "c", "d", "e"];
/** The whole of a grid's demo on a machine that is busy with other tests. */
const GRID_MS = 300_000;
const RECORDS = join(tmpdir(), "wirehaul-runs");

/** Namespaces of a run, whose names begin with the process's id. */
async function namespacesOf({ pid }: Background): Promise<string[]> {
  const names = (await run(["ip", "netns", "list"])).split("\n");
  return names.filter((name) => name.startsWith(`wh${pid.toString(36)}`));
}

/** No right but to read every file, so that the checkout may be root's alone. */
const AS_READER = [
  ...["--clear-groups", "--bounding-set=-all,+dac_read_search"],
  ...["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"],
];

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}

function commandOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
}

/** What a run makes. */
interface Leftovers {
  readonly processes: readonly { readonly pid: number; readonly start: string }[];
  readonly paths: readonly string[];
}

/** What the run has written down to be removed. */
function recordOf({ pid }: Background): string | undefined {
  if (!existsSync(RECORDS)) return undefined;
  const file = readdirSync(RECORDS).find((name) => name.endsWith(`-${pid}.json`));
  return file === undefined ? undefined : join(RECORDS, file);
}

function readRecord(demo: Background): Leftovers {
  return JSON.parse(readFileSync(recordOf(demo) ?? "", "utf8")) as Leftovers;
}

async function expectNothingLeft(demo: Background, { processes, paths }: Leftovers): Promise<void> {
  await until("what it made is removed", () => recordOf(demo) === undefined);
  expect(await namespacesOf(demo)).toEqual([]);
  expect(processes.filter(({ pid, start }) => startTime(pid) === start)).toEqual([]);
  expect(paths.filter((path) => existsSync(path))).toEqual([]);
}

/** The cells of a printed matrix by the names of row and column. */
function matrixIn(text: string, network: string): Map<string, string> {
  const [, after = ""] = text.split(new RegExp(`^\\w+ ${network}: 5 nodes, 10 pairs: `, "m"));
  const [, table = ""] = after.split("\n\n");
  const [head = "", ...rows] = table.split("\n");
  const columns = head.trim().split(/ {2,}/);
  const cells = rows.flatMap((row) => {
    const [name = "", ...values] = row.split(/ {2,}/);
    return values.map((value, at) => [`${name}${columns[at] ?? ""}`, value] as const);
  });
  return new Map(cells);
}

/** All pairs meet, with a round trip; those that can do so directly. */
function expectMatrix(text: string, network: string): void {
  const matrix = matrixIn(text, network);
  for (const one of NODES) {
    for (const other of NODES) {
      const pair = [one, other].toSorted().join("");
      const wanted =
        one === other
          ? /^-$/
          : pair === "cd"
            ? /^LAN [\d.]+ ms$/
            : pair === "ce" || pair === "de"
              ? /^via [ab] [\d.]+ ms$/
              : /^IPv[46] [\d.]+ ms$/;
      expect(matrix.get(`${one}${other}`), `${network}: ${one} to ${other}\n${text}`).toMatch(
        wanted,
      );
    }
  }
}

describe("the demo", () => {
  labTest(
    "a grid: all pairs of both tenants meet, isolated, as directly as they can; it is kept until it is told to end",
    async (lab) => {
      const demo = lab.spawn([...DEMO, "--keep"]);
      await demo.waitFor("stays up until Ctrl-C", GRID_MS);
      const shown = demo.output;
      expect(shown).not.toContain("FAILED");
      for (const line of [
        /^registry\$ wirehaul registry run --data /m,
        /^a\$ wirehaul node run .*--join-token-file /m,
        /^red\$ wirehaul network create red --cidr 10\.1\.0\.0\/16 --nodes a,b,c,d,e$/m,
        /^e\$ wirehaul network attach green - --local <<< '\{"kind":"join",/m,
        /^ {2}red: each to each +ok {2}20 of 20 /m,
        /^ {2}green: each to each +ok {2}20 of 20 /m,
        /^ {2}red's pings +ok {2}of 3 from c to 10\.1\.\d\.5, 3 arrive in red's workload, 0 in green's/m,
        /^ {2}c and d +ok {2}meet in their LAN/m,
        /^ {2}c and e +ok {2}are behind different NATs and meet over [ab](?: and over [ab])?$/m,
        /^\w+ red: c -\(\w+\)-> [ab] -\(\w+\)-> e$/m,
      ]) {
        expect(shown).toMatch(line);
      }
      for (const network of ["red", "green"]) expectMatrix(shown, network);

      // What it says can be done, can be.
      const [, instructions = ""] = shown.split("stays up until Ctrl-C");
      const commands = instructions.split("\n").filter((line) => /^ {2}\//.test(line));
      expect(commands).toHaveLength(6);
      const answers: string[] = [];
      for (const command of commands) answers.push(await run(["sh", "-c", command]));
      expectMatrix(answers[0] ?? "", "red");
      expect(answers[1]).toMatch(/^\w+ red: a -\(incoming\)-> e$/m);
      expect(answers[2]).toContain("grid: approved: in the grid");
      expect(answers[3]).toContain("3 packets transmitted, 3 received");
      const [program = ""] = commands[0]?.trim().split(" ") ?? [];
      await expect(run([program, "nobody", "true"])).rejects.toThrow(
        "usage: on a|b|c|d|e|red|green|root COMMAND...",
      );

      const record = readRecord(demo);
      expect(record.processes.length).toBeGreaterThan(NODES.length);
      demo.signal("SIGTERM");
      expect((await demo.ended).signal).toBe("SIGTERM");
      await expectNothingLeft(demo, record);
    },
    GRID_MS,
  );

  labTest(
    "a tunnel; two tenants with the same addresses on two nodes, isolated, each with its workloads and the Internet",
    async (lab) => {
      const demo = lab.spawn(TUNNEL);
      const { code, stdout } = await demo.ended;
      expect(stdout).not.toContain("FAILED");
      expect(code).toBe(0);
      for (const line of [
        /^ {2}TCP, there +ok {2}\d/m,
        /^ {2}red: a to b +ok {2}10\.1\.2\.5 3 of 3 answered, fd00:1:0:2::5 3 of 3 answered$/m,
        /^ {2}green: a to b +ok {2}10\.1\.2\.5 3 of 3 answered, fd00:1:0:2::5 3 of 3 answered$/m,
        /^ {2}red's pings +ok {2}of 3 to 10\.1\.2\.5, 3 arrive in red's workload, 0 in green's/m,
        /^ {2}10\.1\.2\.7, red's +ok {2}red 3 of 3 answered, green 0 of 3 answered and 0 arrived$/m,
        /^ {2}green: Internet +ok {2}203\.0\.113\.1 sees 192\.0\.2\.1/m,
        /^ {2}red: node's LAN +ok {2}192\.0\.2\.254 0 of 3 answered; to the node itself 3 of 3/m,
        /^ {2}MTU inside +ok {2}1420, 80 less than the cable's/m,
        /^ {2}paths +ok {2}.*red by 198\.51\.100\.1:3001/m,
        /10\.1\.2\.0\/24 is the longest of the peers' prefixes/,
      ]) {
        expect(stdout).toMatch(line);
      }
      expect(await namespacesOf(demo)).toEqual([]);
      expect(recordOf(demo)).toBeUndefined();
    },
  );

  labTest("what is not as said is told, and the exit code is 1", async (lab) => {
    // A ping that claims an answer to all it was to send: nothing arrives, and what must not be reached seems to be.
    const fake = lab.file(
      "ping",
      '#!/bin/sh\nwhile [ "$1" != -c ]; do shift; done\necho "$2 packets transmitted, $2 received"\n',
    );
    chmodSync(fake, 0o755);
    const path = `${lab.folder}:${process.env["PATH"] ?? ""}`;
    const demo = lab.spawn([...TUNNEL, "--json"], { PATH: path });
    const { code, stdout } = await demo.ended;
    const { checks } = (JSON.parse(stdout) as TunnelReport).tenants;
    expect(checks.filter(({ isGood }) => !isGood).map(({ title }) => title)).toEqual([
      "red's pings",
      "10.1.2.7, red's",
      "red: node's LAN",
      "MTU inside",
    ]);
    expect(code).toBe(1);
    expect(await namespacesOf(demo)).toEqual([]);
  });

  for (const [signal, command, moment] of [
    ["SIGKILL", DEMO, "network create"],
    ["SIGINT", TUNNEL, "attach --local"],
  ] as const) {
    labTest(
      `${signal} in the middle of it: nothing is left`,
      async (lab) => {
        const demo = lab.spawn(command);
        await demo.waitFor(moment, GRID_MS);
        expect(await namespacesOf(demo)).not.toEqual([]);
        const record = readRecord(demo);
        const alive = record.processes.filter(({ pid, start }) => startTime(pid) === start);
        expect(alive.length).toBeGreaterThan(0);
        demo.signal(signal);
        expect((await demo.ended).signal).toBe(signal);
        await expectNothingLeft(demo, record);
      },
      GRID_MS,
    );
  }

  labTest(
    "SIGKILL to it and to what watches over it: the next one removes what it left",
    async (lab) => {
      const demo = lab.spawn(DEMO);
      await demo.waitFor("a$ wirehaul node run", GRID_MS);
      const record = readRecord(demo);
      const watch = childrenOf(demo.pid).find((pid) => commandOf(pid).includes("--sweep"));
      expect(watch).toBeDefined();
      process.kill(watch!, "SIGKILL");
      demo.signal("SIGKILL");
      await demo.ended;
      const names = await namespacesOf(demo);
      expect(names.length).toBeGreaterThan(NODES.length);
      expect(record.paths.some((path) => existsSync(path))).toBe(true);
      const next = lab.spawn(TUNNEL);
      await expectNothingLeft(demo, record);
      next.signal("SIGTERM");
      await next.ended;
    },
    GRID_MS,
  );

  labTest("what it can't do without is named", async (lab) => {
    const hidden = 'mount -t tmpfs none /dev/net && exec "$@"';
    for (const [command, environment, wanted] of [
      [["setpriv", "--reuid=65534", ...AS_READER, ...DEMO], {}, "root is needed"],
      [["unshare", "-m", "sh", "-c", hidden, "sh", ...DEMO], {}, "there is no /dev/net/tun: load"],
      [DEMO, { PATH: lab.folder }, /missing: ping, wg, nsenter, unshare; .* npm run setup -- demo/],
      [[...DEMO, "--peer", "wireguard-go"], {}, /^Usage: wirehaul demo \[--keep\]/],
      [[...DEMO, "tunnel", "--keep"], {}, /^Usage: wirehaul demo \[--keep\]/],
    ] as const) {
      const { code, stdout, stderr } = await attempt(command, { environment });
      expect(stderr).toMatch(wanted);
      expect(stdout).toBe("");
      expect(code).toBe(1);
    }
  });
});
