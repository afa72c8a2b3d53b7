/** The node's key on the disk. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { identityPath, nodeIdentity } from "../../../../../src/control/node/grid/identity.ts";
import { nameOf } from "../../../../../src/control/node/grid/session.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "identity-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("the node's identity", () => {
  it("is made once, is root's alone, and is the same ever after", () => {
    const made = nodeIdentity(join(folder, "state"));
    const path = identityPath(join(folder, "state"));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(nodeIdentity(join(folder, "state")).keyId).toBe(made.keyId);
    expect(readdirSync(join(folder, "state"))).toEqual(["node-key.pem"]);
    expect(nodeIdentity(join(folder, "other")).keyId).not.toBe(made.keyId);
  });

  it("one that was cut off in the middle is no key, and a broken one is said without its text", () => {
    writeFileSync(`${identityPath(folder)}.new`, "half");
    const made = nodeIdentity(folder);
    const text = readFileSync(identityPath(folder), "utf8");
    writeFileSync(identityPath(folder), text.slice(0, 60));
    expect(() => nodeIdentity(folder)).toThrow(/node-key\.pem holds no ed25519 key: put it back/);
    try {
      nodeIdentity(folder);
    } catch (error) {
      expect((error as Error).message).not.toContain(text.slice(30, 50));
    }
    // A broken key is not replaced: the node would be another one without a word.
    expect(readFileSync(identityPath(folder), "utf8")).toBe(text.slice(0, 60));
    writeFileSync(identityPath(folder), text);
    expect(nodeIdentity(folder).keyId).toBe(made.keyId);
  });
});

describe("a node's name", () => {
  it.each([
    ["host-1.example", "host-1.example-AbCdEfGh"],
    ["-höst_!", "hst_-AbCdEfGh"],
    ["", "node-AbCdEfGh"],
    ["x".repeat(64), `${"x".repeat(50)}-AbCdEfGh`],
  ])("of %s", (machine, name) => {
    expect(nameOf(machine, "AbCdEfGhIjKl")).toBe(name);
    expect(name).toMatch(/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$/u);
  });
});
