/** A network as others may see it: all but its secrets. */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { parseBase64Key } from "../../bytes/base64.ts";
import type { InterfaceStatus } from "../../lane/status.ts";
import type { DesiredNetwork, NextKeys } from "../model/desired-state.ts";
import { namespaceName } from "../model/names.ts";
import {
  gateway6Of,
  gatewayOf,
  type NetworkPeer,
  type NetworkResource,
} from "../model/network-resource.ts";
import type { Workload } from "../model/workload.ts";

export interface NetworkSummary {
  readonly id: string;
  readonly name: string;
  readonly owner: string;
  readonly revision: number;
  /** Base64. */
  readonly publicKey: string;
  readonly listenPort: number;
  /** How many. */
  readonly workloads: number;
  /** Why it is not as it should be; null: it is. */
  readonly problem: string | null;
}

export interface PublicPeer extends Omit<NetworkPeer, "presharedKey"> {
  readonly hasPresharedKey: boolean;
}

export interface PublicView {
  readonly resource: Omit<NetworkResource, "privateKey" | "peers"> & {
    readonly peers: readonly PublicPeer[];
  };
  readonly namespace: string;
  readonly gateway: string;
  readonly gateway6: string | null;
  readonly attached: readonly Workload[];
}

export interface NetworkDetails extends NetworkSummary, PublicView {
  /** null: it does not run now. */
  readonly device: InterfaceStatus | null;
}

export function publicView({ resource, workloads }: DesiredNetwork): PublicView {
  const { privateKey: _secret, peers, ...rest } = resource;
  return {
    resource: {
      ...rest,
      peers: peers.map(({ presharedKey, ...peer }) => ({
        ...peer,
        hasPresharedKey: presharedKey !== undefined,
      })),
    },
    namespace: namespaceName(resource.id),
    gateway: gatewayOf(resource),
    gateway6: gateway6Of(resource) ?? null,
    attached: workloads,
  };
}

/** PKCS #8 around an X25519 secret (RFC 8410 7). */
const PKCS8_X25519 = Buffer.from("302e020100300506032b656e04220420", "hex");

/** To compute one takes most of a millisecond, and thousands are listed at once. */
const publicKeys = new WeakMap<object, string>();

/** The public key of a network, computed once. */
export function networkKey(network: DesiredNetwork): string {
  return keyOnce(network, network.resource.privateKey);
}

/** The public key that a network is to have next; undefined: none is kept. */
export function nextKey(next: NextKeys): string | undefined {
  return next.privateKey === undefined ? undefined : keyOnce(next, next.privateKey);
}

function keyOnce(holder: object, privateKey: string): string {
  const known = publicKeys.get(holder);
  if (known !== undefined) return known;
  const key = publicKeyOf(privateKey);
  publicKeys.set(holder, key);
  return key;
}

/** The public key of a secret one, both base64. */
export function publicKeyOf(privateKey: string): string {
  const secret = parseBase64Key(privateKey);
  if (secret === undefined) throw new Error("the private key is no WireGuard key");
  const der = Buffer.concat([PKCS8_X25519, secret]);
  const key = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
  der.fill(0);
  secret.fill(0);
  const { x = "" } = key.export({ format: "jwk" });
  return Buffer.from(x, "base64url").toString("base64");
}
