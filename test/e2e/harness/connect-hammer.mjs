/**
 * A worker that connects to a socket path as fast as it can, as an impatient `wg` would, and counts how often somebody was there
 * who did not listen while the socket was being made: while the first word is the number of a round, from connecting to refusal.
 */
import { createConnection } from "node:net";
import { workerData } from "node:worker_threads";

const { path, shared } = workerData;
const [PHASE, REFUSED, ROUNDS] = [0, 1, 2];
const words = new Int32Array(shared);

function knock() {
  const phase = Atomics.load(words, PHASE);
  if (phase < 0) return;
  const socket = createConnection(path);
  const next = (error) => {
    socket.destroy();
    Atomics.add(words, ROUNDS, 1);
    const isOpening = phase > 0 && Atomics.load(words, PHASE) === phase;
    if (isOpening && error?.code === "ECONNREFUSED") Atomics.add(words, REFUSED, 1);
    setImmediate(knock);
  };
  socket.once("connect", () => next(undefined));
  socket.once("error", next);
}

knock();
