/**
 * Has a running wirehaul collect its garbage, so that what is left is what it holds. V8 collects the old generation of a lane's heap
 * when it has grown by some tens of megabytes; churn of minutes looks like a leak until then.
 */
import { createConnection } from "node:net";
import { socketPath } from "../../src/cli/demo/lab.ts";

/** Operations from which on a set is followed by a collection (LARGE_SET, LARGE_REQUEST), with two a peer. */
const PEERS = 600;
const KEY_DIGITS = 64;

/** Sends a large request that changes nothing: the removal of peers that there are not. The collection follows within 100 ms. */
export function askToCollect(name: string): Promise<void> {
  const lines = ["set=1"];
  for (let index = 1; index <= PEERS; index++) {
    lines.push(`public_key=${`${index}`.padStart(KEY_DIGITS, "0")}`, "remove=true");
  }
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath(name));
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk.toString();
    });
    socket.on("error", reject);
    socket.on("close", () => {
      if (answer === "errno=0\n\n") resolve();
      else reject(new Error(`${name} answered "${answer.trim()}" to a request`));
    });
    socket.end(`${lines.join("\n")}\n\n`);
  });
}
