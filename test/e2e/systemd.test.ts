/**
 * The systemd unit that ships, where no systemd runs: systemd-analyze finds no fault and rates it, what it grants is what the
 * program is tested with, and the program works with every system call refused that the unit's filter refuses.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, type TestContext, test } from "vitest";
import { findProgram, ROOT } from "../../src/cli/demo/implementations.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { attempt, type Finished, run } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { skip } from "./harness/skip.ts";
import { expectGone, expectTunnel, isReady, makeSide } from "./harness/unprivileged-side.ts";

const UNIT = join(ROOT, "packaging", "systemd", "wirehaul-wg@.service");
const NODE_UNIT = join(ROOT, "packaging", "systemd", "wirehaul-node.service");
const SYSUSERS = join(ROOT, "packaging", "sysusers.d", "wirehaul.conf");
/** systemd's exposure, from 0 to 10; 1.7 of them are what a VPN is: network, TUN device, one capability, a JIT. */
const EXPOSURE_MAX = 1.8;

/** Values by key, in order; a key may come several times. */
function settings(unit = UNIT): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const line of readFileSync(unit, "utf8").split("\n")) {
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (key !== undefined) found.set(key, [...(found.get(key) ?? []), value!]);
  }
  return found;
}

function needAnalyze(context: TestContext): void {
  if (findProgram("systemd-analyze") === undefined) {
    skip(context, "systemd-analyze is not here (Debian's package systemd has it)");
  }
}

/** As it is when installed, but that the program is the checkout's. */
function installed(lab: Lab): string {
  const path = join(lab.folder, "wirehaul-wg@.service");
  const text = readFileSync(UNIT, "utf8");
  expect(text).toContain("ExecStart=/usr/bin/wirehaul-wg %i\n");
  writeFileSync(path, text.replace("/usr/bin/wirehaul-wg", join(ROOT, "bin", "wirehaul-wg")));
  return path;
}

labTest("systemd-analyze verify finds no fault, but one that is put in", async (lab, context) => {
  needAnalyze(context);
  const path = installed(lab);
  const good = await attempt(["systemd-analyze", "verify", path]);
  expect(good).toMatchObject({ code: 0, stdout: "", stderr: "" });
  const text = readFileSync(path, "utf8");
  writeFileSync(path, text.replace("RestrictAddressFamilies=AF_UNIX", "RestrictAddressFamilies=X"));
  const bad = await attempt(["systemd-analyze", "verify", path]);
  expect(bad.stderr).toContain("address family");
});

labTest(
  "item 2: the node's unit comes before all that waits for the network, and nothing of that is waited for",
  async (lab, context) => {
    needAnalyze(context);
    const unit = settings(NODE_UNIT);
    expect(unit.get("Before")).toEqual(["network-online.target"]);
    expect(unit.get("WantedBy")).toEqual(["multi-user.target"]);
    // It is there again in any case, and asks for no network.
    expect(unit.get("Restart")).toEqual(["always"]);
    for (const key of ["After", "Wants", "Requires", "BindsTo"]) {
      const text = (unit.get(key) ?? []).join(" ");
      expect(text, key).not.toMatch(/network(-online)?\.target/);
    }
    const text = readFileSync(NODE_UNIT, "utf8");
    const program = join(ROOT, "bin", "wirehaul");
    const verify = async (changed: string): Promise<Finished> => {
      const path = join(lab.folder, "wirehaul-node.service");
      writeFileSync(path, changed.replace("/usr/bin/wirehaul ", `${program} `));
      return await attempt(["systemd-analyze", "verify", path]);
    };
    expect(text).toContain("ExecStart=/usr/bin/wirehaul node run\n");
    expect(await verify(text)).toMatchObject({ code: 0, stdout: "", stderr: "" });
    // After what it is before: a cycle, which the check does find.
    const cycle = text
      .replace("Wants=", "Wants=network-online.target ")
      .replace("After=", "After=network-online.target ");
    expect((await verify(cycle)).stderr).toMatch(/ordering cycle/i);
  },
);

