/** Whose a network is: the registry's, or made on this node (`wirehaul network add --local`, the bus). Neither touches the other's. Pure. */
import type { DesiredNetwork } from "../../model/desired-state.ts";
import type { NetworkResource } from "../../model/network-resource.ts";
import { RefusedError } from "../../model/problem.ts";
import { networkKey, nextKey } from "../view.ts";

/** Of a rotation, without the secret; each if it was asked for. */
export interface NextPublic {
  readonly publicKey?: string | undefined;
  readonly listenPort?: number | undefined;
}

/** A network of the registry's as the node has it, without secrets. */
export interface GridNetwork {
  readonly resource: Omit<NetworkResource, "privateKey">;
  readonly publicKey: string;
  /** What is kept beside the key and the port in use; undefined: there is no rotation here. */
  readonly next?: NextPublic | undefined;
  /** Why it is not as it should be; undefined: it is. */
  readonly problem: string | undefined;
}

/** Throws if the network of that id, where there is one, is not of who wants to change it. */
export function checkSource(
  id: string,
  before: DesiredNetwork | undefined,
  isOfGrid: boolean,
): void {
  if (before === undefined || (before.isOfGrid === true) === isOfGrid) return;
  throw new RefusedError(
    "conflict",
    isOfGrid
      ? `network ${id} was made on this node: remove it there (wirehaul network rm ${id} --local), or name the grid's otherwise`
      : `network ${id} is the registry's: change it there`,
  );
}

/** As a list of one; empty for a network that was made on this node. */
export function gridNetworkOf(
  desired: DesiredNetwork,
  problem: string | undefined,
): readonly GridNetwork[] {
  if (desired.isOfGrid === undefined) return [];
  const { privateKey: _secret, ...resource } = desired.resource;
  const { next } = desired;
  const shown =
    next === undefined ? {} : { next: { publicKey: nextKey(next), listenPort: next.listenPort } };
  return [{ resource, publicKey: networkKey(desired), ...shown, problem }];
}
