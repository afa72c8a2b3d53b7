/** How the program starts and ends: arguments, rights, names, sockets, the background, and each way out. */
import { closeSync, existsSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect } from "vitest";
import { startCommand } from "../../src/cli/demo/implementations.ts";
import { type Lab, type Namespace, socketPath } from "../../src/cli/demo/lab.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { attempt, type Finished, until } from "../../src/control/linux/command.ts";
import { listenUapi } from "../../src/engine/uapi-server.ts";
import { labTest } from "./harness/lab-test.ts";
import { SUBJECT } from "./harness/subject.ts";

const foreground = startCommand(SUBJECT)!;
const program = foreground.filter((word) => word !== "-f");
const isWirehaul = SUBJECT === "wirehaul";

/** The program refuses: exit code 1, one line that says why, nothing left. */
function expectRefusal(result: Finished, reason: RegExp): void {
  expect(result.code).toBe(1);
  expect(result.stderr + result.stdout).not.toMatch(/^ {4}at /m);
  if (!isWirehaul) return;
  expect(result.stderr.trim()).toMatch(reason);
  expect(result.stderr.trim().split("\n")).toHaveLength(1);
}

function start(lab: Lab, namespace: Namespace, label = "w"): Promise<WireguardNode> {
  return WireguardNode.start(lab, { implementation: SUBJECT, namespace, label });
}

/** Both ways to start: what goes wrong must be told in each. */
const ways = [
  { title: "in the foreground", command: foreground },
  { title: "in the background", command: program },
];

describe("arguments", () => {
  for (const args of [[], ["-f"], ["-x", "wg0"], ["wg0", "wg1"], ["-f", "wg0", "wg1"]]) {
    labTest(`"${args.join(" ")}" is answered with the usage`, async (lab) => {
      const namespace = await lab.namespace("n");
      const result = await namespace.attempt([...program, ...args]);
      // wireguard-go ends with 0 here, which tells a script that all is well.
      expect(result.code).toBe(isWirehaul ? 1 : 0);
      if (isWirehaul) expect(result.stderr).toContain("Usage: wirehaul-wg");
    });
  }

  labTest("--version", async () => {
    const result = await attempt([...program, "--version"]);
    expect(result.code).toBe(0);
    expect(result.stdout).toMatch(/^\S+ v\d+\.\d+\.\d+/);
  });
});

