/**
 * The boot part of a node as a program: `node boot-user.mjs SETTINGS`, settings as JSON. Prints its events as lines of JSON; takes
 * requests as lines of JSON at its standard input: {"id": 1, "status": true}, {"id": 2, "config": {...}, "probation": false}. Its
 * census goes to the registry by POST /census.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { realClock } from "../../dist/src/control/linux/clock.js";
import { Monitor } from "../../dist/src/control/linux/monitor.js";
import { readNics } from "../../dist/src/control/linux/nics.js";
import { installHook } from "../../dist/src/control/linux/udhcpc.js";
import { parseBootParameters } from "../../dist/src/control/model/boot-parameters.js";
import { EMPTY_NODE_CONFIG, parseNodeConfig } from "../../dist/src/control/model/node-config.js";
import { BOOT_TIMES, Boot } from "../../dist/src/control/node/boot/boot.js";
import { ANY_UPLINK } from "../../dist/src/control/node/boot/uplink.js";
import { Census } from "../../dist/src/control/node/census.js";
import { Configuration, uplinkSettings } from "../../dist/src/control/node/configuration.js";
import { Roles } from "../../dist/src/control/node/roles.js";

const settings = JSON.parse(process.argv[2]);
const say = (event, value = {}) => process.stdout.write(`${JSON.stringify({ event, ...value })}\n`);
const log = (text) => say("log", { text });

const parameters = parseBootParameters(settings.cmdline ?? "");
say("parameters", { parameters });
const registry = { url: parameters.registry ?? settings.registry };
const match = { kinds: ["veth"], names: "eth*" };
const hook = installHook("/run/wirehaul/boot");
const initial = existsSync(settings.state)
  ? parseNodeConfig(JSON.parse(readFileSync(settings.state, "utf8")))
  : EMPTY_NODE_CONFIG;
const operator = { ...ANY_UPLINK, chosen: parameters.uplink, ...settings.uplink };
const common = { clock: realClock, hook, log };

const boot = new Boot({
  ...common,
  registry,
  hosts: (settings.hosts ?? []).map((url) => ({ url })),
  bridge: "zos",
  match,
  times: { ...BOOT_TIMES, ...settings.times },
  dns: [],
  resolvConf: settings.resolvConf,
  uplink: uplinkSettings(initial, await readNics(), operator),
  onState: (status) => say("state", { state: status.state, why: status.why }),
  onInternet: (isUp) => say("internet", { isUp }),
});
const roles = new Roles({
  ...common,
  onOverlay: async (namespace) => say("overlay", { namespace: namespace ?? null }),
});
const configuration = new Configuration({
  ...common,
  initial,
  boot,
  roles,
  bridge: "zos",
  probationMs: settings.probationMs ?? 3_000,
  uplink: operator,
  save: async (config) => writeFileSync(settings.state, JSON.stringify(config)),
});
const census = new Census({
  ...common,
  match,
  away: () => boot.probing,
  onChange: (nics) => say("census", { nics }),
  whenReady: () => boot.whenOnline(),
  publish: async (nics) => {
    const response = await fetch(new URL("/census", registry.url), {
      method: "POST",
      body: JSON.stringify({ nics, reachability: null, wireguardPorts: [] }),
      signal: AbortSignal.timeout(2_000),
    });
    if (!response.ok) throw new Error(`the registry answers ${response.status}`);
  },
});

boot.start();
configuration.start();
const monitor = new Monitor(realClock, () => {
  boot.poke();
  census.poke();
  configuration.poke();
});
census.start();
census.whenPublished().then(() => say("published"));

createInterface({ input: process.stdin }).on("line", async (line) => {
  const request = JSON.parse(line);
  const answer = { id: request.id };
  try {
    if (request.config !== undefined) {
      await configuration.change(request.config, request.probation ?? true);
    }
    answer.status = boot.status();
    answer.configuration = configuration.status();
    answer.nics = census.nics;
  } catch (error) {
    answer.error = error.message;
    answer.kind = error.constructor.name;
    answer.configuration = configuration.status();
  }
  say("answer", answer);
});

process.once("SIGTERM", async () => {
  process.stdin.destroy();
  await Promise.all([configuration.stop(), boot.stop(), census.stop(), monitor.stop()]);
  await roles.stop();
  process.exit(0);
});
