/*
 * Plans which packets of a batch leave as one super-packet (the reverse of split.h), and writes its headers. Pure.
 * Rules: packets of one TCP or UDP flow, back to back within their flow, that segmentation would give again bit for
 * bit (an IPv4 identification that is fixed under DF apart: RFC 6864). The order within a flow never changes.
 */
#ifndef WIREHAUL_COALESCE_H
#define WIREHAUL_COALESCE_H

#include "slab.h"
#include "split.h"

/* TUN_F_* of linux/if_tun.h; the USO bits are younger than some headers. */
enum { OFFLOAD_CSUM = 1, OFFLOAD_TSO4 = 2, OFFLOAD_TSO6 = 4, OFFLOAD_USO4 = 0x20, OFFLOAD_USO6 = 0x40 };

enum { FLOWS = 256, SEGMENTS_MAX = 512, UDP_SEGMENTS_MAX = 64 };

/* What is known of a packet that may begin a super-packet, or of the super-packet that it began. */
struct group {
  uint16_t count;      /* packets in it; 0: not the first of one */
  uint16_t last;       /* index of its last packet */
  uint16_t start;      /* of the transport header */
  uint16_t header;     /* bytes of all headers */
  uint16_t gso;        /* payload bytes of its first packet */
  uint16_t total;      /* bytes as one packet */
  uint8_t flags;       /* TCP flags of the last packet */
  bool v6, tcp;
  bool verified;       /* the checksum of the first packet was looked at, and is right */
  bool fixed_id;       /* IPv4: all have the same identification */
};

struct plan {
  uint32_t offset[PLAIN_MAX], length[PLAIN_MAX]; /* set by the caller; checked against the memory */
  struct group group[PLAIN_MAX];
  uint16_t next[PLAIN_MAX];  /* next packet of the same group; 0: none */
  uint16_t flows[FLOWS];     /* by hash: 1 + first packet of the open group; 0: none */
  uint32_t bad_checksums;
};

/* Fills `group` and `next` for packets 0 to count - 1. Write groups in the order of their first packets. */
void coalesce(struct plan *plan, const uint8_t *bytes, uint32_t count, uint32_t offload);

/* Patches the headers of the first packet of a group of two or more to be the super-packet's, and fills `out`. */
void coalesce_header(const struct group *group, uint8_t *first, struct vnet *out);

#endif
