/** What nodes have to do for rotations: follows from the rows alone, so that it can be told again after any loss (docs/registry.md). */
import type { Rotation } from "./rotation.ts";
import type { SealedKey } from "./sealed-key.ts";
import type { Queries } from "./store/database.ts";
import type { Write } from "./store/store.ts";

/** SQL: phases of rotations that are under way. */
export const LIVE: string = "('making', 'spreading', 'switching')";

/** What a node has to do for a rotation, until it is no longer told so (docs/registry.md). */
export type RotationTask =
  /** Make a key (`isKey`; or open the sealed one), look whether the port is free, and answer with the public key. */
  | {
      readonly kind: "make";
      readonly network: string;
      readonly isKey: boolean;
      readonly port?: number | undefined;
      readonly sealedKey?: SealedKey | undefined;
    }
  /** Peers learn of what was answered: it stays beside what is in use. */
  | {
      readonly kind: "keep";
      readonly network: string;
      readonly publicKey?: string | undefined;
      readonly port?: number | undefined;
    }
  /** Use the new key and the new port from now on, and say so. */
  | {
      readonly kind: "switch";
      readonly network: string;
      readonly publicKey?: string | undefined;
      readonly port?: number | undefined;
    }
  /** Say when this revision of the own plan of the network, or a later one, is in force. `node`: whose rotation it is. */
  | {
      readonly kind: "confirm";
      readonly network: string;
      readonly node: string;
      readonly revision: number;
    }
  /** Say when a handshake of this key is seen. `oldKey`: the one that it follows. */
  | {
      readonly kind: "watch";
      readonly network: string;
      readonly node: string;
      readonly oldKey?: string | undefined;
      readonly publicKey: string;
    };

interface Row extends Omit<Rotation, "reason"> {
  readonly network: string;
  readonly node: string;
  readonly oldKey: string | null;
  readonly sealed: string | null;
  readonly box: string | null;
}

/** What a node has to do for rotations, of one network or of all. */
export async function tasksOf(
  queries: Queries,
  node: string,
  network?: string,
): Promise<RotationTask[]> {
  const rows = await queries.rows<Row>(
    `select r.network, r.node, r.phase, r.is_key as "isKey", r.public_key as "publicKey", r.port, r.waits,
       r.seen_by as "seenBy", o.public_key as "oldKey", k.public_key as sealed, b.box
     from rotations r join network_nodes m on m.network = r.network and m.node = $1
     join network_nodes o on o.network = r.network and o.node = r.node
     left join sealed_keys k on k.network = r.network and k.node = r.node and r.node = $1
     left join sealed_boxes b on b.network = r.network and b.node = r.node and r.node = $1
     where r.phase in ${LIVE} and ($2::text is null or r.network = $2) order by r.network, r.node`,
    [node, network ?? null],
  );
  return rows.flatMap((row): RotationTask[] => {
    const { network: id, phase, isKey, publicKey, oldKey, port, waits, seenBy, sealed, box } = row;
    const newPort = port === null ? {} : { port };
    if (row.node === node) {
      if (phase === "making") {
        const sealedKey =
          sealed === null || box === null ? {} : { sealedKey: { publicKey: sealed, box } };
        return [{ kind: "make", network: id, isKey, ...newPort, ...(isKey ? sealedKey : {}) }];
      }
      const newKey = publicKey === null ? {} : { publicKey };
      const kind = phase === "spreading" ? "keep" : "switch";
      return [{ kind, network: id, ...newKey, ...newPort }];
    }
    const revision = waits[node];
    return [
      ...(phase !== "spreading" || revision === undefined
        ? []
        : [{ kind: "confirm", network: id, node: row.node, revision } as const]),
      ...(phase === "making" || publicKey === null || seenBy.includes(node)
        ? []
        : [
            {
              ...({ kind: "watch", network: id, node: row.node, publicKey } as const),
              ...(oldKey === null ? {} : { oldKey }),
            },
          ]),
    ];
  });
}

/** Each hears all that it has to do for rotations in the network: nothing, when they are over. */
export async function tell(write: Write, network: string, nodes: readonly string[]): Promise<void> {
  for (const node of nodes) {
    const tasks = await tasksOf(write, node, network);
    write.change({ kind: "rotation", subject: network, node, body: { tasks } });
  }
}
