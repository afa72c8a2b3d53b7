/** A machine to boot: NICs that are ends of veth pairs, routers with dnsmasq at the other ends, and a registry behind the routers. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Lab, Namespace } from "../../../src/cli/demo/lab.ts";
import { type IpRow, LabMachine, powerOn } from "../../../src/cli/demo/lab-machine.ts";
import { type Background, run, until } from "../../../src/control/linux/command.ts";
import type { Nic } from "../../../src/control/model/nic.ts";
import type { Published } from "../../../src/control/node/agent.ts";
import type { BootStatus } from "../../../src/control/node/boot/boot.ts";
import type { ConfigurationStatus } from "../../../src/control/node/configuration.ts";

export const REGISTRY4 = "203.0.113.1";
export const REGISTRY6 = "2001:db8:ffff::1";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export interface PublishedCensus {
  /** The address that it came from. */
  readonly from: string;
  readonly body: Published;
}

/** The Internet: a namespace with the registry, to which routers are connected. */
export class Internet {
  readonly #lab: Lab;
  readonly namespace: Namespace;
  #registry: Background | undefined;

  constructor(lab: Lab, namespace: Namespace) {
    this.#lab = lab;
    this.namespace = namespace;
  }

  static async make(lab: Lab): Promise<Internet> {
    const namespace = await lab.namespace("net");
    await namespace.ip([
      `address add ${REGISTRY4}/32 dev lo`,
      `address add ${REGISTRY6}/128 dev lo nodad`,
    ]);
    return new Internet(lab, namespace);
  }

  async startRegistry(status = 200): Promise<void> {
    const program = [process.execPath, here("registry.mjs"), REGISTRY4, REGISTRY6];
    this.#registry = this.namespace.spawn(program, { STATUS: `${status}` });
    await this.#registry.waitFor("listening");
  }

  async stopRegistry(): Promise<void> {
    await this.#registry?.stop();
  }

  /** Censuses that arrived, the newest last. */
  censuses(): PublishedCensus[] {
    return (this.#registry?.output ?? "")
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as PublishedCensus);
  }

  async router(number: number, options: RouterOptions = {}): Promise<Router> {
    const namespace = await this.#lab.namespace(`r${number}`);
    await this.#lab.cable(
      {
        namespace,
        name: "wan",
        addresses: [`10.255.${number}.2/30`, `2001:db8:ff${number}::2/64`],
      },
      {
        namespace: this.namespace,
        name: `r${number}`,
        addresses: [`10.255.${number}.1/30`, `2001:db8:ff${number}::1/64`],
      },
    );
    await namespace.exec([
      "sysctl",
      "-q",
      "-w",
      "net.ipv4.ip_forward=1",
      "net.ipv6.conf.all.forwarding=1",
    ]);
    await namespace.ip([
      `route add default via 10.255.${number}.1`,
      `route add default via 2001:db8:ff${number}::1`,
    ]);
    await this.namespace.ip([
      `route add 10.${number}.0.0/24 via 10.255.${number}.2`,
      `route add 2001:db8:${number}::/64 via 2001:db8:ff${number}::2`,
    ]);
    return new Router(this.#lab, namespace, number, options);
  }
}

export interface RouterOptions {
  /** Without it there is no DHCP. */
  readonly dhcp?: boolean;
  readonly ra?: boolean;
  /** More options of dnsmasq. */
  readonly extra?: readonly string[];
}

/** A LAN's router: 10.N.0.1/24 and 2001:db8:N::1/64 on `lan`. */
export class Router {
  readonly namespace: Namespace;
  readonly number: number;
  readonly #lab: Lab;
  readonly #options: RouterOptions;
  #dnsmasq: Background | undefined;

  constructor(lab: Lab, namespace: Namespace, number: number, options: RouterOptions) {
    this.#lab = lab;
    this.namespace = namespace;
    this.number = number;
    this.#options = options;
  }

  /** After its `lan` is there. With `forget` it knows no lease of before. */
  async serve(again: { range?: string; forget?: boolean } = {}): Promise<void> {
    const { number } = this;
    const { range = `10.${number}.0.50,10.${number}.0.99` } = again;
    const leases = join(this.#lab.folder, `leases${number}`);
    if (again.forget === true) rmSync(leases, { force: true });
    const { dhcp = true, ra = false, extra = [] } = this.#options;
    if (!dhcp && !ra) return;
    this.#dnsmasq = this.namespace.spawn([
      "dnsmasq",
      "--keep-in-foreground",
      "--conf-file=/dev/null",
      "--no-resolv",
      "--no-hosts",
      "--no-ping",
      "--user=root",
      "--pid-file=",
      "--log-facility=-",
      "--interface=lan",
      "--dhcp-authoritative",
      `--dhcp-leasefile=${leases}`,
      `--host-record=registry.test,${REGISTRY4},${REGISTRY6}`,
      ...(dhcp ? [`--dhcp-range=${range},255.255.255.0,2m`] : []),
      ...(ra ? ["--enable-ra", `--dhcp-range=2001:db8:${number}::,ra-only,64`] : []),
      ...extra,
    ]);
    await this.#dnsmasq.waitFor("started");
  }

  async stop(): Promise<void> {
    await this.#dnsmasq?.stop();
  }

  /** Packets that the machine's NIC at this router has sent, by counters of the router's end. */
  async received(): Promise<number> {
    return Number(await this.namespace.exec(["cat", "/sys/class/net/lan/statistics/rx_packets"]));
  }
}

