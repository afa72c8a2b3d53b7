/** Every vector of `vectors/` on every backend: the suites, the transport ciphers, structures alone, and whole lanes. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  type Backend,
  loadSets,
  loadSharedSets,
  makeBackends,
  type VectorSet,
} from "../../../vectors/run.mjs";

const backends = await makeBackends(
  (path) =>
    import(
      /* @vite-ignore */ new URL(`../../../src/${path}.ts`, import.meta.url).href
    ) as Promise<object>,
  (error) => {
    throw error;
  },
);
const sets = loadSets();

/** What a kind of backend shows, so that a check which skips everything can't pass: suites all cases of these sets, others so many. */
const NOT_OF_SUITES = /conversation|counter|allowed|rate/;
const SHOWN: Record<string, Record<string, number>> = {
  cipher: { chacha20poly1305: 70, "wireguard-handshake": 2, "noise-ikpsk2": 2 },
  tables: { "replay-counter": 7, "allowed-ips": 10, "rate-limiter": 4 },
  lane: {
    x25519: 2,
    "low-order": 14,
    chacha20poly1305: 61,
    "wireguard-handshake": 2,
    "noise-ikpsk2": 2,
    "wireguard-conversation": 8,
    "replay-counter": 7,
    "allowed-ips": 10,
    "rate-limiter": 3,
  },
};

function shown(backend: string, { name, cases }: VectorSet): number {
  const kind = backend.split(" ").at(-1)!;
  if (kind !== "suite") return SHOWN[kind]![name] ?? 0;
  // OpenSSL's is not to be had by itself.
  if (name === "poly1305" && backend !== "noble suite") return 0;
  return NOT_OF_SUITES.test(name) ? 0 : cases.length;
}

function passed(set: VectorSet, backend: Backend): number {
  let count = 0;
  for (const vector of set.cases) {
    try {
      if (set.check(backend, vector)) count++;
    } catch (error) {
      throw new Error(`${set.name}, ${vector.name}`, { cause: error });
    }
  }
  return count;
}

function backendOf(name: string): Backend {
  const found = backends.find((candidate) => candidate.name === name)?.backend;
  if (found === undefined) throw new Error(`there is no backend "${name}"`);
  return found;
}

describe.each(backends)("$name", ({ name, backend }) => {
  it.each(sets)("$name", (set) => {
    expect(passed(set, backend!)).toBe(shown(name, set));
  });
});

/** Copies of a set's first cases with one value changed, each of which a check must refuse. */
type Change = (vector: Record<string, unknown>) => void;

/** Another digit in the first place of this field of the case, or of the object in it that `pick` finds. */
function digit(field: string, pick: (vector: never) => unknown = (vector) => vector): Change {
  return (vector) => {
    const holder = pick(vector as never) as Record<string, string>;
    const digits = holder[field]!;
    holder[field] = (digits[0] === "0" ? "1" : "0") + digits.slice(1);
  };
}

interface Tape {
  readonly events: { readonly kind: string; readonly side: string; at: number; message: string }[];
}

function datagram(side: string, type: string): (tape: Tape) => unknown {
  return ({ events }) =>
    events.find(
      (event) =>
        event.kind === "datagram" && event.side === side && event.message.startsWith(`0${type}`),
    );
}

/** Set, backend, case, what is changed. */
const WRONG: readonly (readonly [string, string, number, string, Change])[] = [
  ["x25519", "openssl suite", 0, "shared", digit("shared")],
  ["x25519", "openssl lane", 2, "shared", digit("shared")],
  ["low-order", "openssl suite", 0, "point", digit("point")],
  [
    "low-order",
    "openssl lane",
    0,
    "point",
    (vector) => {
      vector["point"] = `09${"00".repeat(31)}`;
    },
  ],
  ["chacha20poly1305", "openssl suite", 0, "sealed", digit("sealed")],
  ["chacha20poly1305", "addon cipher", 2, "sealed", digit("sealed")],
  ["poly1305", "noble suite", 0, "output", digit("output")],
  ["xchacha20poly1305", "openssl suite", 0, "sealed", digit("sealed")],
  ["blake2s", "openssl suite", 0, "output", digit("output")],
  ["hmac-blake2s", "openssl suite", 0, "output", digit("output")],
  ["kdf", "openssl suite", 0, "t1", digit("t1")],
  ["kdf", "openssl suite", 0, "t2", digit("t2")],
  ["kdf", "openssl suite", 0, "t3", digit("t3")],
  ...["timestamp", "presharedKey", "initiatorSendKey"].map(
    (field) => ["wireguard-handshake", "openssl suite", 0, field, digit(field)] as const,
  ),
  ...["timestamp", "presharedKey", "responderEphemeralPrivate"].map(
    (field) => ["wireguard-handshake", "addon lane", 0, field, digit(field)] as const,
  ),
  ...["message1", "hash1", "message2", "hash2", "responderSendKey"].map(
    (field) => ["noise-ikpsk2", "openssl suite", 0, field, digit(field)] as const,
  ),
  ...["message1", "message2"].map(
    (field) => ["noise-ikpsk2", "addon lane", 0, field, digit(field)] as const,
  ),
  ...(["1", "2", "4"] as const).flatMap((type) =>
    ["initiator", "responder"]
      .filter((side) => type === "4" || (type === "1") === (side === "initiator"))
      .map(
        (side) =>
          [
            "wireguard-conversation",
            "addon lane",
            0,
            `message ${type} of the ${side}`,
            (vector: Record<string, unknown>) => {
              const event = datagram(side, type)(vector as unknown as Tape) as { message: string };
              event.message = `${event.message.slice(0, -1)}${event.message.endsWith("0") ? 1 : 0}`;
            },
          ] as const,
      ),
  ),
  [
    "wireguard-conversation",
    "addon lane",
    2,
    "cookie reply",
    digit("nonce", datagram("responder", "3")),
  ],
  [
    "wireguard-conversation",
    "addon lane",
    3,
    "cookie's secret",
    digit("secret", datagram("initiator", "3")),
  ],
  [
    "wireguard-conversation",
    "addon lane",
    0,
    "time of the keepalive",
    (vector) => {
      const { events } = vector as unknown as Tape;
      events.findLast(({ kind }) => kind === "datagram")!.at -= 1;
    },
  ],
  [
    "wireguard-conversation",
    "addon lane",
    4,
    "a packet that was delivered",
    (vector) => {
      const tape = vector as { events: { kind: string }[] };
      tape.events = tape.events.filter(({ kind }) => kind !== "delivered");
    },
  ],
  ...["tables", "noble lane", "openssl lane", "addon lane"].flatMap((name) => [
    [
      "replay-counter",
      name,
      0,
      "number 23",
      (vector: Record<string, unknown>) => {
        (vector["steps"] as { accepted: boolean }[])[22]!.accepted = true;
      },
    ] as const,
    [
      "replay-counter",
      name,
      0,
      "number 26",
      (vector: Record<string, unknown>) => {
        (vector["steps"] as { accepted: boolean }[])[25]!.accepted = false;
      },
    ] as const,
    [
      "allowed-ips",
      name,
      0,
      "a look-up",
      (vector: Record<string, unknown>) => {
        const steps = vector["steps"] as { number?: number; peer: string }[];
        steps.find(({ number }) => number === 6)!.peer = "c";
      },
    ] as const,
    [
      "allowed-ips",
      name,
      3,
      "a list",
      (vector: Record<string, unknown>) => {
        (vector["steps"] as { prefixes?: string[] }[]).at(-1)!.prefixes!.pop();
      },
    ] as const,
    [
      "rate-limiter",
      name,
      0,
      "a refusal",
      (vector: Record<string, unknown>) => {
        (vector["steps"] as { allowed: boolean }[]).find(({ allowed }) => !allowed)!.allowed = true;
      },
    ] as const,
  ]),
];

