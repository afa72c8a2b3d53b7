/**
 * What both programs answer to mistakes and to machines that lack something: one clear line, an exit code other than 0, and
 * neither an interface nor a socket file nor a process left. What is refused in ordinary use is in lifecycle.test.ts.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { ROOT, startCommand } from "../../src/cli/demo/implementations.ts";
import { type Lab, type Namespace, socketPath } from "../../src/cli/demo/lab.ts";
import { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { attempt, type Finished, run, until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { exchange } from "./uapi-client.ts";

const foreground = startCommand("wirehaul")!;
const background = foreground.filter((word) => word !== "-f");
const ways = [
  { way: "in the foreground", command: foreground },
  { way: "in the background", command: background },
];

const wirehaul = [process.execPath, join(ROOT, "bin", "wirehaul")];

/** Runs a command with another view of the machine: its own mounts, changed by a line of shell. */
function withMounts(change: string, command: readonly string[]): string[] {
  return ["unshare", "-m", "sh", "-c", `${change}; exec "$@"`, "sh", ...command];
}

/** No right but to read every file, so that the checkout may be root's alone. */
const asNobody = [
  ...["setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set=-all,+dac_read_search"],
  ...["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"],
];

async function namesIn(namespace: Namespace): Promise<string[]> {
  const { stdout } = await attempt(["ip", "-n", namespace.name, "-json", "link", "show"]);
  return (JSON.parse(stdout) as { readonly ifname: string }[]).map(({ ifname }) => ifname);
}

async function pidsIn(namespace: Namespace): Promise<string> {
  return await run(["ip", "netns", "pids", namespace.name]);
}

/** One line that says why, and nothing but the loopback interface and `others` left. */
async function expectRefusal(
  namespace: Namespace,
  name: string,
  result: Finished,
  reason: RegExp,
  others: readonly string[] = [],
): Promise<void> {
  expect(result.stderr).toMatch(reason);
  expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
  expect(result.stdout).toBe("");
  expect(result.code).toBe(1);
  expect(await namesIn(namespace)).toEqual(["lo", ...others]);
  expect(existsSync(socketPath(name))).toBe(false);
  expect(await pidsIn(namespace)).toBe("");
}

