/**
 * A program that uses the package as others do, by its name. It is told what to do by messages, {id, call, args}, and answers each,
 * {id, value} or {id, error}. When its parent disconnects it has nothing more to do, and must end by itself.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { createDevice, VERSION } from "wirehaul";

const devices = new Map();
const log = [];

/** What open descriptors are, in order; that of the listing itself is gone by the time it is looked at. */
function descriptors() {
  const found = [];
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      found.push(readlinkSync(`/proc/self/fd/${fd}`).replace(/\[\d+\]$/, ""));
    } catch {}
  }
  return found.sort();
}

const calls = {
  version: () => VERSION,
  async create(label, options) {
    const device = await createDevice({
      ...options,
      verbose: true,
      log: (level, name, text) => log.push(`${level} ${name} ${text}`),
    });
    devices.set(label, device);
    return device.name;
  },
  configure: (label, configuration) => devices.get(label).configure(configuration),
  status: (label) => devices.get(label).status(),
  close: (label) => devices.get(label).close(),
  async ended(label) {
    const reason = await devices.get(label).ended;
    return reason === undefined ? "closed" : reason.message;
  },
  log: () => log,
  resources: () => ({ descriptors: descriptors(), handles: process.getActiveResourcesInfo() }),
};

process.on("message", async ({ id, call, args }) => {
  try {
    process.send({ id, value: await calls[call](...args) });
  } catch (error) {
    process.send({ id, error: `${error.name}: ${error.message}` });
  }
});
process.send({ id: 0, value: "ready" });
