/*
 * Cuts a super-packet (TSO, USO) into the packets that it stands for, in place, and completes checksums. Pure.
 * The shape of virtio_net_hdr is the virtio specification's (5.1.6), in host byte order as TUN has it by default.
 */
#ifndef WIREHAUL_SPLIT_H
#define WIREHAUL_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vnet {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t hdr_len;
  uint16_t gso_size;
  uint16_t csum_start;
  uint16_t csum_offset;
};
_Static_assert(sizeof(struct vnet) == 10, "virtio_net_hdr without num_buffers");

enum { VNET_NEEDS_CSUM = 1, VNET_NONE = 0, VNET_TCPV4 = 1, VNET_TCPV6 = 4, VNET_UDP_L4 = 5, VNET_ECN = 0x80 };
enum { PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32, TCP_ECE = 64, TCP_CWR = 128 };
enum { TCP_CHECKSUM_AT = 16, UDP_CHECKSUM_AT = 6 };

/* The pieces: `count` of them, the i-th at area + i * stride + HEADROOM_BYTES, `length` bytes each, the last `last`. */
struct cut {
  uint32_t count, stride, length, last;
  uint32_t used;    /* bytes of the area that hold pieces with their head, padding and tail room */
  uint32_t dropped; /* pieces for which there was no room */
};

/*
 * A packet of `length` bytes, as read with `header`, lies at area + HEADROOM_BYTES; the area is `room` bytes. Cuts it
 * into at most `most` pieces, each padded with zeros to 16 bytes but not past `mtu`. False: malformed; the area's
 * bytes are then undefined.
 */
bool split(const struct vnet *header, uint8_t *area, size_t room, size_t length, size_t mtu, uint32_t most,
           struct cut *cut);

#endif
