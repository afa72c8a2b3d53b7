/** The package used by its name from another program, with real interfaces: set up, used, asked, closed, and nothing left. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describe, expect } from "vitest";
import { generateKeys, generatePsk } from "../../src/cli/demo/keys.ts";
import { addressLine, type Lab, type Namespace } from "../../src/cli/demo/lab.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { until } from "../../src/control/linux/command.ts";
import type { Configuration, CreateDeviceOptions, InterfaceStatus } from "../../src/index.ts";
import { labTest } from "./harness/lab-test.ts";
import { REFERENCE } from "./harness/subject.ts";

const PROGRAM = fileURLToPath(new URL("./library-user.mjs", import.meta.url));
/** Ours, for each answer and for the end after the parent has disconnected. */
const WITHIN_MS = 10_000;

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

interface Resources {
  readonly descriptors: readonly string[];
  readonly handles: readonly string[];
}

/** A process in a namespace that uses the library. */
class LibraryUser {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | string>;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #errors = "";
  #nextId = 1;

  private constructor(lab: Lab, namespace: Namespace) {
    const [program = "", ...args] = namespace.command([process.execPath, PROGRAM]);
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe", "ipc"] });
    lab.adopt(child.pid!);
    this.#child = child;
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.#errors += text;
      });
    }
    child.on("message", (answer: Answer) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    // Not its "close" event, which does not come after a disconnect.
    const ends = [child.stdout!, child.stderr!].map((stream) => once(stream, "end"));
    this.#ended = once(child, "exit").then(async ([code, signal]) => {
      await Promise.all(ends);
      return (code ?? signal) as number | string;
    });
  }

  static async start(lab: Lab, namespace: Namespace): Promise<LibraryUser> {
    const user = new LibraryUser(lab, namespace);
    await user.#answer(0, "start");
    return user;
  }

  /** Rejects with what the call rejected with. */
  async call<T = void>(call: string, ...args: readonly unknown[]): Promise<T> {
    const id = this.#nextId++;
    const answer = this.#answer(id, call);
    this.#child.send({ id, call, args });
    const { value, error } = await answer;
    if (error !== undefined) throw new Error(error);
    return value as T;
  }

  create(label: string, options: CreateDeviceOptions): Promise<string> {
    return this.call("create", label, options);
  }

  /** Lets it end by itself, and expects that it does, with nothing printed. */
  async expectEnd(): Promise<void> {
    this.#child.disconnect();
    expect(await within(this.#ended, "the end of the process")).toBe(0);
    expect(this.#errors).toBe("");
  }

  #answer(id: number, call: string): Promise<Answer> {
    const answer = new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
    });
    const ended = this.#ended.then((code): never => {
      throw new Error(`the process ended with ${code} during ${call}: ${this.#errors}`);
    });
    return within(Promise.race([answer, ended]), `an answer to ${call}`);
  }
}