describe("the checks themselves fail when a value is wrong", () => {
  it.each(WRONG)("%s, %s, case %i: %s", (setName, backendName, index, _what, change) => {
    const set = sets.find(({ name }) => name === setName)!;
    const backend = backendOf(backendName);
    expect(set.check(backend, set.cases[index]!)).toBe(true);
    const vector = structuredClone(set.cases[index]!);
    change(vector as unknown as Record<string, unknown>);
    expect(() => set.check(backend, vector)).toThrow();
  });
});

describe("sets of another folder", () => {
  const folder = mkdtempSync(join(tmpdir(), "wirehaul-vectors-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function write(name: string, files: Record<string, object | string>): string {
    const path = join(folder, name);
    mkdirSync(path);
    for (const [file, content] of Object.entries(files)) {
      writeFileSync(
        join(path, file),
        typeof content === "string" ? content : JSON.stringify(content),
      );
    }
    return path;
  }

  const blake2s = sets.find(({ name }) => name === "blake2s")!;

  it("run like our own, by their file's name or what it says", () => {
    const cases = blake2s.cases.slice(0, 3);
    const path = write("good", {
      "blake2s.json": { source: "s", licence: "l", cases },
      "more.json": { set: "blake2s", source: "s", licence: "l", cases: cases.slice(1) },
      "readme.txt": "no set",
    });
    const shared = loadSharedSets(path);
    expect(shared.map(({ name, cases: own }) => [name, own.length])).toEqual([
      ["shared: blake2s", 3],
      ["shared: more", 2],
    ]);
    for (const set of shared) {
      expect(passed(set, backendOf("noble suite"))).toBe(set.cases.length);
      expect(passed(set, backendOf("noble lane"))).toBe(0);
    }
  });

  it("fail like our own", () => {
    const vector = { ...blake2s.cases[0]!, output: "00".repeat(32) };
    const path = write("wrong", { "blake2s.json": { source: "s", licence: "l", cases: [vector] } });
    const [set] = loadSharedSets(path);
    expect(() => set!.check(backendOf("openssl suite"), vector)).toThrow("hash");
  });

  it("are refused when nobody knows what they mean", () => {
    const path = write("unknown", { "sha1.json": { source: "s", licence: "l", cases: [{}] } });
    expect(() => loadSharedSets(path)).toThrow(/sha1\.json: there is no set "sha1"/);
    expect(() => loadSharedSets(write("text", { "kdf.json": "{" }))).toThrow(
      /kdf\.json is not JSON/,
    );
    expect(() => loadSharedSets(write("empty", { "kdf.json": { cases: [] } }))).toThrow(
      /"cases" is no list/,
    );
  });

  it("are none where there is no such folder", () => {
    expect(loadSharedSets(join(folder, "nowhere"))).toEqual([]);
  });
});

/** Sets beside the checkout, where there are any. */
describe("sets of ../shared/vectors", () => {
  const shared = loadSharedSets();
  it("pass, and each case is shown by somebody", () => {
    for (const set of shared) {
      const shown = new Set<object>();
      for (const { backend } of backends) {
        for (const vector of set.cases) if (set.check(backend!, vector)) shown.add(vector);
      }
      expect(shown.size, set.name).toBe(set.cases.length);
    }
    expect(shared.every(({ name }) => name.startsWith("shared: "))).toBe(true);
  });
});
