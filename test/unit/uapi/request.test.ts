import { describe, expect, it } from "vitest";
import { EINVAL, EIO, EPROTO } from "../../../src/uapi/errors.ts";
import { LINE_BYTES_MAX, type Request, RequestReader } from "../../../src/uapi/request.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** All requests of a stream that comes in chunks of `size` bytes and then ends. */
function read(
  text: string,
  size = Number.POSITIVE_INFINITY,
  reader = new RequestReader(),
): Request[] {
  const stream = bytes(text);
  const requests: Request[] = [];
  for (let at = 0; at < stream.length; at += size) {
    requests.push(...reader.push(stream.slice(at, Math.min(at + size, stream.length))));
  }
  return [...requests, ...reader.end()];
}

const fwmark = (...marks: number[]): Request => ({
  kind: "set",
  operations: marks.map((mark) => ({ op: "fwmark" as const, mark })),
});
const refused = (errno: number, ...marks: number[]): unknown => ({
  ...fwmark(...marks),
  error: { errno, message: expect.any(String) as string },
});
const CLOSE = { kind: "close", message: "invalid operation" };

describe("requests", () => {
  const stream =
    "get=1\n\nset=1\nfwmark=1\nfwmark=2\n\nstatus=1\n\nset=1\n\nget=1\n\nset=1\nfwmark=3\r\n\r\nget=1\n\n";
  const want = [
    { kind: "get" },
    fwmark(1, 2),
    { kind: "status" },
    fwmark(),
    { kind: "get" },
    fwmark(3),
    { kind: "get" },
  ];

  it.each([1, 2, 3, 5, 7, 64, 1000])("follow one another, in chunks of %i bytes", (size) => {
    expect(read(stream, size)).toEqual(want);
  });

  it("are given as soon as they are whole", () => {
    const reader = new RequestReader();
    expect(reader.push(bytes("get=1\n"))).toEqual([]);
    expect(reader.push(bytes("\nset=1\nfwmark=4\n"))).toEqual([{ kind: "get" }]);
    expect(reader.push(bytes("\n"))).toEqual([fwmark(4)]);
    expect(reader.end()).toEqual([]);
  });

  it("do not depend on the chunk after it has been taken", () => {
    const reader = new RequestReader();
    const chunk = bytes("set=1\nfwm");
    reader.push(chunk);
    chunk.fill(0);
    expect(reader.push(bytes("ark=5\n\n"))).toEqual([fwmark(5)]);
  });
});

describe("the end of the stream", () => {
  it("ends a set, also within a line", () => {
    expect(read("set=1\n")).toEqual([fwmark()]);
    expect(read("set=1\nfwmark=1\n")).toEqual([fwmark(1)]);
    expect(read("set=1\nfwmark=1\nfwmark=2")).toEqual([fwmark(1, 2)]);
    expect(read("set=1\nfwmark=1\r")).toEqual([fwmark(1)]);
    expect(read("set=1\nfwmark=1\n\r")).toEqual([fwmark(1)]);
    expect(read("set=1\nfwmark=1\nfwm")).toEqual([refused(EPROTO, 1)]);
  });

  it("ends nothing else", () => {
    for (const text of ["", "get=1", "get=1\n", "status=1\n", "set=1"]) {
      expect(read(text), text).toEqual([]);
    }
  });
});

describe("what is wrong", () => {
  it("after a get costs an error, not the connection", () => {
    const error = { kind: "error", errno: EINVAL, message: "trailing character after get=1" };
    expect(read("get=1\nxget=1\n\n")).toEqual([error, { kind: "get" }]);
    expect(read("get=1\nx\n")).toEqual([error, CLOSE]);
    expect(read("get=1\n\r\n")).toEqual([error, CLOSE]);
    expect(read("status=1\nx")).toMatchObject([{ kind: "error", errno: EINVAL }]);
  });

  it("as an operation closes the connection, and nothing follows", () => {
    for (const text of ["\n", "put=1\n", "get=2\n", "get=1\r\n", " get=1\n", "GET=1\n", "get\n"]) {
      expect(read(`${text}\nget=1\n\n`), text).toEqual([CLOSE]);
    }
    expect(read("x".repeat(100))).toEqual([CLOSE]);
    expect(read("x".repeat(100), 1)).toEqual([CLOSE]);
    expect(read(`${"x".repeat(100)}\n\n`)).toEqual([CLOSE]);
  });

  it("in a set is refused at once", () => {
    const reader = new RequestReader();
    expect(reader.push(bytes("set=1\nfwmark=1\nfwmark\n"))).toEqual([refused(EPROTO, 1)]);
  });

  it.each([1, 3, 1000])("in a set leaves the next request alone, in chunks of %i bytes", (size) => {
    const rest = `fwmark=2\npublic_key=${"0".repeat(64)}\n`;
    expect(read(`set=1\nfwmark=1\nbad\n${rest}\nget=1\n\n`, size)).toEqual([
      refused(EPROTO, 1),
      { kind: "get" },
    ]);
    expect(read(`set=1\nbad\n${rest}get=1\n\n`, size)).toEqual([refused(EPROTO), { kind: "get" }]);
    expect(read("set=1\nbad\n\r\nset=1\nfwmark=3\n\n", size)).toEqual([refused(EPROTO), fwmark(3)]);
  });
});

describe("sizes", () => {
  const long = (length: number): string => `fwmark=${"0".repeat(length - 8)}9`;

  it.each([1000, 65_536, 1_000_000])("a line may have 65,535 bytes, in chunks of %i", (size) => {
    expect(LINE_BYTES_MAX).toBe(65_535);
    expect(read(`set=1\n${long(65_535)}\n\n`, size)).toEqual([fwmark(9)]);
    expect(read(`set=1\n${long(65_534)}\r\n\n`, size)).toEqual([fwmark(9)]);
    expect(read(`set=1\nfwmark=1\n${long(65_536)}\nfwmark=2\n\nget=1\n\n`, size)).toEqual([
      refused(EIO, 1),
      { kind: "get" },
    ]);
    expect(read(`set=1\n${long(65_535)}\r\n\n`, size)).toEqual([refused(EIO)]);
    expect(read(`set=1\n${long(65_536)}`, size)).toEqual([refused(EIO)]);
  });

  it("an over-long line is refused before it ends, and its rest is no request", () => {
    const reader = new RequestReader();
    expect(reader.push(bytes(`set=1\n${"x".repeat(70_000)}`))).toEqual([refused(EIO)]);
    expect(reader.push(bytes("get=1\n"))).toEqual([]);
    expect(reader.push(bytes("get=1\n\n"))).toEqual([{ kind: "get" }]);
  });

  it("a set of too many bytes is refused, the next one counts anew", () => {
    const lines = "fwmark=1\n".repeat(10);
    const reader = (): RequestReader => new RequestReader(100);
    expect(read(`set=1\n${lines}\nset=1\n${lines}\n`, 7, reader())).toEqual([
      fwmark(...Array(10).fill(1)),
      fwmark(...Array(10).fill(1)),
    ]);
    expect(read(`set=1\n${lines.repeat(2)}\nget=1\n\n`, 7, reader())).toEqual([
      refused(EIO, ...Array(11).fill(1)),
      { kind: "get" },
    ]);
  });
});
