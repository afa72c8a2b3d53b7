/** What calls give: shapes that Go's stubs take, whatever is asked; networks of zos made into ours; addresses of a bus. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseBusAddress } from "../../../../src/control/bus/address.ts";
import { type Answered, answer } from "../../../../src/control/bus/answer.ts";
import { toGoIpNet } from "../../../../src/control/bus/go-types.ts";
import { encodeRequest, type Wire } from "../../../../src/control/bus/message.ts";
import { type BusNode, METHODS } from "../../../../src/control/bus/methods.ts";
import { decodeMsgpack, encodeMsgpack } from "../../../../src/control/bus/msgpack.ts";
import {
  ipv6Of,
  parseWorkloadName,
  resourceOf,
  subnet6Of,
  withIpv6,
  zosNetworkId,
  zosNetworkSchema,
} from "../../../../src/control/bus/zos-network.ts";

/** A node that is at its end: whatever is asked of it fails, without words. */
const broken = new Proxy({} as BusNode, {
  get: () => {
    throw new Error("");
  },
});
const context = { node: broken, open: () => Promise.reject(new Error("nobody opens it")) };

async function ask(
  wire: Wire,
  method: string,
  args: readonly unknown[],
): Promise<Exclude<Answered, { drop: unknown }>> {
  const request = encodeRequest(
    { wire, id: "i", replyTo: "r" },
    ["network", "0.0.1"],
    method,
    args,
  );
  const answered = await answer(request, context);
  if ("drop" in answered) throw new Error(answered.why);
  return answered;
}

/** Values of a reply as a stub of the method decodes them; throws where the stub would panic. */
function decodeAsGo(
  bytes: Uint8Array,
  wire: Wire,
  gives: readonly string[],
  hasError: boolean,
): string {
  const check = (value: unknown, kind: string): void => {
    // Go's decoder takes nil for every type but bool.
    if (kind === "bool" && typeof value !== "boolean") throw new Error("no bool");
  };
  if (wire === 1) {
    const { Output, Error: fault } = decodeMsgpack(bytes) as {
      Output: { Data: Uint8Array | null; Error: { Message: string } | null };
      Error: string | null;
    };
    if (fault !== null) throw new Error("a protocol error");
    if (gives.length > 0) {
      const data = decodeMsgpack(Output.Data ?? new Uint8Array());
      const values = gives.length === 1 ? [data] : (data as unknown[]);
      if (values.length !== gives.length) throw new Error("not as many results");
      for (const [at, kind] of gives.entries()) check(values[at], kind);
    }
    return Output.Error?.Message ?? "";
  }
  const { Arguments, Error: fault } = decodeMsgpack(bytes) as {
    Arguments: Uint8Array[];
    Error: string;
  };
  if (hasError && fault !== "") throw new Error("a protocol error");
  const values = Arguments.map(decodeMsgpack);
  if (values.length !== gives.length + (hasError ? 1 : 0)) throw new Error("not as many results");
  for (const [at, kind] of gives.entries()) check(values[at], kind);
  return hasError ? ((values.at(-1) as { Message: string } | null)?.Message ?? "") : fault;
}

