/** zbus messages: the bytes that Go's encoder makes (vectors of zbus 1.0.1 and 0.1.x), and messages of somebody who means harm. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { goIpNet, toGoIpNet } from "../../../../src/control/bus/go-types.ts";
import {
  BadRequest,
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
} from "../../../../src/control/bus/message.ts";
import {
  decodeMsgpack,
  encodeMsgpack,
  MalformedError,
} from "../../../../src/control/bus/msgpack.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));

/** As Go keeps 10.1.1.0 in a net.IPNet that it parsed. */
const MAPPED = bytes("00000000000000000000ffff0a010100");
const NET = { IP: MAPPED, Mask: bytes("ffffff00") };

const REQUEST_1 =
  "85a24944a469642d31a6496e7075747391c405a46e657431a64f626a65637482a44e616d65a76e6574776f726ba756657273696f6ea5302e302e31a75265706c79546fa469642d31a64d6574686f64a94765745375626e6574";
const REQUEST_0 =
  "85a24944a469642d31a9417267756d656e747391c405a46e657431a64f626a65637482a44e616d65a76e6574776f726ba756657273696f6ea5302e302e31a75265706c79546fa469642d31a64d6574686f64a94765745375626e6574";
const REPLY_1 =
  "83a24944a469642d31a64f757470757482a444617461c40b82a24950c0a44d61736bc0a54572726f7281a74d657373616765a4626f6f6da54572726f72c0";
const REPLY_1_PROTOCOL =
  "83a24944a469642d31a64f757470757482a444617461c0a54572726f72c0a54572726f72ae756e6b6e6f776e206f626a656374";
const REPLY_0 =
  "83a24944a469642d31a9417267756d656e747392c42182a24950c41000000000000000000000ffff0a010100a44d61736bc404ffffff00c401c0a54572726f72a0";

describe("vectors", () => {
  it.each([
    ["a string", "n1", "a26e31"],
    ["an IPNet", NET, "82a24950c41000000000000000000000ffff0a010100a44d61736bc404ffffff00"],
    [
      "an IPNet of IPv6",
      {
        IP: bytes("20010db8000000000000000000000001"),
        Mask: bytes("ffffffffffffffff0000000000000000"),
      },
      "82a24950c41020010db8000000000000000000000001a44d61736bc410ffffffffffffffff0000000000000000",
    ],
    ["an event", [toGoIpNet("10.1.0.0/16")], "9182a24950c4040a010000a44d61736bc404ffff0000"],
    [
      "two values",
      [[bytes("00000000000000000000ffff0a000001")], "aa:bb"],
      "9291c41000000000000000000000ffff0a000001a561613a6262",
    ],
  ])("%s", (_name, value, vector) => {
    expect(hex(encodeMsgpack(value))).toBe(vector);
    expect(decodeMsgpack(bytes(vector))).toEqual(value);
  });

  it("integers of Go's full width", () => {
    const list = decodeMsgpack(bytes("92cf00000000000026d7cf000000000000ca6c"));
    expect(list).toEqual([9943, 51820]);
  });

  it.each([
    ["10.1.1.0/24", "82a24950c41000000000000000000000ffff0a010100a44d61736bc404ffffff00"],
    [
      "2001:db8::1/64",
      "82a24950c41020010db8000000000000000000000001a44d61736bc410ffffffffffffffff0000000000000000",
    ],
    ["10.1.0.0/16", "82a24950c4040a010000a44d61736bc404ffff0000"],
    [
      "10.1.0.0/16",
      "82a24950c41000000000000000000000ffff0a010000a44d61736bc410ffffffffffffffffffffffffffff0000",
    ],
    ["", "82a24950c0a44d61736bc0"],
    ["", "c0"],
  ])("%s is read", (text, vector) => {
    expect(goIpNet.parse(decodeMsgpack(bytes(vector)))).toBe(text);
  });

  it.each([
    [1, REQUEST_1],
    [0, REQUEST_0],
  ] as const)("request of wire %i", (wire, vector) => {
    const request = decodeRequest(bytes(vector));
    expect(request).toMatchObject({
      wire,
      id: "id-1",
      replyTo: "id-1",
      object: "network@0.0.1",
      method: "GetSubnet",
    });
    expect(request.inputs.map(decodeMsgpack)).toEqual(["net1"]);
    const again = encodeRequest(request, ["network", "0.0.1"], "GetSubnet", ["net1"]);
    expect(hex(again)).toBe(vector);
  });

  it("replies of wire 1", () => {
    const address = { wire: 1, id: "id-1", replyTo: "id-1" } as const;
    const outcome = { results: [{ IP: null, Mask: null }], error: "boom", hasError: true };
    expect(hex(encodeReply(address, outcome))).toBe(REPLY_1);
    expect(decodeReply(bytes(REPLY_1), 1, 1)).toEqual({
      id: "id-1",
      results: [{ IP: null, Mask: null }],
      error: "boom",
    });
    // Never sent: Go's stubs crash on it.
    expect(decodeReply(bytes(REPLY_1_PROTOCOL), 1, 0).error).toBe("unknown object");
  });

  it("replies of wire 0", () => {
    const address = { wire: 0, id: "id-1", replyTo: "id-1" } as const;
    expect(hex(encodeReply(address, { results: [NET], hasError: true }))).toBe(REPLY_0);
    expect(decodeReply(bytes(REPLY_0), 0, 1)).toEqual({
      id: "id-1",
      results: [NET],
      error: undefined,
    });
    const failed = encodeReply(address, { results: [null], error: "boom", hasError: true });
    expect(decodeReply(failed, 0, 1)).toEqual({ id: "id-1", results: [null], error: "boom" });
  });

  it("an error always has words: Go takes one without for success", () => {
    for (const wire of [0, 1] as const) {
      const address = { wire, id: "i", replyTo: "r" };
      const reply = encodeReply(address, { results: [], error: "", hasError: true });
      expect(decodeReply(reply, wire, 0).error).not.toBe("");
      expect(decodeReply(reply, wire, 0).error).toBeDefined();
    }
  });
});

