/** Runs other programs without a shell: to their end, or in the background with their output kept; and polls, with a deadline. */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

export interface RunOptions {
  /** Written to its standard input. */
  readonly input?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** After this it is killed; 60 s unless told. */
  readonly limitMs?: number;
}

export interface Finished {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

const DEFAULT_LIMIT_MS = 60_000;
const LOG_MAX = 256 * 1024;

/** Runs a program to its end, whatever its exit code; rejects only if it cannot be started or takes too long. */
export function attempt(command: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const [program = "", ...args] = command;
  const limitMs = options.limitMs ?? DEFAULT_LIMIT_MS;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: "pipe",
      env: { ...process.env, LC_ALL: "C", ...options.environment },
    });
    let stdout = "";
    let stderr = "";
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      child.stdout.destroy();
      child.stderr.destroy();
      reject(new Error(`\`${command.join(" ")}\` took longer than ${limitMs / 1000} s`));
    }, limitMs);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    // It may end without reading all; its exit code tells.
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(new Error(`\`${program}\` cannot be started: ${error.message}`, { cause: error }));
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

/** Runs a program that must succeed and returns what it printed. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await attempt(command, options);
  if (result.code === 0) return result.stdout;
  const output = `${result.stderr}${result.stdout}`.trim();
  throw new Error(
    `\`${command.join(" ")}\` ended with ${result.signal ?? result.code}${output === "" ? "" : `: ${output}`}`,
  );
}

/** A program in the background, with the last part of its output kept. */
export class Background {
  readonly title: string;
  readonly pid: number;
  readonly ended: Promise<Finished>;
  #child: ChildProcess;
  #output = "";
  #hasEnded = false;

  constructor(command: readonly string[], environment: Readonly<Record<string, string>> = {}) {
    const [program = "", ...args] = command;
    this.title = command.join(" ");
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, LC_ALL: "C", ...environment },
    });
    this.#child = child;
    // Without a pid it could not be started; `ended` then tells why.
    this.pid = child.pid ?? 0;
    let stdout = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.#output = (this.#output + text).slice(-LOG_MAX);
        if (stream === child.stdout) stdout += text;
      });
    }
    this.ended = new Promise((resolve) => {
      child.once("error", (error) => {
        this.#hasEnded = true;
        this.#output += `${error.message}\n`;
        resolve({ code: null, signal: null, stdout, stderr: error.message });
      });
      child.once("close", (code, signal) => {
        this.#hasEnded = true;
        resolve({ code, signal, stdout, stderr: this.#output });
      });
    });
  }

  /** Standard output and error as they came. */
  get output(): string {
    return this.#output;
  }

  get isRunning(): boolean {
    return !this.#hasEnded;
  }

  signal(name: NodeJS.Signals): void {
    if (this.isRunning) this.#child.kill(name);
  }

  /** Asks it to end, insists after `graceMs`, and waits until it has. */
  async stop(graceMs = 5_000): Promise<Finished> {
    this.signal("SIGTERM");
    const timer = setTimeout(() => this.signal("SIGKILL"), graceMs);
    const result = await this.ended;
    clearTimeout(timer);
    return result;
  }

  /** Waits until its output holds `text`; fails if it ends before. */
  async waitFor(text: string, limitMs = 20_000): Promise<void> {
    await until(
      `\`${this.title}\` prints "${text}"`,
      () => {
        if (this.#output.includes(text)) return true;
        if (!this.isRunning) {
          throw new Error(`\`${this.title}\` ended before it printed "${text}": ${this.#output}`);
        }
        return undefined;
      },
      limitMs,
    );
  }
}

/** Asks again and again until the answer is something else than undefined or false; rejects when `limitMs` have passed. */
export async function until<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  limitMs = 20_000,
  intervalMs = 25,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) {
      throw new Error(`waited ${limitMs / 1000} s in vain until: ${what}`);
    }
    await sleep(intervalMs);
  }
}
