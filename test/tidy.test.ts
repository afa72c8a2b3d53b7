/** What the code base promises of itself: layers, sizes, sources, documents that stay true. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ERROR_STATUS } from "../src/control/api/errors.ts";
import { counterNames } from "../src/io/native.ts";
import { DROP_REASONS } from "../src/tunnel/drop.ts";
import { VERSION } from "../src/version.ts";
import { layerFaults } from "./tidy/layers.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const LINES_MAX = 500;

/** What git tracks, and what it would if it were added: a fresh clone and a working copy give the same answer. */
const files = execFileSync(
  "git",
  ["-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"],
  { cwd: ROOT, encoding: "utf8" },
)
  .split("\n")
  .filter((path) => path !== "" && existsSync(join(ROOT, path)));

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

function matching(pattern: RegExp): string[] {
  const found = files.filter((path) => pattern.test(path));
  expect(found.length, `files like ${pattern}`).toBeGreaterThan(0);
  return found;
}

describe("layers", () => {
  it("no file imports upward, and pure layers read no clock, no dice and no Node", () => {
    const faults = matching(/^(src|workers)\/.*\.ts$/).flatMap((path) =>
      layerFaults({ path, text: read(path) }),
    );
    expect(faults).toEqual([]);
  });

  it.each([
    ["a static import", `import { Peer } from "../tunnel/peer.ts";`],
    ["an import of types", `import type { Peer } from "../tunnel/peer.ts";`],
    ["an import over several lines", `import {\n  Peer,\n} from "../tunnel/peer.ts";`],
    ["a re-export", `export * from "../tunnel/peer.ts";`],
    ["a named re-export", `export { Peer } from '../tunnel/peer.ts';`],
    ["an import for its effects", `import "../tunnel/peer.ts";`],
    ["a dynamic import", `const { Peer } = await import("../tunnel/peer.ts");`],
    ["a type in place", `type Peer = import("../tunnel/peer.ts").Peer;`],
    ["require", `const peer = require("../tunnel/peer.ts");`],
  ])("%s that goes upward is found", (_name, text) => {
    expect(layerFaults({ path: "src/session/keypair.ts", text })).toEqual([
      "src/session/keypair.ts imports upward: src/tunnel/peer.ts",
    ]);
    expect(layerFaults({ path: "src/lane/lane.ts", text })).toEqual([]);
  });

  it.each([
    ["src/wire/a.ts", `import "../route/b.ts";`, "src/wire/a.ts imports sideways: src/route/b.ts"],
    ["src/route/a.ts", `import "../uapi/b.ts";`, "src/route/a.ts imports sideways: src/uapi/b.ts"],
    ["src/lane/a.ts", `import "../index.ts";`, "src/lane/a.ts imports src/index.ts"],
    ["src/cli/a.ts", `import "../../test/b.ts";`, "src/cli/a.ts imports test/b.ts"],
    ["src/misc/a.ts", "", "src/misc/a.ts is in no known layer"],
    ["src/lane/a.ts", `await import(name);`, "src/lane/a.ts imports a name that it computes"],
    ["src/lane/a.ts", `import "node:fs";`, "src/lane/a.ts imports node:fs"],
    ["src/crypto/openssl.ts", `import "node:fs";`, "src/crypto/openssl.ts imports node:fs"],
    ["src/tunnel/a.ts", "const t = Date.now();", "src/tunnel/a.ts uses Date.now"],
    ["src/session/a.ts", "Math.random()", "src/session/a.ts uses Math.random"],
  ])("%s with %s is at fault", (path, text, fault) => {
    expect(layerFaults({ path, text })).toEqual([fault]);
  });

  it("what the rule allows, and comments, are no fault", () => {
    const allowed = [
      ["src/uapi/a.ts", `import "../route/address.ts";`],
      ["src/crypto/openssl.ts", `import { createHash } from "node:crypto";`],
      ["src/io/a.ts", `import "node:fs"; Date.now();`],
      ["src/lane/a.ts", `import { VERSION } from "../version.ts";`],
      ["src/bytes/a.ts", `/* from "../tunnel/peer.ts" */ // import "../lane/lane.ts"`],
    ] as const;
    for (const [path, text] of allowed) expect(layerFaults({ path, text }), path).toEqual([]);
  });
});

describe("code", () => {
  it(`files have at most ${LINES_MAX} lines`, () => {
    const long = matching(/\.(ts|mjs|mts|c|h|md)$/).filter(
      (path) => read(path).split("\n").length > LINES_MAX + 1,
    );
    expect(long).toEqual([]);
  });

  it("no rule is suppressed without a reason", () => {
    const faults: string[] = [];
    for (const path of matching(/\.(ts|mts)$/)) {
      if (path.startsWith("test/tidy")) continue;
      read(path)
        .split("\n")
        .forEach((line, index) => {
          const where = `${path}:${index + 1}`;
          if (/@ts-(ignore|nocheck)/.test(line)) faults.push(where);
          if (/@ts-expect-error\s*$/.test(line)) faults.push(where);
          if (/biome-ignore[^:]*(:\s*)?$/.test(line)) faults.push(where);
        });
    }
    expect(faults).toEqual([]);
  });

  // Node 20: an export of such a key, and a garbage collection in its middle, wait for each other for ever.
  it("no key pair is made by node:crypto", () => {
    const makers = matching(/\.(ts|mjs)$/).filter((path) =>
      new RegExp(`${"generateKey"}Pair(Sync)?\\(`).test(read(path)),
    );
    expect(makers).toEqual([]);
  });

  it("no test is left out or run alone", () => {
    const alone = matching(/\.test\.ts$/).filter((path) =>
      /\b(it|test|describe|labTest)\.(only|skip|todo)\b/.test(read(path)),
    );
    expect(alone).toEqual([]);
  });

  it("every constant of the protocol names its source", () => {
    const lines = read("src/wire/constants.ts").split("\n");
    const bare = lines.flatMap((line, index) => {
      const name = /^export const ([A-Z0-9_]+)/.exec(line)?.[1];
      if (name === undefined) return [];
      // The comment above; constants in a row, without an empty line, share one.
      let at = index;
      while (at > 0 && /^export const/.test(lines[at - 1] ?? "")) at--;
      while (at > 0 && !/^(\/\*\*| \*|\/\/)/.test(lines[at - 1] ?? "")) at--;
      let comment = "";
      for (let i = at - 1; i >= 0 && /^(\/\*\*| \*)/.test(lines[i] ?? ""); i--) {
        comment = `${lines[i]}\n${comment}`;
      }
      return /\b(WP|K|G|RFC) ?\S/.test(comment) ? [] : [name];
    });
    expect(bare).toEqual([]);
  });

  it("nothing names a home directory or a registry", () => {
    const pattern = /\/(home|Users)\/[a-z]|\/root\/|registry\.npm|\bnpmmirror\b/;
    const named = files.filter(
      (path) => path !== "test/tidy.test.ts" && pattern.test(read(path).slice(0, 1_000_000)),
    );
    expect(named).toEqual([]);
  });
});

