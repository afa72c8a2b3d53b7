/*
 * What the fuzz targets of the pure C files share. A target is one file with one LLVMFuzzerTestOneInput: libFuzzer calls it, or
 * driver.c, which needs no clang. An input is a script, read from the front: what is left out reads as zero, so that every byte
 * sequence means something and cutting an input keeps it valid.
 */
#ifndef WIREHAUL_FUZZ_H
#define WIREHAUL_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                   \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);             \
      abort();                                                                            \
    }                                                                                     \
  } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct script {
  const uint8_t *at;
  size_t left;
};

static inline uint8_t take8(struct script *s) {
  if (s->left == 0) return 0;
  s->left--;
  return *s->at++;
}
static inline uint16_t take16(struct script *s) {
  unsigned low = take8(s);
  return (uint16_t)(low | (unsigned)take8(s) << 8);
}
static inline uint32_t take32(struct script *s) {
  uint32_t low = take16(s);
  return low | (uint32_t)take16(s) << 16;
}

/* packet.c: a TCP or UDP packet with right lengths and checksums. */
struct plain_packet {
  bool v6, tcp, whole; /* whole: IPv4, not to be fragmented */
  uint8_t flow, flags;
  uint16_t id;
  uint32_t sequence;
  size_t options; /* bytes of TCP options, a multiple of 4, at most 40 */
  size_t payload;
  uint8_t fill; /* from which the payload is made */
};
/* Writes it to `out`, which has room; returns its length. */
size_t packet_make(uint8_t *out, const struct plain_packet *packet);

/* The naive twins of checksum.c, a 16-bit word at a time (RFC 1071): the sum, folded, not inverted, as a number. */
uint32_t naive_sum(uint32_t sum, const uint8_t *bytes, size_t length);
/* Whether the IPv4 header and the transport checksum are right. `start`: of the transport header. */
bool naive_intact(const uint8_t *packet, size_t length, size_t start, uint8_t protocol);

#endif
