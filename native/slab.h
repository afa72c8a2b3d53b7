/*
 * Layout of a lane's slab: the contract with src/bytes/slab.ts, which holds the same arithmetic. load-native.ts
 * compares the two through the exported `abi` object. No node_api.h here: the fuzz driver includes this too.
 */
#ifndef WIREHAUL_SLAB_H
#define WIREHAUL_SLAB_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLAB_SIZES(S)                                                                                              \
  S(ENDPOINT_BYTES, 48)                                                                                            \
  S(RECEIVED_MAX, 1024)                                                                                            \
  S(MESSAGES_MAX, 16)                                                                                              \
  S(MESSAGE_STRIDE, 65536)                                                                                         \
  S(INNER_MAX, 2048)                                                                                               \
  S(DATAGRAMS_MAX, 2048)                                                                                           \
  S(GROUPS_MAX, 512)                                                                                               \
  S(PLAIN_MAX, 1024)                                                                                               \
  S(OUTBOUND_BYTES, 524288)                                                                                        \
  S(COMPOSED_BYTES, 262144)                                                                                        \
  S(HEADROOM_BYTES, 16)                                                                                            \
  S(TAILROOM_BYTES, 16)

#define SIZE_ENUM(name, value) name = (value),
enum { SLAB_SIZES(SIZE_ENUM) };
#undef SIZE_ENUM

/* Regions in order. Each begins on a multiple of 64. */
#define SLAB_REGIONS(R)                                                                                            \
  R(receivedOffset, RECEIVED_MAX * 4)                                                                              \
  R(receivedLength, RECEIVED_MAX * 4)                                                                              \
  R(receivedMessage, RECEIVED_MAX * 4)                                                                             \
  R(opened, RECEIVED_MAX * 4)                                                                                      \
  R(messageEndpoint, MESSAGES_MAX *ENDPOINT_BYTES)                                                                 \
  R(messageTos, MESSAGES_MAX * 4)                                                                                  \
  R(innerOffset, INNER_MAX * 4)                                                                                    \
  R(innerLength, INNER_MAX * 4)                                                                                    \
  R(innerRun, INNER_MAX * 4)                                                                                       \
  R(datagramOffset, DATAGRAMS_MAX * 4)                                                                             \
  R(datagramLength, DATAGRAMS_MAX * 4)                                                                             \
  R(groupStart, GROUPS_MAX * 4)                                                                                    \
  R(groupCount, GROUPS_MAX * 4)                                                                                    \
  R(groupTos, GROUPS_MAX * 4)                                                                                      \
  R(groupStatus, GROUPS_MAX * 4)                                                                                   \
  R(groupEndpoint, GROUPS_MAX *ENDPOINT_BYTES)                                                                     \
  R(plainOffset, PLAIN_MAX * 4)                                                                                    \
  R(plainLength, PLAIN_MAX * 4)                                                                                    \
  R(inbound, MESSAGES_MAX *MESSAGE_STRIDE)                                                                         \
  R(outbound, OUTBOUND_BYTES)                                                                                      \
  R(composed, COMPOSED_BYTES)

/* `name_at` is the offset of a region: one more than the last byte, rounded up to 64, of the one before. */
#define REGION_ENUM(name, bytes) name##_at, name##_last = name##_at + ((bytes) + 63) / 64 * 64 - 1,
enum { SLAB_REGIONS(REGION_ENUM) slab_used };
#undef REGION_ENUM
enum { SLAB_BYTES = (slab_used + 4095) / 4096 * 4096 };

static_assert(receivedOffset_at == 0, "lists come first");
static_assert(inbound_at % 64 == 0 && outbound_at == inbound_at + MESSAGES_MAX * MESSAGE_STRIDE, "data regions");
static_assert((int)slab_used <= (int)SLAB_BYTES - 16 && SLAB_BYTES % 4096 == 0, "whole pages, and room behind the last packet");

/* Host byte order but for the addresses. See endpointLayout in slab.ts. */
struct endpoint {
  uint16_t family;
  uint16_t port;
  uint32_t scope;
  uint8_t address[16];
  uint8_t source[16];
  uint32_t source_interface;
  uint32_t reserved;
};
static_assert(sizeof(struct endpoint) == ENDPOINT_BYTES, "endpoint record");
static_assert(offsetof(struct endpoint, scope) == 4 && offsetof(struct endpoint, address) == 8, "endpoint record");
static_assert(offsetof(struct endpoint, source) == 24 && offsetof(struct endpoint, source_interface) == 40,
              "endpoint record");

/* What slabCounters reports, in this order. */
enum counter {
  COUNTER_MALFORMED,        /* packets from TUN with a bad virtio_net_hdr or headers that contradict it */
  COUNTER_SPLIT_DROPPED,    /* segments of a super-packet for which the outbound region had no room */
  COUNTER_RECEIVED_DROPPED, /* datagrams that were truncated or had no room in the received list */
  COUNTER_CHECKSUM,         /* packets written alone to TUN because their checksum is wrong */
  COUNTERS
};

/* Whether a packet lies wholly in the data regions: lists can't be overwritten through a packet. */
static inline bool in_slab(int32_t offset, int32_t length) {
  return offset >= inbound_at && length >= 0 && offset <= slab_used && length <= slab_used - offset;
}

static inline bool in_list(int32_t first, int32_t count, int32_t size) {
  return first >= 0 && count >= 0 && first <= size && count <= size - first;
}

#endif
