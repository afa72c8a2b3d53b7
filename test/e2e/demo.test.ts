/** `wirehaul demo` as a user runs it: what it says, its exit code, and that nothing is left of it, even if it is killed. */
import { chmodSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { ROOT } from "../../src/cli/demo/implementations.ts";
import { startTime } from "../../src/cli/demo/leftovers.ts";
import type { DemoReport } from "../../src/cli/demo/report.ts";
import { type Background, run, until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";

const DEMO = [process.execPath, join(ROOT, "bin", "wirehaul"), "demo", "--seconds", "1"];
const RECORDS = join(tmpdir(), "wirehaul-runs");

/** Namespaces of a run, whose names begin with the process's id. */
async function namespacesOf({ pid }: Background): Promise<string[]> {
  const names = (await run(["ip", "netns", "list"])).split("\n");
  return names.filter((name) => name.startsWith(`wh${pid.toString(36)}`));
}

/** What the run has written down to be removed. */
function recordOf({ pid }: Background): string | undefined {
  if (!existsSync(RECORDS)) return undefined;
  const file = readdirSync(RECORDS).find((name) => name.endsWith(`-${pid}.json`));
  return file === undefined ? undefined : join(RECORDS, file);
}

describe("the demo", () => {
  labTest(
    "a tunnel; two tenants with the same addresses on two nodes, isolated, each with its workloads and the Internet",
    async (lab) => {
      const demo = lab.spawn(DEMO);
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
    const demo = lab.spawn([...DEMO, "--json"], { PATH: path });
    const { code, stdout } = await demo.ended;
    const { checks } = (JSON.parse(stdout) as DemoReport).tenants;
    expect(checks.filter(({ isGood }) => !isGood).map(({ title }) => title)).toEqual([
      "red's pings",
      "10.1.2.7, red's",
      "red: node's LAN",
      "MTU inside",
    ]);
    expect(code).toBe(1);
    expect(await namespacesOf(demo)).toEqual([]);
  });

  for (const signal of ["SIGKILL", "SIGINT"] as const) {
    labTest(`${signal} in the middle of it: nothing is left`, async (lab) => {
      const demo = lab.spawn(DEMO);
      await demo.waitFor("attach --local", 60_000);
      expect(await namespacesOf(demo)).not.toEqual([]);
      const record = recordOf(demo) ?? "";
      const { processes } = JSON.parse(readFileSync(record, "utf8")) as {
        readonly processes: readonly { readonly pid: number; readonly start: string }[];
      };
      const alive = (): typeof processes =>
        processes.filter(({ pid, start }) => startTime(pid) === start);
      expect(alive().length).toBeGreaterThan(0);
      demo.signal(signal);
      expect((await demo.ended).signal).toBe(signal);
      await until("what it made is removed", () => !existsSync(record));
      expect(await namespacesOf(demo)).toEqual([]);
      expect(alive()).toEqual([]);
    });
  }
});
