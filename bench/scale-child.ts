/**
 * Makes interfaces on one engine and keeps them until it is ended: `node scale-child.js COUNT PREFIX`. Interfaces are called
 * PREFIX0, PREFIX1 and so on. Runs in a namespace of its own; prints one line of JSON ({@link Made}) when all are there.
 */
import { spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { Engine } from "../src/engine/engine.ts";
import { parseEndpointText, parsePrefix } from "../src/route/address.ts";
import type { SetOperation } from "../src/uapi/operation.ts";

export interface Made {
  /** Until all are configured; without bringing them up, which is the work of `ip`. */
  readonly milliseconds: number;
}

function random(): Uint8Array {
  return randomFillSync(new Uint8Array(32));
}

/** A private key and one peer, as in a small tunnel. */
function settings(): SetOperation[] {
  return [
    { op: "private_key", key: random() },
    { op: "peer", publicKey: random() },
    { op: "endpoint", ...parseEndpointText("198.18.0.1:51820")! },
    { op: "allowed_ip", add: true, ...parsePrefix("10.0.0.0/8")! },
  ];
}

const [count = "", prefix = ""] = process.argv.slice(2);
const names = Array.from({ length: Number(count) }, (_, index) => `${prefix}${index}`);
const start = performance.now();
const engine = new Engine();
for (const name of names) {
  const device = await engine.createDevice({ name });
  await device.apply(settings());
}
const made: Made = { milliseconds: performance.now() - start };
// Without link-local addresses: the kernel would send its own packets through them.
const lines = names.map((name) => `link set dev ${name} addrgenmode none up\n`).join("");
const { status } = spawnSync("ip", ["-batch", "-"], { input: lines, stdio: ["pipe", 2, 2] });
if (status !== 0) throw new Error("the interfaces cannot be brought up");
process.stdout.write(`${JSON.stringify(made)}\n`);
