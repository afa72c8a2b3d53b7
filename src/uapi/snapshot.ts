/**
 * An interface's state as `get=1` shows it. Whoever makes a snapshot decides whether its arrays are copies or the live ones;
 * it holds secrets and is for the configuration socket only. The text is `format.ts`.
 */

export interface DeviceSnapshot {
  /** 32 bytes; absent or all zero: no key. */
  readonly privateKey?: Uint8Array;
  /** 0: none. */
  readonly listenPort: number;
  /** 0: none. */
  readonly fwmark: number;
  readonly peers: readonly PeerSnapshot[];
}

export interface PeerSnapshot {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes, all zero: none. */
  readonly presharedKey: Uint8Array;
  readonly endpoint?: EndpointSnapshot;
  /** Since 1970; both 0: never. `nsec` is below 10^9. */
  readonly lastHandshake: { readonly sec: number; readonly nsec: number };
  readonly txBytes: number;
  readonly rxBytes: number;
  /** Seconds, 0: off. */
  readonly persistentKeepalive: number;
  readonly allowedIps: readonly AllowedIpSnapshot[];
}

/** Wipes the keys in it. */
export function wipeSnapshot({ privateKey, peers }: DeviceSnapshot): void {
  privateKey?.fill(0);
  for (const { presharedKey } of peers) presharedKey.fill(0);
}

/** Address of a peer, as in route/address.ts. */
export interface EndpointSnapshot {
  readonly family: 2 | 10;
  readonly bytes: Uint8Array;
  readonly port: number;
  readonly scope?: string;
}

/** One allowed prefix, as in route/allowed-ips.ts. */
export interface AllowedIpSnapshot {
  readonly family: 2 | 10;
  readonly bytes: Uint8Array;
  readonly cidr: number;
}
