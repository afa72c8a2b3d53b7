/**
 * zbus messages, of both wires: version 1 (`Inputs`, one `Output`) and version 0 (`Arguments`, the error among them). A map's keys are
 * Go's field names. What a Go stub would crash on is never made: a refusal is the call's own error, with as many results as the
 * method has. Pure.
 */
import { z } from "zod";
import { decodeMsgpack, encodeMsgpack, MalformedError } from "./msgpack.ts";

export type Wire = 0 | 1;

/** Where an answer goes. */
export interface ReplyAddress {
  readonly wire: Wire;
  readonly id: string;
  /** A list in Redis. */
  readonly replyTo: string;
}

export interface BusRequest extends ReplyAddress {
  /** "network@0.0.1". */
  readonly object: string;
  readonly method: string;
  /** Each of them MessagePack. */
  readonly inputs: readonly Uint8Array[];
}

/** A message that is no request; `reply` is known if it can be answered all the same. */
export class BadRequest extends Error {
  readonly reply: ReplyAddress | undefined;

  constructor(reason: string, reply?: ReplyAddress) {
    super(reason);
    this.name = "BadRequest";
    this.reply = reply;
  }
}

/** What a method gives, in the order of its results and without its error. */
export interface Outcome {
  readonly results: readonly unknown[];
  /** Undefined: it went well. */
  readonly error?: string | undefined;
  /** Whether the method's last result is an error; of both wires only version 0 has to know. */
  readonly hasError: boolean;
}

/** Ours: ids are UUIDs; what becomes a key in Redis is bounded. */
const KEY_MAX = 256;
const INPUTS_MAX = 16;

const utf8 = new TextDecoder();
/** Go takes bin for str and str for bin. */
const textSchema = z
  .union([z.string(), z.instanceof(Uint8Array)])
  .transform((value) => (typeof value === "string" ? value : utf8.decode(value)));
const bytesSchema = z
  .union([z.string(), z.instanceof(Uint8Array)])
  .transform((value) => (typeof value === "string" ? Buffer.from(value) : value));
const keySchema = textSchema.pipe(z.string().min(1).max(KEY_MAX));
const inputsSchema = z.array(bytesSchema).max(INPUTS_MAX).nullable();
const addressSchema = z.object({ ID: keySchema, ReplyTo: keySchema });
const callSchema = z.object({
  Object: z.object({ Name: textSchema, Version: textSchema.optional() }),
  Method: textSchema,
});

/** Reads a request. Throws a {@link BadRequest}. */
export function decodeRequest(bytes: Uint8Array): BusRequest {
  let value: unknown;
  try {
    value = decodeMsgpack(bytes);
  } catch (error) {
    throw new BadRequest((error as MalformedError).message);
  }
  const address = addressSchema.safeParse(value);
  if (!address.success) throw new BadRequest("no request: ID or ReplyTo is missing");
  const { Inputs, Arguments } = value as { Inputs?: unknown; Arguments?: unknown };
  const wire: Wire = Inputs === undefined && Arguments !== undefined ? 0 : 1;
  const reply = { wire, id: address.data.ID, replyTo: address.data.ReplyTo };
  const call = callSchema.safeParse(value);
  const inputs = inputsSchema.safeParse(wire === 1 ? Inputs : Arguments);
  if (!call.success) throw new BadRequest("the request has no Object or no Method", reply);
  if (!inputs.success) {
    const name = wire === 1 ? "Inputs" : "Arguments";
    throw new BadRequest(`${name} of the request is no list of at most ${INPUTS_MAX} bins`, reply);
  }
  const { Name, Version = "" } = call.data.Object;
  return {
    ...reply,
    object: Version === "" ? Name : `${Name}@${Version}`,
    method: call.data.Method,
    inputs: inputs.data ?? [],
  };
}

/** A call of a method, for one who asks others. */
export function encodeRequest(
  { wire, id, replyTo }: ReplyAddress,
  [name, version]: readonly [name: string, version: string],
  method: string,
  args: readonly unknown[],
): Uint8Array {
  const inputs = args.map(encodeMsgpack);
  return encodeMsgpack({
    ID: id,
    ...(wire === 1 ? { Inputs: inputs } : { Arguments: inputs }),
    Object: { Name: name, Version: version },
    ReplyTo: replyTo,
    Method: method,
  });
}

/** The answer to a request. */
export function encodeReply({ wire, id }: ReplyAddress, outcome: Outcome): Uint8Array {
  const { results, hasError } = outcome;
  // Go's client takes an error without words for none.
  const error = outcome.error === "" ? "it failed" : outcome.error;
  const remote = error === undefined ? null : { Message: error };
  if (wire === 1) {
    const data = results.length === 1 ? results[0] : results;
    return encodeMsgpack({
      ID: id,
      Output: { Data: results.length === 0 ? null : encodeMsgpack(data), Error: remote },
      Error: null,
    });
  }
  const values = results.map(encodeMsgpack);
  return encodeMsgpack({
    ID: id,
    Arguments: hasError ? [...values, encodeMsgpack(remote)] : values,
    // Without an error among the results, wire 0 has no other place for it.
    Error: hasError ? "" : (error ?? ""),
  });
}

/** What an answer says. */
export interface BusReply {
  readonly id: string;
  /** Each result decoded, without the error. */
  readonly results: readonly unknown[];
  readonly error: string | undefined;
}

const remoteSchema = z.object({ Message: textSchema }).nullable().optional();
const replySchema1 = z.object({
  ID: textSchema,
  Output: z.object({ Data: bytesSchema.nullable(), Error: remoteSchema }),
  Error: textSchema.nullable().optional(),
});
const replySchema0 = z.object({
  ID: textSchema,
  Arguments: z.array(bytesSchema),
  Error: textSchema.optional(),
});

/** Reads an answer to a call whose method has `count` results and then an error. Throws a {@link MalformedError}. */
export function decodeReply(bytes: Uint8Array, wire: Wire, count: number): BusReply {
  const value = decodeMsgpack(bytes);
  if (wire === 1) {
    const parsed = replySchema1.safeParse(value);
    if (!parsed.success) throw new MalformedError("it is no reply of version 1");
    const { ID, Output, Error: fault } = parsed.data;
    const data = Output.Data === null ? null : decodeMsgpack(Output.Data);
    const results = count === 0 ? [] : count === 1 ? [data] : Array.isArray(data) ? data : [];
    return { id: ID, results, error: fault || Output.Error?.Message };
  }
  const parsed = replySchema0.safeParse(value);
  if (!parsed.success) throw new MalformedError("it is no reply of version 0");
  const { ID, Arguments, Error: fault } = parsed.data;
  const last = Arguments[count];
  const remote = last === undefined ? undefined : remoteSchema.safeParse(decodeMsgpack(last));
  return {
    id: ID,
    results: Arguments.slice(0, count).map(decodeMsgpack),
    error: fault || remote?.data?.Message,
  };
}
