/**
 * The network of the soak: a hub, which is the program under test, and three spokes around it. `steady` lives as long as the hub and
 * moves now and then, `guest` is another implementation where there is one and is now and then unknown to the hub, `frail` is
 * restarted, killed, stopped and cut off.
 */
import { fileURLToPath } from "node:url";
import { type Implementation, startCommand } from "../../src/cli/demo/implementations.ts";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import { addressLine, type Lab, type Namespace } from "../../src/cli/demo/lab.ts";
import { pingUntil } from "../../src/cli/demo/measure.ts";
import { configurationText, WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { type Background, run } from "../../src/control/linux/command.ts";

export const SPOKES = ["steady", "guest", "frail"] as const;
export type SpokeTitle = (typeof SPOKES)[number];

export interface Spoke {
  readonly title: SpokeTitle;
  readonly namespace: Namespace;
  /** Another one after a restart. */
  node: WireguardNode;
  readonly inner: string;
  readonly outer: string;
  readonly hubOuter: string;
  readonly cable: string;
}

export interface Hub {
  readonly namespace: Namespace;
  readonly name: string;
  readonly program: Background;
  /** How often it did what it was signalled to do. */
  readonly done: { churned: number; revived: number };
}

export interface Network {
  readonly lab: Lab;
  readonly hub: Hub;
  readonly hubKey: string;
  readonly spokes: Readonly<Record<SpokeTitle, Spoke>>;
}

export const HUB_INNER = "10.77.0.1";
const PORT = 51_820;
const KEEPALIVE_SECONDS = 5;
const HUB_CHILD = fileURLToPath(new URL("./hub-child.js", import.meta.url));

export async function makeNetwork(lab: Lab, lanes: number): Promise<Network> {
  const namespace = await lab.namespace("hn");
  const name = lab.interfaceName("h");
  const command = [process.execPath, HUB_CHILD, name, `${lanes}`, lab.name("c")];
  const program = namespace.spawn(command);
  await program.waitFor("serving");
  const keys = generateKeys();
  const steady = await makeSpoke(lab, namespace, "steady", 0);
  const guest = await makeSpoke(lab, namespace, "guest", 1);
  const frail = await makeSpoke(lab, namespace, "frail", 2);
  const spokes = { steady, guest, frail };
  const peers = Object.values(spokes).map(({ node, inner }) => ({
    publicKey: node.keys.publicKey,
    allowedIps: [`${inner}/32`],
  }));
  const text = configurationText(keys.privateKey, peers, PORT);
  await run(["wg", "setconf", name, lab.file("hub.conf", text)]);
  await namespace.ip([addressLine(`${HUB_INNER}/24`, name), `link set dev ${name} up`]);
  const network = {
    lab,
    hub: { namespace, name, program, done: { churned: 0, revived: 0 } },
    hubKey: keys.publicKey,
    spokes,
  };
  for (const spoke of Object.values(spokes)) {
    await configureSpoke(network, spoke);
    await pingUntil(namespace, spoke.inner);
  }
  return network;
}

function implementationOf(title: SpokeTitle): Implementation {
  return title === "guest" && startCommand("wireguard-go") !== undefined
    ? "wireguard-go"
    : "wirehaul";
}

async function makeSpoke(
  lab: Lab,
  hub: Namespace,
  title: SpokeTitle,
  index: number,
): Promise<Spoke> {
  const namespace = await lab.namespace(`${index}n`);
  const node = await WireguardNode.start(lab, {
    implementation: implementationOf(title),
    namespace,
    label: `${index}w`,
    // Each packet that cannot be sent while a cable is cut would be a line.
    environment: { LOG_LEVEL: "error" },
  });
  const spoke = {
    ...{ title, namespace, node },
    inner: `10.77.0.${index + 2}`,
    outer: `192.168.${index}.2`,
    hubOuter: `192.168.${index}.1`,
    cable: lab.name(`${index}v`),
  };
  await lab.cable(
    { namespace: hub, name: lab.name(`${index}h`), addresses: [`${spoke.hubOuter}/24`] },
    { namespace, name: spoke.cable, addresses: [`${spoke.outer}/24`] },
  );
  return spoke;
}

/** Tells a spoke where the hub is, and brings it up. */
export async function configureSpoke(network: Network, spoke: Spoke): Promise<void> {
  await spoke.node.configure([
    {
      publicKey: network.hubKey,
      allowedIps: ["10.77.0.0/24"],
      endpoint: `${spoke.hubOuter}:${PORT}`,
      keepaliveSeconds: KEEPALIVE_SECONDS,
    },
  ]);
  await spoke.node.up([`${spoke.inner}/24`]);
}
