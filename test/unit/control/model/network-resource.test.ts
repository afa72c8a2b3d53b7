/** What a network resource from outside may be, and what is said of one that may not. */
import { describe, expect, it } from "vitest";
import {
  gateway6Of,
  gatewayOf,
  parseNetworkResource,
} from "../../../../src/control/model/network-resource.ts";
import { RefusedError } from "../../../../src/control/model/problem.ts";

const KEY = "wD2HUHnLyHZGXgwo3Xk6wOxnnTAzl3F7oCmYdPJ8E1Q=";
const OTHER = "gIVh+N/mtpI+8j1fgJfbb2O6RA9JAuoB13mG2VIGCm4=";
const LEAST = { id: "abc", name: "n", owner: "1", range: "10.3.0.0/16", subnet: "10.3.1.0/24" };

function refusal(value: object): string {
  try {
    parseNetworkResource(value);
  } catch (error) {
    expect(error).toBeInstanceOf(RefusedError);
    return (error as Error).message;
  }
  throw new Error("it was accepted");
}

function withPeer(peer: object): object {
  return { ...LEAST, peers: [{ publicKey: KEY, allowedIps: ["10.3.2.0/24"], ...peer }] };
}

describe("parseNetworkResource", () => {
  it("fills in what is left out, as zos has it", () => {
    const resource = parseNetworkResource(LEAST);
    expect(resource).toMatchObject({
      tunnelAddresses: ["100.64.3.1/32"],
      internet: true,
      lan: [],
      peers: [],
      revision: 0,
    });
    expect(gatewayOf(resource)).toBe("10.3.1.1/24");
    expect(gateway6Of(resource)).toBeUndefined();
    expect(gateway6Of(parseNetworkResource({ ...LEAST, subnet6: "fd00:1::/64" }))).toBe(
      "fd00:1::1/64",
    );
  });

  it("brings addresses to one form", () => {
    const resource = parseNetworkResource({
      ...withPeer({ allowedIps: ["FD00:0::0/64", "100.64.3.2"] }),
      tunnelAddresses: ["FD00:64:0::1/128"],
    });
    expect(resource.peers[0]?.allowedIps).toEqual(["fd00::/64", "100.64.3.2/32"]);
    expect(resource.peers[0]?.keepalive).toBe("auto");
    expect(resource.tunnelAddresses).toEqual(["fd00:64::1/128"]);
  });

  it.each([
    [
      "a subnet outside the range",
      { ...LEAST, subnet: "10.4.1.0/24" },
      /subnet: 10\.4\.1\.0\/24 is not inside 10\.3\.0\.0\/16/,
    ],
    [
      "bits after the length",
      { ...LEAST, subnet: "10.3.1.1/24" },
      /subnet: is no IPv4 prefix such as/,
    ],
    ["a subnet without room", { ...LEAST, subnet: "10.3.1.0/31" }, /too small: \/30 is the least/],
    ["IPv6 where IPv4 belongs", { ...LEAST, range: "fd00::/16" }, /range: is no IPv4 prefix/],
    [
      "an id that is too long",
      { ...LEAST, id: "abcdefghijkmno" },
      /id: is not 1 to 13 characters of base58/,
    ],
    ["an id with a line end", { ...LEAST, id: "a\nlink" }, /id: is not/],
    ["port 0", { ...LEAST, listenPort: 0 }, /listenPort: /],
    ["a name that nobody knows", { ...LEAST, nonsense: 1 }, /nonsense/],
    [
      "a tunnel address among the workloads'",
      { ...LEAST, tunnelAddresses: ["10.3.1.9/32"] },
      /tunnelAddresses\.0: 10\.3\.1\.9\/32 is one of the workloads'/,
    ],
    [
      "IPv6 over an MTU below 1280",
      { ...LEAST, mtu: 1000, subnet6: "fd00::/64", range6: "fd00::/48" },
      /mtu: IPv6 needs 1280/,
    ],
    [
      "a multicast subnet",
      { ...LEAST, subnet6: "ff00:1::/64" },
      /subnet6: ff00:1::\/64 is no prefix that a host can be in/,
    ],
    [
      "a name as an endpoint",
      withPeer({ endpoint: "example.org:51820" }),
      /peers\.0\.endpoint: is not ADDRESS:PORT/,
    ],
    [
      "our own subnet at a peer",
      withPeer({ allowedIps: ["10.3.1.128/25"] }),
      /part of this node's own subnet/,
    ],
    [
      "one key twice",
      {
        ...LEAST,
        peers: [
          { publicKey: KEY, allowedIps: [] },
          { publicKey: KEY, allowedIps: [] },
        ],
      },
      /peers\.1\.publicKey: is that of peer 0 too/,
    ],
    [
      "one prefix at two peers",
      {
        ...LEAST,
        peers: [
          { publicKey: KEY, allowedIps: ["10.3.2.0/24"] },
          { publicKey: OTHER, allowedIps: ["10.3.2.7/24"] },
        ],
      },
      /belongs to peer 0 already/,
    ],
  ])("%s is refused, naming place and fault", (_what, value, message) => {
    expect(refusal(value)).toMatch(message);
  });

  it("never shows a secret, not even one that is wrong", () => {
    const almost = `${KEY.slice(0, 42)}!!`;
    for (const value of [
      { ...LEAST, privateKey: almost },
      withPeer({ presharedKey: almost }),
      { ...LEAST, privateKey: { key: KEY } },
      { ...LEAST, privateKey: KEY, subnet: "10.4.0.0/24" },
    ]) {
      expect(refusal(value)).not.toContain(KEY.slice(0, 20));
    }
  });
});