async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited 10 s in vain for ${what}`)), WITHIN_MS);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

async function cabledNamespaces(lab: Lab): Promise<readonly [Namespace, Namespace]> {
  const a = await lab.namespace("an");
  const b = await lab.namespace("bn");
  await lab.cable(
    { namespace: a, name: lab.name("av"), addresses: ["192.0.2.1/24", "2001:db8::1/64"] },
    { namespace: b, name: lab.name("bv"), addresses: ["192.0.2.2/24", "2001:db8::2/64"] },
  );
  return [a, b];
}

async function up(namespace: Namespace, name: string, address: string): Promise<void> {
  await namespace.ip([addressLine(address, name), `link set dev ${name} up`]);
}

describe("a tunnel", () => {
  labTest("between two programs that use the library", async (lab) => {
    const [a, b] = await cabledNamespaces(lab);
    const [near, far] = [await LibraryUser.start(lab, a), await LibraryUser.start(lab, b)];
    const [nearKeys, farKeys, psk] = [generateKeys(), generateKeys(), generatePsk()];
    const nearName = await near.create("w", { name: lab.name("aw"), ...nearKeys });
    const farName = await far.create("w", {
      name: lab.name("bw"),
      privateKey: farKeys.privateKey,
      listenPort: 51820,
      mtu: 1380,
      peers: [{ publicKey: nearKeys.publicKey, presharedKey: psk, allowedIps: ["10.77.0.1/32"] }],
    });
    await up(a, nearName, "10.77.0.1/24");
    await up(b, farName, "10.77.0.2/24");
    await near.call("configure", "w", {
      peers: [
        {
          publicKey: farKeys.publicKey,
          presharedKey: psk,
          endpoint: "192.0.2.2:51820",
          allowedIps: ["10.77.0.2/32"],
          persistentKeepalive: 25,
        },
      ],
    } satisfies Configuration);
    await pingUntil(a, "10.77.0.2");
    expect((await ping(b, "10.77.0.1", { count: 20 })).received).toBe(20);
    const status = await near.call<InterfaceStatus>("status", "w");
    expect(status).toMatchObject({ name: nearName, isUp: true, mtu: 1420, drops: {} });
    expect(status.peers).toHaveLength(1);
    expect(status.peers[0]).toMatchObject({
      publicKey: farKeys.publicKey,
      endpoint: "192.0.2.2:51820",
      source: "192.0.2.1",
      handshakes: 1,
    });
    expect(status.peers[0]!.rxBytes).toBeGreaterThan(20 * 100);
    expect(await far.call("status", "w")).toMatchObject({ mtu: 1380, listenPort: 51820 });
    // A peer that is not named stays, unless it is said.
    await near.call("configure", "w", { fwmark: 7 });
    expect((await near.call<InterfaceStatus>("status", "w")).peers).toHaveLength(1);
    await near.call("configure", "w", { replacePeers: true });
    expect((await near.call<InterfaceStatus>("status", "w")).peers).toHaveLength(0);
    for (const user of [near, far]) {
      await user.call("close", "w");
      expect(await user.call("ended", "w")).toBe("closed");
      await user.expectEnd();
    }
    expect(await a.hasLink(nearName)).toBe(false);
    expect(await b.hasLink(farName)).toBe(false);
  });

  labTest(`with ${REFERENCE} on the other side, over IPv6`, async (lab) => {
    const [a, b] = await cabledNamespaces(lab);
    const settings = { implementation: REFERENCE, namespace: b, label: "bw" };
    const far = await WireguardNode.start(lab, settings);
    const keys = generateKeys();
    await far.configure([{ publicKey: keys.publicKey, allowedIps: ["10.77.0.1/32"] }], 51820);
    await far.up(["10.77.0.2/24"]);
    const near = await LibraryUser.start(lab, a);
    const name = await near.create("w", {
      name: lab.name("aw"),
      privateKey: keys.privateKey,
      peers: [
        {
          publicKey: far.keys.publicKey,
          endpoint: "[2001:db8::2]:51820",
          allowedIps: ["10.77.0.2/32"],
        },
      ],
    });
    await up(a, name, "10.77.0.1/24");
    await pingUntil(a, "10.77.0.2");
    expect((await ping(b, "10.77.0.1", { count: 20 })).received).toBe(20);
    const log = await near.call<string[]>("log");
    expect(log.some((line) => line.startsWith(`verbose ${name} `))).toBe(true);
    await near.call("close", "w");
    await near.expectEnd();
    expect(await a.hasLink(name)).toBe(false);
  });
});

describe("the end", () => {
  labTest("nothing stays open after many interfaces", async (lab) => {
    const namespace = await lab.namespace("n");
    const user = await LibraryUser.start(lab, namespace);
    const round = async (): Promise<void> => {
      const name = await user.create("w", { name: lab.name("w"), listenPort: 51820 });
      await up(namespace, name, "10.77.0.1/24");
      await until("it is up", async () => {
        return (await user.call<InterfaceStatus>("status", "w")).isUp;
      });
      await user.call("close", "w");
      expect(await namespace.hasLink(name)).toBe(false);
    };
    await round();
    const before = await user.call<Resources>("resources");
    for (let index = 0; index < 5; index++) await round();
    const after = await user.call<Resources>("resources");
    expect(after).toEqual(before);
    expect(after.descriptors.join()).not.toMatch(/net\/tun|socket:\[.*UDP/);
    await user.expectEnd();
  });

  labTest("an interface that somebody deletes ends, and a call after it says so", async (lab) => {
    const namespace = await lab.namespace("n");
    const user = await LibraryUser.start(lab, namespace);
    const name = await user.create("w", { name: lab.name("w") });
    await namespace.ip([`link del ${name}`]);
    expect(await user.call("ended", "w")).toBe("closed");
    await expect(user.call("status", "w")).rejects.toThrow(name);
    await expect(user.call("configure", "w", { fwmark: 1 })).rejects.toThrow(name);
    await user.call("close", "w");
    await user.expectEnd();
  });

  labTest("closing twice, and calls after it", async (lab) => {
    const namespace = await lab.namespace("n");
    const user = await LibraryUser.start(lab, namespace);
    const name = await user.create("w", { name: lab.name("w") });
    await user.call("close", "w");
    await user.call("close", "w");
    await expect(user.call("status", "w")).rejects.toThrow(name);
    await user.expectEnd();
  });

  labTest("one interface's end does not disturb another in the same process", async (lab) => {
    const [a, b] = await cabledNamespaces(lab);
    const [near, far] = [await LibraryUser.start(lab, a), await LibraryUser.start(lab, b)];
    const names: string[] = [];
    for (const [index, label] of ["v", "w"].entries()) {
      const [nearKeys, farKeys] = [generateKeys(), generateKeys()];
      const inner = (host: number): string => `10.${77 + index}.0.${host}`;
      const port = 51820 + index;
      for (const [user, own, other, host] of [
        [near, nearKeys, farKeys, 1],
        [far, farKeys, nearKeys, 2],
      ] as const) {
        const name = await user.create(label, {
          name: lab.name(`${label}${host}`),
          privateKey: own.privateKey,
          listenPort: port,
          peers: [
            {
              publicKey: other.publicKey,
              endpoint: `192.0.2.${3 - host}:${port}`,
              allowedIps: [`${inner(3 - host)}/32`],
            },
          ],
        });
        await up(host === 1 ? a : b, name, `${inner(host)}/24`);
        names.push(name);
      }
    }
    const [first, , second] = names as [string, string, string];
    for (const address of ["10.77.0.2", "10.78.0.2"]) await pingUntil(a, address);
    const pings = ping(a, "10.78.0.2", { count: 200, intervalSeconds: 0.01 });
    await near.call("close", "v");
    expect(await a.hasLink(first)).toBe(false);
    const result = await pings;
    expect(result.received).toBe(result.sent);
    expect(await near.call("status", "w")).toMatchObject({ name: second, isUp: true });
    // Its name is free again.
    expect(await near.create("v", { name: first })).toBe(first);
    for (const user of [near, far]) {
      for (const label of ["v", "w"]) await user.call("close", label);
      await user.expectEnd();
    }
  });
});

describe("wrong arguments", () => {
  const key = generateKeys().publicKey;
  const peer = (settings: object): object => ({ peers: [{ publicKey: key, ...settings }] });
  const mistakes: readonly (readonly [string, object, RegExp])[] = [
    [
      "a name of 16 characters",
      { name: "wh0123456789abcd" },
      /16 bytes, Linux allows 15: use a sh/,
    ],
    ["an empty name", { name: "" }, /interface name is empty/],
    ["no name", { name: undefined }, /name/],
    ["a name with /", { name: "a/b" }, /"a\/b" cannot be an interface name/],
    [
      "a bad private key",
      { privateKey: "nonsense" },
      /^\w+: privateKey .* 44 characters of base64/,
    ],
    ["a bad public key", { peers: [{ publicKey: "x" }] }, /publicKey .* 44 characters of base64/],
    ["no public key", { peers: [{}] }, /publicKey .* 44 characters of base64/],
    ["a bad preshared key", peer({ presharedKey: key.slice(1) }), /presharedKey .* 44 characters/],
    [
      "an endpoint by name",
      peer({ endpoint: "vpn.example.org:1" }),
      /"vpn.example.org:1" is not ADD/,
    ],
    [
      "an endpoint without port",
      peer({ endpoint: "192.0.2.1" }),
      /"192.0.2.1" is not ADDRESS:PORT/,
    ],
    [
      "an allowed IP",
      peer({ allowedIps: ["10.0.0.0/33"] }),
      /"10.0.0.0\/33" is not ADDRESS\/LENGTH/,
    ],
    ["a keepalive", peer({ persistentKeepalive: -1 }), /persistentKeepalive is -1.* 0 to 65535/],
    ["a port", { listenPort: 65_536 }, /listenPort is 65536, .* from 0 to 65535/],
    ["a mark", { fwmark: 0.5 }, /fwmark is 0.5, it must be an integer from 0 to 4294967295/],
    ["an MTU", { mtu: 100_000 }, /MTU .* 100000/],
    ["a cipher", { crypto: "rot13" }, /crypto .*rot13/],
  ];

  labTest("are named, with what would be right, and leave nothing", async (lab) => {
    const namespace = await lab.namespace("n");
    const user = await LibraryUser.start(lab, namespace);
    const seen: Record<string, string> = {};
    const expected: Record<string, unknown> = {};
    for (const [what, settings, reason] of mistakes) {
      const options = { name: lab.name("w"), ...settings };
      const created = user.create("w", options as CreateDeviceOptions);
      seen[what] = await created.then(
        (name) => `accepted as ${name}`,
        (error: Error) => error.message,
      );
      expected[what] = expect.stringMatching(reason);
      if (seen[what]?.startsWith("accepted")) await user.call("close", "w");
    }
    expect(seen).toEqual(expected);
    expect(await namespace.hasLink(lab.name("w"))).toBe(false);
    await user.expectEnd();
  });

  labTest("a name in use", async (lab) => {
    const namespace = await lab.namespace("n");
    const name = lab.name("w");
    await namespace.ip([`link add ${name} type bridge`]);
    const user = await LibraryUser.start(lab, namespace);
    await expect(user.create("w", { name })).rejects.toThrow(`ip link show ${name}`);
    const own = await user.create("v", { name: lab.name("v") });
    await expect(user.create("w", { name: own })).rejects.toThrow(/exists already .*another name/);
    await user.call("close", "v");
    await user.expectEnd();
    expect(await namespace.hasLink(name)).toBe(true);
  });

  labTest("a port in use", async (lab) => {
    const namespace = await lab.namespace("n");
    const user = await LibraryUser.start(lab, namespace);
    const name = await user.create("v", { name: lab.name("v"), listenPort: 51820 });
    await up(namespace, name, "10.77.0.1/24");
    await until("it is up", async () => {
      return (await user.call<InterfaceStatus>("status", "v")).isUp;
    });
    const second = lab.name("w");
    await expect(user.create("w", { name: second, listenPort: 51820 })).rejects.toThrow(
      new RegExp(`${second} .*listenPort 51820.*EADDRINUSE`),
    );
    expect(await namespace.hasLink(second)).toBe(false);
    expect(await user.call("status", "v")).toMatchObject({ isUp: true, listenPort: 51820 });
    await user.call("close", "v");
    await user.expectEnd();
  });
});
