/**
 * Replies of the configuration protocol as text: the fields and their order are wireguard-go's IpcGetOperation. The text of a
 * get holds the private key and the preshared keys, as the protocol asks.
 */
import { isZero } from "../bytes/equal.ts";
import { formatHex } from "../bytes/hex.ts";
import { formatEndpointText, formatPrefix } from "../route/address.ts";
import type { DeviceSnapshot, PeerSnapshot } from "./snapshot.ts";

/** The lines of a get reply, each with its line end, without the errno line that must follow. */
export function formatGet(device: DeviceSnapshot): string {
  let text = "";
  const { privateKey } = device;
  if (privateKey !== undefined && !isZero(privateKey)) {
    text += `private_key=${formatHex(privateKey)}\n`;
  }
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
    `preshared_key=${formatHex(peer.presharedKey)}\n` +
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
