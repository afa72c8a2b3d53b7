/**
 * Makes a TUN interface and starts a program that gets its descriptor as WG_TUN_FD, as a parent of wireguard-go may:
 * node with-tun.mjs NAME PROGRAM ARGUMENT... Ends with the program's exit code.
 */
import { spawn } from "node:child_process";
import { loadNative } from "../../../dist/src/io/load-native.js";

const [name, program, ...args] = process.argv.slice(2);
const fd = loadNative().tunOpen(name, false, -1);
if (fd < 0) throw new Error(`${name} cannot be made: errno ${-fd}`);
const child = spawn(program, args, {
  stdio: ["inherit", "inherit", "inherit", fd],
  env: { ...process.env, WG_TUN_FD: "3" },
});
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.once("exit", (code) => {
  process.exitCode = code ?? 1;
});
