/* Packets for the fuzz targets, and their checksums, written without checksum.c, which is what they judge. */
#include "fuzz.h"

static void store16(uint8_t *p, size_t value) {
  p[0] = (uint8_t)(value >> 8);
  p[1] = (uint8_t)value;
}

static void store32(uint8_t *p, uint32_t value) {
  store16(p, value >> 16);
  store16(p + 2, value & 0xffff);
}

uint32_t naive_sum(uint32_t sum, const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) {
    sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

static uint32_t pseudo_sum(const uint8_t *packet, size_t bytes, uint8_t protocol) {
  bool v6 = packet[0] >> 4 == 6;
  uint8_t tail[4] = {0, protocol, (uint8_t)(bytes >> 8), (uint8_t)bytes};
  return naive_sum(naive_sum(0, packet + (v6 ? 8 : 12), v6 ? 32 : 8), tail, sizeof tail);
}

bool naive_intact(const uint8_t *packet, size_t length, size_t start, uint8_t protocol) {
  if (packet[0] >> 4 == 4 && naive_sum(0, packet, start) != 0xffff) return false;
  return naive_sum(pseudo_sum(packet, length - start, protocol), packet + start, length - start) == 0xffff;
}

size_t packet_make(uint8_t *p, const struct plain_packet *packet) {
  size_t start = packet->v6 ? 40 : 20, header = start + (packet->tcp ? 20 + packet->options : 8);
  size_t length = header + packet->payload;
  uint8_t protocol = packet->tcp ? 6 : 17;
  memset(p, 0, header);
  for (size_t i = header; i < length; i++) p[i] = (uint8_t)(packet->fill + i * 7 + (i >> 8));
  uint8_t *t = p + start;
  if (packet->v6) {
    p[0] = 0x60;
    store16(p + 4, length - 40);
    p[6] = protocol;
    p[7] = 64;
    p[39] = packet->flow;
  } else {
    p[0] = 0x45;
    store16(p + 2, length);
    store16(p + 4, packet->id);
    p[6] = packet->whole ? 0x40 : 0;
    p[8] = 64;
    p[9] = protocol;
    p[19] = packet->flow;
    store16(p + 10, ~naive_sum(0, p, 20) & 0xffff);
  }
  if (packet->tcp) {
    store32(t + 4, packet->sequence);
    t[12] = (uint8_t)((20 + packet->options) / 4 << 4);
    t[13] = packet->flags;
  } else {
    store16(t + 4, length - start);
  }
  uint32_t sum = ~naive_sum(pseudo_sum(p, length - start, protocol), t, length - start) & 0xffff;
  store16(t + (packet->tcp ? 16 : 6), sum == 0 ? 0xffff : sum);
  return length;
}
