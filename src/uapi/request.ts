/**
 * Cuts the byte stream of one configuration connection into requests:
 *
 *   get=1\n \n              set=1\n (key=value\n)* \n              status=1\n \n   (ours: not in the protocol)
 *
 * Any number of requests may follow one another, in chunks of any size. As in wireguard-go (device/uapi.go and Go's
 * bufio.Scanner): a bad line of a set is refused at once, a line may have 65,535 bytes and end in CR LF, the end of the
 * stream ends a set too, anything but an empty line after a get is an error, and an unknown operation ends the connection.
 *
 * Unlike wireguard-go, which loses what its scanner has read ahead, it finds the next request after a set: what remains of
 * a refused one is skipped up to its empty line, or to a line that is an operation. And a request's size is bounded.
 *
 * It neither applies nor answers anything. Bytes kept between chunks may be a key's; they are wiped when the line is done.
 */
import { EINVAL, EIO, type UapiError } from "./errors.ts";
import type { SetOperation } from "./operation.ts";
import { SetParser } from "./parse.ts";

export type Request =
  | { readonly kind: "get" }
  | { readonly kind: "status" }
  /** The operations are to be applied in order also when there is an error, which is then the answer if all of them succeed. */
  | {
      readonly kind: "set";
      readonly operations: readonly SetOperation[];
      readonly error?: UapiError;
    }
  /** Nothing to do but to answer with this errno. */
  | { readonly kind: "error"; readonly errno: number; readonly message: string }
  /** Nothing to answer: the connection must be closed. No request follows. */
  | { readonly kind: "close"; readonly message: string };

/** Most bytes of a line without its line feed: bufio.MaxScanTokenSize less the line feed. */
export const LINE_BYTES_MAX = 65_535;
/** Most bytes of one set request. Ours: 2^16 peers of 1 KiB each; wireguard-go has no limit. */
export const SET_BYTES_MAX = 67_108_864;

const LF = 0x0a;
const CR = 0x0d;
/** Longer than any operation. */
const OPERATION_BYTES_MAX = 16;

type State = "operation" | "get" | "status" | "set" | "skip" | "closed";

export class RequestReader {
  #state: State = "operation";
  #requests: Request[] = [];
  #parser = new SetParser();
  #setBytes = 0;
  /** The beginning of a line whose end has not come yet. */
  #pending: Uint8Array = new Uint8Array(256);
  #pendingLength = 0;
  /** The rest of the present line is to be ignored. */
  #isIgnoring = false;
  readonly #setBytesMax: number;
  // A byte order mark is no part of the protocol: with it a name is unknown.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(setBytesMax: number = SET_BYTES_MAX) {
    this.#setBytesMax = setBytesMax;
  }

  /** Takes the next bytes, which stay the caller's, and gives the requests that they complete. */
  push(chunk: Uint8Array): Request[] {
    let at = 0;
    while (at < chunk.length && this.#state !== "closed") {
      if (this.#state === "get" || this.#state === "status") {
        this.#endQuery(this.#state, chunk[at]!);
        at += 1;
        continue;
      }
      const feed = chunk.indexOf(LF, at);
      const end = feed < 0 ? chunk.length : feed;
      this.#takePart(chunk, at, end);
      if (feed >= 0) this.#endLine();
      at = end + 1;
    }
    return this.#taken();
  }

  /** The stream has ended: gives the set request that it cut off, if any. Nothing may be pushed any more. */
  end(): Request[] {
    if (this.#state === "set") {
      if (this.#pendingLength > 0) this.#endLine();
      if (this.#state === "set") this.#endSet("closed");
    }
    this.#state = "closed";
    this.#wipe();
    return this.#taken();
  }

  #taken(): Request[] {
    const requests = this.#requests;
    this.#requests = [];
    return requests;
  }

  /** The byte after `get=1\n`. */
  #endQuery(kind: "get" | "status", byte: number): void {
    this.#state = "operation";
    if (byte === LF) this.#requests.push({ kind });
    else {
      const message = `trailing character after ${kind}=1`;
      this.#requests.push({ kind: "error", errno: EINVAL, message });
    }
  }

  /** Adds chunk[start, end) to the present line, unless that makes it too long. */
  #takePart(chunk: Uint8Array, start: number, end: number): void {
    if (this.#isIgnoring) return;
    const length = this.#pendingLength + end - start;
    if (!this.#mayHold(length, end - start)) return;
    if (length > this.#pending.length) this.#grow(length);
    this.#pending.set(chunk.subarray(start, end), this.#pendingLength);
    this.#pendingLength = length;
  }

  /** Whether the present line may have `length` bytes, `added` of which are new; else does what that calls for. */
  #mayHold(length: number, added: number): boolean {
    if (this.#state === "set") {
      this.#setBytes += added;
      if (length <= LINE_BYTES_MAX && this.#setBytes <= this.#setBytesMax) return true;
      this.#refuse(length > LINE_BYTES_MAX ? "line too long" : "request too long");
    } else {
      if (length <= OPERATION_BYTES_MAX) return true;
      if (this.#state === "operation") this.#close();
      else this.#ignore();
    }
    return false;
  }

  #endLine(): void {
    if (this.#state === "closed") return;
    if (this.#isIgnoring) {
      this.#isIgnoring = false;
      return;
    }
    const isReturn = this.#pendingLength > 0 && this.#pending[this.#pendingLength - 1] === CR;
    // The Scanner of a set drops one CR; the operation is compared as it is.
    const length =
      isReturn && this.#state !== "operation" ? this.#pendingLength - 1 : this.#pendingLength;
    const line = this.#pending.subarray(0, length);
    if (this.#state === "set") this.#takeSetLine(line);
    else this.#takeOperation(this.#decoder.decode(line));
    this.#wipe();
  }

  #takeSetLine(line: Uint8Array): void {
    this.#setBytes += 1;
    if (line.length === 0) this.#endSet("operation");
    else if (!this.#parser.push(line)) this.#endSet("skip");
  }

  #takeOperation(line: string): void {
    switch (line) {
      case "get=1":
        this.#state = "get";
        return;
      case "status=1":
        this.#state = "status";
        return;
      case "set=1":
        this.#state = "set";
        this.#setBytes = 0;
        return;
      default:
        if (this.#state === "operation") this.#close();
        else if (line === "") this.#state = "operation";
    }
  }

  #endSet(next: State): void {
    this.#requests.push({ kind: "set", ...this.#parser.result() });
    this.#parser = new SetParser();
    this.#state = next;
  }

  /** Ends a set within a line, the rest of which goes unread. */
  #refuse(message: string): void {
    this.#parser.fail({ errno: EIO, message });
    this.#endSet("skip");
    this.#ignore();
  }

  #ignore(): void {
    this.#isIgnoring = true;
    this.#wipe();
  }

  #close(): void {
    this.#state = "closed";
    this.#wipe();
    this.#requests.push({ kind: "close", message: "invalid operation" });
  }

  #grow(length: number): void {
    const grown = new Uint8Array(
      Math.min(Math.max(length, this.#pending.length * 2), LINE_BYTES_MAX),
    );
    grown.set(this.#pending.subarray(0, this.#pendingLength));
    this.#pending.fill(0);
    this.#pending = grown;
  }

  #wipe(): void {
    this.#pending.fill(0, 0, this.#pendingLength);
    this.#pendingLength = 0;
  }
}
