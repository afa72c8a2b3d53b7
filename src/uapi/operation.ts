/**
 * What the lines of a `set=1` request ask for, as data. The order of operations is the order of lines, and they are applied
 * in that order, each at once; see https://www.wireguard.com/xplatform/#configuration-protocol and wireguard-go's
 * device/uapi.go. Parsing is `parse.ts`, applying is the tunnel's business.
 */

/** Settings of the device: these stand before the first `peer`. */
export type DeviceOperation =
  /** 32 bytes, clamped; all zero: remove the key. The receiver owns and wipes them. */
  | { readonly op: "private_key"; readonly key: Uint8Array }
  /** 0: any free port. */
  | { readonly op: "listen_port"; readonly port: number }
  /** 0: none. */
  | { readonly op: "fwmark"; readonly mark: number }
  | { readonly op: "replace_peers" };

/** Settings of the peer named by the last `peer`; void when that is this very device. */
export type PeerOperation =
  | { readonly op: "update_only" }
  | { readonly op: "remove" }
  /** 32 bytes, all zero: none. The receiver owns and wipes them. */
  | { readonly op: "preshared_key"; readonly key: Uint8Array }
  /** `bytes` and `scope` as in route/address.ts; whether the scope exists is not known here. */
  | {
      readonly op: "endpoint";
      readonly family: 2 | 10;
      readonly bytes: Uint8Array;
      readonly port: number;
      readonly scope?: string;
    }
  /** 0: off. */
  | { readonly op: "persistent_keepalive_interval"; readonly seconds: number }
  | { readonly op: "replace_allowed_ips" }
  /** Gives the prefix to the peer, or takes it away if the peer has it. Host bits of `bytes` may be set. */
  | {
      readonly op: "allowed_ip";
      readonly add: boolean;
      readonly family: 2 | 10;
      readonly bytes: Uint8Array;
      readonly cidr: number;
    }
  | { readonly op: "protocol_version" }
  /** Forgets its sessions and when it was heard, and begins anew. Ours: for programs in this process, no line asks for it. */
  | { readonly op: "restart" };

export type SetOperation =
  | DeviceOperation
  /** 32 bytes. Moves on to this peer, creating it if it is new. */
  | { readonly op: "peer"; readonly publicKey: Uint8Array }
  | PeerOperation;
