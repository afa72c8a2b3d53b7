/** Routes of rotations and sealed keys: the owner's side, the node's, and its peers' (docs/registry.md says what a node has to do). */
import { z } from "zod";
import {
  answerRotation,
  endRotation,
  type RotationWish,
  refuseRotation,
  reportRotation,
  showRotation,
  startRotation,
  switchedRotation,
} from "./rotations.ts";
import { nothing, type Route, taking } from "./routes.ts";
import { port, revision, text, wireguardKey } from "./schemas.ts";
import { BOX_BYTES, parseBox, type SealedKey } from "./sealed-key.ts";
import { putSealedKey, removeSealedKey } from "./sealed-keys.ts";

/** The node's answer to being asked: each if it is asked for. */
export interface RotationAnswer {
  readonly publicKey?: string | undefined;
  readonly port?: number | undefined;
}

/** What a peer has to say: the revision of its own plan that is in force, the key of which it has seen a handshake. */
export interface RotationReport {
  readonly revision?: number | undefined;
  readonly publicKey?: string | undefined;
}

const wish: z.ZodType<RotationWish> = z
  .strictObject({ key: z.boolean().default(false), port: z.boolean().default(false) })
  .refine((value) => value.key || value.port, "names neither key nor port");
const answer: z.ZodType<RotationAnswer> = z.strictObject({
  publicKey: wireguardKey.optional(),
  port: port.optional(),
});
const report: z.ZodType<RotationReport> = z.strictObject({
  revision: revision.optional(),
  publicKey: wireguardKey.optional(),
});
const refusal: z.ZodType<{ readonly reason: string }> = z.strictObject({ reason: text.min(1) });
/** The message never shows the value: whoever sends a key in clear shall not read it in a log. */
const sealed: z.ZodType<SealedKey> = z.strictObject({
  publicKey: wireguardKey,
  box: z
    .string()
    .max(2 * BOX_BYTES)
    .refine((value) => parseBox(value) !== undefined, "is no sealed key: make it with sealKey"),
});

type Params = Readonly<Record<string, string>>;

function placeOf({ network = "", node = "" }: Params): {
  readonly network: string;
  readonly node: string;
} {
  return { network, node };
}

const OWNER = "/api/v2/networks/:network/nodes/:node";
const NODE = "/api/v2/nodes/:node/networks/:network";

export const ROTATION_ROUTES: readonly Route[] = [
  taking({
    method: "POST",
    path: `${OWNER}/rotation`,
    summary:
      "Asks the node for a new key, a new port, or both; peers accept the old and the new meanwhile",
    body: wish,
    run: ({ store, actor, params }, body) => startRotation(store, actor, placeOf(params), body),
  }),
  {
    method: "GET",
    path: `${OWNER}/rotation`,
    summary: "The node's last rotation: how far it is, or how it ended",
    run: ({ store, actor, params }) => showRotation(store, actor, placeOf(params)),
  },
  {
    method: "DELETE",
    path: `${OWNER}/rotation`,
    summary: "Ends a rotation: the old key and port stay",
    run: ({ store, actor, params, planNetwork }) =>
      endRotation(store, actor, placeOf(params), planNetwork),
  },
  taking({
    method: "PUT",
    path: `${OWNER}/sealed-key`,
    summary: "Brings a private key, sealed to the node: the registry can't open it",
    body: sealed,
    run: ({ store, actor, params, planNetwork }, body) =>
      nothing(putSealedKey(store, actor, placeOf(params), body, planNetwork)),
  }),
  {
    method: "DELETE",
    path: `${OWNER}/sealed-key`,
    summary: "The node's next key is its own again",
    run: ({ store, actor, params, planNetwork }) =>
      nothing(removeSealedKey(store, actor, placeOf(params), planNetwork)),
  },
  taking({
    method: "PUT",
    path: `${NODE}/rotation`,
    summary: "The new public key that was asked for, and the new port is free (node)",
    body: answer,
    run: ({ store, actor, params, planNetwork }, body) =>
      nothing(answerRotation(store, actor, placeOf(params), body, planNetwork)),
  }),
  {
    method: "POST",
    path: `${NODE}/rotation/switched`,
    summary: "The node uses the new key and port: the old ones are accepted no more (node)",
    run: ({ store, actor, params, planNetwork }) =>
      nothing(switchedRotation(store, actor, placeOf(params), planNetwork)),
  },
  taking({
    method: "POST",
    path: `${NODE}/rotation/refuse`,
    summary: "The node can't: the old key and port stay (node)",
    body: refusal,
    run: ({ store, actor, params, planNetwork }, body) =>
      nothing(refuseRotation(store, actor, placeOf(params), body.reason, planNetwork)),
  }),
  taking({
    method: "PUT",
    path: `${NODE}/rotations/:other`,
    summary: "A peer of the node OTHER has its plan with both keys, or has seen the new one (node)",
    body: report,
    run: ({ store, actor, params, planNetwork }, body) => {
      const { network = "", node = "", other = "" } = params;
      const place = { network, node: other };
      return nothing(reportRotation(store, actor, node, place, body, planNetwork));
    },
  }),
];
