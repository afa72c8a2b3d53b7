/** WireGuard nodes in namespaces that a test has cabled as it likes, and the settings that join two of them. */
import type { Implementation } from "../../../src/cli/demo/implementations.ts";
import type { Lab, Namespace } from "../../../src/cli/demo/lab.ts";
import { LISTEN_PORT } from "../../../src/cli/demo/pair.ts";
import { type PeerSettings, WireguardNode } from "../../../src/cli/demo/wireguard-node.ts";

export interface EndSettings {
  readonly implementation: Implementation;
  readonly namespace: Namespace;
  /** Makes the interface's name. */
  readonly label: string;
  /** Last number of its inner addresses, 10.77.NET.HOST and fd77:NET::HOST. */
  readonly host: number;
  /** 0 unless told: another one for a second tunnel beside the first. */
  readonly net?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface End {
  readonly node: WireguardNode;
  readonly namespace: Namespace;
  readonly inner4: string;
  readonly inner6: string;
}

export async function startEnd(lab: Lab, settings: EndSettings): Promise<End> {
  const { namespace, host, net = 0 } = settings;
  const node = await WireguardNode.start(lab, settings);
  return { node, namespace, inner4: `10.77.${net}.${host}`, inner6: `fd77:${net}::${host}` };
}

/** What one end is told of the other: its inner addresses, and more if asked for. */
export function peerOf(end: End, more: Partial<PeerSettings> = {}): PeerSettings {
  return {
    publicKey: end.node.keys.publicKey,
    allowedIps: [`${end.inner4}/32`, `${end.inner6}/128`],
    ...more,
  };
}

export interface JoinSettings {
  /** Address where A finds B. */
  readonly endpoint: string;
  /** B's port, LISTEN_PORT unless told. */
  readonly port?: number;
  readonly mtu?: number;
  /** Of A. */
  readonly fwmark?: number;
}

/** Configures both, so that A reaches out to B, and brings both up. */
export async function join(a: End, b: End, settings: JoinSettings): Promise<void> {
  const { port = LISTEN_PORT, mtu, fwmark } = settings;
  await b.node.configure([peerOf(a)], port);
  const endpoint = withPort(settings.endpoint, port);
  await a.node.configure([peerOf(b, { endpoint })], undefined, fwmark);
  for (const end of [b, a]) await end.node.up([`${end.inner4}/24`, `${end.inner6}/64`], mtu);
}

/** "192.0.2.1:51820" or "[2001:db8::1]:51820" of an address. */
export function withPort(address: string, port: number = LISTEN_PORT): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
