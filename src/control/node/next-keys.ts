/**
 * The second key and port of a network in the middle of a rotation: beside those in use, then in their place, or forgotten. Each step is a
 * whole new state, so that the disk has the one before or the one after it. Pure; handles secrets.
 */
import type { DesiredNetwork, NextKeys } from "../model/desired-state.ts";

export type NextStep =
  /** Keeps these beside those in use, instead of what was kept before. */
  | { readonly kind: "keep"; readonly next: NextKeys }
  /** The key that is kept already stays, with this port. */
  | { readonly kind: "port"; readonly listenPort: number | undefined }
  /** Uses them from now on. */
  | { readonly kind: "use" }
  | { readonly kind: "forget" }
  /** Changes nothing, but is written anew: what was in use before is then in no older generation of the file. */
  | { readonly kind: "settle" };

/** The network after a step; the same object where there is nothing to do. */
export function withStep(network: DesiredNetwork, step: NextStep): DesiredNetwork {
  const { next, ...rest } = network;
  switch (step.kind) {
    case "keep":
      return { ...rest, next: step.next };
    case "port":
      if (next?.listenPort === step.listenPort) return network;
      return { ...rest, next: { ...next, listenPort: step.listenPort } };
    case "use": {
      if (next === undefined) return network;
      const { resource } = network;
      const { privateKey = resource.privateKey, listenPort = resource.listenPort } = next;
      return { ...rest, resource: { ...resource, privateKey, listenPort } };
    }
    case "forget":
      return next === undefined ? network : rest;
    case "settle":
      return { ...network };
  }
}

/** Every port that is the network's: in use, and kept for later. */
export function portsOf({ resource, next }: DesiredNetwork): readonly number[] {
  const later = next?.listenPort;
  return later === undefined ? [resource.listenPort] : [resource.listenPort, later];
}
