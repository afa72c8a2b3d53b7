/**
 * MessagePack as it comes from outside: looked through before anything is built of it, so that neither a claimed length nor a depth
 * costs more than the bytes that are there. Encoding is the library's, whose integers are as short as they can be; Go takes any width.
 * Pure.
 */
import { decode, encode } from "@msgpack/msgpack";

/** The bytes are no MessagePack, or more of it than is taken. */
export class MalformedError extends Error {
  constructor(reason: string) {
    super(`no MessagePack: ${reason}`);
    this.name = "MalformedError";
  }
}

/** Ours: the deepest message of zbus has 7. */
const DEPTH_MAX = 32;

/** Decodes one value that fills all of `bytes`; bins come as Uint8Array (views of `bytes`). Throws a {@link MalformedError}. */
export function decodeMsgpack(bytes: Uint8Array): unknown {
  // Parts of a Buffer would be Buffers.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    measure(plain);
    return decode(plain);
  } catch (error) {
    if (error instanceof MalformedError) throw error;
    throw new MalformedError(error instanceof RangeError ? "it is cut off" : "a key is no text");
  }
}

/** Encodes null, booleans, numbers, strings, Uint8Array (bin), Date (timestamp), arrays and objects (maps with text as keys). */
export function encodeMsgpack(value: unknown): Uint8Array {
  return encode(value);
}

/** Throws if `bytes` are not exactly one value, or one that is nested too deep. */
function measure(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // How many values are still to come, for each level that is open.
  const open: number[] = [1];
  let at = 0;
  while (open.length > 0) {
    const left = open.pop()!;
    if (left === 0) continue;
    open.push(left - 1);
    const { size, children } = headOf(view, at);
    at += size;
    if (at > bytes.length) throw new MalformedError("it is cut off");
    if (children === 0) continue;
    if (children > bytes.length - at) throw new MalformedError("it is cut off");
    if (open.length >= DEPTH_MAX) throw new MalformedError("it is nested too deep");
    open.push(children);
  }
  if (at !== bytes.length) throw new MalformedError("something follows it");
}

interface Head {
  /** Bytes of this value without the values in it. */
  readonly size: number;
  readonly children: number;
}

/** The MessagePack specification's table of formats. DataView throws a RangeError at the end. */
function headOf(view: DataView, at: number): Head {
  const code = view.getUint8(at);
  if (code <= 0x7f || code >= 0xe0) return { size: 1, children: 0 };
  if (code <= 0x8f) return { size: 1, children: 2 * (code & 0x0f) };
  if (code <= 0x9f) return { size: 1, children: code & 0x0f };
  if (code <= 0xbf) return { size: 1 + (code & 0x1f), children: 0 };
  const length = (width: number): number => lengthOf(view, at + 1, width);
  switch (code) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return { size: 1, children: 0 };
    case 0xc4:
    case 0xc5:
    case 0xc6: {
      const width = 1 << (code - 0xc4);
      return { size: 1 + width + length(width), children: 0 };
    }
    case 0xc7:
    case 0xc8:
    case 0xc9: {
      const width = 1 << (code - 0xc7);
      return { size: 2 + width + length(width), children: 0 };
    }
    case 0xca:
      return { size: 5, children: 0 };
    case 0xcb:
      return { size: 9, children: 0 };
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
      return { size: 1 + (1 << (code - 0xcc)), children: 0 };
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return { size: 1 + (1 << (code - 0xd0)), children: 0 };
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return { size: 2 + (1 << (code - 0xd4)), children: 0 };
    case 0xd9:
    case 0xda:
    case 0xdb: {
      const width = 1 << (code - 0xd9);
      return { size: 1 + width + length(width), children: 0 };
    }
    case 0xdc:
    case 0xdd: {
      const width = 2 << (code - 0xdc);
      return { size: 1 + width, children: length(width) };
    }
    case 0xde:
    case 0xdf: {
      const width = 2 << (code - 0xde);
      return { size: 1 + width, children: 2 * length(width) };
    }
    default:
      throw new MalformedError("0xc1 is never used");
  }
}

function lengthOf(view: DataView, at: number, width: number): number {
  if (width === 1) return view.getUint8(at);
  return width === 2 ? view.getUint16(at) : view.getUint32(at);
}
