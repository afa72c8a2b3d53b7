/** Corpora on disk: one file an input, named by its content. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Inputs of a folder, or of one file, in the order of their names; nothing if it is missing. */
export function readInputs(path: string): Uint8Array[] {
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return [new Uint8Array(readFileSync(path))];
  return readdirSync(path)
    .filter((name) => !name.startsWith("."))
    .toSorted()
    .map((name) => new Uint8Array(readFileSync(join(path, name))));
}

/** Writes an input and gives its path. */
export function writeInput(folder: string, input: Uint8Array): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, createHash("sha256").update(input).digest("hex").slice(0, 12));
  writeFileSync(path, input);
  return path;
}
