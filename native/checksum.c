#include "checksum.h"

/* 32-bit words into 64-bit lanes: carries gather in the upper halves, and compilers make vectors of it. */
uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, size_t length) {
  uint64_t lanes[8] = {0};
  for (; length >= 32; bytes += 32, length -= 32) {
    uint32_t words[8];
    memcpy(words, bytes, sizeof words);
    for (int i = 0; i < 8; i++) lanes[i] += words[i];
  }
  for (int i = 0; i < 8; i++) sum += lanes[i];
  for (; length >= 4; bytes += 4, length -= 4) {
    uint32_t word;
    memcpy(&word, bytes, 4);
    sum += word;
  }
  if (length > 0) {
    uint8_t rest[4] = {0};
    memcpy(rest, bytes, length);
    uint32_t word;
    memcpy(&word, rest, 4);
    sum += word;
  }
  return sum;
}

uint16_t checksum_fold(uint64_t sum) {
  sum = (sum >> 32) + (sum & 0xffffffff);
  sum = (sum >> 16) + (sum & 0xffff);
  sum = (sum >> 16) + (sum & 0xffff);
  sum = (sum >> 16) + (sum & 0xffff);
  return (uint16_t)sum;
}

uint64_t checksum_pseudo(const uint8_t *addresses, size_t bytes, uint8_t protocol, size_t length) {
  uint8_t tail[8] = {0};
  put32(tail, (uint32_t)length);
  tail[7] = protocol;
  return checksum_add(checksum_add(0, addresses, bytes), tail, sizeof tail);
}
