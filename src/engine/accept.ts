/**
 * Connections of a listening UNIX socket, read into memory of our own that is wiped after each read. Node's own way leaves copies of
 * what clients sent, keys among it, in memory that it has freed: it reads into 64 KiB and copies what came out of them
 * (src/stream_base.cc, OnStreamRead). Its option `onread` avoids that, but a server offers it for none of its connections; so they
 * are taken from its handle. Where a version of Node has no such handle, its own way is used, and what is copied is wiped.
 */
import { type OnReadOpts, type Server, Socket, type SocketConstructorOpts } from "node:net";
import { secretBytes } from "../bytes/secret-bytes.ts";

/** As much as Node asks libuv for. */
const READ_BYTES = 65_536;

/** What Node hides in a server (lib/net.js, setupListenHandle). */
interface ListenHandle {
  onconnection?: (status: number, accepted: unknown) => void;
}

interface HandleOptions extends SocketConstructorOpts {
  readonly handle: unknown;
  readonly onread: OnReadOpts;
}

/** Serves a connection: is given each piece that comes, which is wiped when it returns. */
export type Serve = (socket: Socket) => (bytes: Uint8Array) => void;

/** Serves what `server`, which listens already, accepts from now on. Half-open connections stay. */
export function acceptConnections(server: Server, serve: Serve): void {
  const handle = (server as unknown as { readonly _handle?: ListenHandle })._handle;
  if (typeof handle?.onconnection !== "function") {
    server.on("connection", (socket) => {
      const take = serve(socket);
      socket.on("data", (chunk: Buffer) => {
        take(chunk);
        chunk.fill(0);
      });
    });
    return;
  }
  // One for all: a piece is used up before the next read of any connection.
  const memory = secretBytes(READ_BYTES);
  handle.onconnection = (status, accepted) => {
    // No descriptor is left for it: the client finds itself refused.
    if (status !== 0 || accepted === undefined) return;
    let take = (_bytes: Uint8Array): void => undefined;
    const options: HandleOptions = {
      handle: accepted,
      allowHalfOpen: true,
      onread: {
        buffer: memory,
        callback: (length) => {
          take(memory.subarray(0, length));
          memory.fill(0, 0, length);
          return true;
        },
      },
    };
    const socket = new Socket(options);
    take = serve(socket);
    // Nothing is ever queued, but its end is told only to a stream that flows.
    socket.resume();
  };
}
