#!/usr/bin/env node
/**
 * Fetches other WireGuard implementations for the tests and the bench, where their toolchains are on the machine:
 * the newest wireguard-go with `go`, boringtun with `cargo` (only with WIREHAUL_PEERS=all: it compiles for minutes).
 * They land in node_modules/.cache/wirehaul/peers. A failure is told in one line and is no error.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const FOLDER = join(ROOT, "node_modules", ".cache", "wirehaul", "peers");
const GO_LIMIT_MS = 240_000;
const CARGO_LIMIT_MS = 900_000;

const say = (text) => process.stderr.write(`peers: ${text}\n`);
const works = (command, args) => spawnSync(command, args, { stdio: "ignore" }).status === 0;

function install({ title, program, command, args, environment, limitMs }) {
  if (existsSync(join(FOLDER, program))) return;
  mkdirSync(FOLDER, { recursive: true });
  say(`${[command, ...args].join(" ")}`);
  const result = spawnSync(command, args, {
    encoding: "utf8",
    timeout: limitMs,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...environment },
  });
  if (result.status === 0 && existsSync(join(FOLDER, program))) return;
  const lastLine = (result.stderr ?? "").trim().split("\n").at(-1);
  say(`going on without ${title}: ${result.error?.message ?? lastLine ?? "it failed"}`);
}

if (works("go", ["version"])) {
  install({
    title: "the newest wireguard-go",
    program: "wireguard",
    command: "go",
    args: ["install", "golang.zx2c4.com/wireguard@latest"],
    environment: { GOBIN: FOLDER },
    limitMs: GO_LIMIT_MS,
  });
}
if (process.env.WIREHAUL_PEERS === "all" && works("cargo", ["--version"])) {
  install({
    title: "boringtun",
    program: join("bin", "boringtun-cli"),
    command: "cargo",
    args: ["install", "--quiet", "--root", FOLDER, "boringtun-cli"],
    environment: {},
    limitMs: CARGO_LIMIT_MS,
  });
}
