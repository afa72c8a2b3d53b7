/** Bytes to a Unix socket that speaks HTTP, and what comes back: for what no HTTP client would send. */
import { createConnection, type Socket } from "node:net";
import { until } from "../../../src/control/linux/command.ts";

/** One answer, as far as tests look at it. */
export interface RawAnswer {
  readonly status: number;
  /** Of the error in the body; undefined: it has none. */
  readonly code: string | undefined;
}

export class RawConnection {
  readonly socket: Socket;
  #text = "";
  #isClosed = false;

  constructor(path: string) {
    this.socket = createConnection(path);
    this.socket.setEncoding("latin1").on("data", (text) => {
      this.#text += text;
    });
    // What is refused may be refused before all was written.
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => {
      this.#isClosed = true;
    });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  write(...parts: readonly (string | Uint8Array)[]): this {
    for (const part of parts) this.socket.write(part);
    return this;
  }

  /** Waits until the other side has closed; all answers that came. */
  async answers(limitMs = 20_000): Promise<RawAnswer[]> {
    await until("the API closes the connection", () => this.#isClosed, limitMs);
    return this.#text
      .split(/^(?=HTTP\/1\.1 )/m)
      .filter((text) => text !== "")
      .map((text) => ({
        status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]),
        code: /"error":\{"code":"(\w+)"/.exec(text)?.[1],
      }));
  }
}
