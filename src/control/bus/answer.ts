/** What a call gives: its message read, its method found, its arguments parsed, its error put into words. Never throws. */
import { withoutKeys } from "../../bytes/secret-text.ts";
import { BadRequest, type BusRequest, decodeRequest, encodeReply } from "./message.ts";
import { type Caller, METHODS, type Variant } from "./methods.ts";
import { decodeMsgpack, encodeMsgpack } from "./msgpack.ts";

/** Why a message was dropped without an answer. */
export type BusDrop = "too_large" | "malformed" | "reply_refused";

export type Answered =
  | { readonly to: string; readonly bytes: Uint8Array; readonly isError: boolean }
  | { readonly drop: BusDrop; readonly why: string };

export const MODULE = "network";
export const OBJECT = "network@0.0.1";
/** Ours: as the API's bodies. */
export const MESSAGE_BYTES_MAX: number = 4 * 1024 * 1024;
const ERROR_CHARACTERS_MAX = 4_096;

/** Carries out a call. `begin` is told which one it is, and what it returns is called when it is over. */
export async function answer(
  message: Uint8Array,
  context: Omit<Caller, "wire">,
  begin: (request: BusRequest) => () => void = () => () => undefined,
): Promise<Answered> {
  const read = readRequest(message);
  if (!("inputs" in read)) return read;
  const end = begin(read);
  try {
    return await carryOut(read, context);
  } finally {
    end();
  }
}

/** A request, or the answer to what is none. */
export function readRequest(message: Uint8Array): BusRequest | Answered {
  if (message.length > MESSAGE_BYTES_MAX) {
    return { drop: "too_large", why: `${message.length} bytes: ${MESSAGE_BYTES_MAX} are the most` };
  }
  try {
    const request = decodeRequest(message);
    // An answer into one of the queues would be the next request.
    if (!request.replyTo.startsWith(`${MODULE}.`)) return request;
    return { drop: "malformed", why: "ReplyTo is one of the node's own queues" };
  } catch (error) {
    const { reply, message: why } = error as BadRequest;
    if (!(error instanceof BadRequest) || reply === undefined) return { drop: "malformed", why };
    if (reply.replyTo.startsWith(`${MODULE}.`)) return { drop: "malformed", why };
    return { to: reply.replyTo, bytes: refusal(reply, why), isError: true };
  }
}

/** An answer to somebody whose method isn't known: nil is the zero value of whatever is expected. */
export function refusal(
  reply: Pick<BusRequest, "wire" | "id" | "replyTo">,
  error: string,
): Uint8Array {
  return encodeReply(reply, { results: [null], error, hasError: false });
}

async function carryOut(request: BusRequest, context: Omit<Caller, "wire">): Promise<Answered> {
  const { wire, replyTo: to, inputs } = request;
  const isKnown = Object.hasOwn(METHODS, request.method);
  const variants = (isKnown ? (METHODS[request.method] ?? []) : []).filter(
    (variant) => variant.wire === undefined || variant.wire === wire,
  );
  const [first] = variants;
  if (request.object !== OBJECT || first === undefined) {
    const error = request.object === OBJECT ? "there is no such method" : "unknown object";
    return { to, bytes: refusal(request, error), isError: true };
  }
  const variant = variants.find(({ takes }) => takes.length === inputs.length) ?? first;
  const { gives, hasError } = variant;
  try {
    const results = await run(variant, request, { ...context, wire });
    return { to, bytes: encodeReply(request, { results, hasError }), isError: false };
  } catch (error) {
    const zeros = gives.map((kind) => (kind === "bool" ? false : null));
    const text = withoutKeys((error as Error).message).slice(0, ERROR_CHARACTERS_MAX);
    return {
      to,
      bytes: encodeReply(request, { results: zeros, error: text, hasError }),
      isError: true,
    };
  }
}

async function run(
  { takes, run: call }: Variant,
  { method, inputs }: BusRequest,
  caller: Caller,
): Promise<readonly unknown[]> {
  if (takes.length !== inputs.length) {
    throw new Error(
      `invalid number of arguments: ${method} takes ${takes.length}, got ${inputs.length}`,
    );
  }
  const args = takes.map((schema, at) => {
    const fault = (why: string): Error => new Error(`argument ${at + 1} of ${method} ${why}`);
    let value: unknown;
    try {
      value = decodeMsgpack(inputs[at]!);
    } catch (error) {
      throw fault(`is ${(error as Error).message}`);
    }
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const faults = parsed.error.issues.map(({ path, message }) =>
      path.length === 0 ? message : `at ${path.map(String).join(".")} ${message}`,
    );
    throw fault(faults.join("; "));
  });
  const results = (await call(caller, args)) as readonly unknown[];
  // What can't be encoded is found while it can still be an error.
  encodeMsgpack(results);
  return results;
}
