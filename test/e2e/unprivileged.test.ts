/**
 * Without root: CAP_NET_ADMIN alone, in all of a process's sets, makes and serves an interface. What needs more says which
 * capability that is; what the machine lacks is told with the fix.
 */
import { readFileSync, statSync } from "node:fs";
import { describe, expect } from "vitest";
import { attempt, run, until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { type Capability, type Machine, USER_ID } from "./harness/unprivileged.ts";
import { expectGone, expectTunnel, isReady, makeSide } from "./harness/unprivileged-side.ts";

/** Capability 12 of linux/capability.h, as /proc shows a set. */
const NET_ADMIN_ONLY = (1n << 12n).toString(16).padStart(16, "0");

/** What the kernel says that a process is and may do. */
function credentialsOf(pid: number): Readonly<Record<string, string>> {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const fields = status.matchAll(/^(Uid|Gid|Groups|Cap\w+|NoNewPrivs):[ \t]*(.*?)[ \t]*$/gm);
  return Object.fromEntries([...fields].map(([, name = "", value = ""]) => [name, value]));
}

describe("CAP_NET_ADMIN alone", () => {
  for (const lanes of [1, 2]) {
    labTest(`serves in the foreground, lanes=${lanes}`, async (lab) => {
      const side = await makeSide(lab);
      const args = ["-f", `--lanes=${lanes}`, side.name];
      const program = side.nobody.start(side.namespace, ["net_admin"], args, {
        LOG_LEVEL: "error",
      });
      await isReady(side, program);
      expect(credentialsOf(program.pid)).toEqual({
        Uid: Array(4).fill(USER_ID).join("\t"),
        Gid: Array(4).fill(USER_ID).join("\t"),
        Groups: "",
        NoNewPrivs: "1",
        ...Object.fromEntries(
          ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map((set) => [set, NET_ADMIN_ONLY]),
        ),
      });
      // The socket is its owner's alone, and root's.
      const socket = statSync(side.nobody.socketPath(side.name));
      expect(socket.uid).toBe(USER_ID);
      expect(socket.mode & 0o777).toBe(0o700);
      await expectTunnel(lab, side);
      const { code, stderr } = await program.stop();
      expect(stderr).toBe("");
      expect(code).toBe(0);
      await expectGone(side);
    });
  }

  labTest("serves in the background", async (lab) => {
    const side = await makeSide(lab);
    const started = await side.nobody.attempt(side.namespace, ["net_admin"], [side.name]);
    expect(started).toMatchObject({ code: 0, stderr: "" });
    const pids = await run(["ip", "netns", "pids", side.namespace.name]);
    expect(pids).toMatch(/^\d+\n$/);
    const pid = Number(pids);
    lab.adopt(pid);
    expect(credentialsOf(pid)).toMatchObject({ CapEff: NET_ADMIN_ONLY, CapBnd: NET_ADMIN_ONLY });
    expect(credentialsOf(pid)["Uid"]).toMatch(`${USER_ID}\t`);
    await expectTunnel(lab, side);
    process.kill(pid, "SIGTERM");
    await expectGone(side);
  });
});

describe("what is lacking is told in one line", () => {
  const cases: readonly (readonly [string, Machine, readonly Capability[], RegExp])[] = [
    ["no capability", {}, [], /no right to make .* \(EPERM\): .* CAP_NET_ADMIN/],
    ["another capability", {}, ["net_bind_service"], /\(EPERM\): .* CAP_NET_ADMIN/],
    [
      "a device that is root's",
      { deviceMode: "600" },
      ["net_admin"],
      /no right to open \/dev\/net\/tun \(EACCES\): .*"chmod 0666 \/dev\/net\/tun/,
    ],
    [
      "a folder that is root's",
      { ownsFolder: false },
      ["net_admin"],
      /no right to write in \/var\/run\/wireguard \(EACCES\): .*install -d -o 65534 /,
    ],
  ];
  for (const [what, machine, capabilities, reason] of cases) {
    for (const way of ["foreground", "background"]) {
      labTest(`${what}, in the ${way}`, async (lab) => {
        const side = await makeSide(lab, machine);
        const args = way === "foreground" ? ["-f", side.name] : [side.name];
        const result = await side.nobody.attempt(side.namespace, capabilities, args);
        expect(result).toMatchObject({ code: 1, stdout: "" });
        expect(result.stderr).toMatch(reason);
        expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
        await expectGone(side);
      });
    }
  }
});

describe("what needs more than CAP_NET_ADMIN names it", () => {
  labTest("a low port: CAP_NET_BIND_SERVICE", async (lab) => {
    const side = await makeSide(lab);
    const { nobody, namespace, name } = side;
    const environment = { LOG_LEVEL: "error" };
    const poor = nobody.start(namespace, ["net_admin"], ["-f", name], environment);
    await isReady(side, poor);
    await namespace.ip([`link set dev ${name} up`]);
    const refused = await attempt(nobody.seeing(["wg", "set", name, "listen-port", "80"]));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("Permission denied");
    await until("the log tells why", () => poor.output !== "");
    expect(poor.output).toMatch(/^ERROR: .*UDP port 80 .*CAP_NET_BIND_SERVICE.*EACCES\n$/);
    // It goes on with the port that it had.
    expect(Number(await side.wg(["show", name, "listen-port"]))).toBeGreaterThan(1023);
    await poor.stop();
    await expectGone(side);

    const rich = ["net_admin", "net_bind_service"] as const;
    const program = nobody.start(namespace, rich, ["-f", name], environment);
    await isReady(side, program);
    await side.wg(["set", name, "listen-port", "80"]);
    await namespace.ip([`link set dev ${name} up`]);
    await until(
      "it listens",
      async () => (await side.wg(["show", name, "listen-port"])) === "80\n",
    );
    expect((await program.stop()).stderr).toBe("");
  });

  for (const [capabilities, warning] of [
    [["net_admin"], /^ERROR: .* another network namespace, .*CAP_SYS_ADMIN.*\n$/],
    [["net_admin", "sys_admin"], /^$/],
  ] as const) {
    labTest(`an interface that is moved away, with ${capabilities.join("+")}`, async (lab) => {
      const side = await makeSide(lab);
      const { nobody, namespace, name } = side;
      const target = await lab.namespace("tn");
      const program = nobody.start(namespace, capabilities, ["-f", name], { LOG_LEVEL: "error" });
      await isReady(side, program);
      await namespace.ip([`link set dev ${name} netns ${target.name}`]);
      await until("it is there", () => target.hasLink(name));
      await target.ip([`link set dev ${name} up`]);
      if (capabilities.length > 1) {
        await until("it has noticed", async () => {
          return (await side.wg(["show", name, "listen-port"])) !== "0\n";
        });
      } else await until("the log tells why", () => program.output !== "");
      // It serves on, and ends in order.
      expect((await attempt(nobody.seeing(["wg", "show", name]))).code).toBe(0);
      const { code, stderr } = await program.stop();
      expect(stderr).toMatch(warning);
      expect(code).toBe(0);
      await until(`${name} is gone`, async () => !(await target.hasLink(name)));
    });
  }
});
