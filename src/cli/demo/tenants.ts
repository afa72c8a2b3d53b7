/**
 * Two tenants with the same addresses on two nodes: each node is a machine with `wirehaul node run`, in a LAN of its own, with a
 * router to the same Internet. Set up by the commands that a user has; what is then seen comes back as checks.
 */
import { until } from "../../control/linux/command.ts";
import { generateKeys } from "./keys.ts";
import type { Lab, Namespace } from "./lab.ts";
import { LabMachine, powerOn } from "./lab-machine.ts";
import { type PingResult, type Place, ping } from "./measure.ts";
import type { Check } from "./report.ts";

export const TENANTS = ["red", "green"] as const;
type Tenant = (typeof TENANTS)[number];

export interface TenantsReport {
  readonly checks: readonly Check[];
  /** What `wirehaul node explain` says on node a of the address that both tenants have on node b. */
  readonly explanation: string;
}

const INTERNET = "203.0.113.1";
/** LANs of the nodes, as RFC 5737 has them for documents; a node is .1, its router .254. */
const LANS = ["192.0.2", "198.51.100"] as const;
const CABLE_MTU = 1500;
/** Outer IPv6 and UDP header, and WireGuard's own 32 bytes (WP 5.4.6). */
const OVERHEAD = 80;
/** IPv4 and ICMP header of a ping. */
const PING_HEADERS = 28;
const PORTS: Readonly<Record<Tenant, number>> = { red: 3001, green: 3002 };
const BURST = { count: 3, intervalSeconds: 0.05 };
const SILENCE = { ...BURST, waitSeconds: 1 };
/** What both have on node b, and what red alone has. */
const SHARED4 = "10.1.2.5";
const SHARED6 = "fd00:1:0:2::5";
const RED_ONLY = "10.1.2.7";

const SERVER = `require("node:http").createServer((asked, answer) => answer.end(asked.socket.remoteAddress)).listen(80, "${INTERNET}", () => console.log("listening"))`;
const CLIENT = `fetch("http://${INTERNET}/", { signal: AbortSignal.timeout(5000) }).then((answer) => answer.text()).then((text) => process.stdout.write(text), () => process.stdout.write("nothing"))`;

/** Throws what could not even be set up. */
export async function showTenants(lab: Lab, tell: (text: string) => void): Promise<TenantsReport> {
  tell("two machines with a LAN each, a router, the Internet; wirehaul node run on both");
  const machines = await twoSites(lab);
  await Promise.all(machines.map((machine) => machine.runNode()));
  tell(`${TENANTS.join(" and ")}: wirehaul network add --local, attach --local, on both`);
  const keys = { red: [generateKeys(), generateKeys()], green: [generateKeys(), generateKeys()] };
  await Promise.all(
    machines.map(async (machine, side) => {
      for (const tenant of TENANTS) {
        await addNetwork(machine, tenant, side, keys[tenant]);
        await attach(machine, tenant, "w", [5], side);
      }
    }),
  );
  const [a, b] = machines;
  await attach(b, "red", "only", [7], 1);
  tell("what each reaches");
  return {
    checks: [
      ...(await Promise.all(TENANTS.map((tenant) => reachesOwn(a, tenant)))),
      await arrivesInOwn(a, b),
      await isHidden(a, b),
      ...(await Promise.all(TENANTS.map((tenant) => reachesInternet(a, tenant)))),
      await isKeptOffLan(a),
      await mtu(a),
      await path(a),
    ],
    explanation: await a.wirehaul(["node", "explain", SHARED4]),
  };
}

