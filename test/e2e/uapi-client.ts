/** A client of configuration sockets that sends a case's pieces and returns every byte of the replies. */
import { createConnection } from "node:net";

const WITHIN_MS = 10_000;

/**
 * Sends the pieces, each but the first after the reply to the one before it, half-closes the connection unless `keepOpen`, and
 * gives all that came until the other side closed it (or, with `keepOpen`, until as many replies came as pieces were sent).
 */
export function exchange(
  path: string,
  pieces: readonly string[],
  keepOpen = false,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path, allowHalfOpen: true });
    let got = "";
    let sent = 0;
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no end of the reply within ${WITHIN_MS} ms; so far: ${got}`));
    }, WITHIN_MS);
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(got);
    };
    const send = (): void => {
      const piece = pieces[sent]!;
      sent += 1;
      if (sent === pieces.length && !keepOpen) socket.end(piece);
      else socket.write(piece);
    };
    socket.setEncoding("utf8");
    socket.on("connect", send);
    socket.on("data", (text: string) => {
      got += text;
      const replies = got.split("errno=").length - 1;
      if (replies < sent || !got.endsWith("\n\n")) return;
      if (sent < pieces.length) send();
      else if (keepOpen) finish();
    });
    // The other side may close before it has read all: what it replied has arrived before the error.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNRESET" || error.code === "EPIPE") return;
      clearTimeout(timer);
      reject(error);
    });
    socket.on("end", finish);
    socket.on("close", finish);
  });
}

/** A get reply with its peers in the order of their keys: wireguard-go lists them in none. */
export function sorted(reply: string): string {
  const [device = "", ...peers] = reply.replace(/errno=0\n\n$/, "").split(/^(?=public_key=)/m);
  return device + peers.sort().join("");
}
