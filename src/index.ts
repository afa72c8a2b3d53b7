/**
 * The library: `createDevice` makes a WireGuard interface served by this process. The program `wirehaul-wg` is built on the
 * same engine.
 */
import { parseBase64Key } from "./bytes/base64.ts";
import { concealed } from "./bytes/secret-bytes.ts";
import { withoutKeys } from "./bytes/secret-text.ts";
import type { Device } from "./engine/device.ts";
import { Engine, type EngineOptions } from "./engine/engine.ts";
import { errnoName } from "./io/errno.ts";
import type { InterfaceStatus } from "./lane/status.ts";
import { parseEndpointText, parsePrefix } from "./route/address.ts";
import type { SetOperation } from "./uapi/operation.ts";

export type { InterfaceStatus, PeerStatus, ProcessStatus } from "./lane/status.ts";
export { VERSION } from "./version.ts";

export interface PeerConfiguration {
  /** Base64, as `wg pubkey` prints it. */
  readonly publicKey: string;
  readonly presharedKey?: string;
  /** "192.0.2.1:51820" or "[2001:db8::1]:51820". */
  readonly endpoint?: string;
  /** Replaces what the peer had: "10.0.0.0/24", "fd00::/64". */
  readonly allowedIps?: readonly string[];
  /** Seconds; 0: off. */
  readonly persistentKeepalive?: number;
}

export interface Configuration {
  /** Base64, as `wg genkey` prints it. */
  readonly privateKey?: string;
  readonly listenPort?: number;
  readonly fwmark?: number;
  /** Peers to add or change; others stay unless `replacePeers`. */
  readonly peers?: readonly PeerConfiguration[];
  readonly replacePeers?: boolean;
}

export interface CreateDeviceOptions extends Configuration, EngineOptions {
  /** Interface name, at most 15 bytes; may hold "%d". */
  readonly name: string;
  readonly mtu?: number;
}

/** A running interface. */
export interface WireguardDevice {
  /** The name that the kernel gave. */
  readonly name: string;
  /** Settles when the interface is gone: undefined if closed or deleted, else the error that ended it. */
  readonly ended: Promise<Error | undefined>;
  /** Changes settings; sessions of peers that are not named stay. Rejects with what is wrong and where. */
  configure(configuration: Configuration): Promise<void>;
  status(): Promise<InterfaceStatus>;
  /** Wipes the keys and removes the interface. */
  close(): Promise<void>;
}

/** Makes and configures an interface. It is up once an address is set and the link is: `ip link set NAME up`. */
export async function createDevice(options: CreateDeviceOptions): Promise<WireguardDevice> {
  const operations = operationsOf(options);
  const engine = new Engine(options);
  try {
    const device = await engine.createDevice(options);
    await apply(device, operations);
    return {
      name: device.name,
      ended: device.ended,
      configure: async (configuration) => await apply(device, operationsOf(configuration)),
      status: () => device.status(),
      close: () => engine.close(),
    };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

async function apply(device: Device, operations: readonly SetOperation[]): Promise<void> {
  const status = await device.apply(operations);
  if (status === 0) return;
  const errno = errnoName(status);
  const port = operations.find((operation) => operation.op === "listen_port");
  if (errno === "EADDRINUSE" && port !== undefined) {
    throw new Error(
      `${device.name} cannot have listenPort ${port.port} (${errno}): choose another one, or 0 for any that is free`,
    );
  }
  if (errno === "EACCES" && port !== undefined) {
    throw new Error(
      `${device.name} cannot have listenPort ${port.port} (${errno}): choose a higher one, or give CAP_NET_BIND_SERVICE`,
    );
  }
  throw new Error(`${device.name} refused its settings: ${errno}`);
}

function operationsOf(configuration: Configuration): SetOperation[] {
  const operations: SetOperation[] = [];
  if (configuration.privateKey !== undefined) {
    const key = concealed(keyOf(configuration.privateKey, "privateKey"));
    operations.push({ op: "private_key", key });
  }
  if (configuration.listenPort !== undefined) {
    const port = integerOf(configuration.listenPort, "listenPort", 65_535);
    operations.push({ op: "listen_port", port });
  }
  if (configuration.fwmark !== undefined) {
    operations.push({ op: "fwmark", mark: integerOf(configuration.fwmark, "fwmark", 0xffff_ffff) });
  }
  if (configuration.replacePeers === true) operations.push({ op: "replace_peers" });
  for (const peer of configuration.peers ?? []) operations.push(...peerOperations(peer));
  return operations;
}

function peerOperations(peer: PeerConfiguration): SetOperation[] {
  const operations: SetOperation[] = [
    { op: "peer", publicKey: keyOf(peer.publicKey, "publicKey") },
  ];
  if (peer.presharedKey !== undefined) {
    const key = concealed(keyOf(peer.presharedKey, "presharedKey"));
    operations.push({ op: "preshared_key", key });
  }
  if (peer.endpoint !== undefined) {
    const endpoint = parseEndpointText(peer.endpoint);
    if (endpoint === undefined) {
      throw new TypeError(
        `endpoint "${withoutKeys(String(peer.endpoint))}" is not ADDRESS:PORT or [IPV6]:PORT (names are not looked up)`,
      );
    }
    operations.push({ op: "endpoint", ...endpoint });
  }
  if (peer.persistentKeepalive !== undefined) {
    const seconds = integerOf(peer.persistentKeepalive, "persistentKeepalive", 65_535);
    operations.push({ op: "persistent_keepalive_interval", seconds });
  }
  if (peer.allowedIps !== undefined) {
    operations.push({ op: "replace_allowed_ips" });
    for (const text of peer.allowedIps) {
      const prefix = parsePrefix(text);
      if (prefix === undefined)
        throw new TypeError(`allowed IP "${withoutKeys(String(text))}" is not ADDRESS/LENGTH`);
      operations.push({ op: "allowed_ip", add: true, ...prefix });
    }
  }
  return operations;
}

/** The key's 32 bytes. The error never shows the key. */
function keyOf(text: string, name: string): Uint8Array {
  // Programs in JavaScript may leave it out.
  const key = typeof text === "string" ? parseBase64Key(text) : undefined;
  if (key === undefined) {
    throw new TypeError(`${name} is not a WireGuard key: 44 characters of base64 for 32 bytes`);
  }
  return key;
}

function integerOf(value: number, name: string, max: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new RangeError(
    `${name} is ${withoutKeys(String(value))}, it must be an integer from 0 to ${max}`,
  );
}
