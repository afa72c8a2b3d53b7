/**
 * Shells that stay, for many short scripts: starting one from a small process costs a fraction of what it costs from a large one. A script
 * runs in a subshell with nothing to read; scripts at once are as many as callers let be.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";

export interface ScriptResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** No output of a script holds it. */
const END = "@@end@@";
const LIMIT_MS = 60_000;

export class Shells {
  readonly #idle: Shell[] = [];
  readonly #all = new Set<Shell>();
  #isClosed = false;

  /** Runs a script to its end, whatever its exit code; rejects when the shell dies or takes longer than `limitMs`. */
  async run(script: string, limitMs: number = LIMIT_MS): Promise<ScriptResult> {
    if (this.#isClosed) throw new Error("the shells are closed");
    const shell = this.#idle.pop() ?? new Shell();
    this.#all.add(shell);
    try {
      const result = await shell.run(script, limitMs);
      this.#idle.push(shell);
      return result;
    } catch (error) {
      this.#all.delete(shell);
      shell.end();
      throw error;
    }
  }

  /** Ends all; scripts that run are cut off. */
  close(): void {
    this.#isClosed = true;
    for (const shell of this.#all) shell.end();
    this.#all.clear();
  }
}

class Shell {
  readonly #child: ChildProcessWithoutNullStreams;
  #stdout = "";
  #stderr = "";
  #settle: ((result: ScriptResult | Error) => void) | undefined;

  constructor() {
    const child = spawn("sh", [], { stdio: "pipe", env: { ...process.env, LC_ALL: "C" } });
    this.#child = child;
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
      this.#look();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
      this.#look();
    });
    // Its exit tells.
    child.stdin.on("error", () => undefined);
    child.once("error", (error) => this.#settle?.(error));
    child.once("exit", (code, signal) =>
      this.#settle?.(new Error(`the shell ended with ${signal ?? code}: ${this.#stderr.trim()}`)),
    );
  }

  run(script: string, limitMs: number): Promise<ScriptResult> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#settle?.(new Error(`a script took longer than ${limitMs / 1000} s`)),
        limitMs,
      );
      this.#settle = (result) => {
        clearTimeout(timer);
        this.#settle = undefined;
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      this.#stdout = "";
      this.#stderr = "";
      this.#child.stdin.write(`(\n${script}\n) </dev/null\necho "${END}$?"; echo "${END}" >&2\n`);
    });
  }

  end(): void {
    this.#child.kill("SIGKILL");
    this.#child.unref();
  }

  /** Both streams must have come to their end. */
  #look(): void {
    const end = new RegExp(`${END}(\\d+)\\n$`).exec(this.#stdout.slice(-32));
    if (end === null || !this.#stderr.endsWith(`${END}\n`)) return;
    this.#settle?.({
      code: Number(end[1]),
      stdout: this.#stdout.slice(0, this.#stdout.lastIndexOf(END)),
      stderr: this.#stderr.slice(0, this.#stderr.lastIndexOf(END)),
    });
  }
}
