/**
 * The transport message's header and padding (whitepaper 5.4.6). Owns no keys and no counters: they are arguments.
 */
import { PADDING_MULTIPLE, TYPE_TRANSPORT } from "./constants.ts";
import { transportLayout } from "./layout.ts";

/**
 * Payload length after padding: to a multiple of 16, but not past the MTU; a packet longer than the MTU is padded as
 * its last MTU-sized unit (K send.c calculate_skb_padding). `mtu` 0: unknown, pad always.
 */
export function paddedLength(length: number, mtu: number): number {
  let lastUnit = length;
  if (mtu > 0 && length > mtu) lastUnit = length % mtu;
  let padded = (lastUnit + PADDING_MULTIPLE - 1) & -PADDING_MULTIPLE;
  if (mtu > 0 && padded > mtu) padded = mtu;
  return length + (padded - lastUnit);
}

/** Writes the 16 header bytes at `offset`: type, receiver index and counter (two words), all little-endian. */
export function writeTransportHeader(
  view: DataView,
  offset: number,
  receiver: number,
  counterHi: number,
  counterLo: number,
): void {
  view.setUint32(offset + transportLayout.type, TYPE_TRANSPORT, true);
  view.setUint32(offset + transportLayout.receiver, receiver, true);
  view.setUint32(offset + transportLayout.counter, counterLo, true);
  view.setUint32(offset + transportLayout.counter + 4, counterHi, true);
}
