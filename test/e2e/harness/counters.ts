/**
 * Counts packets in a namespace by nftables rules: marks, addresses, fragments, whatever a rule can tell. Datagrams of one segmented
 * send (UDP_SEGMENT) are one packet.
 */
import type { Namespace } from "../../../src/cli/demo/lab.ts";

export type Hook = "prerouting" | "input" | "forward" | "output" | "postrouting";

/** Rules of each hook by the name of their counter, in the words of nft(8): "udp dport 51820 meta mark 7". */
export type CountedRules = Readonly<Partial<Record<Hook, Readonly<Record<string, string>>>>>;

interface CounterList {
  readonly nftables: readonly {
    readonly counter?: { readonly table: string; readonly name: string; readonly packets: number };
  }[];
}

let tables = 0;

export class PacketCounters {
  readonly #namespace: Namespace;
  readonly #table: string;

  private constructor(namespace: Namespace, table: string) {
    this.#namespace = namespace;
    this.#table = table;
  }

  /** Names of counters are words that nft(8) has no other use for. */
  static async start(namespace: Namespace, rules: CountedRules): Promise<PacketCounters> {
    const table = `count${tables++}`;
    const lines = [`table inet ${table} {`];
    for (const [hook, matches] of Object.entries(rules)) {
      for (const name of Object.keys(matches)) lines.push(`counter ${name} {}`);
      // Before connection tracking, which puts fragments together.
      lines.push(`chain ${hook} {`, `type filter hook ${hook} priority -450`);
      for (const [name, match] of Object.entries(matches)) {
        lines.push(`${match} counter name ${name}`);
      }
      lines.push("}");
    }
    await namespace.exec(["nft", "-f", "-"], { input: `${lines.join("\n")}\n}\n` });
    return new PacketCounters(namespace, table);
  }

  /** Packets so far, by name. */
  async read(): Promise<Readonly<Record<string, number>>> {
    const text = await this.#namespace.exec(["nft", "-j", "list", "counters"]);
    const { nftables } = JSON.parse(text) as CounterList;
    const own = nftables.flatMap(({ counter }) =>
      counter?.table === this.#table ? [[counter.name, counter.packets] as const] : [],
    );
    return Object.fromEntries(own);
  }

  /** How many packets each counter saw while `body` ran. */
  async during(body: () => Promise<unknown>): Promise<Readonly<Record<string, number>>> {
    const before = await this.read();
    await body();
    const after = Object.entries(await this.read());
    return Object.fromEntries(after.map(([name, count]) => [name, count - (before[name] ?? 0)]));
  }
}