function faultOf(message: Uint8Array): BadRequest {
  try {
    decodeRequest(message);
  } catch (error) {
    if (error instanceof BadRequest) return error;
    throw error;
  }
  throw new Error("it was taken");
}

describe("hostile messages", () => {
  it.each([
    ["nothing", ""],
    ["a cut map", REQUEST_1.slice(0, 60)],
    ["something after it", `${REQUEST_1}c0`],
    ["a code that is never used", "c1"],
    ["a number", "07"],
    ["a list of four thousand million", "ddffffffff"],
    ["a map of four thousand million", "dfffffffff"],
    ["a string of four thousand million bytes", "dbffffffff61"],
    ["a key that sets the prototype", "81a95f5f70726f746f5f5f80"],
    ["a key that is a list", "8190c0"],
  ])("%s is refused", (_name, text) => {
    expect(faultOf(bytes(text)).reply).toBeUndefined();
  });

  it("a value in a hundred lists is refused", () => {
    const deep = Buffer.from(`${"91".repeat(100)}c0`, "hex");
    expect(() => decodeMsgpack(deep)).toThrow(/nested too deep/);
    expect(() => decodeMsgpack(deep.subarray(90))).not.toThrow();
  });

  it("lists in lists cost no more than their bytes", () => {
    const deep = Buffer.concat(
      Array.from({ length: 20_000 }, () => Buffer.from("dc4000", "hex")).concat(
        Buffer.alloc(70_000, 0xc0),
      ),
    );
    const before = process.memoryUsage().heapUsed;
    expect(() => decodeMsgpack(deep)).toThrow(MalformedError);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(50e6);
  });

  it.each([
    ["no ID", { ID: undefined }],
    ["an empty ReplyTo", { ReplyTo: "" }],
    ["a ReplyTo that is a list", { ReplyTo: ["a"] }],
    ["a ReplyTo that is too long", { ReplyTo: "x".repeat(257) }],
  ])("with %s it can't be answered", (_name, change) => {
    const message = { ...(decodeMsgpack(bytes(REQUEST_1)) as object), ...change };
    expect(faultOf(encodeMsgpack(message)).reply).toBeUndefined();
  });

  it.each([
    ["no Object", { Object: undefined }, 1],
    ["an Object without a name", { Object: {} }, 1],
    ["a Method that is a number", { Method: 7 }, 1],
    ["Inputs that are a number", { Inputs: 7 }, 1],
    ["Inputs that are not bins", { Inputs: [7] }, 1],
    ["seventeen inputs", { Inputs: new Array(17).fill("") }, 1],
    ["neither Inputs nor Arguments", { Inputs: undefined }, 1],
    ["Arguments that are a map", { Inputs: undefined, Arguments: {} }, 0],
  ])("with %s it is answered", (_name, change, wire) => {
    const message = {
      ...(decodeMsgpack(bytes(REQUEST_1)) as Record<string, unknown>),
      ...change,
    } as Record<string, unknown>;
    for (const [key, value] of Object.entries(message))
      if (value === undefined) delete message[key];
    expect(faultOf(encodeMsgpack(message)).reply).toEqual({ wire, id: "id-1", replyTo: "id-1" });
  });

  it("whatever comes is a value or a MalformedError, as the library has it", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (message) => {
        try {
          decodeMsgpack(message);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedError);
        }
      }),
      { numRuns: 20_000 },
    );
  });

  it("what was encoded is read back", () => {
    const leaf = fc.oneof(
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.string(),
      fc.uint8Array({ maxLength: 70_000 }),
      fc.double({ noNaN: true }),
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: "small" },
        leaf,
        fc.array(tie("value"), { maxLength: 20 }),
        fc.dictionary(
          fc.string().filter((key) => key !== "__proto__"),
          tie("value"),
        ),
      ),
    }));
    fc.assert(
      fc.property(value, (original) => {
        const copy = decodeMsgpack(encodeMsgpack(original));
        expect(JSON.stringify(copy)).toBe(JSON.stringify(original));
      }),
    );
  });
});
