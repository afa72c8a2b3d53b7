/** The node's own key in the state folder, made at the first start: who has it is the node to the registry. Root's alone, and never shown. */
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { Identity } from "../../registry/client.ts";

const FILE = "node-key.pem";

/** Where the key is. */
export function identityPath(folder: string): string {
  return join(folder, FILE);
}

/** Reads the key, or makes one that is on the disk when this returns. Throws naming the file, and nothing of what is in it. */
export function nodeIdentity(folder: string): Identity {
  const path = identityPath(folder);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  let pem: string;
  try {
    pem = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return make(folder, path);
  }
  try {
    return Identity.parse(pem);
  } catch {
    throw new Error(
      `${path} holds no ed25519 key: put it back from a backup, or remove it and the node joins anew as another one`,
    );
  }
}

function make(folder: string, path: string): Identity {
  const identity = Identity.generate();
  const fresh = `${path}.new`;
  rmSync(fresh, { force: true });
  const fd = openSync(fresh, "wx", 0o600);
  try {
    writeSync(fd, identity.secretPem());
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  try {
    // Not by a rename: that would replace a key which another start has made meanwhile.
    linkSync(fresh, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return Identity.parse(readFileSync(path, "utf8"));
  } finally {
    rmSync(fresh, { force: true });
  }
  const directory = openSync(folder, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
  return identity;
}