labTest(`systemd-analyze security rates it at most ${EXPOSURE_MAX}`, async (lab, context) => {
  needAnalyze(context);
  const path = installed(lab);
  const rate = ["systemd-analyze", "security", "--offline=true", "--no-pager"];
  const good = await attempt([...rate, `--threshold=${10 * EXPOSURE_MAX}`, path]);
  expect(good.code, good.stdout + good.stderr).toBe(0);
  // The threshold does refuse.
  expect((await attempt([...rate, "--threshold=10", path])).code).not.toBe(0);
});

test("it grants CAP_NET_ADMIN and the TUN device, and no more", () => {
  const unit = settings();
  for (const key of ["AmbientCapabilities", "CapabilityBoundingSet"]) {
    expect(unit.get(key), key).toEqual(["CAP_NET_ADMIN"]);
  }
  expect(unit.get("User")).toEqual(["wirehaul"]);
  expect(readFileSync(SYSUSERS, "utf8")).toMatch(/^u wirehaul - /m);
  expect(unit.get("DeviceAllow")).toEqual(["/dev/net/tun rw"]);
  expect(unit.get("DevicePolicy")).toEqual(["closed"]);
  expect(unit.get("NoNewPrivileges")).toEqual(["yes"]);
  expect(unit.get("RuntimeDirectory")).toEqual(["wireguard"]);
  expect(unit.get("LimitCORE")).toEqual(["0"]);
  expect(unit.get("MemorySwapMax")).toEqual(["0"]);
});

/** Names of system calls in a set of systemd's, sets in it included. */
async function callsIn(set: string, known = new Set<string>()): Promise<Set<string>> {
  const text = await run(["systemd-analyze", "--no-pager", "syscall-filter", set]);
  for (const line of text.split("\n")) {
    const name = /^ {4}(@?\w[\w-]*)$/.exec(line)?.[1];
    if (name?.startsWith("@")) await callsIn(name, known);
    else if (name !== undefined) known.add(name);
  }
  return known;
}

/** What the unit's SystemCallFilter lines leave: the first allows, lines with ~ take away (systemd.exec(5)). */
async function allowedCalls(): Promise<string[]> {
  const [allowed = "", ...taken] = settings().get("SystemCallFilter") ?? [];
  const calls = new Set<string>();
  for (const set of allowed.split(" ")) for (const name of await callsIn(set)) calls.add(name);
  for (const line of taken) {
    expect(line).toMatch(/^~/);
    for (const set of line.slice(1).split(" ")) {
      for (const name of await callsIn(set)) calls.delete(name);
    }
  }
  // What RestrictNamespaces refuses.
  for (const name of ["setns", "unshare"]) calls.delete(name);
  return [...calls];
}

for (const lanes of [1, 2]) {
  labTest(`with all other system calls refused it works, lanes=${lanes}`, async (lab, context) => {
    needAnalyze(context);
    if (findProgram("strace") === undefined) skip(context, "strace is not here");
    const side = await makeSide(lab);
    const allowed = await allowedCalls();
    expect(allowed).toContain("epoll_wait");
    expect(allowed).not.toContain("setuid");
    // strace does not know all names that systemd knows, of other machines: "?" lets it pass over them.
    const others = `!${allowed.map((name) => `?${name}`).join()}`;
    const runner = ["strace", "-f", "-qq", "--seccomp-bpf", `--trace=${others}`];
    const program = side.nobody.start(
      side.namespace,
      ["net_admin"],
      ["-f", `--lanes=${lanes}`, side.name],
      { LOG_LEVEL: "error" },
      [...runner, `--inject=${others}:error=EPERM`],
    );
    await isReady(side, program);
    await expectTunnel(lab, side);
    // strace ends as the program does.
    const children = readFileSync(`/proc/${program.pid}/task/${program.pid}/children`, "latin1");
    process.kill(Number(children), "SIGTERM");
    const { code, stderr } = await program.ended;
    expect(stderr).not.toContain("ERROR:");
    expect(code).toBe(0);
    await expectGone(side);
  });
}
