/** The tunnels of all networks, on one engine: made, set, moved, removed by name, each with its UAPI socket, so that `wg` shows it. */
import type { Device } from "../../engine/device.ts";
import { Engine } from "../../engine/engine.ts";
import { listenUapi, UapiServer } from "../../engine/uapi-server.ts";
import { errnoName } from "../../io/errno.ts";
import type { InterfaceStatus } from "../../lane/status.ts";
import type { SetOperation } from "../../uapi/operation.ts";
import { closeNamespace, openNamespace } from "../linux/namespace.ts";
import { PortTakenError } from "./ports.ts";
import type { DeviceState } from "./wireguard.ts";

interface Served {
  readonly device: Device;
  readonly server: UapiServer;
  /** What was set, by public key. */
  endpoints: ReadonlyMap<string, string>;
  /** Where the sockets are; undefined: this process's namespace. */
  namespace: string | undefined;
}

export interface DevicesEvents {
  /** An interface went away without being told to. */
  lost(name: string, reason: Error | undefined): void;
  log(text: string): void;
}

export class Devices {
  readonly #engine: Engine;
  readonly #events: DevicesEvents;
  readonly #served = new Map<string, Served>();
  /** Open as long as sockets may be opened there: the engine does so by descriptor. */
  readonly #namespaces = new Map<string, number>();

  constructor(events: DevicesEvents, lanes: number | "auto" = 1) {
    this.#events = events;
    this.#engine = new Engine({
      lanes,
      log: (level, name, text) => {
        if (level === "error") events.log(name === "" ? text : `${name}: ${text}`);
      },
    });
  }

  has(name: string): boolean {
    return this.#served.has(name);
  }

  /** Where the sockets of a device are. */
  socketsIn(name: string): string | undefined {
    return this.#served.get(name)?.namespace;
  }

  /** Makes a TUN in the namespace `home`; sockets will be opened in `namespace`. */
  async create(
    name: string,
    mtu: number,
    home: string,
    namespace: string | undefined,
  ): Promise<void> {
    const namespaceFd = this.#descriptor(namespace);
    const listener = await listenUapi(name);
    let device: Device;
    // There from the start: to be moved costs an interface twenty milliseconds, during which no other can be changed.
    const tunNamespaceFd = openNamespace(home);
    try {
      device = await this.#engine.createDevice({ name, mtu, namespaceFd, tunNamespaceFd });
    } catch (error) {
      listener.close();
      throw error;
    } finally {
      closeNamespace(tunNamespaceFd);
    }
    const log = (level: "verbose" | "error", text: string): void => {
      if (level === "error") this.#events.log(`${name}: ${text}`);
    };
    const server = new UapiServer(listener, device, log);
    const served: Served = { device, server, endpoints: new Map(), namespace };
    this.#served.set(name, served);
    void device.ended.then((reason) => this.#ended(name, served, reason));
  }

  /** Wiped, and gone from the machine. */
  async close(name: string): Promise<void> {
    const served = this.#served.get(name);
    if (served === undefined) return;
    this.#served.delete(name);
    await served.server.close();
    await served.device.close();
  }

  /** Applies operations; throws what was refused. Wipes the keys in them. */
  async set(
    name: string,
    operations: readonly SetOperation[],
    endpoints: ReadonlyMap<string, string>,
  ): Promise<void> {
    const served = this.#find(name);
    const status = await served.device.apply(operations);
    if (status === 0) {
      served.endpoints = endpoints;
      return;
    }
    const errno = errnoName(status);
    const port = operations.find((operation) => operation.op === "listen_port");
    if (errno === "EADDRINUSE" && port !== undefined) {
      throw new PortTakenError(
        port.port,
        `the port ${port.port} of ${name} is in use by another program (${errno}): end that, or choose another port`,
      );
    }
    throw new Error(`${name} refused its settings: ${errno}`);
  }

  /** Opens the sockets in another namespace, on the same port; sessions stay. */
  async moveSockets(name: string, namespace: string | undefined): Promise<void> {
    const served = this.#find(name);
    if (served.namespace === namespace) return;
    const status = await served.device.moveSockets(this.#descriptor(namespace));
    if (status < 0) {
      const where = namespace ?? "the host's namespace";
      throw new Error(`the sockets of ${name} cannot be opened in ${where}: ${errnoName(status)}`);
    }
    served.namespace = namespace;
  }

  /** Holds secrets: whoever asks wipes them (`wipeSnapshot`). */
  async state(name: string): Promise<DeviceState | undefined> {
    const served = this.#served.get(name);
    if (served === undefined) return undefined;
    return { snapshot: await served.device.snapshot(), endpoints: served.endpoints };
  }

  /** Without secrets; undefined: there is no such device. */
  async status(name: string): Promise<InterfaceStatus | undefined> {
    return await this.#served.get(name)?.device.status();
  }

  /** The descriptor of a namespace, -1: this process's own. It stays this class's. */
  descriptorOf(namespace: string | undefined): number {
    return this.#descriptor(namespace);
  }

  async closeAll(): Promise<void> {
    const all = [...this.#served.values()];
    this.#served.clear();
    await Promise.all(all.map(({ server }) => server.close()));
    await this.#engine.close();
    for (const fd of this.#namespaces.values()) closeNamespace(fd);
    this.#namespaces.clear();
  }

  #find(name: string): Served {
    const served = this.#served.get(name);
    if (served === undefined) throw new Error(`the engine doesn't serve ${name}`);
    return served;
  }

  #descriptor(namespace: string | undefined): number {
    if (namespace === undefined) return -1;
    const known = this.#namespaces.get(namespace);
    if (known !== undefined) return known;
    const fd = openNamespace(namespace);
    this.#namespaces.set(namespace, fd);
    return fd;
  }

  async #ended(name: string, served: Served, reason: Error | undefined): Promise<void> {
    if (this.#served.get(name) !== served) return;
    this.#served.delete(name);
    await served.server.close();
    this.#events.lost(name, reason);
  }
}
