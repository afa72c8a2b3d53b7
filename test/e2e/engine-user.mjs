/**
 * A program on the engine, for what no user may do: `node engine-user.mjs NAME LANES` serves NAME with its configuration socket. At
 * SIGUSR2 it sends a request that its lane dies of. Ends with 3 when the interface is lost, after it printed why.
 */
import { Engine } from "../../dist/src/engine/engine.js";
import { listenUapi, UapiServer } from "../../dist/src/engine/uapi-server.js";

const [name, lanes] = process.argv.slice(2);
const engine = new Engine({
  lanes: Number(lanes),
  log: (_level, _device, text) => console.log(text),
});
const device = await engine.createDevice({ name });
const server = new UapiServer(await listenUapi(device.name), device, (_level, text) =>
  console.log(text),
);
process.on("SIGUSR2", () => {
  // No address: the parser would never let this pass.
  const broken = { op: "allowed_ip", add: true, family: 2, cidr: 32 };
  const operations = [{ op: "peer", publicKey: new Uint8Array(32).fill(1) }, broken];
  device.apply(operations).catch((error) => console.log(`request failed: ${error.message}`));
});
process.once("SIGTERM", async () => {
  await server.close();
  await engine.close();
  process.exit(0);
});
console.log("serving");
const reason = await device.ended;
console.log(`lost: ${reason?.message ?? "closed"}`);
await server.close();
await engine.close();
process.exit(3);