async function twoSites(lab: Lab): Promise<readonly [LabMachine, LabMachine]> {
  const internet = await lab.namespace("in");
  await internet.exec(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  await internet.ip([`address add ${INTERNET}/32 dev lo`]);
  const server = internet.spawn([process.execPath, "-e", SERVER]);
  await server.waitFor("listening");
  return [await site(lab, internet, 0), await site(lab, internet, 1)];
}

async function site(lab: Lab, internet: Namespace, side: 0 | 1): Promise<LabMachine> {
  const machine = new LabMachine(await powerOn(lab, `m${side}`));
  await lab.cable(
    { namespace: machine.host, name: "up0", addresses: [`${LANS[side]}.1/24`] },
    { namespace: internet, name: `lan${side}`, addresses: [`${LANS[side]}.254/24`] },
    CABLE_MTU,
  );
  await machine.host.ip([`route add default via ${LANS[side]}.254`]);
  return machine;
}

async function addNetwork(
  machine: LabMachine,
  tenant: Tenant,
  side: number,
  keys: readonly ReturnType<typeof generateKeys>[],
): Promise<void> {
  const other = 1 - side;
  const resource = {
    id: tenant,
    name: tenant,
    owner: tenant,
    range: "10.1.0.0/16",
    range6: "fd00:1::/48",
    subnet: `10.1.${side + 1}.0/24`,
    subnet6: `fd00:1:0:${side + 1}::/64`,
    privateKey: keys[side]?.privateKey,
    listenPort: PORTS[tenant],
    peers: [
      {
        publicKey: keys[other]?.publicKey,
        endpoint: `${LANS[other]}.1:${PORTS[tenant]}`,
        allowedIps: [`10.1.${other + 1}.0/24`, `fd00:1:0:${other + 1}::/64`],
      },
    ],
  };
  await machine.wirehaul(["network", "add", "-", "--local"], JSON.stringify(resource));
}

function placeName(tenant: Tenant, workload: string): string {
  return `${tenant}-${workload}`;
}

/** A workload in a namespace that the node makes; its hosts in both families. */
async function attach(
  machine: LabMachine,
  tenant: Tenant,
  id: string,
  hosts: readonly number[],
  side: number,
): Promise<void> {
  const workload = {
    kind: "join",
    id,
    namespace: placeName(tenant, id),
    addresses: hosts.flatMap((host) => [
      `10.1.${side + 1}.${host}`,
      `fd00:1:0:${side + 1}::${host}`,
    ]),
  };
  const args = ["network", "attach", tenant, "-", "--local"];
  await machine.wirehaul(args, JSON.stringify(workload));
}

function place(machine: LabMachine, tenant: Tenant): Place {
  return {
    attempt: (command, options) => machine.attempt(command, placeName(tenant, "w"), options),
  };
}

function isAnswered(result: PingResult): boolean {
  return result.sent > 0 && result.received === result.sent;
}

function answers({ received, sent }: PingResult): string {
  return `${received} of ${sent} answered`;
}

/** The first ping makes the tunnel and both sides' neighbour entries; what is counted comes after it. */
async function warmUp(from: Place, address: string): Promise<void> {
  await until(
    `${address} answers`,
    async () => isAnswered(await ping(from, address, { count: 1, waitSeconds: 1 })),
    10_000,
  ).catch(() => undefined);
}

async function reachesOwn(a: LabMachine, tenant: Tenant): Promise<Check> {
  const from = place(a, tenant);
  const seen: PingResult[] = [];
  for (const address of [SHARED4, SHARED6]) {
    await warmUp(from, address);
    seen.push(await ping(from, address, BURST));
  }
  return {
    title: `${tenant}: a to b`,
    isGood: seen.every(isAnswered),
    text: `${SHARED4} ${answers(seen[0]!)}, ${SHARED6} ${answers(seen[1]!)}`,
  };
}

async function arrivesInOwn(a: LabMachine, b: LabMachine): Promise<Check> {
  const count = (): Promise<number[]> =>
    Promise.all(TENANTS.map((tenant) => b.echoes(placeName(tenant, "w"))));
  const before = await count();
  const { sent } = await ping(place(a, "red"), SHARED4, BURST);
  const after = await count();
  const [red = 0, green = 0] = after.map((value, at) => value - (before[at] ?? 0));
  return {
    title: "red's pings",
    isGood: sent > 0 && red === sent && green === 0,
    text: `of ${sent} to ${SHARED4}, ${red} arrive in red's workload, ${green} in green's of that address`,
  };
}

async function isHidden(a: LabMachine, b: LabMachine): Promise<Check> {
  const red = place(a, "red");
  await warmUp(red, RED_ONLY);
  const own = await ping(red, RED_ONLY, BURST);
  const before = await b.echoes(placeName("red", "only"));
  const others = await ping(place(a, "green"), RED_ONLY, SILENCE);
  const arrived = (await b.echoes(placeName("red", "only"))) - before;
  return {
    title: `${RED_ONLY}, red's`,
    isGood: isAnswered(own) && others.received === 0 && arrived === 0,
    text: `red ${answers(own)}, green ${answers(others)} and ${arrived} arrived`,
  };
}

async function reachesInternet(a: LabMachine, tenant: Tenant): Promise<Check> {
  const client = [process.execPath, "-e", CLIENT];
  const seen = await a.exec(client, placeName(tenant, "w"));
  return {
    title: `${tenant}: Internet`,
    isGood: seen === `${LANS[0]}.1`,
    text: `${INTERNET} sees ${seen}; the node's address is ${LANS[0]}.1`,
  };
}

async function isKeptOffLan(a: LabMachine): Promise<Check> {
  const router = `${LANS[0]}.254`;
  const [node, inside] = await Promise.all([
    ping(a.host, router, SILENCE),
    ping(place(a, "red"), router, SILENCE),
  ]);
  return {
    title: "red: node's LAN",
    isGood: isAnswered(node) && inside.received === 0,
    text: `${router} ${answers(inside)}; to the node itself ${answers(node)}`,
  };
}

async function mtu(a: LabMachine): Promise<Check> {
  const [link] = await a.ip("-n n-red link show dev w-red");
  const size = link?.mtu ?? 0;
  const whole = { count: 1, isWhole: true, waitSeconds: 1 };
  const red = place(a, "red");
  const fits = await ping(red, SHARED4, { ...whole, size: size - PING_HEADERS });
  const bigger = await ping(red, SHARED4, { ...whole, size: size + 1 - PING_HEADERS });
  return {
    title: "MTU inside",
    isGood: size === CABLE_MTU - OVERHEAD && isAnswered(fits) && bigger.received === 0,
    text: `${size}, ${OVERHEAD} less than the cable's: so much passes whole (${answers(fits)}), one byte more does not (${answers(bigger)})`,
  };
}

async function path(a: LabMachine): Promise<Check> {
  const found = JSON.parse(await a.wirehaul(["node", "explain", SHARED4, "--json"])) as {
    readonly network: string;
    readonly way: string;
    readonly endpoint: string | null;
  }[];
  const isGood = TENANTS.every((tenant) =>
    found.some(
      ({ network, way, endpoint }) =>
        network === tenant && way === "peer" && endpoint === `${LANS[1]}.1:${PORTS[tenant]}`,
    ),
  );
  return {
    title: "paths",
    isGood,
    text: found.map(({ network, endpoint }) => `${network} by ${endpoint ?? "nothing"}`).join(", "),
  };
}
