/**
 * The networks of a node as a program, for tests: `node node-program.mjs OPTIONS`, OPTIONS as JSON: the folder of the state, the
 * socket to serve, and what `Networks` takes. Each line that comes in is `{"method", "args"}`, each line that goes out
 * `{"value"}` or `{"error", "reason"}`. "killAfter" N has it killed before the next action but N, as if the power were cut.
 */
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { Networks } from "../../../dist/src/control/node/networks.js";

const { socket, ...options } = JSON.parse(process.argv[2]);
let actions = 0;
let killAt = -1;
const networks = new Networks({
  ...options,
  log: (level, text) => console.log(`${level}: ${text}`),
  onAction: () => {
    if (actions++ === killAt) process.kill(process.pid, "SIGKILL");
  },
});

async function answer(connection, line) {
  const { method, args } = JSON.parse(line);
  let reply;
  try {
    if (method === "countActions") reply = { value: actions };
    else if (method === "killAfter") {
      killAt = actions + args[0];
      reply = { value: null };
    } else reply = { value: (await networks[method](...args)) ?? null };
  } catch (error) {
    reply = { error: error.message, reason: error.reason ?? "failed" };
  }
  connection.write(`${JSON.stringify(reply)}\n`);
}

const server = createServer((connection) => {
  connection.on("error", () => undefined);
  createInterface({ input: connection }).on("line", (line) => void answer(connection, line));
});
process.once("SIGTERM", async () => {
  server.close();
  await networks.stop();
  process.exit(0);
});
const started = performance.now();
await networks.start();
console.log(
  `started in ${Math.round(performance.now() - started)} ms, ${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB`,
);
server.listen(socket, () => console.log("serving"));