describe("documents", () => {
  const manifest = JSON.parse(read("package.json")) as {
    readonly version: string;
    readonly dependencies: Record<string, string>;
    readonly devDependencies: Record<string, string>;
  };

  it("the version is the package's", () => {
    expect(VERSION).toBe(manifest.version);
  });

  it("docs/testing.md names files that there are", () => {
    const named = [
      ...read("docs/testing.md").matchAll(/`((?:test|native)\/[^`]+\.(?:ts|c))`/g),
    ].map(([, path = ""]) => path);
    expect(named.length).toBeGreaterThan(50);
    expect(named.filter((path) => !files.includes(path))).toEqual([]);
  });

  it("docs/testing.md names every end-to-end, simulation and fuzz test", () => {
    const text = read("docs/testing.md");
    const left = matching(/^test\/(e2e|sim|fuzz)\/[^/]+\.test\.ts$/).filter(
      (path) => !text.includes(path),
    );
    expect(left).toEqual([]);
  });

  it("docs/dependencies.md has every dependency, with its version", () => {
    const text = read("docs/dependencies.md");
    for (const [name, version] of Object.entries({
      ...manifest.dependencies,
      ...manifest.devDependencies,
    })) {
      const row = text.split("\n").find((line) => line.startsWith(`| \`${name}\``));
      expect(row, name).toContain(`| ${version} `);
    }
  });

  it("docs/drops.md has every reason and every counter of the addon, and no others", () => {
    const documented = [...read("docs/drops.md").matchAll(/^\| `(\w+)`/gm)].map(
      (match) => match[1]!,
    );
    const names: readonly string[] = [...DROP_REASONS.map(([name]) => name), ...counterNames];
    expect(documented.toSorted()).toEqual(names.toSorted());
  });

  it("docs/errors.md has every code of the API with its status, and no others", () => {
    const rows = [...read("docs/errors.md").matchAll(/^\| `(\w+)` +\| (\d+) /gm)];
    const documented = rows.map(([, code = "", status = ""]) => [code, Number(status)]);
    expect(documented.toSorted()).toEqual(Object.entries(ERROR_STATUS).toSorted());
  });

  it("docs/networkd.md has items 1 to 32, files that are there, tests that name the item, and all such tests", () => {
    const rows = [...read("docs/networkd.md").matchAll(/^\| (\d+) +\|(.*)\| *(.*?) *\|$/gm)];
    expect(rows.map(([, item]) => Number(item))).toEqual(
      Array.from({ length: 32 }, (_, i) => i + 1),
    );
    const named = new Map<number, string[]>();
    for (const path of matching(/^test\/e2e\/.*\.test\.ts$/)) {
      for (const [, list = ""] of read(path).matchAll(/["`]items? (\d[\d, to]*):/g)) {
        for (const [, from = "", to = from] of list.matchAll(/(\d+)(?: to (\d+))?/g)) {
          for (let item = Number(from); item <= Number(to); item++) {
            const paths = named.get(item) ?? [];
            named.set(item, paths.includes(path) ? paths : [...paths, path]);
          }
        }
      }
    }
    for (const [, item = "", where = "", tests = ""] of rows) {
      const files = [...where.matchAll(/`([^` ]+\/[^` ]+)`/g)].map(([, file = ""]) => file);
      expect(files.length, `item ${item}`).toBeGreaterThan(0);
      for (const file of files) expect(existsSync(join(ROOT, file)), file).toBe(true);
      const listed = [...tests.matchAll(/`([^`]+)`/g)].map(([, file = ""]) => file);
      expect(listed.toSorted(), `item ${item}`).toEqual((named.get(Number(item)) ?? []).toSorted());
    }
  });

  it("links between documents lead somewhere", () => {
    const broken: string[] = [];
    for (const path of matching(/\.md$/)) {
      for (const [, target = ""] of read(path).matchAll(/\]\(([^)\s#]+)[^)]*\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        if (!existsSync(join(ROOT, dirname(path), target))) broken.push(`${path} -> ${target}`);
      }
    }
    expect(broken).toEqual([]);
  });

  it("decisions are numbered without a gap", () => {
    const numbers = matching(/^docs\/decisions\/\d{4}-/).map((path) => Number(path.slice(15, 19)));
    expect(numbers).toEqual(numbers.map((_number, index) => index + 1));
  });
});
