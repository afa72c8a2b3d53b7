/* The Internet checksum (RFC 1071), and unaligned big-endian access. Pure. */
#ifndef WIREHAUL_CHECKSUM_H
#define WIREHAUL_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t get16(const uint8_t *p) { return (uint16_t)((unsigned)p[0] << 8 | p[1]); }
static inline void put16(uint8_t *p, size_t value) {
  p[0] = (uint8_t)(value >> 8);
  p[1] = (uint8_t)value;
}
static inline uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static inline void put32(uint8_t *p, uint32_t value) {
  put16(p, value >> 16);
  put16(p + 2, value & 0xffff);
}

/* Sum of the 16-bit words, in the byte order of the host (the sum does not mind: RFC 1071 2B). Add sums, then fold. */
uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, size_t length);

/* Sum folded to 16 bits, not inverted, host byte order. A correct checksum folds to 0xffff. */
uint16_t checksum_fold(uint64_t sum);

/* Sum of the pseudo-header (RFC 793 3.1, RFC 8200 8.1): addresses (8 or 32 bytes), protocol, transport length. */
uint64_t checksum_pseudo(const uint8_t *addresses, size_t bytes, uint8_t protocol, size_t length);

/* Writes the checksum of an IPv4 header (RFC 791 3.1): the complement of the sum; zero is a value like any other. */
static inline void checksum_store_header(uint8_t *field, uint64_t sum) {
  uint16_t folded = (uint16_t)~checksum_fold(sum);
  memcpy(field, &folded, 2);
}

/* Writes a transport checksum: zero means "none" to UDP (RFC 768), so its other form in ones' complement is written, as
 * Linux does for every transport (net/core/dev.c skb_checksum_help, CSUM_MANGLED_0). */
static inline void checksum_store_transport(uint8_t *field, uint64_t sum) {
  uint16_t folded = (uint16_t)~checksum_fold(sum);
  if (folded == 0) folded = 0xffff;
  memcpy(field, &folded, 2);
}

/* Writes the sum of the pseudo-header, not inverted: who segments the packet completes it (VIRTIO_NET_HDR_F_NEEDS_CSUM). */
static inline void checksum_store_partial(uint8_t *field, uint64_t sum) {
  uint16_t folded = checksum_fold(sum);
  memcpy(field, &folded, 2);
}

#endif
