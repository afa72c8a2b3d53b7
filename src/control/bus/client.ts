/** Calls of others on the bus: one request, one answer, in a time. */
import { randomUUID } from "node:crypto";
import type { BusAddress } from "./address.ts";
import { decodeReply, encodeRequest, type Wire } from "./message.ts";
import { connect, REPLY_SECONDS } from "./session.ts";

export interface BusCall {
  readonly module: string;
  readonly object: readonly [name: string, version: string];
  readonly method: string;
  readonly args: readonly unknown[];
  readonly wire: Wire;
  /** How many results the method has, without its error. */
  readonly results: number;
  readonly timeoutMs: number;
}

/** The results of a call. Rejects with the method's own error, or when nobody answers. */
export async function callBus(address: BusAddress, call: BusCall): Promise<readonly unknown[]> {
  const { module, object, method, args, wire, results, timeoutMs } = call;
  const id = randomUUID();
  const redis = await connect(address);
  try {
    const queue = `${module}.${object[0]}@${object[1]}`;
    const request = encodeRequest({ wire, id, replyTo: id }, object, method, args);
    await redis.rpush(queue, Buffer.from(request));
    const found = await redis.blpopBuffer(id, Math.min(REPLY_SECONDS, timeoutMs / 1_000));
    const bytes = found?.[1];
    if (bytes === undefined) {
      throw new Error(`${queue} does not answer ${method} within ${timeoutMs / 1_000} s`);
    }
    const reply = decodeReply(bytes, wire, results);
    if (reply.error !== undefined) throw new Error(reply.error);
    return reply.results;
  } finally {
    redis.disconnect();
  }
}
