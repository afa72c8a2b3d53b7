import { describe, expect, it } from "vitest";
import { type Configuration, operationsOf } from "../../../src/uapi/configuration.ts";

const KEY = "ERERERERERERERERERERERERERERERERERERERERERE=";
const bytes = new Uint8Array(32).fill(0x11);

/** What a program in JavaScript may hand in. */
const refused = (configuration: unknown): (() => unknown) => {
  return () => operationsOf(configuration as Configuration);
};

describe("a configuration", () => {
  it("is operations in the order of the protocol", () => {
    const configuration: Configuration = {
      privateKey: KEY,
      listenPort: 1,
      fwmark: 2,
      replacePeers: true,
      peers: [
        {
          publicKey: KEY,
          presharedKey: KEY,
          endpoint: "192.0.2.1:3",
          persistentKeepalive: 4,
          allowedIps: ["10.0.0.0/8"],
        },
      ],
    };
    const address = Uint8Array.of(192, 0, 2, 1, ...new Uint8Array(12));
    const network = Uint8Array.of(10, ...new Uint8Array(15));
    expect(operationsOf(configuration)).toEqual([
      { op: "private_key", key: bytes },
      { op: "listen_port", port: 1 },
      { op: "fwmark", mark: 2 },
      { op: "replace_peers" },
      { op: "peer", publicKey: bytes },
      { op: "preshared_key", key: bytes },
      { op: "endpoint", family: 2, bytes: address, port: 3 },
      { op: "persistent_keepalive_interval", seconds: 4 },
      { op: "replace_allowed_ips" },
      { op: "allowed_ip", add: true, family: 2, bytes: network, cidr: 8 },
    ]);
    expect(operationsOf({})).toEqual([]);
  });

  it.each([
    [null, "the configuration is null, it must be an object"],
    ["text", 'the configuration is "text", it must be an object'],
    [[], "the configuration is of type object, it must be an object"],
    [{ peers: {} }, "peers is of type object, it must be an array"],
    [{ peers: "x" }, 'peers is "x", it must be an array'],
    [{ peers: [null] }, "a peer is null, it must be an object"],
    [{ replacePeers: 1 }, "replacePeers is 1, it must be true or false"],
    [{ listenPort: "1" }, 'listenPort is "1", it must be an integer from 0 to 65535'],
    [{ fwmark: Symbol("x") }, "fwmark is of type symbol"],
    [{ peers: [{}] }, "publicKey is not a WireGuard key"],
    [{ peers: [{ publicKey: KEY, endpoint: 7 }] }, "endpoint 7 is not ADDRESS:PORT"],
    [{ peers: [{ publicKey: KEY, allowedIps: "::/0" }] }, 'allowedIps is "::/0", it must be'],
    [{ peers: [{ publicKey: KEY, allowedIps: [8] }] }, "allowedIps: 8 is not ADDRESS/LENGTH"],
  ])("%j is refused by the name of its field", (configuration, message) => {
    expect(refused(configuration)).toThrow(message);
  });

  it.each([
    [{ listenPort: KEY }, "listenPort"],
    [{ peers: [{ publicKey: KEY, endpoint: KEY }] }, "endpoint"],
    [{ peers: [{ publicKey: KEY, endpoint: `${KEY.slice(0, 33)}:1` }] }, "endpoint"],
    [{ peers: [{ publicKey: KEY, allowedIps: [KEY] }] }, "allowedIps"],
    [{ peers: KEY }, "peers"],
    [{ peers: [{ publicKey: KEY, endpoint: "\u001b[2J" }] }, "endpoint"],
  ])(
    "%j: what may be a key in the wrong place, or speaks to the terminal, is not shown",
    (configuration, field) => {
      expect(refused(configuration)).toThrow(field);
      expect(refused(configuration)).toThrow("(not shown)");
    },
  );
});