for (const { title, command } of ways) {
  describe(`refusals ${title}`, () => {
    labTest("without the right to make interfaces", async (lab) => {
      const namespace = await lab.namespace("n");
      const name = lab.interfaceName("w");
      const result = await namespace.attempt([
        ...["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
        ...command,
        name,
      ]);
      expectRefusal(result, /root|CAP_NET_ADMIN/);
      expect(existsSync(socketPath(name))).toBe(false);
    });

    labTest("a name that another interface has", async (lab) => {
      const namespace = await lab.namespace("n");
      const name = lab.interfaceName("w");
      await namespace.ip([`link add ${name} type veth peer name ${lab.name("p")}`]);
      const result = await namespace.attempt([...command, name]);
      expectRefusal(result, new RegExp(name));
      expect(existsSync(socketPath(name))).toBe(false);
      expect(await namespace.hasLink(name)).toBe(true);
    });

    labTest("a name of 16 characters", async (lab) => {
      const namespace = await lab.namespace("n");
      const result = await namespace.attempt([...command, "wh0123456789abcd"]);
      expectRefusal(result, /15/);
      expect(existsSync(socketPath("wh0123456789abcd"))).toBe(false);
    });

    labTest("a socket that another one serves", async (lab) => {
      const first = await start(lab, await lab.namespace("n"));
      const second = await lab.namespace("m");
      const result = await second.attempt([...command, first.name]);
      expect(result.code).toBe(1);
      if (isWirehaul) expectRefusal(result, /socket|serve|use/i);
      expect(await second.hasLink(first.name)).toBe(false);
      expect(await first.show()).toContain(first.name);
    });
  });

  labTest(`a stale socket is replaced ${title}`, async (lab) => {
    const namespace = await lab.namespace("n");
    const first = await start(lab, namespace);
    first.program.signal("SIGKILL");
    await first.program.ended;
    // What a killed program leaves; its interface goes with its descriptor.
    expect(existsSync(socketPath(first.name))).toBe(true);
    await until("the interface is gone", async () => !(await namespace.hasLink(first.name)));
    const second = namespace.spawn([...command, first.name]);
    await until("the socket answers", async () => {
      return (await attempt(["wg", "show", first.name])).code === 0;
    });
    expect(await namespace.hasLink(first.name)).toBe(true);
    if (title === "in the background") expect((await second.ended).code).toBe(0);
  });
}

/** Process ids of what runs in a namespace. */
async function pidsIn(namespace: Namespace): Promise<number[]> {
  const { stdout } = await attempt(["ip", "netns", "pids", namespace.name]);
  return stdout.split("\n").filter(Boolean).map(Number);
}

/** Starts in the background with its output in a file: nobody must wait for the daemon to close it. */
async function startInBackground(lab: Lab, namespace: Namespace, name: string): Promise<number> {
  const log = openSync(join(lab.folder, "log"), "a");
  const line = `"$@" >>${join(lab.folder, "log")} 2>&1`;
  closeSync(log);
  const result = await namespace.attempt(["sh", "-c", line, "sh", ...program, name]);
  return result.code ?? -1;
}

describe("life", () => {
  labTest("the background start returns when the interface is ready", async (lab) => {
    const namespace = await lab.namespace("n");
    const name = lab.interfaceName("w");
    expect(await startInBackground(lab, namespace, name)).toBe(0);
    // At once: no waiting here.
    expect((await attempt(["wg", "show", name])).code).toBe(0);
    expect(await namespace.hasLink(name)).toBe(true);
    const pids = await pidsIn(namespace);
    expect(pids).toHaveLength(1);
    if (isWirehaul) {
      // A session of its own: it outlives the terminal. Field 6 of stat; field 3 follows the name in parentheses.
      const session = readFileSync(`/proc/${pids[0]}/stat`, "latin1").split(") ")[1]?.split(" ")[3];
      expect(session).toBe(`${pids[0]}`);
    }
    process.kill(pids[0]!, "SIGTERM");
    await until("it is gone", async () => (await pidsIn(namespace)).length === 0);
    expect(existsSync(socketPath(name))).toBe(false);
    expect(await namespace.hasLink(name)).toBe(false);
  });

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    labTest(`${signal} ends it and leaves nothing`, async (lab) => {
      const namespace = await lab.namespace("n");
      const node = await start(lab, namespace);
      node.program.signal(signal);
      expect((await node.program.ended).code).toBe(0);
      expect(existsSync(socketPath(node.name))).toBe(false);
      expect(await namespace.hasLink(node.name)).toBe(false);
    });
  }

  labTest("it ends when its interface is deleted", async (lab) => {
    const namespace = await lab.namespace("n");
    const node = await start(lab, namespace);
    await node.up(["10.77.0.1/24"]);
    await namespace.ip([`link del ${node.name}`]);
    await node.program.ended;
    expect(existsSync(socketPath(node.name))).toBe(false);
  });

  labTest("it ends when its socket is removed", async (lab) => {
    const namespace = await lab.namespace("n");
    const node = await start(lab, namespace);
    await attempt(["rm", socketPath(node.name)]);
    await node.program.ended;
    expect(await namespace.hasLink(node.name)).toBe(false);
  });

  labTest("the socket is its owner's alone", async (lab) => {
    const node = await start(lab, await lab.namespace("n"));
    expect(statSync(socketPath(node.name)).mode & 0o077).toBe(0);
  });

  labTest("nobody finds the socket before it listens: wg would remove it", async (lab) => {
    const name = lab.interfaceName("s");
    const shared = new SharedArrayBuffer(12);
    const words = new Int32Array(shared);
    const hammer = new Worker(new URL("harness/connect-hammer.mjs", import.meta.url), {
      workerData: { path: socketPath(name), shared },
    });
    for (let round = 1; Atomics.load(words, 2) < 2_000; round++) {
      Atomics.store(words, 0, round);
      const server = await listenUapi(name);
      Atomics.store(words, 0, 0);
      expect(existsSync(socketPath(name))).toBe(true);
      await new Promise((resolve) => {
        server.close(resolve);
      });
      expect(existsSync(socketPath(name))).toBe(false);
    }
    Atomics.store(words, 0, -1);
    await hammer.terminate();
    expect(Atomics.load(words, 1)).toBe(0);
  });

  labTest("a name with %d gets the first free number", async (lab) => {
    const namespace = await lab.namespace("n");
    for (const number of [0, 1]) {
      const name = lab.interfaceName(`z${number}`);
      namespace.spawn([...foreground, lab.name("z%d")]);
      await until(`${name} answers`, async () => (await attempt(["wg", "show", name])).code === 0);
      expect(await namespace.hasLink(name)).toBe(true);
    }
  });

  labTest("a port in use is refused, and the old one kept", async (lab) => {
    const namespace = await lab.namespace("n");
    const first = await start(lab, namespace, "v");
    const second = await start(lab, namespace, "w");
    await first.up(["10.77.0.1/32"]);
    await second.up(["10.77.0.2/32"]);
    await first.set(["listen-port", "40404"]);
    const result = await attempt(["wg", "set", second.name, "listen-port", "40404"]);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("Address already in use");
    await second.set(["listen-port", "40405"]);
    expect(await second.listenPort()).toBe(40_405);
    expect(second.program.isRunning).toBe(true);
  });

  labTest("a given TUN descriptor is used", async (lab) => {
    const namespace = await lab.namespace("n");
    const name = lab.interfaceName("w");
    const withTun = fileURLToPath(new URL("./harness/with-tun.mjs", import.meta.url));
    const holder = namespace.spawn([process.execPath, withTun, name, ...foreground, name]);
    await until("the socket answers", async () => {
      if (!holder.isRunning) throw new Error(holder.output);
      return (await attempt(["wg", "show", name])).code === 0;
    });
    expect(await namespace.hasLink(name)).toBe(true);
    expect((await holder.stop()).code).toBe(0);
    expect(existsSync(socketPath(name))).toBe(false);
  });

  labTest("it lives through a restart of the other side", async (lab) => {
    const a = await lab.namespace("a");
    const b = await lab.namespace("b");
    await lab.cable(
      { namespace: a, name: lab.name("va"), addresses: ["192.0.2.1/24"] },
      { namespace: b, name: lab.name("vb"), addresses: ["192.0.2.2/24"] },
    );
    const near = await start(lab, a, "na");
    const keys = near.keys;
    let far = await start(lab, b, "nb");
    const farKeys = far.keys;
    for (const round of [0, 1]) {
      if (round === 1) {
        await far.stop();
        far = await start(lab, b, "nb");
        far.keys = farKeys;
      }
      await far.configure([{ publicKey: keys.publicKey, allowedIps: ["10.77.0.1/32"] }], 51820);
      await far.up(["10.77.0.2/24"]);
      if (round === 0) {
        const allowedIps = ["10.77.0.2/32"];
        const endpoint = "192.0.2.2:51820";
        await near.configure([{ publicKey: farKeys.publicKey, allowedIps, endpoint }]);
        await near.up(["10.77.0.1/24"]);
      }
      // After a restart the near side has a session that the far one does not know: 15 s until it sees that.
      await pingUntil(a, "10.77.0.2", 45_000);
      expect((await ping(b, "10.77.0.1")).received).toBe(3);
    }
  });
});
