/**
 * A device that is only its configuration, on our request reader, parser, allowed IPs and formatter: what remains when sockets
 * and sessions are taken away. Every port is free, and peers are never spoken to.
 */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { isZero } from "../../src/bytes/equal.ts";
import { formatHex } from "../../src/bytes/hex.ts";
import { AllowedIps } from "../../src/route/allowed-ips.ts";
import { formatErrno, formatGet } from "../../src/uapi/format.ts";
import type { SetOperation } from "../../src/uapi/operation.ts";
import { RequestReader } from "../../src/uapi/request.ts";
import type { EndpointSnapshot } from "../../src/uapi/snapshot.ts";

interface ModelPeer {
  readonly id: number;
  readonly publicKey: Uint8Array;
  presharedKey: Uint8Array;
  endpoint?: EndpointSnapshot;
  persistentKeepalive: number;
}

export class ModelDevice {
  #privateKey: Uint8Array | undefined;
  #listenPort: number;
  #fwmark = 0;
  #nextId = 0;
  readonly #peers = new Map<string, ModelPeer>();
  readonly #allowedIps = new AllowedIps();
  /** The peer that lines speak of, undefined: their effects go nowhere. */
  #peer: ModelPeer | undefined;
  #isNew = false;

  constructor(listenPort: number) {
    this.#listenPort = listenPort;
  }

  /** All replies to the bytes of one connection. */
  exchange(pieces: readonly string[]): string {
    const reader = new RequestReader();
    let reply = "";
    for (const piece of [...pieces, undefined]) {
      const requests =
        piece === undefined ? reader.end() : reader.push(new TextEncoder().encode(piece));
      for (const request of requests) {
        if (request.kind === "close") return reply;
        if (request.kind === "get") reply += this.#get() + formatErrno(0);
        else if (request.kind === "error") reply += formatErrno(request.errno);
        else if (request.kind === "set") {
          this.#peer = undefined;
          for (const operation of request.operations) this.#apply(operation);
          reply += formatErrno(request.error?.errno ?? 0);
        }
      }
    }
    return reply;
  }

  #get(): string {
    return formatGet({
      ...(this.#privateKey === undefined ? {} : { privateKey: this.#privateKey }),
      listenPort: this.#listenPort,
      fwmark: this.#fwmark,
      peers: Array.from(this.#peers.values(), (peer) => ({
        ...peer,
        lastHandshake: { sec: 0, nsec: 0 },
        txBytes: 0,
        rxBytes: 0,
        allowedIps: this.#allowedIps.entries(peer.id),
      })),
    });
  }

  #apply(operation: SetOperation): void {
    const peer = this.#peer;
    switch (operation.op) {
      case "private_key":
        this.#privateKey = isZero(operation.key) ? undefined : operation.key;
        this.#remove(this.#peers.get(this.#ownKey()));
        break;
      case "listen_port":
        this.#listenPort = operation.port;
        break;
      case "fwmark":
        this.#fwmark = operation.mark;
        break;
      case "replace_peers":
        for (const one of [...this.#peers.values()]) this.#remove(one);
        break;
      case "peer":
        this.#moveTo(operation.publicKey);
        break;
      case "update_only":
        if (this.#isNew) this.#remove(peer);
        break;
      case "remove":
        this.#remove(peer);
        break;
      case "preshared_key":
        if (peer) peer.presharedKey = operation.key;
        break;
      case "endpoint":
        if (peer) peer.endpoint = operation;
        break;
      case "persistent_keepalive_interval":
        if (peer) peer.persistentKeepalive = operation.seconds;
        break;
      case "replace_allowed_ips":
        if (peer) this.#allowedIps.removeByPeer(peer.id);
        break;
      case "allowed_ip": {
        if (!peer) break;
        const { family, bytes, cidr } = operation;
        if (operation.add) this.#allowedIps.insert(family, bytes, 0, cidr, peer.id);
        else this.#allowedIps.remove(family, bytes, 0, cidr, peer.id);
        break;
      }
    }
  }

  #moveTo(publicKey: Uint8Array): void {
    const name = formatHex(publicKey);
    this.#peer = this.#peers.get(name);
    this.#isNew = this.#peer === undefined && name !== this.#ownKey();
    if (!this.#isNew) return;
    const id = this.#nextId;
    this.#nextId += 1;
    const presharedKey = new Uint8Array(32);
    this.#peer = { id, publicKey, presharedKey, persistentKeepalive: 0 };
    this.#peers.set(name, this.#peer);
  }

  #remove(peer: ModelPeer | undefined): void {
    if (peer === undefined) return;
    this.#allowedIps.removeByPeer(peer.id);
    this.#peers.delete(formatHex(peer.publicKey));
    if (this.#peer === peer) this.#peer = undefined;
  }

  #ownKey(): string {
    if (this.#privateKey === undefined) return "";
    const prefix = Buffer.from("302e020100300506032b656e04220420", "hex");
    const der = Buffer.concat([prefix, this.#privateKey]);
    const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    const spki = createPublicKey(key).export({ type: "spki", format: "der" });
    return spki.subarray(-32).toString("hex");
  }
}
