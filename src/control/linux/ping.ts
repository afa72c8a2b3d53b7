/**
 * ICMP echoes from a namespace, by one socket for all targets of a family (icmp(7)), on Node's event loop: libuv reads and writes any
 * socket of datagrams. Needs net.ipv4.ping_group_range of that namespace to have our group.
 */
import { createSocket, type Socket } from "node:dgram";
import { errnoName } from "../../io/errno.ts";
import { loadNative } from "../../io/load-native.ts";
import { closeNamespace, openNamespace } from "./namespace.ts";

const AF_INET = 2;
const AF_INET6 = 10;
/** icmp(7) has no ports; Node wants one. */
const NO_PORT = 1;

export class PingSocket {
  readonly #socket: Socket;
  #isClosed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** `namespace` undefined: this process's. `onMessage` gets ICMP messages without an IP header. Throws why there is no such socket. */
  static open(
    namespace: string | undefined,
    family: 4 | 6,
    onMessage: (bytes: Uint8Array) => void,
  ): PingSocket {
    const fd = openIn(namespace, family);
    const socket = createSocket({ type: `udp${family}` });
    // Of what was sent before: an unreachable target is one that does not answer.
    socket.on("error", () => undefined);
    socket.on("message", (bytes) => onMessage(bytes));
    socket.bind({ fd });
    // Probes go out for as long as somebody waits for their answers, not the other way round.
    socket.unref();
    return new PingSocket(socket);
  }

  /** What the kernel does not take is as good as lost. */
  send(bytes: Uint8Array, address: string): void {
    if (this.#isClosed) return;
    this.#socket.send(bytes, NO_PORT, address, () => undefined);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }
}

function openIn(namespace: string | undefined, family: 4 | 6): number {
  const namespaceFd = namespace === undefined ? -1 : openNamespace(namespace);
  try {
    const fd = loadNative().pingOpen(family === 4 ? AF_INET : AF_INET6, namespaceFd);
    if (fd >= 0) return fd;
    throw new Error(`no socket for echoes in ${namespace ?? "this namespace"}: ${errnoName(fd)}`);
  } finally {
    if (namespaceFd >= 0) closeNamespace(namespaceFd);
  }
}