describe("every method", () => {
  const all = Object.entries(METHODS).flatMap(([name, variants]) =>
    variants.flatMap((variant) =>
      ([0, 1] as const)
        .filter((wire) => variant.wire === undefined || variant.wire === wire)
        .map((wire) => ({ name, variant, wire })),
    ),
  );

  it.each(all)(
    "$name of wire $wire: too many and wrong arguments are an error of its own shape",
    async ({ name, variant: { gives, hasError, takes }, wire }) => {
      for (const args of [new Array(9).fill("x"), takes.map(() => [{ a: [1] }])]) {
        if (args.length === 0) continue;
        const { bytes, isError, to } = await ask(wire, name, args);
        expect(to).toBe("r");
        expect(isError).toBe(true);
        // Without a place for an error, wire 0 has the protocol's alone.
        expect(decodeAsGo(bytes, wire, gives, hasError)).not.toBe("");
      }
    },
  );

  it.each(all)(
    "$name of wire $wire: a node that fails is an error with words",
    async ({ name, variant: { gives, hasError, takes }, wire }) => {
      const fitting: readonly unknown[] = [
        "abc",
        null,
        new Uint8Array(4),
        { NetID: "abc", IPs: ["10.1.1.9"] },
        { IPs: ["10.1.1.9"] },
        {
          NetID: "abc",
          NetworkIPRange: toGoIpNet("10.1.0.0/16"),
          Subnet: toGoIpNet("10.1.1.0/24"),
          WGPrivateKey: "",
          WGPublicKey: "",
          Peers: [],
        },
      ];
      const args = takes.map((schema) => fitting.find((value) => schema.safeParse(value).success));
      expect(args).not.toContain(undefined);
      const { bytes, isError } = await ask(wire, name, args);
      const text = decodeAsGo(bytes, wire, gives, hasError);
      if (isError && (wire === 1 || hasError)) expect(text).not.toBe("");
    },
  );

  it("nobody's method, and what every object has, are refused", async () => {
    for (const method of ["", "nope", "constructor", "__proto__", "toString", "createNR"]) {
      const { bytes, isError } = await ask(1, method, []);
      expect(isError).toBe(true);
      expect(decodeAsGo(bytes, 1, ["other"], true)).toBe("there is no such method");
    }
  });

  it("whatever comes is answered or dropped", async () => {
    const argument = fc.oneof(
      fc.anything({ maxDepth: 2 }).filter((value) => canEncode(value)),
      fc.string(),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.keys(METHODS)),
        fc.constantFrom(0 as const, 1 as const),
        fc.array(argument, { maxLength: 3 }),
        async (method, wire, args) => {
          const answered = await answer(
            encodeRequest({ wire, id: "i", replyTo: "r" }, ["network", "0.0.1"], method, args),
            context,
          );
          expect("drop" in answered ? answered.why : answered.to).toBe("r");
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

function canEncode(value: unknown): boolean {
  try {
    encodeMsgpack(value);
    return true;
  } catch {
    return false;
  }
}

describe("zos's networks", () => {
  const network = {
    NetID: "abcdef",
    NetworkIPRange: toGoIpNet("10.3.0.0/16"),
    Subnet: toGoIpNet("10.3.1.0/24"),
    WGPrivateKey: "",
    WGPublicKey: "",
    WGListenPort: 0,
    Peers: null,
  };

  it("ids are base58 of MD5, as their callers compute them", () => {
    // Computed with Python's hashlib and a base58 of its own: md5("7:net"), md5("1:0").
    expect(zosNetworkId("7", "net")).toBe("75Ei7YpXX7mqy");
    expect(zosNetworkId("1", "0")).toBe("H1tcY6GZ9hCsZ");
    expect(parseWorkloadName("7-21-my-net")).toEqual({ owner: "7", name: "my-net" });
    expect(() => parseWorkloadName("7-net")).toThrow(/TWIN-CONTRACT-NAME/);
  });

  it("IPv6 addresses are those of zos", () => {
    expect(ipv6Of("abcdef", "10.3.2.5")).toBe("fd61:6263:6465:2::5/64");
    expect(subnet6Of("abcdef", "10.3.2.5")).toBe("fd61:6263:6465:2::/64");
    expect(withIpv6("abcdef", ["10.3.2.5"], "fd61:6263:6465:2::/64")).toEqual([
      "10.3.2.5",
      "fd61:6263:6465:2::5",
    ]);
    expect(withIpv6("abcdef", ["10.3.7.5"], "fd61:6263:6465:2::/64")).toEqual(["10.3.7.5"]);
  });

  it("what is left to the node is left out; a prefix is its last peer's", () => {
    const peer = (key: string, ...prefixes: readonly string[]): object => ({
      WGPublicKey: key,
      Endpoint: "",
      Subnet: toGoIpNet("10.3.2.0/24"),
      AllowedIPs: prefixes.map(toGoIpNet),
    });
    const Peers = [
      peer("a", "10.3.2.0/24", "10.3.9.0/24"),
      peer("b", "10.3.9.0/24", "10.3.9.7/24", "10.3.4.0/24"),
    ];
    const parsed = zosNetworkSchema.parse({ ...network, Peers });
    const workload = { owner: "7", name: "net" };
    expect(resourceOf({ network: parsed, workload })).toEqual({
      id: "abcdef",
      name: "net",
      owner: "7",
      range: "10.3.0.0/16",
      subnet: "10.3.1.0/24",
      subnet6: "fd61:6263:6465:1::/64",
      peers: [
        { publicKey: "a", subnet: "10.3.2.0/24", allowedIps: ["10.3.2.0/24"] },
        { publicKey: "b", subnet: "10.3.2.0/24", allowedIps: ["10.3.9.0/24", "10.3.4.0/24"] },
      ],
    });
  });

  it("an id that no interface can have is made into one, always the same", () => {
    const parsed = zosNetworkSchema.parse({ ...network, NetID: "an id with spaces, too long" });
    const [a, b] = [resourceOf({ network: parsed }), resourceOf({ network: parsed })];
    expect(a).toEqual(b);
    expect((a as { id: string }).id).toMatch(/^[1-9A-HJ-NP-Za-km-z]{13}$/);
  });
});

describe("addresses of a bus", () => {
  it.each([
    ["redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock", { path: "/run/redis.sock" }],
    ["unix:///run/redis.sock", "redis+unix:///run/redis.sock", { path: "/run/redis.sock" }],
    ["redis://127.0.0.1", "redis://127.0.0.1", { host: "127.0.0.1", port: 6379 }],
    ["redis://[::1]:7000/2", "redis://[::1]:7000/2", { host: "::1", port: 7000, db: 2 }],
    [
      "rediss://me:p%40ss@redis.example:7000",
      "rediss://redis.example:7000",
      { host: "redis.example", port: 7000, username: "me", password: "p@ss", tls: {} },
    ],
  ])("%s", (text, shown, connection) => {
    expect(parseBusAddress(text)).toEqual({ text: shown, connection });
  });

  it("a password of the environment", () => {
    const { text, connection } = parseBusAddress("unix:///r", "secret");
    expect(connection).toEqual({ path: "/r", password: "secret" });
    expect(text).not.toContain("secret");
  });

  it.each(["", "redis", "http://127.0.0.1", "unix://r", "redis://", "redis://127.0.0.1/x"])(
    "%j is refused",
    (text) => {
      expect(() => parseBusAddress(text)).toThrow(/the bus is no redis/);
    },
  );

  it("nothing goes to another machine unencrypted", () => {
    expect(() => parseBusAddress("redis://:pw@10.0.0.1")).toThrow(/unencrypted: use rediss/);
    expect(() => parseBusAddress("redis://:pw@10.0.0.1")).not.toThrow(/pw/);
  });
});
