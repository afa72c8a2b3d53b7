/** Steps of `micro` for native/split.c and coalesce.c: what a TUN read and a TUN write do to a super-packet, without the system call. */
import { type Slab, slabLayout } from "../src/bytes/slab.ts";
import type { Native, SlabHandle } from "../src/io/native.ts";
import { mustBe, type Step } from "./step.ts";

const MTU = 1420;
const HEADERS = 40;
const SEGMENT = MTU - HEADERS;
const SEGMENTS = 44;
/** linux/virtio_net.h: needs a checksum; TCP over IPv4. */
const VNET_BYTES = 10;
const NEEDS_CSUM = 1;
const GSO_TCPV4 = 1;
/** linux/if_tun.h TUN_F_CSUM | TUN_F_TSO4. */
const OFFLOAD = 0x3;

/** A virtio_net_hdr and a TCP packet over IPv4 of 44 segments. */
function superPacket(): Uint8Array {
  const length = HEADERS + SEGMENTS * SEGMENT;
  const bytes = new Uint8Array(VNET_BYTES + length).fill(0x5a, VNET_BYTES + HEADERS);
  const vnet = new DataView(bytes.buffer);
  bytes.set([NEEDS_CSUM, GSO_TCPV4]);
  vnet.setUint16(2, HEADERS, true);
  vnet.setUint16(4, SEGMENT, true);
  vnet.setUint16(6, 20, true);
  vnet.setUint16(8, 16, true);
  const packet = new DataView(bytes.buffer, VNET_BYTES);
  packet.setUint8(0, 0x45);
  packet.setUint16(2, length);
  packet.setUint16(6, 0x4000);
  packet.setUint8(8, 64);
  packet.setUint8(9, 6);
  packet.setUint32(12, 0x0a00_0001);
  packet.setUint32(16, 0x0a00_0002);
  packet.setUint16(20, 40_000);
  packet.setUint16(22, 5_201);
  packet.setUint8(32, 0x50);
  packet.setUint8(33, 0x10);
  packet.setUint16(34, 500);
  return bytes;
}

/** Both steps count packets; the slab's lists are overwritten. */
export function offloadSteps(native: Native, slab: Slab, handle: SlabHandle): Step[] {
  const bytes = superPacket();
  const out = new Uint8Array(1 << 17);
  const split = (): void => {
    mustBe(native.probeSplit(handle, bytes, MTU) === SEGMENTS, "a packet for each segment");
  };
  split();
  const packets = Array.from({ length: SEGMENTS }, (_, index) => {
    const offset = slab.innerOffset[index]!;
    return slab.bytes.slice(offset, offset + slab.innerLength[index]!);
  });
  const merged = 4 + bytes.length;
  return [
    { name: "split, packets of 1420 bytes", count: SEGMENTS, run: split },
    {
      name: "coalesce, packets of 1420 bytes",
      count: SEGMENTS,
      run: () => {
        // Merging writes into the headers: the packets are laid down anew, at some 0.04 us each.
        packets.forEach((packet, index) => {
          const offset = slabLayout.inbound.offset + index * 1_536;
          slab.bytes.set(packet, offset);
          slab.plainOffset[index] = offset;
          slab.plainLength[index] = packet.length;
        });
        const used = native.probeMerge(handle, 0, SEGMENTS, OFFLOAD, out);
        mustBe(used === merged, "all become one");
      },
    },
  ];
}
