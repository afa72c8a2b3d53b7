/**
 * Replies of the configuration protocol: the fields and their order are wireguard-go's IpcGetOperation. A get's holds the private
 * key and the preshared keys, as the protocol asks: it is made as bytes, which can be wiped, and never as a string.
 */
import { isZero } from "../bytes/equal.ts";
import { formatHex, writeHex } from "../bytes/hex.ts";
import { formatEndpointText, formatPrefix } from "../route/address.ts";
import type { DeviceSnapshot, PeerSnapshot } from "./snapshot.ts";

/** Stands in the text where 64 digits of a secret go; no other part of it can hold such a character. */
const BLANK = "\0";
const BLANKS: string = BLANK.repeat(64);

/**
 * The lines of a get reply as UTF-8, each with its line end, then `end` (the errno line). The caller wipes the bytes when they
 * are sent; the snapshot stays as it is.
 */
export function formatGet(device: DeviceSnapshot, end: string): Uint8Array<ArrayBuffer> {
  const hasPrivateKey = device.privateKey !== undefined && !isZero(device.privateKey);
  const secrets = device.peers.map((peer) => peer.presharedKey);
  if (hasPrivateKey) secrets.unshift(device.privateKey!);
  const bytes = new TextEncoder().encode(formatDevice(device, hasPrivateKey) + end);
  let at = 0;
  for (const secret of secrets) {
    at = bytes.indexOf(0, at);
    writeHex(bytes, at, secret);
  }
  return bytes;
}

function formatDevice(device: DeviceSnapshot, hasPrivateKey: boolean): string {
  let text = hasPrivateKey ? `private_key=${BLANKS}\n` : "";
  if (device.listenPort !== 0) text += `listen_port=${device.listenPort}\n`;
  if (device.fwmark !== 0) text += `fwmark=${device.fwmark}\n`;
  for (const peer of device.peers) text += formatPeer(peer);
  return text;
}

/** The line that ends every reply, and the empty line after it; `errno` is 0 or negative. */
export function formatErrno(errno: number): string {
  return `errno=${errno}\n\n`;
}

function formatPeer(peer: PeerSnapshot): string {
  const endpoint =
    peer.endpoint === undefined ? "" : `endpoint=${formatEndpointText(peer.endpoint)}\n`;
  let text =
    `public_key=${formatHex(peer.publicKey)}\n` +
    `preshared_key=${BLANKS}\n` +
    "protocol_version=1\n" +
    endpoint +
    `last_handshake_time_sec=${peer.lastHandshake.sec}\n` +
    `last_handshake_time_nsec=${peer.lastHandshake.nsec}\n` +
    `tx_bytes=${peer.txBytes}\n` +
    `rx_bytes=${peer.rxBytes}\n` +
    `persistent_keepalive_interval=${peer.persistentKeepalive}\n`;
  for (const { family, bytes, cidr } of peer.allowedIps) {
    text += `allowed_ip=${formatPrefix(family, bytes, cidr)}\n`;
  }
  return text;
}
