/** wg-quick starts the subject, configures it, and takes it down again, in namespaces and with files of our own. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, type TestContext } from "vitest";
import type { Implementation } from "../../src/cli/demo/implementations.ts";
import { startCommand } from "../../src/cli/demo/implementations.ts";
import { generateKeys, type KeyPair } from "../../src/cli/demo/keys.ts";
import { type Lab, type Namespace, socketPath } from "../../src/cli/demo/lab.ts";
import { iperf, ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { skip } from "./harness/skip.ts";
import { PAIRS } from "./harness/subject.ts";

const PORT = 51820;

/** One end that wg-quick makes. */
class QuickEnd {
  readonly keys: KeyPair = generateKeys();
  readonly name: string;
  readonly file: string;
  readonly #environment: Readonly<Record<string, string>>;

  readonly namespace: Namespace;
  readonly #lab: Lab;

  constructor(lab: Lab, namespace: Namespace, implementation: Implementation, label: string) {
    this.namespace = namespace;
    this.#lab = lab;
    this.name = lab.interfaceName(label);
    this.file = join(lab.folder, `${this.name}.conf`);
    const command = startCommand(implementation)!.filter((argument) => !argument.startsWith("-"));
    // wg-quick runs one word with the interface's name: the program's own path, not "node program".
    this.#environment = { WG_QUICK_USERSPACE_IMPLEMENTATION: command.at(-1)! };
  }

  write(lines: readonly string[]): void {
    const text = ["[Interface]", `PrivateKey = ${this.keys.privateKey}`, ...lines];
    this.#lab.file(`${this.name}.conf`, `${text.join("\n")}\n`);
  }

