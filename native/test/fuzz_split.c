/*
 * split.c: a super-packet is made, perhaps damaged, and cut. What comes out must be what a naive cutter gives: payloads in order
 * and whole, headers that differ only where they must, right checksums, all of it inside memory of exactly the size allowed.
 */
#include "../checksum.h"
#include "../split.h"
#include "../slab.h"
#include "fuzz.h"

enum { PAYLOAD_MAX = 65400 };

struct input {
  struct vnet header;
  struct plain_packet packet;
  size_t mtu, most, spare;
  bool damaged, raw;
};

static void read_input(struct script *s, struct input *in) {
  uint8_t shape = take8(s);
  struct plain_packet *p = &in->packet;
  *p = (struct plain_packet){.v6 = shape & 1, .tcp = shape & 2, .flow = 1, .flags = take8(s), .id = take16(s)};
  p->options = (size_t)(take8(s) % 11) * 4;
  p->payload = take16(s) % (shape & 4 ? PAYLOAD_MAX : 3000);
  if (shape & 8) p->payload %= 16;
  p->sequence = take32(s);
  in->mtu = take16(s);
  in->most = shape & 16 ? take8(s) : 2048;
  in->spare = (size_t)take16(s) * 2;
  in->header = (struct vnet){.flags = VNET_NEEDS_CSUM, .gso_type = p->tcp ? (p->v6 ? VNET_TCPV6 : VNET_TCPV4) : VNET_UDP_L4};
  in->header.gso_size = take16(s);
  in->header.csum_start = p->v6 ? 40 : 20;
  in->header.csum_offset = p->tcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT;
  if (shape & 32) in->header.gso_type = VNET_NONE;
  in->raw = shape & 64;
  if (!in->raw) return;
  uint8_t bytes[sizeof in->header];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = take8(s);
  memcpy(&in->header, bytes, sizeof bytes);
}

/* Pairs of a place and a mask, the places mostly among the headers; the last byte left may cut the packet. */
static size_t damage(struct script *s, struct input *in, uint8_t *packet, size_t length) {
  in->damaged = s->left > 0;
  while (s->left >= 3) {
    size_t at = take16(s);
    packet[at % (at & 0x8000 ? length : length < 80 ? length : 80)] ^= take8(s);
  }
  if (s->left > 0) {
    length -= take8(s) % length;
    if (packet[0] >> 4 == 4 && length >= 20) put16(packet + 2, length); /* and it says so */
    if (packet[0] >> 4 == 6 && length >= 40) put16(packet + 4, length - 40);
  }
  return length;
}

static size_t padded(size_t length, size_t mtu) {
  size_t up = (length + 15) / 16 * 16;
  return up <= mtu ? up : length > mtu ? length : mtu;
}

static void check_plain(const struct input *in, const struct cut *cut, const uint8_t *out, const uint8_t *was, size_t length) {
  MUST(cut->count == 1 && cut->last == length && cut->length == length && cut->dropped == 0);
  size_t start = in->header.csum_start, field = start + in->header.csum_offset;
  bool completed = in->header.flags & VNET_NEEDS_CSUM;
  for (size_t i = 0; i < length; i++) MUST((completed && (i == field || i == field + 1)) || out[i] == was[i]);
  for (size_t i = length; i < padded(length, in->mtu); i++) MUST(out[i] == 0);
  if (!completed) return;
  uint32_t sum = ~naive_sum(0, was + start, length - start) & 0xffff;
  MUST(get16(out + field) == (sum == 0 ? 0xffff : sum));
}

static void check_pieces(const struct input *in, const struct cut *cut, const uint8_t *area, const uint8_t *was, size_t length) {
  size_t start = in->header.csum_start, gso = in->header.gso_size;
  bool v6 = was[0] >> 4 == 6, tcp = (in->header.gso_type & ~VNET_ECN) != VNET_UDP_L4;
  size_t headers = tcp ? start + (size_t)(was[start + 12] >> 4) * 4 : start + 8, payload = length - headers;
  uint32_t pieces = (uint32_t)((payload + gso - 1) / gso);
  MUST(cut->count + cut->dropped == pieces);
  for (uint32_t i = 0; i < cut->count; i++) {
    const uint8_t *piece = area + (size_t)i * cut->stride + HEADROOM_BYTES, *t = piece + start;
    size_t from = i * gso, size = payload - from < gso ? payload - from : gso, whole = headers + size;
    MUST(whole == (i + 1 == cut->count ? cut->last : cut->length));
    MUST(memcmp(piece + headers, was + headers + from, size) == 0);
    MUST(naive_intact(piece, whole, start, tcp ? PROTOCOL_TCP : PROTOCOL_UDP));
    for (size_t k = whole; k < padded(whole, in->mtu); k++) MUST(piece[k] == 0);
    if (v6) MUST(get16(piece + 4) == whole - 40 && memcmp(piece, was, 4) == 0 && memcmp(piece + 6, was + 6, start - 6) == 0);
    else MUST(get16(piece + 2) == whole && get16(piece + 4) == (uint16_t)(get16(was + 4) + i));
    MUST(memcmp(t, was + start, 4) == 0);
    if (!tcp) MUST(get16(t + 4) == whole - start);
    if (!tcp) continue;
    uint8_t flags = was[start + 13];
    if (i + 1 < pieces) flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
    if (i > 0) flags &= (uint8_t)~TCP_CWR;
    MUST(get32(t + 4) == get32(was + start + 4) + (uint32_t)from && t[13] == flags);
    MUST(memcmp(t + 8, was + start + 8, 5) == 0 && memcmp(t + 18, was + start + 18, headers - start - 18) == 0);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct script s = {data, size};
  struct input in;
  static uint8_t was[PAYLOAD_MAX + 200];
  read_input(&s, &in);
  size_t length = packet_make(was, &in.packet);
  if (length > 65535) return 0;
  length = damage(&s, &in, was, length);
  size_t room = HEADROOM_BYTES + length + in.spare;
  uint8_t *area = malloc(room);
  MUST(area != NULL);
  memset(area, 0xaa, room);
  memcpy(area + HEADROOM_BYTES, was, length);
  struct cut cut;
  bool taken = split(&in.header, area, room, length, in.mtu, (uint32_t)in.most, &cut);
  if (taken) {
    MUST(cut.count >= 1 && cut.count <= in.most && cut.used <= room);
    MUST(cut.length <= cut.stride && cut.last <= cut.length);
    MUST((size_t)(cut.count - 1) * cut.stride + HEADROOM_BYTES + padded(cut.last, in.mtu) + TAILROOM_BYTES == cut.used);
    if (in.header.gso_type == VNET_NONE) check_plain(&in, &cut, area + HEADROOM_BYTES, was, length);
    else check_pieces(&in, &cut, area, was, length);
  } else if (!in.damaged && !in.raw && in.most > 0 && in.header.gso_type != VNET_NONE && in.header.gso_size > 0 &&
             in.packet.payload > 0) {
    /* What is sound is taken, if one piece fits. */
    size_t gso = in.header.gso_size, first = length - in.packet.payload + (in.packet.payload < gso ? in.packet.payload : gso);
    MUST(HEADROOM_BYTES + padded(first, in.mtu) + TAILROOM_BYTES > room);
  }
  free(area);
  return 0;
}
