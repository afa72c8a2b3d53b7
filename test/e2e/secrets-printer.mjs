/**
 * Run by secrets-shown.test.ts: a program that uses engine and library and prints all that it holds of them, in every way. Its
 * only line is JSON: the keys, as base64, and what was printed. Arguments: two names for interfaces.
 */
import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { createDevice } from "wirehaul";
import { Engine } from "../../dist/src/engine/engine.js";
import { listenUapi, UapiServer } from "../../dist/src/engine/uapi-server.js";
import { parseSet } from "../../dist/src/uapi/parse.js";

const [first, second] = process.argv.slice(2);
const keys = Array.from({ length: 4 }, () => {
  const key = randomBytes(32);
  key[0] &= 248;
  key[31] = (key[31] & 127) | 64;
  return key;
});
const [privateKey, presharedKey, publicKey, otherKey] = keys;
const shown = [];
const show = (what, value) => {
  const all = { showHidden: true, depth: Infinity, maxArrayLength: Infinity, getters: true };
  shown.push(`${what}: ${inspect(value, all)}`, inspect(value), String(value));
  try {
    shown.push(JSON.stringify(value) ?? "");
  } catch (error) {
    shown.push(error.message);
  }
  if (value instanceof Error) shown.push(value.stack, inspect(value.cause, all));
};
const log = (level, device, text) => shown.push(`${level} ${device} ${text}`);
const base64 = (key) => key.toString("base64");
const hex = (key) => key.toString("hex");

const engine = new Engine({ log, verbose: true, lanes: 2 });
const device = await engine.createDevice({ name: first });
const server = new UapiServer(await listenUapi(device.name), device, log);
const { operations } = parseSet([
  `private_key=${hex(privateKey)}`,
  `public_key=${hex(publicKey)}`,
  `preshared_key=${hex(presharedKey)}`,
]);
show("operations", operations);
await device.apply(operations);
show("engine", { engine, device, server, operations });
show("snapshot", await device.snapshot());
show("status", await device.status());
await server.close();
await engine.close();
show("closed", { engine, device, server });
await device.apply(operations).catch((error) => show("error", error));

const made = await createDevice({
  name: second,
  privateKey: base64(privateKey),
  peers: [{ publicKey: base64(publicKey), presharedKey: base64(presharedKey) }],
  verbose: true,
  log,
});
show("library", made);
show("status", await made.status());
for (const [what, wrong] of Object.entries({
  "a key with more": { privateKey: `${base64(privateKey)}=` },
  "a key with less": { privateKey: base64(privateKey).slice(1) },
  "a key in hexadecimal": { privateKey: hex(privateKey) },
  "a key as bytes": { privateKey },
  "a public key of too much": { peers: [{ publicKey: `${base64(privateKey)}x` }] },
  "a preshared key with a space": {
    peers: [{ publicKey: base64(publicKey), presharedKey: ` ${base64(presharedKey)}` }],
  },
  "a key for an endpoint": {
    peers: [{ publicKey: base64(publicKey), endpoint: base64(presharedKey) }],
  },
  "a key for an allowed IP": {
    peers: [{ publicKey: base64(publicKey), allowedIps: [hex(presharedKey)] }],
  },
  "a key for a port": { listenPort: base64(otherKey) },
  "a key for a mark": { fwmark: hex(otherKey) },
  "a key for a keepalive": {
    peers: [{ publicKey: base64(publicKey), persistentKeepalive: base64(otherKey) }],
  },
})) {
  await made.configure(wrong).then(
    () => show(what, new Error(`${what} was accepted`)),
    (error) => show(what, error),
  );
}
for (const wrong of [{ name: base64(otherKey) }, { name: second, lanes: base64(otherKey) }]) {
  await createDevice(wrong).catch((error) => show("error", error));
}
await made.close();
show("closed", made);
console.log(
  JSON.stringify({
    keys: {
      privateKey: base64(privateKey),
      presharedKey: base64(presharedKey),
      otherKey: base64(otherKey),
    },
    publicKey: base64(publicKey),
    text: shown.join("\n"),
  }),
);
