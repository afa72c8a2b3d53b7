/**
 * Brings a tunnel back to what a snapshot says: the settings, and of its peers the counters and the last handshake. Sessions are gone;
 * peers that had one get an initiation at once, so that nobody waits for a timer.
 */
import { secretCopy } from "../bytes/secret-bytes.ts";
import type { SetOperation } from "../uapi/operation.ts";
import type { DeviceSnapshot, PeerSnapshot } from "../uapi/snapshot.ts";
import { REJECT_AFTER_TIME } from "../wire/constants.ts";
import { applySet, type SocketSettings } from "./configure.ts";
import type { Moment } from "./state.ts";
import type { Tunnel } from "./tunnel.ts";

/** Returns 0, or the -errno of the setting that was refused. Wipes the keys in the snapshot. */
export function restoreSnapshot(
  tunnel: Tunnel,
  snapshot: DeviceSnapshot,
  sockets: SocketSettings,
  moment: Moment,
): number {
  const { status } = applySet(tunnel, operationsOf(snapshot), sockets, moment);
  snapshot.privateKey?.fill(0);
  for (const before of snapshot.peers) {
    before.presharedKey.fill(0);
    const peer = tunnel.state.peerByKey(before.publicKey);
    if (peer === undefined) continue;
    const { sec, nsec } = before.lastHandshake;
    peer.lastHandshakeMs = sec * 1_000 + nsec / 1_000_000;
    if (!peer.isHome) continue;
    // Beside what was sent since it was made anew.
    peer.rxBytes += before.rxBytes;
    peer.txBytes += before.txBytes;
    if (moment.wallMs - peer.lastHandshakeMs < REJECT_AFTER_TIME) {
      tunnel.startPeer(peer, true, moment);
    }
  }
  return status;
}

function operationsOf({ privateKey, listenPort, fwmark, peers }: DeviceSnapshot): SetOperation[] {
  return [
    ...(privateKey === undefined
      ? []
      : [{ op: "private_key", key: secretCopy(privateKey) } as const]),
    { op: "listen_port", port: listenPort },
    { op: "fwmark", mark: fwmark },
    { op: "replace_peers" },
    ...peers.flatMap(peerOperations),
  ];
}

function peerOperations(peer: PeerSnapshot): SetOperation[] {
  return [
    { op: "peer", publicKey: peer.publicKey },
    { op: "preshared_key", key: secretCopy(peer.presharedKey) },
    ...(peer.endpoint === undefined ? [] : [{ op: "endpoint", ...peer.endpoint } as const]),
    { op: "persistent_keepalive_interval", seconds: peer.persistentKeepalive },
    ...peer.allowedIps.map((prefix) => ({ op: "allowed_ip", add: true, ...prefix }) as const),
  ];
}
