import { expect, it } from "vitest";
import { parseAddress, parsePrefix } from "../../../src/route/address.ts";
import { formatErrno, formatGet } from "../../../src/uapi/format.ts";
import type { DeviceSnapshot, PeerSnapshot } from "../../../src/uapi/snapshot.ts";

const key = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const PEER: PeerSnapshot = {
  publicKey: key(0xab),
  presharedKey: key(0),
  lastHandshake: { sec: 0, nsec: 0 },
  txBytes: 0,
  rxBytes: 0,
  persistentKeepalive: 0,
  allowedIps: [],
};

const text = (device: DeviceSnapshot, end = ""): string =>
  new TextDecoder().decode(formatGet(device, end));

it("says nothing about a bare device", () => {
  expect(text({ listenPort: 0, fwmark: 0, peers: [] })).toBe("");
  expect(text({ privateKey: key(0), listenPort: 0, fwmark: 0, peers: [] })).toBe("");
});

it("says nothing of an endpoint that is not known", () => {
  const told = text({ listenPort: 0, fwmark: 0, peers: [PEER] });
  expect(told).not.toContain("endpoint");
  expect(told).toContain("protocol_version=1\nlast_handshake_time_sec=0\n");
});

it("lists the fields in wireguard-go's order", () => {
  const reply = text(
    {
      privateKey: key(0x0f),
      listenPort: 51820,
      fwmark: 4294967295,
      peers: [
        {
          ...PEER,
          presharedKey: key(0x12),
          endpoint: { ...parseAddress("fe80::1")!, port: 7, scope: "eth0" },
          lastHandshake: { sec: 1_700_000_000, nsec: 999_999_999 },
          txBytes: 2 ** 53 - 1,
          rxBytes: 12,
          persistentKeepalive: 25,
          allowedIps: [parsePrefix("10.0.0.0/8")!, parsePrefix("::/0")!],
        },
        { ...PEER, endpoint: { ...parseAddress("192.0.2.1")!, port: 65535 } },
      ],
    },
    formatErrno(0),
  );
  expect(reply.split("\n")).toEqual([
    `private_key=${"0f".repeat(32)}`,
    "listen_port=51820",
    "fwmark=4294967295",
    `public_key=${"ab".repeat(32)}`,
    `preshared_key=${"12".repeat(32)}`,
    "protocol_version=1",
    "endpoint=[fe80::1%eth0]:7",
    "last_handshake_time_sec=1700000000",
    "last_handshake_time_nsec=999999999",
    "tx_bytes=9007199254740991",
    "rx_bytes=12",
    "persistent_keepalive_interval=25",
    "allowed_ip=10.0.0.0/8",
    "allowed_ip=::/0",
    `public_key=${"ab".repeat(32)}`,
    `preshared_key=${"00".repeat(32)}`,
    "protocol_version=1",
    "endpoint=192.0.2.1:65535",
    "last_handshake_time_sec=0",
    "last_handshake_time_nsec=0",
    "tx_bytes=0",
    "rx_bytes=0",
    "persistent_keepalive_interval=0",
    "errno=0",
    "",
    "",
  ]);
});

it("prints the number of an error as it is, with the empty line", () => {
  expect(formatErrno(0)).toBe("errno=0\n\n");
  expect(formatErrno(-22)).toBe("errno=-22\n\n");
});