export interface BootEvent {
  readonly event: string;
  readonly [key: string]: unknown;
}

export interface Reply {
  readonly status: BootStatus;
  readonly configuration: ConfigurationStatus;
  readonly nics: readonly Nic[];
  readonly error?: string;
  readonly kind?: string;
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

export class BootMachine extends LabMachine {
  readonly events: BootEvent[] = [];
  #node: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #requests = 0;

  static async make(lab: Lab, label = "m"): Promise<BootMachine> {
    return new BootMachine(await powerOn(lab, label));
  }

  async hasLink(name: string): Promise<boolean> {
    return (await this.links()).includes(name);
  }

  /** Processes of a name in this machine's own network namespace. */
  async pids(name: string): Promise<number[]> {
    const inside = (await run(["ip", "netns", "pids", this.host.name])).split("\n");
    return inside
      .filter(Boolean)
      .map(Number)
      .filter((pid) => commandOf(pid) === name);
  }

  async link(name: string): Promise<IpRow> {
    const [link] = await this.ip(`-d link show dev ${name}`);
    if (link === undefined) throw new Error(`no link ${name}`);
    return link;
  }

  /** A NIC whose cable ends at a router, which serves from now on. It is down, as after power-on. */
  async plug(nic: string, router: Router): Promise<void> {
    const { namespace, number } = router;
    await run(
      `ip link add ${nic} netns ${this.host.name} type veth peer name lan netns ${namespace.name}`.split(
        " ",
      ),
    );
    await namespace.ip([
      `address add 10.${number}.0.1/24 dev lan`,
      `address add 2001:db8:${number}::1/64 dev lan nodad`,
      "link set dev lan up",
    ]);
    await router.serve();
  }

  /** A NIC without a carrier. */
  async plugNothing(nic: string): Promise<void> {
    await run(
      `ip link add ${nic} netns ${this.host.name} type veth peer name x${nic} netns ${this.host.name}`.split(
        " ",
      ),
    );
  }

  /** Starts the node's boot program. */
  start(settings: Readonly<Record<string, unknown>> = {}): void {
    const full = {
      registry: `http://${REGISTRY4}/`,
      state: join(this.lab.folder, "node-config.json"),
      ...settings,
      times: {
        carrierMs: 1_500,
        dhcpTries: 4,
        routerMs: 4_000,
        askMs: 2_000,
        checkMs: 1_000,
        deadMs: 2_000,
        retryMaxMs: 1_000,
        ...(settings["times"] as object | undefined),
      },
    };
    const [program = "", ...args] = this.command([
      process.execPath,
      here("../boot-user.mjs"),
      JSON.stringify(full),
    ]);
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    if (child.pid !== undefined) this.lab.adopt(child.pid);
    this.#node = child;
    this.events.length = 0;
    createInterface({ input: child.stdout }).on("line", (line) => {
      this.events.push(JSON.parse(line) as BootEvent);
    });
    createInterface({ input: child.stderr }).on("line", (text) => {
      this.events.push({ event: "stderr", text });
    });
    this.#ended = new Promise((resolve) => child.once("close", () => resolve()));
  }

  /** Ends it with a signal and waits until it has ended. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    this.#node?.kill(signal);
    await this.#ended;
  }

  /** Sends a request without waiting; its number. */
  send(request: Readonly<Record<string, unknown>>): number {
    this.#requests += 1;
    this.#node?.stdin?.write(`${JSON.stringify({ id: this.#requests, ...request })}\n`);
    return this.#requests;
  }

  async request(request: Readonly<Record<string, unknown>>): Promise<Reply> {
    const id = this.send(request);
    const answer = await this.until(`an answer to ${JSON.stringify(request)}`, () =>
      this.events.find((event) => event.event === "answer" && event["id"] === id),
    );
    return answer as unknown as Reply;
  }

  async status(): Promise<BootStatus> {
    return (await this.request({ status: true })).status;
  }

  /** As `until`, with the machine's events in the error. */
  async until<T>(
    what: string,
    ask: () => T | undefined | false | Promise<T | undefined | false>,
    limitMs = 40_000,
  ): Promise<T> {
    try {
      return await until(what, ask, limitMs, 100);
    } catch (error) {
      const lines = this.events.map((event) => JSON.stringify(event)).slice(-60);
      throw new Error(`${(error as Error).message}\n${lines.join("\n")}`);
    }
  }

  async untilState(state: string, why = ""): Promise<void> {
    await this.until(`the state is "${state}" ${why}`, async () => {
      const status = await this.status();
      return status.state === state && status.why.includes(why);
    });
  }

  /** Global addresses of a link, without lengths. */
  async addresses(link: string, namespace?: string): Promise<string[]> {
    const inside = namespace === undefined ? "" : `-n ${namespace} `;
    const [row] = await this.ip(`${inside}address show dev ${link}`);
    return (row?.addr_info ?? [])
      .filter(({ scope }) => scope === "global")
      .map(({ local }) => local);
  }
}