  async up(): Promise<void> {
    await this.namespace.exec(["wg-quick", "up", this.file], { environment: this.#environment });
  }

  async down(): Promise<void> {
    await this.namespace.exec(["wg-quick", "down", this.file], { environment: this.#environment });
  }

  /** The interface, its socket and the process that served it are there, or none of them. */
  async isServed(): Promise<boolean> {
    const pids = await this.namespace.exec(["ip", "netns", "pids", this.namespace.name]);
    const signs = [
      await this.namespace.hasLink(this.name),
      existsSync(socketPath(this.name)),
      // One of them is `ip` itself.
      pids.trim().split("\n").length > 1,
    ];
    const count = signs.filter(Boolean).length;
    if (count > 0 && count < signs.length) {
      throw new Error(`${this.name}: link, socket, process are there: ${signs.join(", ")}`);
    }
    return count > 0;
  }
}

function skipWithKernelWireguard(context: TestContext): void {
  if (existsSync("/sys/module/wireguard")) {
    skip(context, "this kernel has WireGuard, so wg-quick uses that and no other");
  }
}

async function makeEnds(lab: Lab, a: Implementation, b: Implementation): Promise<QuickEnd[]> {
  const namespaces = [await lab.namespace("a"), await lab.namespace("b")];
  await lab.cable(
    {
      namespace: namespaces[0]!,
      name: lab.name("v0"),
      addresses: ["192.0.2.1/24", "2001:db8::1/64"],
    },
    {
      namespace: namespaces[1]!,
      name: lab.name("v1"),
      addresses: ["192.0.2.2/24", "2001:db8::2/64"],
    },
  );
  return [new QuickEnd(lab, namespaces[0]!, a, "qa"), new QuickEnd(lab, namespaces[1]!, b, "qb")];
}

async function expectGone(end: QuickEnd): Promise<void> {
  await until(
    `nothing is left of ${end.name}`,
    async () => {
      try {
        return !(await end.isServed());
      } catch {
        return false;
      }
    },
    10_000,
  );
}

for (const { a, b, title } of PAIRS) {
  describe(title, () => {
    labTest("up, traffic, hooks, down, twice", async (lab, context) => {
      skipWithKernelWireguard(context);
      const [near, far] = (await makeEnds(lab, a, b)) as [QuickEnd, QuickEnd];
      const journal = join(lab.folder, "journal");
      near.write([
        "Address = 10.77.0.1/24",
        "Address = fd77::1/64",
        "MTU = 1380",
        `PostUp = echo up %i >> ${journal}`,
        `PostDown = echo down %i >> ${journal}`,
        "[Peer]",
        `PublicKey = ${far.keys.publicKey}`,
        "AllowedIPs = 10.77.0.2/32, fd77::2/128, 10.99.0.0/16",
        `Endpoint = 192.0.2.2:${PORT}`,
      ]);
      far.write([
        "Address = 10.77.0.2/24, fd77::2/64",
        `ListenPort = ${PORT}`,
        "[Peer]",
        `PublicKey = ${near.keys.publicKey}`,
        "AllowedIPs = 10.77.0.1/32, fd77::1/128",
      ]);
      for (let round = 0; round < 2; round++) {
        await far.up();
        await near.up();
        expect(await near.isServed()).toBe(true);
        await pingUntil(near.namespace, "10.77.0.2");
        expect((await ping(near.namespace, "fd77::2")).received).toBe(3);
        expect((await ping(far.namespace, "10.77.0.1")).received).toBe(3);
        const link = await near.namespace.exec(["ip", "link", "show", "dev", near.name]);
        expect(link).toContain("mtu 1380");
        const route = await near.namespace.exec(["ip", "route", "get", "10.99.1.2"]);
        expect(route).toContain(near.name);
        await near.down();
        await far.down();
        for (const end of [near, far]) await expectGone(end);
      }
      const once = `up ${near.name}\ndown ${near.name}\n`;
      expect(readFileSync(journal, "utf8")).toBe(once + once);
    });

    for (const carrier of ["v4", "v6"] as const) {
      labTest(`default routes with a mark, over IP${carrier}`, async (lab, context) => {
        skipWithKernelWireguard(context);
        const [near, far] = (await makeEnds(lab, a, b)) as [QuickEnd, QuickEnd];
        const endpoint = carrier === "v4" ? `192.0.2.2:${PORT}` : `[2001:db8::2]:${PORT}`;
        near.write([
          "Address = 10.77.0.1/32, fd77::1/128",
          "[Peer]",
          `PublicKey = ${far.keys.publicKey}`,
          "AllowedIPs = 0.0.0.0/0, ::/0",
          `Endpoint = ${endpoint}`,
        ]);
        far.write([
          "Address = 10.77.0.2/24, fd77::2/64",
          // Somewhere on the far side of the tunnel.
          "Address = 198.51.100.7/32, 2001:db8:f::7/128",
          `ListenPort = ${PORT}`,
          "[Peer]",
          `PublicKey = ${near.keys.publicKey}`,
          "AllowedIPs = 10.77.0.1/32, fd77::1/128",
        ]);
        // Without the mark, the tunnel's own datagrams would go into the tunnel.
        await near.namespace.ip([
          "route add default via 192.0.2.2",
          "route add ::/0 via 2001:db8::2",
        ]);
        await far.up();
        await near.up();
        expect(await near.namespace.exec(["wg", "show", near.name, "fwmark"])).toMatch(/^0x/);
        await pingUntil(near.namespace, "198.51.100.7");
        expect((await ping(near.namespace, "2001:db8:f::7")).received).toBe(3);
        const tcp = await iperf(near.namespace, far.namespace, "198.51.100.7", {
          bytes: 5_000_000,
        });
        expect(tcp.bytes).toBeGreaterThan(1_000_000);
        const transfer = await near.namespace.exec(["wg", "show", near.name, "transfer"]);
        expect(Number(transfer.trim().split("\t")[2])).toBeGreaterThan(tcp.bytes);
        await near.down();
        await expectGone(near);
        const rules = await near.namespace.exec(["ip", "rule"]);
        expect(rules).not.toContain("fwmark");
        await far.down();
      });
    }
  });
}
