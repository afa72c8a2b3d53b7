/**
 * The grid that the registry is measured with, the same each time: every fourth node is public, half of the hidden ones sit behind shared
 * addresses, one in ten has IPv6; networks draw their nodes from all. Put into a database row by row, as the registry itself would have.
 */
import type { User } from "../src/control/registry/actor.ts";
import { Identity } from "../src/control/registry/key.ts";
import { createNetwork } from "../src/control/registry/networks.ts";
import { insertUser } from "../src/control/registry/people.ts";
import type { Link, Reachability } from "../src/control/registry/schemas.ts";
import type { Database } from "../src/control/registry/store/database.ts";
import { Store } from "../src/control/registry/store/store.ts";

const ROWS_AT_ONCE = 1_000;
const WRITER = { actor: "bench", action: "bench" } as const;
const RANGE = "10.1.0.0/16";

export interface SeededNode {
  readonly identity: Identity;
  readonly isPublic: boolean;
}

export interface SeededNetwork {
  readonly id: string;
  readonly nodes: readonly SeededNode[];
}

/** xorshift32: numbers below a bound, always the same for a seed. */
export function drawing(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** `of` different numbers below `below`. */
export function chosen(draw: (below: number) => number, of: number, below: number): number[] {
  const found = new Set<number>();
  while (found.size < of) found.add(draw(below));
  return [...found];
}

/** Any 32 bytes are a public key. */
export function keyAt(at: number): string {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32LE(at);
  return bytes.toString("base64");
}

export function standingAt(at: number): Pick<Reachability, "v4" | "v6"> {
  const address = `198.18.${at >> 8}.${at & 0xff}`;
  const shared = `203.0.113.${at % 250}`;
  return {
    v4:
      at % 4 === 0
        ? { kind: "public", addresses: [address] }
        : { kind: "hidden", seenAs: at % 2 === 0 ? shared : address },
    v6:
      at % 10 === 0
        ? { kind: "public", addresses: [`2001:db8::${at.toString(16)}`] }
        : { kind: "none" },
  };
}

export function lanAt(at: number): string {
  return `192.168.${at % 3}.${(at % 250) + 1}/24`;
}

/** The grid in a database: approved nodes of one farm, and networks in which all have taken part. */
export class SeededGrid {
  readonly admin: Identity = Identity.generate();
  readonly nodes: readonly SeededNode[];
  readonly #database: Database;
  readonly #draw = drawing(0x2545f491);
  readonly #links: Link[][];
  #networks = 0;

  private constructor(database: Database, nodes: readonly SeededNode[]) {
    this.#database = database;
    this.nodes = nodes;
    this.#links = nodes.map(() => []);
  }

  /** The database is migrated and empty. */
  static async fill(database: Database, count: number): Promise<SeededGrid> {
    const nodes = Array.from({ length: count }, (_, at) => ({
      identity: Identity.generate(),
      isPublic: at % 4 === 0,
    }));
    const grid = new SeededGrid(database, nodes);
    const store = new Store(database);
    const { admin } = grid;
    await insertUser(store, "bench", { name: "root", key: admin.keyId, role: "admin" });
    await store.write(WRITER, async (write) => {
      await write.rows("insert into farms (name, owner) select 'bench', id from users");
      const rows = nodes.map(({ identity }, at) => ({
        ...{ id: identity.keyId, name: `node ${at}` },
        census: [
          {
            ...{ name: "lan0", mac: "02:00:00:00:00:01", kind: "physical", mtu: 1_500 },
            ...{ up: true, carrier: true, addresses: [lanAt(at)], routes: [], gateways: [] },
          },
        ],
        reachability: grid.#reachabilityOf(at),
      }));
      for (let from = 0; from < rows.length; from += ROWS_AT_ONCE) {
        await write.rows(
          `insert into nodes (id, farm, name, state, census, reachability)
           select n.id, f.id, n.name, 'approved', n.census, n.reachability from farms f,
             jsonb_to_recordset($1::jsonb) as n(id text, name text, census jsonb, reachability jsonb)`,
          [JSON.stringify(rows.slice(from, from + ROWS_AT_ONCE))],
        );
      }
    });
    return grid;
  }

  /** A network of so many nodes, each of which has measured the public ones of it. Not planned. */
  async network(size: number): Promise<SeededNetwork> {
    const number = this.#networks++;
    const places = chosen(this.#draw, size, this.nodes.length);
    const publics = places.filter((at) => this.nodes[at]?.isPublic === true);
    for (const at of places) {
      const others = publics.filter((other) => other !== at);
      this.#links[at]?.push(...others.map((other) => this.#linkTo(other)));
    }
    const store = new Store(this.#database);
    const [user] = await this.#database.rows<{ id: number }>("select id from users");
    const owner: User = {
      ...{ kind: "user", keyId: this.admin.keyId, id: user?.id ?? 0, name: "root", role: "admin" },
    };
    const nodes = places.map((at) => this.nodes[at]!);
    const wish = {
      ...{ name: `bench${number}`, cidr: RANGE },
      nodes: nodes.map(({ identity }) => identity.keyId),
    };
    const { id } = await createNetwork(store, owner, wish, undefined);
    const rows = nodes.map(({ identity }, index) => ({
      node: identity.keyId,
      key: keyAt(number * 1_000 + index),
      reachability: this.#reachabilityOf(places[index]!),
    }));
    // As if each of them had taken part; planned once, at the end.
    await store.write(WRITER, async (write) => {
      await write.rows("update port_leases set state = 'confirmed' where network = $1", [id]);
      await write.rows(
        `update network_nodes n set public_key = m.key
         from jsonb_to_recordset($2::jsonb) as m(node text, key text) where n.network = $1 and n.node = m.node`,
        [id, JSON.stringify(rows)],
      );
      await write.rows(
        `update nodes n set reachability = m.reachability
         from jsonb_to_recordset($1::jsonb) as m(node text, reachability jsonb) where n.id = m.node`,
        [JSON.stringify(rows)],
      );
    });
    return { id, nodes };
  }

  #linkTo(other: number): Link {
    const node = this.nodes[other]!.identity.keyId;
    return { node, v4: { isReached: this.#draw(50) > 0, latencyMs: this.#draw(200) } };
  }

  #reachabilityOf(at: number): Reachability {
    const relay = { isAllowed: true, health: "up", load: (at % 100) / 100 } as const;
    return { ...standingAt(at), relay, links: this.#links[at] ?? [] };
  }
}
