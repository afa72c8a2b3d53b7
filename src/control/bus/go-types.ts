/** Go's types on zbus: how text of ours becomes `net.IP`, `net.IPNet` and `net.HardwareAddr`, and back; parsers of arguments. Pure. */
import { z } from "zod";
import { formatAddress, parseAddress } from "../../route/address.ts";
import { addressText, type Cidr, cidrOf, formatCidr } from "../model/cidr.ts";

/** Go's `net.IPNet`: an address with a mask of its length. */
export interface GoIpNet {
  readonly IP: Uint8Array;
  readonly Mask: Uint8Array;
}

const utf8 = new TextDecoder();

/** string: bin is taken for it, and nil is "". */
export const goText: z.ZodType<string> = z
  .union([z.string(), z.instanceof(Uint8Array), z.null()], "is no string")
  .transform((value) =>
    value === null ? "" : typeof value === "string" ? value : utf8.decode(value),
  );

/** []byte: str is taken for it, and nil is empty. */
export const goBytes: z.ZodType<Uint8Array> = z
  .union([z.string(), z.instanceof(Uint8Array), z.null()], "is no []byte")
  .transform((value) =>
    value === null ? new Uint8Array() : typeof value === "string" ? Buffer.from(value) : value,
  );

/** bool: nil is false. */
export const goBool: z.ZodType<boolean> = z
  .union([z.boolean(), z.null()], "is no bool")
  .transform((value) => value === true);

/** uint16: nil is 0. */
export const goUint16: z.ZodType<number> = z
  .custom<number | null>(
    (value) =>
      value === null || (Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0xffff),
    "is no uint16",
  )
  .transform((value) => value ?? 0);

/** A slice: nil is empty. */
export function goSlice<Item>(item: z.ZodType<Item>): z.ZodType<Item[]> {
  return z.union([z.array(item), z.null()]).transform((value) => value ?? []);
}

/** net.IP as text; "": none. */
export const goIp: z.ZodType<string> = goBytes.transform((bytes, context) => {
  if (bytes.length === 0) return "";
  const text = ipText(bytes);
  if (text !== undefined) return text;
  context.addIssue({ code: "custom", message: "is no net.IP: 4 or 16 bytes" });
  return z.NEVER;
});

/** net.IPNet as "10.1.1.0/24", the bits after its length as they are; "": none. */
export const goIpNet: z.ZodType<string> = z
  .union([z.object({ IP: goBytes, Mask: goBytes }), z.null()], "is no net.IPNet: {IP, Mask}")
  .transform((value, context) => {
    if (value === null || (value.IP.length === 0 && value.Mask.length === 0)) return "";
    const address = ipText(value.IP);
    const isIpv4 = address?.includes(".") === true && !address.includes(":");
    // Go keeps the mask of an IPv4 prefix in 4 bytes, or in 16 that begin with 12 full ones.
    const mask = isIpv4 && value.Mask.length === 16 ? value.Mask.subarray(12) : value.Mask;
    const length = maskLength(mask);
    if (address !== undefined && mask.length === (isIpv4 ? 4 : 16) && length !== undefined) {
      return `${address}/${length}`;
    }
    context.addIssue({
      code: "custom",
      message: "is no net.IPNet: an address and a mask of its length",
    });
    return z.NEVER;
  });

/** An address, without length or with, as `net.IP`; nothing becomes nil. */
export function toGoIp(text: string | null | undefined): Uint8Array | null {
  if (text === null || text === undefined) return null;
  return bytesOf(cidrOf(text));
}

/** A prefix as `net.IPNet`. */
export function toGoIpNet(text: string): GoIpNet {
  const cidr = cidrOf(text);
  const address = bytesOf(cidr);
  const mask = address.map((_byte, at) => {
    const bits = Math.min(8, Math.max(0, cidr.length - 8 * at));
    return (0xff00 >>> bits) & 0xff;
  });
  return { IP: address, Mask: mask };
}

/** What stands for no prefix: the zero value. */
export const NO_IP_NET: { readonly IP: null; readonly Mask: null } = { IP: null, Mask: null };

function bytesOf({ family, bytes }: Cidr): Uint8Array {
  return bytes.slice(0, family === 2 ? 4 : 16);
}

/** IPv4 in 16 bytes, as Go keeps it, is IPv4. */
function ipText(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return formatAddress(2, bytes);
  if (bytes.length !== 16) return undefined;
  const isMapped = bytes.subarray(0, 10).every((byte) => byte === 0);
  if (isMapped && bytes[10] === 0xff && bytes[11] === 0xff) return formatAddress(2, bytes, 12);
  return formatAddress(10, bytes);
}

/** Undefined: its ones are not all in front. */
function maskLength(mask: Uint8Array): number | undefined {
  const bits = Array.from(mask, (byte) => byte.toString(2).padStart(8, "0")).join("");
  const match = /^(1*)0*$/.exec(bits);
  return match?.[1]?.length;
}

/** True if a packet from afar can come from there: neither link-local nor loopback nor a unique local address. */
export function isGlobal(text: string): boolean {
  const { family, bytes } = cidrOf(text);
  const [first = 0, second = 0] = bytes;
  if (family === 2) return first !== 127 && !(first === 169 && second === 254);
  const isLinkLocal = first === 0xfe && (second & 0xc0) === 0x80;
  return (
    !isLinkLocal && (first & 0xfe) !== 0xfc && addressText({ family, bytes, length: 128 }) !== "::1"
  );
}

/** The address with the length that `text` has, host part as it is; throws if it is none. */
export function plainCidr(text: string): string {
  return formatCidr(cidrOf(text));
}

/** True for an address such as `parseAddress` takes. */
export function isAddress(text: string): boolean {
  return parseAddress(text) !== undefined;
}
