/**
 * Our half of the configuration protocol against wireguard-go itself: the same bytes to both, and every byte of the replies and
 * of the state after them compared. Needs root, `ip`, and wireguard-go: $WIREGUARD_GO, or that of the system.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CASES } from "./uapi-cases.ts";
import { exchange, sorted } from "./uapi-client.ts";
import { ModelDevice } from "./uapi-model.ts";

const program = process.env["WIREGUARD_GO"] || "/usr/bin/wireguard-go";
/** 20220316 of "wireguard-go v0.0.20220316". */
const version = Number(/v?0\.0\.(\d{8})/.exec(run(program, "--version"))?.[1] ?? 0);
const name = `whu${process.pid}`;
const socket = `/var/run/wireguard/${name}.sock`;
/** Bound in a namespace of its own, so it is free. */
const PORT = 17321;
const RESET = `set=1\nprivate_key=${"0".repeat(64)}\nlisten_port=${PORT}\nfwmark=0\nreplace_peers=true\n\n`;
let daemon: ChildProcess;

function run(command: string, ...words: string[]): string {
  return execFileSync(command, words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

beforeAll(async () => {
  run("ip", "netns", "add", name);
  daemon = spawn("ip", ["netns", "exec", name, program, "-f", name], {
    stdio: "ignore",
    env: { ...process.env, LOG_LEVEL: "silent" },
  });
  for (let i = 0; i < 100 && !existsSync(socket); i += 1) await delay(50);
  expect(existsSync(socket), "wireguard-go did not open its socket").toBe(true);
});

afterAll(async () => {
  if (daemon.exitCode === null) {
    const ended = new Promise((resolve) => daemon.once("exit", resolve));
    daemon.kill("SIGTERM");
    await ended;
  }
  run("ip", "netns", "del", name);
});

describe("replies and state are those of wireguard-go", () => {
  for (const { name: title, pieces, since } of CASES) {
    it.skipIf(version < (since ?? 0))(title, async () => {
      expect(await exchange(socket, [RESET])).toBe("errno=0\n\n");
      const model = new ModelDevice(PORT);
      const reply = await exchange(socket, pieces);
      expect(sorted(model.exchange(pieces))).toBe(sorted(reply));
      const state = await exchange(socket, ["get=1\n\n"]);
      expect(sorted(model.exchange(["get=1\n\n"]))).toBe(sorted(state));
    });
  }
});

it("a bad line is refused before the request has ended, by both", async () => {
  const pieces = ["set=1\nfwmark=1\nnonsense\n"];
  expect(await exchange(socket, pieces, true)).toBe("errno=-71\n\n");
  expect(new ModelDevice(PORT).exchange(pieces)).toBe("errno=-71\n\n");
});

it("the cases do tell good from bad", () => {
  const replies = CASES.map(({ pieces }) => new ModelDevice(PORT).exchange(pieces));
  for (const errno of [0, -5, -22, -71]) {
    expect(replies.filter((reply) => reply.endsWith(`errno=${errno}\n\n`)).length).toBeGreaterThan(
      1,
    );
  }
  expect(replies.filter((reply) => reply === "").length).toBeGreaterThan(1);
});
