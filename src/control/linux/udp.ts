/**
 * UDP sockets of one family, in this process's namespace or in another, on Node's event loop. For a few small datagrams: those of
 * WireGuard have sockets of their own (`src/io`).
 */
import { createSocket, type Socket } from "node:dgram";
import { errnoName } from "../../io/errno.ts";
import { loadNative } from "../../io/load-native.ts";
import { closeNamespace, openNamespace } from "./namespace.ts";

export interface UdpOptions {
  readonly family: 4 | 6;
  /** 0: any that is free. */
  readonly port: number;
  /** To bind; undefined: all of the family. Only in this process's namespace. */
  readonly address?: string | undefined;
  /** By name; undefined: this process's. */
  readonly namespace?: string | undefined;
  /**
   * Gets what comes, in a buffer that is its own. In another namespace the kernel may put several datagrams of one sender together
   * (UDP_GRO, udp(7)).
   */
  readonly onMessage: (bytes: Uint8Array, from: { address: string; port: number }) => void;
}

const AF_INET = 2;
const AF_INET6 = 10;

export class UdpSocket {
  readonly port: number;
  readonly #socket: Socket;
  #isClosed = false;

  private constructor(socket: Socket, port: number) {
    this.#socket = socket;
    this.port = port;
  }

  /** Opens and binds; rejects naming the port and the fault, with the fault's name as `code`. */
  static async open(options: UdpOptions): Promise<UdpSocket> {
    const { family, port, address, namespace, onMessage } = options;
    if (namespace !== undefined && address !== undefined) {
      throw new Error("a socket in another namespace cannot be bound to an address");
    }
    const fd = namespace === undefined ? undefined : openIn(namespace, family, port);
    const socket = createSocket({ type: `udp${family}`, ipv6Only: family === 6 });
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once("error", reject).once("listening", resolve);
        socket.bind(fd === undefined ? { port, address, exclusive: true } : { fd });
      });
    } catch (error) {
      socket.close();
      throw error;
    }
    socket.removeAllListeners("error");
    // Of single datagrams; whoever sends them is told by `send`.
    socket.on("error", () => undefined);
    socket.on("message", (bytes, from) => onMessage(bytes, from));
    return new UdpSocket(socket, socket.address().port);
  }

  /** Rejects with why the kernel did not take it (there is no route, the firewall refuses it). */
  send(bytes: Uint8Array, to: { readonly address: string; readonly port: number }): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Error("the socket is closed"));
    return new Promise((resolve, reject) => {
      this.#socket.send(bytes, to.port, to.address, (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }

  /** Lets the process end while it is open. */
  unref(): void {
    this.#socket.unref();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }
}

function openIn(namespace: string, family: 4 | 6, port: number): number {
  const namespaceFd = openNamespace(namespace);
  try {
    const fd = loadNative().udpOpen(family === 4 ? AF_INET : AF_INET6, port, 0, namespaceFd, false);
    if (fd >= 0) return fd;
    const code = errnoName(fd);
    throw Object.assign(new Error(`UDP port ${port} in ${namespace}: ${code}`), { code });
  } finally {
    closeNamespace(namespaceFd);
  }
}
