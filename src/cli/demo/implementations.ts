/** The WireGuard implementations that a demo, a test or the bench can start, and where they are on this machine. */
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const IMPLEMENTATIONS = [
  "wirehaul",
  "wireguard-go",
  "wireguard-go-newest",
  "boringtun",
] as const;
export type Implementation = (typeof IMPLEMENTATIONS)[number];

/** The checkout or package: this file is in src/cli/demo or dist/src/cli/demo. */
export const ROOT: string = findRoot();

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

/** Where scripts/peers.mjs puts what it builds. */
const PEERS = join(ROOT, "node_modules", ".cache", "wirehaul", "peers");

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The path of a program by its name, as a shell finds it; also in the folders of root. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function firstProgram(...paths: readonly (string | undefined)[]): string | undefined {
  return paths.find((path) => path !== undefined && path !== "" && isProgram(path));
}

/** The command that starts an implementation in the foreground, short of the interface's name; undefined if it is not here. */
export function startCommand(implementation: Implementation): string[] | undefined {
  switch (implementation) {
    case "wirehaul":
      return [process.execPath, join(ROOT, "bin", "wirehaul-wg"), "-f"];
    case "wireguard-go": {
      const path = findProgram("wireguard-go");
      return path === undefined ? undefined : [path, "-f"];
    }
    case "wireguard-go-newest": {
      const path = firstProgram(process.env["WIREGUARD_GO"], join(PEERS, "wireguard"));
      return path === undefined ? undefined : [path, "-f"];
    }
    case "boringtun": {
      const path = firstProgram(
        process.env["BORINGTUN"],
        join(PEERS, "bin", "boringtun-cli"),
        findProgram("boringtun-cli"),
      );
      return path === undefined ? undefined : [path, "--foreground", "--disable-drop-privileges"];
    }
  }
}
