/** Starts the relay of udp-proxy.mjs in a namespace. */
import { fileURLToPath } from "node:url";
import type { Namespace } from "../../../src/cli/demo/lab.ts";

export interface LinkSettings {
  readonly listen: readonly [address: string, port: number];
  readonly target: readonly [address: string, port: number];
  readonly delayMs?: number;
  readonly jitterMs?: number;
  /** Shares from 0 to 1. */
  readonly loss?: number;
  readonly duplicate?: number;
  readonly seed?: number;
}

export interface RelayCount {
  readonly passed: number;
  readonly lost: number;
  readonly doubled: number;
}

export class UdpProxy {
  readonly #stop: () => Promise<string>;

  private constructor(stop: () => Promise<string>) {
    this.#stop = stop;
  }

  static async start(namespace: Namespace, settings: LinkSettings): Promise<UdpProxy> {
    const program = fileURLToPath(new URL("./udp-proxy.mjs", import.meta.url));
    const relay = namespace.spawn([process.execPath, program, JSON.stringify(settings)]);
    await relay.waitFor("relaying");
    return new UdpProxy(async () => (await relay.stop()).stdout);
  }

  async stop(): Promise<RelayCount> {
    const lines = (await this.#stop()).trim().split("\n");
    return JSON.parse(lines.at(-1) ?? "") as RelayCount;
  }
}
