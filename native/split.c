#include "split.h"

#include <string.h>

#include "checksum.h"
#include "slab.h"

static size_t padded(size_t length, size_t mtu) {
  size_t up = (length + 15) & ~(size_t)15;
  if (up <= mtu) return up;
  return length > mtu ? length : mtu;
}

static bool complete_checksum(const struct vnet *header, uint8_t *packet, size_t length) {
  size_t start = header->csum_start, field = start + header->csum_offset;
  if (start >= length || field + 2 > length) return false;
  checksum_store_transport(packet + field, checksum_add(0, packet + start, length - start));
  return true;
}

/* Where things are in a super-packet. */
struct shape {
  bool v6, tcp;
  size_t start;  /* of the transport header */
  size_t header; /* bytes of all headers */
};

static bool parse(const struct vnet *header, const uint8_t *packet, size_t length, struct shape *shape) {
  if (!(header->flags & VNET_NEEDS_CSUM) || length < 20 || header->gso_size == 0) return false;
  uint8_t type = (uint8_t)(header->gso_type & ~VNET_ECN);
  uint8_t version = packet[0] >> 4;
  shape->v6 = version == 6;
  shape->tcp = type != VNET_UDP_L4;
  shape->start = header->csum_start;
  uint8_t protocol = shape->tcp ? PROTOCOL_TCP : PROTOCOL_UDP;
  if (version == 4) {
    size_t ihl = (size_t)(packet[0] & 15) * 4;
    if (type != VNET_TCPV4 && type != VNET_UDP_L4) return false;
    if (ihl < 20 || shape->start != ihl || get16(packet + 2) != length) return false;
    if ((get16(packet + 6) & 0x3fff) != 0 || packet[9] != protocol) return false;
  } else if (version == 6) {
    if (type != VNET_TCPV6 && type != VNET_UDP_L4) return false;
    if (length < 40 || shape->start < 40 || (size_t)get16(packet + 4) + 40 != length) return false;
    if (shape->start == 40 && packet[6] != protocol) return false;
  } else {
    return false;
  }
  const uint8_t *transport = packet + shape->start;
  if (shape->tcp) {
    if (header->csum_offset != TCP_CHECKSUM_AT || shape->start + 20 > length) return false;
    size_t bytes = (size_t)(transport[12] >> 4) * 4;
    if (bytes < 20) return false;
    shape->header = shape->start + bytes;
  } else {
    if (header->csum_offset != UDP_CHECKSUM_AT) return false;
    shape->header = shape->start + 8;
  }
  return shape->header < length;
}

/* Makes the copied headers of the `index`-th piece true. `sum` is that of addresses, protocol and transport length. */
static void patch(uint8_t *piece, const struct shape *shape, size_t length, uint32_t index, bool final, size_t gso) {
  uint8_t *transport = piece + shape->start;
  size_t bytes = length - shape->start;
  if (shape->v6) {
    put16(piece + 4, length - 40);
  } else {
    put16(piece + 2, length);
    put16(piece + 4, (size_t)get16(piece + 4) + index);
    put16(piece + 10, 0);
    checksum_store_header(piece + 10, checksum_add(0, piece, shape->start));
  }
  uint8_t *field = transport + (shape->tcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT);
  if (shape->tcp) {
    put32(transport + 4, get32(transport + 4) + (uint32_t)(index * gso));
    if (!final) transport[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (index > 0) transport[13] &= (uint8_t)~TCP_CWR;
  } else {
    put16(transport + 4, bytes);
  }
  put16(field, 0);
  uint64_t sum = checksum_pseudo(piece + (shape->v6 ? 8 : 12), shape->v6 ? 32 : 8,
                                 shape->tcp ? PROTOCOL_TCP : PROTOCOL_UDP, bytes);
  checksum_store_transport(field, checksum_add(sum, transport, bytes));
}

bool split(const struct vnet *header, uint8_t *area, size_t room, size_t length, size_t mtu, uint32_t most,
           struct cut *cut) {
  uint8_t *packet = area + HEADROOM_BYTES;
  *cut = (struct cut){0};
  if (length == 0 || length > 65535 || most == 0) return false;
  if (header->gso_type == VNET_NONE) {
    size_t whole = padded(length, mtu);
    if (HEADROOM_BYTES + whole + TAILROOM_BYTES > room) return false;
    if ((header->flags & VNET_NEEDS_CSUM) && !complete_checksum(header, packet, length)) return false;
    memset(packet + length, 0, whole - length);
    cut->count = 1;
    cut->length = cut->last = (uint32_t)length;
    cut->used = cut->stride = (uint32_t)(HEADROOM_BYTES + whole + TAILROOM_BYTES);
    return true;
  }

  struct shape shape;
  if (HEADROOM_BYTES + length > room || !parse(header, packet, length, &shape)) return false;
  size_t gso = header->gso_size, payload = length - shape.header;
  uint32_t pieces = (uint32_t)((payload + gso - 1) / gso);
  size_t full = pieces > 1 ? gso : payload, rest = payload - (pieces - 1) * gso;
  size_t stride = HEADROOM_BYTES + padded(shape.header + full, mtu) + TAILROOM_BYTES;
  uint32_t fits = (uint32_t)(room / stride);
  if (fits > most) fits = most;
  uint32_t count = pieces < fits ? pieces : fits;
  if (count == 0) return false;

  /*
   * From the last to the first: a piece's place begins at or after the end of the payloads that come before it (each
   * piece takes at least gso + headers + 32 bytes), so nothing is overwritten that is still to be moved.
   */
  for (uint32_t i = count; i-- > 0;) {
    bool final = i == pieces - 1;
    size_t size = final ? rest : gso, whole = shape.header + size;
    uint8_t *piece = packet + i * stride;
    if (i > 0) {
      memmove(piece + shape.header, packet + shape.header + i * gso, size);
      memcpy(piece, packet, shape.header);
    }
    patch(piece, &shape, whole, i, final, gso);
    memset(piece + whole, 0, padded(whole, mtu) - whole);
  }
  cut->count = count;
  cut->stride = (uint32_t)stride;
  cut->length = (uint32_t)(shape.header + full);
  cut->last = (uint32_t)(shape.header + (count == pieces ? rest : gso));
  cut->used = (uint32_t)((count - 1) * stride + HEADROOM_BYTES + padded(cut->last, mtu) + TAILROOM_BYTES);
  cut->dropped = pieces - count;
  return true;
}
