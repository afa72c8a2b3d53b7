/**
 * The library: `createDevice` makes a WireGuard interface served by this process. The program `wirehaul-wg` is built on the
 * same engine.
 */
import type { Device } from "./engine/device.ts";
import { Engine, type EngineOptions } from "./engine/engine.ts";
import { errnoName } from "./io/errno.ts";
import type { InterfaceStatus } from "./lane/status.ts";
import { type Configuration, operationsOf } from "./uapi/configuration.ts";
import type { SetOperation } from "./uapi/operation.ts";

export type { InterfaceStatus, PeerStatus, ProcessStatus } from "./lane/status.ts";
export type { Configuration, PeerConfiguration } from "./uapi/configuration.ts";
export { VERSION } from "./version.ts";

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
