/** What a plan is made of, as data; printable without secrets. Carried out by `execute.ts`. */

import { formatBase64Key } from "../../bytes/base64.ts";
import type { SetOperation } from "../../uapi/operation.ts";
import type { Step } from "../linux/namespace.ts";
import type { Sysctl } from "../linux/sysctl.ts";
import { tableText, type WantedTable } from "./wanted.ts";

export type Action =
  /** A line for `ip` in a namespace; undefined: the host's. */
  | { readonly kind: "ip"; readonly namespace: string | undefined; readonly line: string }
  /** Removes a link, which may have gone with another one. */
  | { readonly kind: "unlink"; readonly namespace: string | undefined; readonly name: string }
  | { readonly kind: "sysctl"; readonly namespace: string | undefined; readonly setting: Sysctl }
  /** Replaces a firewall table as a whole. */
  | { readonly kind: "table"; readonly namespace: string | undefined; readonly table: WantedTable }
  | {
      readonly kind: "dropTable";
      readonly namespace: string | undefined;
      readonly family: string;
      readonly name: string;
    }
  /** Has the engine make a TUN. */
  | {
      readonly kind: "tun";
      readonly namespace: string;
      readonly name: string;
      readonly mtu: number;
    }
  /** Has the engine let it go, which removes it. */
  | { readonly kind: "closeTun"; readonly name: string }
  /** WireGuard settings that differ. Holds secrets: never printed. */
  | {
      readonly kind: "settings";
      readonly name: string;
      readonly operations: readonly SetOperation[];
      /** Endpoints that hold after it, by public key. */
      readonly endpoints: ReadonlyMap<string, string>;
    }
  /** Opens the UDP sockets in another namespace; undefined: the host's. */
  | { readonly kind: "sockets"; readonly name: string; readonly namespace: string | undefined };

/** The action as a line for people, without secrets. */
export function describe(action: Action): string {
  switch (action.kind) {
    case "ip":
      return `${where(action.namespace)}ip ${action.line}`;
    case "unlink":
      return `${where(action.namespace)}ip link delete dev ${action.name}`;
    case "sysctl":
      return `${where(action.namespace)}sysctl ${action.setting[0]}=${action.setting[1]}`;
    case "table":
      return `${where(action.namespace)}nft table ${action.table.family} ${action.table.name} (${action.table.rules.split("\n").length} lines)`;
    case "dropTable":
      return `${where(action.namespace)}nft delete table ${action.family} ${action.name}`;
    case "tun":
      return `${where(action.namespace)}engine: make ${action.name}, MTU ${action.mtu}`;
    case "closeTun":
      return `engine: remove ${action.name}`;
    case "settings":
      return `engine: set ${action.name}: ${action.operations.map(describeOperation).join(", ")}`;
    case "sockets":
      return `engine: open the sockets of ${action.name} in ${action.namespace ?? "the host's namespace"}`;
  }
}

function where(namespace: string | undefined): string {
  return namespace === undefined ? "" : `in ${namespace}: `;
}

function describeOperation(operation: SetOperation): string {
  switch (operation.op) {
    case "peer":
      return `peer ${formatBase64Key(operation.publicKey)}`;
    case "listen_port":
      return `port ${operation.port}`;
    case "allowed_ip":
      return operation.add ? "allow a prefix" : "take a prefix";
    case "persistent_keepalive_interval":
      return `keepalive ${operation.seconds} s`;
    default:
      return operation.op.replaceAll("_", " ");
  }
}

/** The step of a shell that does it; undefined: the engine does. */
export function stepOf(action: Action): Step | undefined {
  switch (action.kind) {
    case "ip":
    case "unlink":
    case "sysctl":
      return action;
    case "table":
      return { kind: "nft", namespace: action.namespace, text: tableText(action.table) };
    case "dropTable": {
      const { namespace, family, name } = action;
      return { kind: "nft", namespace, text: `delete table ${family} ${name}\n` };
    }
    default:
      return undefined;
  }
}
