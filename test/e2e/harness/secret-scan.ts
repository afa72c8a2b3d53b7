/**
 * Looks for secrets where they must not be: in texts, in files (heap snapshots) and in the writable memory of another process, in
 * each form in which programs write bytes. Half of a secret is enough for a hit: an allocator overwrites the beginning of what is
 * freed, and texts get cut.
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";

/** What is looked for, by its name in the report. */
export type Secrets = ReadonlyMap<string, Uint8Array>;

/** A place where one was found: "private key as hex" and how often. */
export type Findings = Readonly<Record<string, number>>;

interface Needle {
  readonly label: string;
  readonly bytes: Buffer;
}

/** Characters and bytes of half a secret of 32 bytes. */
const HALF_BYTES = 16;
const HALF_HEX = 32;
const HALF_BASE64 = 21;
const READ_BYTES = 1 << 22;
const HASH_BITS = 20;
const PAGE_BYTES = 4096;
/** Of one page in /proc/PID/pagemap. */
const ENTRY_BYTES = 8;

function halves(text: string, half: number): string[] {
  return [text.slice(0, half), text.slice(half, 2 * half)];
}

/** The forms as text. Base64 and base64url are searched by the part in which they do not differ in their end. */
function textForms(bytes: Buffer): [form: string, texts: readonly string[]][] {
  const hex = bytes.toString("hex");
  const numbers = [...bytes].map(String);
  const lists = [",", ", "].flatMap((separator) => [
    numbers.slice(0, HALF_BYTES).join(separator),
    numbers.slice(HALF_BYTES).join(separator),
  ]);
  return [
    ["hex", halves(hex, HALF_HEX)],
    ["HEX", halves(hex.toUpperCase(), HALF_HEX)],
    ["hex in pairs", halves(hex.replace(/..(?!$)/g, "$& "), 3 * HALF_BYTES - 1)],
    ["base64", halves(bytes.toString("base64"), HALF_BASE64)],
    ["base64url", halves(bytes.toString("base64url"), HALF_BASE64)],
    ["a list", lists],
  ];
}

/** For texts: they are also searched with all white space taken out of lists, as util.inspect lays them out. */
export function inText(text: string, secrets: Secrets): Findings {
  const found: Record<string, number> = {};
  const packed = text.replace(/(?<=\d,)\s+(?=\d)/g, "");
  for (const [name, bytes] of secrets) {
    for (const [form, needles] of textForms(Buffer.from(bytes))) {
      const count = needles.reduce(
        (sum, needle) => sum + text.split(needle).length + packed.split(needle).length - 2,
        0,
      );
      if (count > 0) found[`${name} as ${form}`] = count;
    }
  }
  return found;
}

/** Of binary files and files too long for a string, such as heap snapshots. */
export function inFile(path: string, secrets: Secrets): Findings {
  const search = new Search(secrets);
  search.scan(readFileSync(path));
  return search.findings;
}

/** Of all that process `pid` can write to: heaps, stacks, data. As root. */
export function inMemory(pid: number, secrets: Secrets): Findings {
  const search = new Search(secrets);
  const memory = openSync(`/proc/${pid}/mem`, "r");
  try {
    for (const { from, to } of residentRanges(pid)) {
      for (let at = from; at < to; at += READ_BYTES) {
        // So that what lies across the border of two pieces is seen too.
        const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES + Search.OVERLAP, to - at));
        let got = 0;
        try {
          got = readSync(memory, buffer, 0, buffer.length, at);
        } catch {
          // It was unmapped meanwhile.
          continue;
        }
        search.scan(buffer.subarray(0, got), READ_BYTES);
      }
    }
  } finally {
    closeSync(memory);
  }
  return search.findings;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

/** Writable memory that is in use: most of what V8 reserves was never touched. */
function residentRanges(pid: number): Range[] {
  const ranges: Range[] = [];
  const pages = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (match === null) continue;
      const [from, to] = [Number.parseInt(match[1]!, 16), Number.parseInt(match[2]!, 16)];
      const entries = Buffer.alloc(((to - from) / PAGE_BYTES) * ENTRY_BYTES);
      const got = readSync(pages, entries, 0, entries.length, (from / PAGE_BYTES) * ENTRY_BYTES);
      let start = -1;
      for (let at = 0; at <= got; at += ENTRY_BYTES) {
        // Bit 63: in memory, 62: in swap (Linux Documentation/admin-guide/mm/pagemap.rst).
        const isUsed = at < got && entries[at + ENTRY_BYTES - 1]! >= 0x40;
        const address = from + (at / ENTRY_BYTES) * PAGE_BYTES;
        if (isUsed && start < 0) start = address;
        else if (!isUsed && start >= 0) {
          ranges.push({ from: start, to: address });
          start = -1;
        }
      }
    }
  } finally {
    closeSync(pages);
  }
  return ranges;
}

/** Many needles in one pass: a table of hashes of their first four bytes tells where to look closer. */
class Search {
  /** Longer than any needle. */
  static readonly OVERLAP = 256;
  readonly #needles = new Map<number, Needle[]>();
  readonly #isFirst = new Uint8Array(1 << HASH_BITS);
  readonly #found = new Map<string, number>();

  constructor(secrets: Secrets) {
    for (const [name, bytes] of secrets) {
      const raw = Buffer.from(bytes);
      this.#add(`${name} as bytes`, raw.subarray(0, HALF_BYTES));
      this.#add(`${name} as bytes`, raw.subarray(HALF_BYTES));
      for (const [form, texts] of textForms(raw)) {
        for (const text of texts) {
          this.#add(`${name} as ${form}`, Buffer.from(text, "latin1"));
          this.#add(`${name} as ${form}`, Buffer.from(text, "utf16le"));
        }
      }
    }
  }

  /** Hits that begin before `end`. */
  scan(bytes: Buffer, end: number = bytes.length): void {
    let word = 0;
    for (let at = 0; at < bytes.length; at++) {
      word = (word >>> 8) | (bytes[at]! << 24);
      if (this.#isFirst[hashOf(word)] === 0) continue;
      const start = at - 3;
      if (start < 0 || start >= end) continue;
      for (const { label, bytes: needle } of this.#needles.get(word | 0) ?? []) {
        if (bytes.length - start < needle.length) continue;
        if (bytes.compare(needle, 0, needle.length, start, start + needle.length) !== 0) continue;
        this.#found.set(label, (this.#found.get(label) ?? 0) + 1);
      }
    }
  }

  get findings(): Findings {
    return Object.fromEntries(this.#found);
  }

  #add(label: string, bytes: Buffer): void {
    const word = bytes.readInt32LE(0);
    this.#isFirst[hashOf(word)] = 1;
    const list = this.#needles.get(word);
    if (list === undefined) this.#needles.set(word, [{ label, bytes }]);
    else list.push({ label, bytes });
  }
}

/** Fibonacci hashing. */
function hashOf(word: number): number {
  return Math.imul(word, 0x9e37_79b1) >>> (32 - HASH_BITS);
}
