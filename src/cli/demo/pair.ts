/** Two namespaces, a cable between them, and a WireGuard node in each: A reaches out to B. */
import type { Implementation } from "./implementations.ts";
import { generatePsk } from "./keys.ts";
import type { Lab, Namespace } from "./lab.ts";
import { WireguardNode } from "./wireguard-node.ts";

export interface PairSettings {
  readonly a: Implementation;
  readonly b: Implementation;
  /** Which protocol carries the tunnel; IPv4 unless told. */
  readonly carrier?: "v4" | "v6";
  readonly hasPsk?: boolean;
  /** MTU of the tunnel; the implementation's own unless told. */
  readonly mtu?: number;
  readonly cableMtu?: number;
  /** Makes the names; one letter is added. */
  readonly label?: string;
  /** For both programs. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface PairEnd {
  readonly namespace: Namespace;
  readonly node: WireguardNode;
  /** Inside the tunnel. */
  readonly inner4: string;
  readonly inner6: string;
  /** On the cable. */
  readonly outer4: string;
  readonly outer6: string;
  /** The cable's interface. */
  readonly cable: string;
}

export interface Pair {
  readonly a: PairEnd;
  readonly b: PairEnd;
  readonly presharedKey: string | undefined;
}

export const LISTEN_PORT = 51820;

/** B's endpoint as A was given it. */
export function endpointOf(end: PairEnd, carrier: "v4" | "v6", port: number = LISTEN_PORT): string {
  return carrier === "v4" ? `${end.outer4}:${port}` : `[${end.outer6}]:${port}`;
}

/** The inner addresses of one end, as its peer allows them. */
export function innerOf(end: PairEnd): string[] {
  return [`${end.inner4}/32`, `${end.inner6}/128`];
}

export async function makePair(lab: Lab, settings: PairSettings): Promise<Pair> {
  const pair: Pair = {
    a: await makeEnd(lab, settings, "a", 1),
    b: await makeEnd(lab, settings, "b", 2),
    presharedKey: settings.hasPsk ? generatePsk() : undefined,
  };
  const ends = [pair.a, pair.b].map((end) => ({
    namespace: end.namespace,
    name: end.cable,
    addresses: [`${end.outer4}/24`, `${end.outer6}/64`],
  }));
  await lab.cable(ends[0]!, ends[1]!, settings.cableMtu);
  const psk = pair.presharedKey === undefined ? {} : { presharedKey: pair.presharedKey };
  await pair.b.node.configure(
    [{ publicKey: pair.a.node.keys.publicKey, allowedIps: innerOf(pair.a), ...psk }],
    LISTEN_PORT,
  );
  await pair.a.node.configure([
    {
      publicKey: pair.b.node.keys.publicKey,
      allowedIps: innerOf(pair.b),
      endpoint: endpointOf(pair.b, settings.carrier ?? "v4"),
      ...psk,
    },
  ]);
  for (const end of [pair.b, pair.a]) {
    await end.node.up([`${end.inner4}/24`, `${end.inner6}/64`], settings.mtu);
  }
  return pair;
}

async function makeEnd(
  lab: Lab,
  settings: PairSettings,
  letter: "a" | "b",
  host: number,
): Promise<PairEnd> {
  const label = `${settings.label ?? ""}${letter}`;
  const namespace = await lab.namespace(`${label}n`);
  const node = await WireguardNode.start(lab, {
    implementation: settings[letter],
    namespace,
    label: `${label}w`,
    environment: settings.environment ?? {},
  });
  return {
    namespace,
    node,
    inner4: `10.77.0.${host}`,
    inner6: `fd77::${host}`,
    outer4: `192.0.2.${host}`,
    outer6: `2001:db8::${host}`,
    cable: lab.name(`${label}v`),
  };
}
