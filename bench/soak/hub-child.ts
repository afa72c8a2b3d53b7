/**
 * The program under test of the soak, for what no user may do to `wirehaul-wg`: `node hub-child.js NAME LANES PREFIX` serves NAME with
 * its configuration socket on an engine, and
 *
 *   at SIGUSR2  makes interfaces PREFIX0, PREFIX1 and so on, gives each some peers that never answer, brings them up, lets a packet
 *               wait in each, then closes one half and deletes the other; prints "churned N" after the Nth time
 *   at SIGHUP   has a lane die of a request that no parser would let pass; prints "revived N" when it lives again
 *
 * Ends with 3 when NAME is lost, after it printed why.
 */
import { execFileSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { createSocket } from "node:dgram";
import type { Device } from "../../src/engine/device.ts";
import { Engine } from "../../src/engine/engine.ts";
import { listenUapi, UapiServer } from "../../src/engine/uapi-server.ts";
import { parseEndpointText, parsePrefix } from "../../src/route/address.ts";
import type { SetOperation } from "../../src/uapi/operation.ts";

const INTERFACES = 8;
const PEERS = 20;
const EXIT_LOST = 3;

const [name = "", lanes = "", prefix = ""] = process.argv.slice(2);

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function random(): Uint8Array {
  return randomFillSync(new Uint8Array(32));
}

let revivals = 0;
const engine = new Engine({
  lanes: Number(lanes),
  log: (_level, device, text) => {
    print(`${device}: ${text}`);
    if (text.includes("was started again")) print(`revived ${++revivals}`);
  },
});
const device = await engine.createDevice({ name });
const server = new UapiServer(await listenUapi(device.name), device, (_level, text) => print(text));

/** Its peers are at a port where nobody listens. */
function settings(index: number): SetOperation[] {
  const operations: SetOperation[] = [{ op: "private_key", key: random() }];
  for (let peer = 0; peer < PEERS; peer++) {
    operations.push(
      { op: "peer", publicKey: random() },
      { op: "preshared_key", key: random() },
      { op: "endpoint", ...parseEndpointText("127.0.0.1:9")! },
      { op: "persistent_keepalive_interval", seconds: 1 },
      { op: "allowed_ip", add: true, ...parsePrefix(`10.${100 + index}.${peer}.0/24`)! },
    );
  }
  return operations;
}

function ip(lines: readonly string[]): void {
  execFileSync("ip", ["-batch", "-"], { input: `${lines.join("\n")}\n` });
}

/** A packet to a peer of each interface, which waits for a session that never comes. */
async function speak(): Promise<void> {
  const socket = createSocket("udp4");
  for (let index = 0; index < INTERFACES; index++) {
    await new Promise<void>((resolve) => {
      socket.send("?", 9, `10.${100 + index}.3.1`, () => resolve());
    });
  }
  await new Promise<void>((resolve) => {
    socket.close(resolve);
  });
}

async function churn(): Promise<void> {
  const devices: Device[] = [];
  for (let index = 0; index < INTERFACES; index++) {
    const made = await engine.createDevice({ name: `${prefix}${index}` });
    await made.apply(settings(index));
    devices.push(made);
  }
  ip(
    devices.flatMap((made, index) => [
      `link set dev ${made.name} addrgenmode none up`,
      `route add 10.${100 + index}.0.0/16 dev ${made.name}`,
    ]),
  );
  await speak();
  for (const [index, made] of devices.entries()) {
    if (index % 2 === 0) await made.close();
    else ip([`link del dev ${made.name}`]);
  }
  for (const made of devices) {
    const reason = await made.ended;
    if (reason !== undefined) throw reason;
  }
}

let rounds = 0;
let last = Promise.resolve();
process.on("SIGUSR2", () => {
  last = last.then(churn).then(
    () => print(`churned ${++rounds}`),
    (error: Error) => print(`churn failed: ${error.message}`),
  );
});
process.on("SIGHUP", () => {
  // No address.
  const broken = { op: "allowed_ip", add: true, family: 2, cidr: 32 } as unknown as SetOperation;
  const operations: SetOperation[] = [
    { op: "peer", publicKey: new Uint8Array(32).fill(1) },
    broken,
  ];
  device.apply(operations).catch((error: Error) => print(`request failed: ${error.message}`));
});
process.once("SIGTERM", async () => {
  await server.close();
  await engine.close();
  process.exit(0);
});
print("serving");
const reason = await device.ended;
print(`lost: ${reason?.message ?? "closed"}`);
await server.close();
await engine.close();
process.exit(EXIT_LOST);
