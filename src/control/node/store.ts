/**
 * The desired state on the disk, so that a node comes back from a reboot as it was without asking anybody: one file for each network and
 * one for the node's leases. A file is written anew beside the old one, synced, renamed, and its folder synced; the generation before is
 * kept. One that can't be read is put aside and the generation before is used. Files are root's alone: they hold private keys.
 */

import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import {
  type DesiredNetwork,
  type PortLease,
  parseDesiredNetwork,
  parseLeases,
  STATE_VERSION,
} from "../model/desired-state.ts";
import { EMPTY_NODE_CONFIG, type NodeConfig, parseNodeConfig } from "../model/node-config.ts";
import { parseReachability, type Reachability } from "../model/reachability.ts";

const NETWORKS = "networks";
const LEASES = "leases";
const SEED = "seed";
const CONFIG = "node-config";
const REACHABILITY = "reachability";
const ENDING = ".json";
const PREVIOUS = ".previous";

export interface Loaded {
  readonly networks: readonly DesiredNetwork[];
  readonly leases: readonly PortLease[];
  /** What is wrong with the files, to be said loudly. */
  readonly complaints: readonly string[];
  /** Networks of which no file can be read: what there is of them on the machine must stay. */
  readonly lost: readonly string[];
}

export class Store {
  readonly #folder: string;
  readonly #now: () => number;

  /** Makes the folder if it is missing. `now`: milliseconds since 1970. */
  constructor(folder: string, now: () => number = Date.now) {
    this.#folder = folder;
    this.#now = now;
    mkdirSync(join(folder, NETWORKS), { recursive: true, mode: 0o700 });
  }

  load(): Loaded {
    const complaints: string[] = [];
    const lost: string[] = [];
    const networks: DesiredNetwork[] = [];
    const ids = new Set<string>();
    for (const file of readdirSync(join(this.#folder, NETWORKS))) {
      // One of which only corrupt files are left stays lost, start after start.
      const match = /^([^.]+)\.json(\.previous)?(\.corrupt-\d+)?$/.exec(file);
      if (match?.[1] !== undefined) ids.add(match[1]);
    }
    for (const id of [...ids].sort()) {
      const parse = (value: unknown): DesiredNetwork => {
        const network = parseDesiredNetwork(value);
        if (network.resource.id === id) return network;
        throw new Error(`it holds network ${network.resource.id}`);
      };
      const network = this.#read(join(NETWORKS, id), parse, complaints);
      if (network === undefined) lost.push(id);
      else networks.push(network);
    }
    const leases = this.#read(LEASES, parseLeases, complaints) ?? [];
    return { networks, leases, complaints, lost };
  }

  /** A random text that is always the same for this folder, and no other node's. */
  seed(): string {
    const parse = (value: unknown): string => z.string().min(1).parse(value);
    const known = this.#read(SEED, parse, []);
    if (known !== undefined) return known;
    const fresh = randomBytes(16).toString("hex");
    this.#write(SEED, fresh);
    return fresh;
  }

  /** On the disk when it returns. Throws what the disk refuses; then the old state stays. */
  saveNetwork(network: DesiredNetwork): void {
    this.#write(join(NETWORKS, network.resource.id), network);
  }

  /** Puts the generation before the last save back; needs no room on the disk. */
  takeBack(id: string): void {
    const path = this.#path(join(NETWORKS, id));
    renameSync(`${path}${PREVIOUS}`, path);
    this.#syncFolder(NETWORKS);
  }

  /** Gone from the disk when it returns. */
  removeNetwork(id: string): void {
    const path = this.#path(join(NETWORKS, id));
    // The old generation first: alone it would bring the network back.
    rmSync(`${path}${PREVIOUS}`, { force: true });
    rmSync(path, { force: true });
    for (const file of readdirSync(join(this.#folder, NETWORKS))) {
      if (file.startsWith(`${id}${ENDING}`)) rmSync(join(this.#folder, NETWORKS, file));
    }
    this.#syncFolder(NETWORKS);
  }

  saveLeases(leases: readonly PortLease[]): void {
    this.#write(LEASES, leases);
  }

  /** The node configuration in force; what is wrong with its file is added to `complaints`. */
  config(complaints: string[]): NodeConfig {
    return this.#read(CONFIG, parseNodeConfig, complaints) ?? EMPTY_NODE_CONFIG;
  }

  saveConfig(config: NodeConfig): void {
    this.#write(CONFIG, config);
  }

  /** How the node could be reached when that was saved; undefined: never. */
  reachability(complaints: string[]): Reachability | undefined {
    return this.#read(REACHABILITY, parseReachability, complaints);
  }

  saveReachability(state: Reachability): void {
    this.#write(REACHABILITY, state);
  }

  #path(name: string): string {
    return join(this.#folder, `${name}${ENDING}`);
  }

  #write(name: string, value: unknown): void {
    const path = this.#path(name);
    const fresh = `${path}.new`;
    const body = JSON.stringify(value);
    const text = `${JSON.stringify({ version: STATE_VERSION, sha256: digest(body) })}\n${body}\n`;
    try {
      rmSync(fresh, { force: true });
      const fd = openSync(fresh, "wx", 0o600);
      try {
        const bytes = Buffer.from(text);
        for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      // By a link, so that there is a current file at every moment.
      if (existsSync(path)) {
        rmSync(`${path}${PREVIOUS}.new`, { force: true });
        linkSync(path, `${path}${PREVIOUS}.new`);
        renameSync(`${path}${PREVIOUS}.new`, `${path}${PREVIOUS}`);
      }
      renameSync(fresh, path);
      this.#syncFolder(name.includes("/") ? NETWORKS : ".");
    } catch (error) {
      try {
        rmSync(fresh, { force: true });
      } catch {
        // What is refused is told below.
      }
      const { code, message } = error as NodeJS.ErrnoException;
      const fix =
        code === "ENOSPC" || code === "EDQUOT"
          ? "the disk is full: make room and try again"
          : (message ?? String(error));
      throw new Error(`the state cannot be written to ${path}: ${fix}. What was stored stays`, {
        cause: error,
      });
    }
  }

  #read<Value>(
    name: string,
    parse: (value: unknown) => Value,
    complaints: string[],
  ): Value | undefined {
    const path = this.#path(name);
    for (const candidate of [path, `${path}${PREVIOUS}`]) {
      if (!existsSync(candidate)) continue;
      try {
        const value = parse(unpack(readFileSync(candidate, "utf8")));
        if (candidate !== path) {
          complaints.push(`${path} was not there or unreadable: the generation before it is used`);
        }
        return value;
      } catch (error) {
        const aside = `${candidate}.corrupt-${this.#now()}`;
        renameSync(candidate, aside);
        const why = error instanceof Error ? error.message : String(error);
        complaints.push(`${candidate} cannot be used (${why}): put aside as ${aside}`);
      }
    }
    return undefined;
  }

  #syncFolder(name: string): void {
    const fd = openSync(join(this.#folder, name), "r");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}

/** The value in a file's text; throws what is wrong, without showing contents. */
function unpack(text: string): unknown {
  const end = text.indexOf("\n");
  let head: { version?: unknown; sha256?: unknown };
  try {
    head = JSON.parse(text.slice(0, end)) as typeof head;
  } catch {
    throw new Error("its first line is no JSON");
  }
  if (head.version !== STATE_VERSION) {
    throw new Error(`it has version ${String(head.version)}, this program reads ${STATE_VERSION}`);
  }
  const body = text.slice(end + 1).replace(/\n$/, "");
  if (head.sha256 !== digest(body)) throw new Error("its checksum is wrong");
  return JSON.parse(body);
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
