import fc from "fast-check";
import { expect, it } from "vitest";
import {
  formatAddress,
  formatEndpointText,
  formatPrefix,
  parseAddress,
  parseEndpointText,
  parsePrefix,
} from "../../src/route/address.ts";
import { formatGet } from "../../src/uapi/format.ts";
import { parseSet } from "../../src/uapi/parse.ts";
import { type Request, RequestReader } from "../../src/uapi/request.ts";

/** 16 bytes with runs of zeros, some of them IPv4-mapped. */
const ipv6 = fc
  .tuple(
    fc.array(fc.constantFrom(0, 0, 0, 1, 0xff, 0xa0), { minLength: 16, maxLength: 16 }),
    fc.boolean(),
  )
  .map(([octets, isMapped]) => {
    const bytes = Uint8Array.from(octets);
    if (isMapped) bytes.fill(0, 0, 10).fill(0xff, 10, 12);
    return bytes;
  });
const ipv4 = fc
  .uint8Array({ minLength: 4, maxLength: 4 })
  .map((octets) => Uint8Array.from({ length: 16 }, (_, i) => octets[i] ?? 0));
const address = fc.oneof(
  fc.record({ family: fc.constant(2 as const), bytes: ipv4 }),
  fc.record({ family: fc.constant(10 as const), bytes: ipv6 }),
);

it("addresses, prefixes and endpoints come back from their text", () => {
  fc.assert(
    fc.property(address, fc.nat(128), fc.nat(65_535), fc.nat(2), (one, length, port, scopes) => {
      const text = formatAddress(one.family, one.bytes);
      expect(parseAddress(text)).toEqual(one);
      const cidr = one.family === 2 ? length % 33 : length;
      const prefix = formatPrefix(one.family, one.bytes, cidr);
      expect(parsePrefix(prefix)).toEqual({ ...one, cidr });
      const scope = one.family === 10 ? [undefined, "wg0", "3"][scopes] : undefined;
      const endpoint = { ...one, port, ...(scope === undefined ? {} : { scope }) };
      expect(parseEndpointText(formatEndpointText(endpoint))).toEqual(endpoint);
    }),
    { numRuns: 2_000 },
  );
});

it("text of an IPv6 address is what the URL parser of the platform makes of it", () => {
  fc.assert(
    fc.property(ipv6, (bytes) => {
      const text = formatAddress(10, bytes);
      const groups = Array.from({ length: 8 }, (_, i) =>
        ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16),
      );
      expect(new URL(`http://[${text}]`).hostname).toBe(
        new URL(`http://[${groups.join(":")}]`).hostname,
      );
      if (!text.includes(".")) expect(`[${text}]`).toBe(new URL(`http://[${text}]`).hostname);
    }),
    { numRuns: 2_000 },
  );
});

const word = fc.oneof(
  fc.constantFrom("get=1", "set=1", "status=1", "", "\r", "private_key", "public_key", "=", "\n"),
  fc.constantFrom("allowed_ip=", "endpoint=", "10.0.0.0/8", "[::1]:5", "true", "fwmark=1", "-"),
  fc.constantFrom("0".repeat(64), "remove=true", "\n\n"),
  fc.string({ maxLength: 20 }),
);
const text = fc.array(word, { maxLength: 40 }).map((words) => words.join(""));
const stream = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  text.map((one) => new TextEncoder().encode(one)),
  text.map((one) => new TextEncoder().encode(`set=1\npublic_key=${"0".repeat(64)}\n${one}`)),
);

function read(bytes: Uint8Array, size: number): Request[] {
  const reader = new RequestReader();
  const requests: Request[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    requests.push(...reader.push(bytes.subarray(at, at + size)));
  }
  return [...requests, ...reader.end()];
}

it("any bytes give the same requests in whatever chunks, and never an exception", () => {
  fc.assert(
    fc.property(stream, fc.integer({ min: 1, max: 9 }), (bytes, size) => {
      expect(read(bytes, size)).toEqual(read(bytes, bytes.length + 1));
    }),
    { numRuns: 3_000 },
  );
});

it("any lines give operations and perhaps an error, and never an exception", () => {
  const name = fc.constantFrom("public_key", "endpoint", "allowed_ip", "fwmark", "preshared_key");
  const value = fc.oneof(fc.string(), fc.string({ unit: "binary" }), word);
  const line = fc.oneof(
    value,
    fc.tuple(name, value).map(([left, right]) => `${left}=${right}`),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const { operations, error } = parseSet(lines);
      const firstEmpty = lines.indexOf("");
      const all = firstEmpty < 0 ? lines.length : firstEmpty;
      if (error === undefined) expect(operations.length).toBe(all);
      else expect(operations.length).toBeLessThan(all);
    }),
    { numRuns: 3_000 },
  );
});

it("what get prints of a peer, set takes", () => {
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(key, key, address, fc.nat(65_535), fc.nat(65_535), (a, b, one, port, seconds) => {
      const reply = formatGet(
        {
          listenPort: 0,
          fwmark: 0,
          peers: [
            {
              publicKey: a,
              presharedKey: b,
              endpoint: { ...one, port },
              lastHandshake: { sec: 0, nsec: 0 },
              txBytes: 0,
              rxBytes: 0,
              persistentKeepalive: seconds,
              allowedIps: [{ ...one, cidr: 8 }],
            },
          ],
        },
        "",
      );
      const lines = new TextDecoder()
        .decode(reply)
        .split("\n")
        .filter((line) => !/^(last_|tx_|rx_)/.test(line));
      expect(parseSet(lines)).toEqual({
        operations: [
          { op: "peer", publicKey: a },
          { op: "preshared_key", key: b },
          { op: "protocol_version" },
          { op: "endpoint", ...one, port },
          { op: "persistent_keepalive_interval", seconds },
          { op: "allowed_ip", add: true, ...one, cidr: 8 },
        ],
      });
    }),
    { numRuns: 500 },
  );
});
