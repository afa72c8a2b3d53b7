/**
 * A UDP relay that loses, delays and doubles datagrams, for links that are worse than a cable (not every kernel has netem). Plain
 * JavaScript, since it runs as a program of its own inside a namespace:
 *   node udp-proxy.mjs '{"listen":["192.0.2.3",51820],"target":["192.0.2.2",51820],"delayMs":20,"jitterMs":5,"loss":0.05,"duplicate":0.01,"seed":1}'
 * Prints "relaying"; at SIGTERM one line of JSON: {"passed":N,"lost":N,"doubled":N}. One client at a time: the last that spoke.
 */
import { createSocket } from "node:dgram";

const settings = JSON.parse(process.argv[2]);
const { listen, target, delayMs = 0, jitterMs = 0, loss = 0, duplicate = 0, seed = 1 } = settings;
const count = { passed: 0, lost: 0, doubled: 0 };

/** Numbers from 0 to 1, the same for the same seed (xorshift32). */
let state = seed >>> 0 || 1;
function random() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}

function pass(send) {
  if (random() < loss) {
    count.lost++;
    return;
  }
  const isDoubled = random() < duplicate;
  if (isDoubled) count.doubled++;
  for (let copy = 0; copy < (isDoubled ? 2 : 1); copy++) {
    const wait = delayMs + (random() * 2 - 1) * jitterMs;
    count.passed++;
    if (wait > 0) setTimeout(send, wait);
    else send();
  }
}

const family = listen[0].includes(":") ? "udp6" : "udp4";
const near = createSocket(family);
const far = createSocket(family);
let client;

near.on("message", (message, from) => {
  client = from;
  pass(() => far.send(message, target[1], target[0], () => undefined));
});
far.on("message", (message) => {
  const { address, port } = client;
  pass(() => near.send(message, port, address, () => undefined));
});
near.bind(listen[1], listen[0], () => {
  far.bind(0, listen[0], () => process.stdout.write("relaying\n"));
});
process.once("SIGTERM", () => {
  process.stdout.write(`${JSON.stringify(count)}\n`, () => process.exit(0));
});
