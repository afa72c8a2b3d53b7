/** How a peer is called in logs, as wireguard-go does: the first and last four characters of its public key. */
import { formatBase64Key } from "../bytes/base64.ts";
import type { Peer } from "../tunnel/peer.ts";

export function peerName(peer: Peer): string {
  const key = formatBase64Key(peer.publicKey);
  return `peer(${key.slice(0, 4)}…${key.slice(39, 43)})`;
}
