/**
 * Threads that do the Diffie-Hellman of initiations while many arrive (src/tunnel/offload.ts). They begin with the first block
 * and end after ten quiet seconds: most nodes never have any.
 */
import { availableParallelism } from "node:os";
import { Piscina } from "piscina";
import type { PoolTask } from "../lane/messages.ts";

/** Ours: blocks that wait for a thread. A lane has four an interface on their way. */
const WAITING_MAX = 64;
const IDLE_MS = 10_000;

export class HandshakePool {
  #pool: Piscina<PoolTask, Uint8Array<ArrayBuffer>> | undefined;
  #isClosed = false;

  /** Solves a block, in place as far as anybody can see: the memory moves there and back. Rejects: full, closed, or a thread died. */
  async solve(task: PoolTask): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#isClosed) throw new Error("the handshake pool is closed");
    this.#pool ??= new Piscina({
      // From dist/src/engine.
      filename: new URL("../../workers/handshake.js", import.meta.url).href,
      name: "solve",
      minThreads: 0,
      // One core is the lane's.
      maxThreads: Math.max(1, availableParallelism() - 1),
      maxQueue: WAITING_MAX,
      idleTimeout: IDLE_MS,
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    return await this.#pool.run(task, { transferList: [task.bytes.buffer] });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#pool?.destroy();
  }
}
