/**
 * Clocks of a single program moved by libfaketime (Debian: faketime), since the machine's own must stay as it is. It works on
 * programs that ask the C library, as Node and the addon do; wireguard-go asks the kernel.
 */
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "vitest";
import type { Lab } from "../../../src/cli/demo/lab.ts";
import { skip } from "./skip.ts";

const LIBRARIES = "/usr/lib";

/** The library for programs with threads. */
function findLibrary(): string | undefined {
  return readdirSync(LIBRARIES)
    .map((folder) => join(LIBRARIES, folder, "faketime", "libfaketimeMT.so.1"))
    .find((path) => existsSync(path));
}

export class FakeClock {
  /** For the program; what it starts has the same clock. */
  readonly environment: Readonly<Record<string, string>>;
  readonly #file: string;

  /** Moves CLOCK_REALTIME alone, or all clocks, CLOCK_BOOTTIME too. */
  constructor(lab: Lab, context: TestContext, clocks: "wall" | "all", label = "") {
    const library = findLibrary();
    if (library === undefined) skip(context, "libfaketime is not here (apt-get install faketime)");
    this.#file = lab.file(`clock${label}`, "+0s\n");
    this.environment = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: "1",
      ...(clocks === "wall" ? { FAKETIME_DONT_FAKE_MONOTONIC: "1" } : {}),
    };
  }

  /** From now on the program's clocks are off by `seconds`. */
  shift(seconds: number): void {
    writeFileSync(this.#file, `${seconds < 0 ? "" : "+"}${seconds}s\n`);
  }

  /** What the library leaves of a program that is killed. */
  static leftovers(pid: number): string[] {
    return [`/dev/shm/faketime_shm_${pid}`, `/dev/shm/sem.faketime_sem_${pid}`];
  }
}