describe("wirehaul-wg tells what it is", () => {
  labTest("--version", async () => {
    const result = await attempt([...background, "--version"]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toMatch(/^wirehaul-wg v\d+\.\d+\.\d+\n/);
  });

  for (const option of ["--help", "-h"]) {
    labTest(option, async () => {
      const result = await attempt([...background, option]);
      expect(result).toMatchObject({ code: 0, stderr: "" });
      expect(result.stdout).toContain("Usage: wirehaul-wg");
    });
  }

  for (const args of [[], ["--no-such-option"], ["-f"], ["-f", "-x"], ["wh0", "--version"]]) {
    labTest(`usage for "${args.join(" ")}"`, async (lab) => {
      const namespace = await lab.namespace("n");
      const result = await namespace.attempt([...background, ...args]);
      // wireguard-go answers so too, but ends with 0, which tells a script that all is well.
      expect(result).toMatchObject({ code: 1, stdout: "" });
      expect(result.stderr).toMatch(/^Usage: wirehaul-wg/);
      expect(await namesIn(namespace)).toEqual(["lo"]);
    });
  }
});

describe("wirehaul tells what it is", () => {
  labTest("--version", async () => {
    const result = await attempt([...wirehaul, "--version"]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toMatch(/^wirehaul v\d+\.\d+\.\d+\n$/);
  });

  for (const option of ["--help", "-h"]) {
    labTest(option, async () => {
      const result = await attempt([...wirehaul, option]);
      expect(result).toMatchObject({ code: 0, stderr: "" });
      expect(result.stdout).toMatch(/^Usage: wirehaul COMMAND/);
    });
  }

  for (const args of [[], ["frobnicate"], ["--no-such-option"]]) {
    labTest(`usage for "${args.join(" ")}"`, async () => {
      const result = await attempt([...wirehaul, ...args]);
      expect(result).toMatchObject({ code: 1, stdout: "" });
      expect(result.stderr).toContain("Usage: wirehaul COMMAND");
      if (args.length > 0) expect(result.stderr).toContain(`"${args[0]}"`);
    });
  }
});

for (const { way, command } of ways) {
  describe(`wirehaul-wg refuses ${way}`, () => {
    for (const [what, name, reason] of [
      ["an empty name", "", /the interface name is empty/],
      ["a name with /", "wh/x", /"wh\/x" cannot be an interface name: it holds "\/"/],
      ["a name with ..", "../wh", /cannot be an interface name/],
      ["a name with a space", "wh x", /"wh x" cannot be an interface name/],
      ["a name with a colon", "wh:x", /"wh:x" cannot be an interface name/],
      ["a dot", ".", /cannot be an interface name/],
      ["two %d", "wh%d%d", /only one "%d"/],
      ["another %", "wh%s", /only one "%d"/],
      ["16 characters", "wh0123456789abcd", /has 16 bytes, Linux allows 15: use a shorter one/],
      ["8 characters of 2 bytes", "éééééééé", /has 16 bytes, Linux allows 15/],
    ] as const) {
      labTest(what, async (lab) => {
        const namespace = await lab.namespace("n");
        const result = await namespace.attempt([...command, name]);
        await expectRefusal(namespace, name, result, reason);
      });
    }

    labTest("the name of a bridge", async (lab) => {
      const namespace = await lab.namespace("n");
      const name = lab.interfaceName("w");
      await namespace.ip([`link add ${name} type bridge`]);
      const result = await namespace.attempt([...command, name]);
      await expectRefusal(namespace, name, result, new RegExp(`ip link show ${name}`), [name]);
    });

    labTest("the name of a TUN interface in use", async (lab) => {
      const namespace = await lab.namespace("n");
      const node = await WireguardNode.start(lab, {
        implementation: "wireguard-go",
        namespace,
        label: "w",
      });
      // Without its socket file only the kernel can tell.
      const { name } = node;
      const result = await namespace.attempt(
        withMounts("mount -t tmpfs none /var/run/wireguard", [...command, name]),
      );
      expect(result.stderr).toMatch(/exists already \(EBUSY\): choose another name/);
      expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
      expect(result.code).toBe(1);
      expect(await namesIn(namespace)).toEqual(["lo", name]);
      expect((await node.show()).length).toBeGreaterThan(0);
    });

    labTest("a user who is not root", async (lab) => {
      const namespace = await lab.namespace("n");
      const name = lab.interfaceName("w");
      const result = await namespace.attempt([...asNobody, ...command, name]);
      await expectRefusal(namespace, name, result, /no right .* run as root or give CAP_NET_ADMIN/);
    });

    for (const [what, change, reason] of [
      ["no /dev/net/tun", "mount -t tmpfs none /dev/net", /no \/dev\/net\/tun .*modprobe tun/],
      [
        "another device in its place",
        "mount --bind /dev/null /dev/net/tun",
        /\/dev\/net\/tun .*not the TUN device/,
      ],
    ] as const) {
      labTest(what, async (lab) => {
        const namespace = await lab.namespace("n");
        const name = lab.interfaceName("w");
        const result = await namespace.attempt(withMounts(change, [...command, name]));
        await expectRefusal(namespace, name, result, reason);
      });
    }

    for (const variable of ["WG_TUN_FD", "WG_UAPI_FD"]) {
      for (const value of ["x", "-1", "1x", "0", "999"]) {
        labTest(`${variable}=${value}`, async (lab) => {
          const namespace = await lab.namespace("n");
          const name = lab.interfaceName("w");
          const result = await namespace.attempt([...command, name], {
            environment: { [variable]: value },
          });
          await expectRefusal(namespace, name, result, /descriptor|WG_(TUN|UAPI)_FD/);
        });
      }
    }
  });

  labTest(`an idle TUN interface is taken over ${way}, as by wireguard-go`, async (lab) => {
    const namespace = await lab.namespace("n");
    const name = lab.interfaceName("w");
    await namespace.exec(["ip", "tuntap", "add", name, "mode", "tun"]);
    const program = namespace.spawn([...command, name]);
    await until("its socket answers", async () => {
      if (!program.isRunning && command === foreground) throw new Error(program.output);
      return (await attempt(["wg", "show", name])).code === 0;
    });
    for (const pid of (await pidsIn(namespace)).trim().split("\n")) process.kill(Number(pid));
    await until("it has ended", async () => (await pidsIn(namespace)) === "");
    // It was there before.
    expect(await namesIn(namespace)).toEqual(["lo", name]);
    expect(existsSync(socketPath(name))).toBe(false);
  });
}

describe("a port that is taken between configuration and start", () => {
  labTest("is told in one line, and another one can be chosen", async (lab) => {
    const namespace = await lab.namespace("n");
    const first = await WireguardNode.start(lab, {
      implementation: "wirehaul",
      namespace,
      label: "v",
    });
    const second = await WireguardNode.start(lab, {
      implementation: "wirehaul",
      namespace,
      label: "w",
      environment: { LOG_LEVEL: "error" },
    });
    await second.set(["listen-port", "40404"]);
    await first.set(["listen-port", "40404"]);
    await first.up(["10.77.0.1/32"]);
    await second.up(["10.77.0.2/32"]);
    await until("the conflict is told", () => second.program.output !== "");
    await second.set(["listen-port", "40405"]);
    expect(await second.listenPort()).toBe(40_405);
    const bound = await namespace.exec(["ss", "-Huln", "sport = :40405"]);
    expect(bound.trim().split("\n")).toHaveLength(2);
    expect(second.program.output).toMatch(/^ERROR: .*40404[^\n]*(?:EADDRINUSE|errno 98)[^\n]*\n$/);
  });
});

describe("log levels", () => {
  const levels: Readonly<Record<string, RegExp>> = {
    silent: /^$/,
    error: /^ERROR: \(wh\w+\) [-\d]+ [:\d]+ .*mtu\n$/,
    "": /^ERROR: [^\n]*mtu\n$/,
    nonsense: /^ERROR: [^\n]*mtu\n$/,
    verbose: /^DEBUG: .*\nERROR: [^\n]*mtu\n.*DEBUG: /s,
    debug: /^DEBUG: .*\nERROR: [^\n]*mtu\n.*DEBUG: /s,
  };

  async function logOf(lab: Lab, level: string): Promise<Finished> {
    const namespace = await lab.namespace("n");
    const node = await WireguardNode.start(lab, {
      implementation: "wirehaul",
      namespace,
      label: "w",
      environment: { LOG_LEVEL: level },
    });
    await node.configure([]);
    await node.up(["10.77.0.1/24"]);
    expect(await exchange(socketPath(node.name), ["set=1\nmtu=1\n\n"], true)).toBe("errno=-22\n\n");
    return await node.program.stop();
  }

  for (const [level, expected] of Object.entries(levels)) {
    labTest(`LOG_LEVEL=${level}`, async (lab) => {
      const { code, stdout, stderr } = await logOf(lab, level);
      expect(code).toBe(0);
      expect(stdout).toBe("");
      expect(stderr).toMatch(expected);
    });
  }

  labTest("why it did not start is told at any level", async (lab) => {
    const namespace = await lab.namespace("n");
    const environment = { LOG_LEVEL: "silent" };
    const result = await namespace.attempt([...foreground, "wh/x"], { environment });
    await expectRefusal(namespace, "x", result, /cannot be an interface name/);
  });
});
