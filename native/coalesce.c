#include "coalesce.h"

#include <string.h>

#include "checksum.h"

/* What a packet is to the plan. */
enum kind {
  APART,  /* belongs to no TCP or UDP flow: written alone */
  OPAQUE, /* may belong to any flow (fragments, extension headers, nonsense): written alone, ends all groups */
  FIXED,  /* of a flow, but never merged: written alone, ends the group of its flow */
  FLOW    /* may be merged */
};

static enum kind parse(const uint8_t *p, uint32_t length, uint32_t offload, struct group *g) {
  uint8_t protocol;
  uint32_t allowed;
  if (length < 20) return OPAQUE;
  if (p[0] >> 4 == 4) {
    g->v6 = false;
    g->start = (uint16_t)((p[0] & 15) * 4);
    protocol = p[9];
    if (g->start < 20 || get16(p + 2) != length || (get16(p + 6) & 0x3fff) != 0) return OPAQUE;
    allowed = protocol == PROTOCOL_TCP ? OFFLOAD_TSO4 : OFFLOAD_USO4;
  } else if (p[0] >> 4 == 6 && length >= 40) {
    g->v6 = true;
    g->start = 40;
    protocol = p[6];
    if ((uint32_t)get16(p + 4) + 40 != length) return OPAQUE;
    if (protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP) return protocol == 58 ? APART : OPAQUE;
    allowed = protocol == PROTOCOL_TCP ? OFFLOAD_TSO6 : OFFLOAD_USO6;
  } else {
    return OPAQUE;
  }
  if (protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP) return APART;
  const uint8_t *t = p + g->start;
  g->tcp = protocol == PROTOCOL_TCP;
  if (g->start + (g->tcp ? 20u : 8u) > length) return OPAQUE;
  if (g->tcp) {
    g->header = (uint16_t)(g->start + (t[12] >> 4) * 4);
    g->flags = t[13];
    if (g->header < g->start + 20 || g->header >= length) return FIXED;
    if ((g->flags & ~(TCP_PSH | TCP_FIN | TCP_ECE)) != TCP_ACK) return FIXED;
  } else {
    g->header = (uint16_t)(g->start + 8);
    g->flags = 0;
    if (get16(t + 4) != length - g->start || g->header >= length) return FIXED;
    if (get16(t + UDP_CHECKSUM_AT) == 0) return FIXED;
  }
  g->gso = (uint16_t)(length - g->header);
  g->total = (uint16_t)length;
  g->count = 1;
  g->verified = false;
  g->fixed_id = false;
  if (!(offload & OFFLOAD_CSUM) || !(offload & allowed) || (!g->v6 && g->start != 20)) return FIXED;
  return FLOW;
}

static uint32_t hash(const uint8_t *p, const struct group *g) {
  const uint8_t *word = p + (g->v6 ? 8 : 12), *end = word + (g->v6 ? 32 : 8);
  uint32_t ports;
  memcpy(&ports, p + g->start, 4);
  uint64_t mixed = ports ^ (g->tcp ? 0u : 0x9e3779b9u);
  for (; word < end; word += 4) {
    uint32_t part;
    memcpy(&part, word, 4);
    mixed = (mixed ^ part) * 0x9e3779b97f4a7c15u;
    mixed ^= mixed >> 29;
  }
  return (uint32_t)(mixed * 0x9e3779b97f4a7c15u >> 56) % FLOWS;
}

static bool intact(const uint8_t *p, const struct group *g, uint32_t length) {
  if (!g->v6 && checksum_fold(checksum_add(0, p, 20)) != 0xffff) return false;
  uint64_t sum = checksum_pseudo(p + (g->v6 ? 8 : 12), g->v6 ? 32 : 8, g->tcp ? PROTOCOL_TCP : PROTOCOL_UDP,
                                 length - g->start);
  return checksum_fold(checksum_add(sum, p + g->start, length - g->start)) == 0xffff;
}

/* Whether packet `p` (`g`) continues the group `to` whose first packet is `first`; headers only. */
static bool continues(const struct group *to, const uint8_t *first, const struct group *g, const uint8_t *p,
                      bool *fixed_id) {
  *fixed_id = false;
  if (to->v6 != g->v6 || to->tcp != g->tcp || to->header != g->header || g->gso > to->gso) return false;
  if ((uint32_t)to->total + g->gso > 65535) return false;
  if (to->count >= (to->tcp ? SEGMENTS_MAX : UDP_SEGMENTS_MAX)) return false;
  if (to->v6) { /* all but the payload length */
    if (memcmp(first, p, 4) != 0 || memcmp(first + 6, p + 6, 34) != 0) return false;
  } else { /* all but total length, identification and checksum */
    if (memcmp(first, p, 2) != 0 || memcmp(first + 6, p + 6, 4) != 0 || memcmp(first + 12, p + 12, 8) != 0) return false;
    uint16_t step = (uint16_t)(get16(p + 4) - get16(first + 4));
    bool same = step == 0 && (p[6] & 0x40) != 0;
    if (to->count == 1 ? !same && step != 1 : to->fixed_id ? !same : step != to->count) return false;
    *fixed_id = same;
  }
  const uint8_t *a = first + to->start, *b = p + to->start;
  if (memcmp(a, b, 4) != 0) return false;
  if (!to->tcp) return true;
  if (get32(b + 4) != get32(a + 4) + (uint32_t)(to->total - to->header)) return false;
  if (((a[13] ^ b[13]) & ~(TCP_PSH | TCP_FIN)) != 0) return false;
  /* acknowledgement, header length, window, urgent pointer, options */
  return memcmp(a + 8, b + 8, 5) == 0 && memcmp(a + 14, b + 14, 2) == 0 &&
         memcmp(a + 18, b + 18, (size_t)(to->header - to->start) - 18) == 0;
}

static void place(struct plan *plan, const uint8_t *bytes, uint32_t i, uint32_t offload) {
  struct group *g = &plan->group[i];
  const uint8_t *p = bytes + plan->offset[i];
  uint32_t length = plan->length[i];
  enum kind kind = parse(p, length, offload, g);
  g->count = 1;
  g->last = (uint16_t)i;
  plan->next[i] = 0;
  if (kind == APART) return;
  if (kind == OPAQUE) {
    memset(plan->flows, 0, sizeof plan->flows);
    return;
  }
  uint16_t *flow = &plan->flows[hash(p, g)];
  uint16_t open = *flow;
  *flow = 0;
  if (kind == FIXED) return;
  if (open != 0) {
    struct group *to = &plan->group[open - 1];
    const uint8_t *first = bytes + plan->offset[open - 1];
    bool fixed_id;
    if (continues(to, first, g, p, &fixed_id)) {
      if (!intact(p, g, length)) {
        plan->bad_checksums++;
        return;
      }
      if (!to->verified) to->verified = intact(first, to, plan->length[open - 1]);
      if (to->verified) {
        plan->next[to->last] = (uint16_t)i;
        to->last = (uint16_t)i;
        to->count++;
        to->total = (uint16_t)(to->total + g->gso);
        to->flags = g->flags;
        to->fixed_id = fixed_id;
        g->count = 0;
        if (g->gso == to->gso && !(g->flags & (TCP_PSH | TCP_FIN))) *flow = open;
        return;
      }
      plan->bad_checksums++;
      g->verified = true;
    }
  }
  if (!(g->flags & (TCP_PSH | TCP_FIN))) *flow = (uint16_t)(i + 1);
}

void coalesce(struct plan *plan, const uint8_t *bytes, uint32_t count, uint32_t offload) {
  memset(plan->flows, 0, sizeof plan->flows);
  plan->bad_checksums = 0;
  for (uint32_t i = 0; i < count; i++) place(plan, bytes, i, offload);
}

void coalesce_header(const struct group *g, uint8_t *first, struct vnet *out) {
  uint8_t *transport = first + g->start;
  uint8_t protocol = g->tcp ? PROTOCOL_TCP : PROTOCOL_UDP;
  size_t bytes = (size_t)g->total - g->start;
  out->flags = VNET_NEEDS_CSUM;
  out->gso_type = g->tcp ? (g->v6 ? VNET_TCPV6 : VNET_TCPV4) : VNET_UDP_L4;
  out->hdr_len = g->header;
  out->gso_size = g->gso;
  out->csum_start = g->start;
  out->csum_offset = g->tcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT;
  if (g->v6) {
    put16(first + 4, (size_t)g->total - 40);
  } else {
    put16(first + 2, g->total);
    put16(first + 10, 0);
    checksum_store_header(first + 10, checksum_add(0, first, g->start));
  }
  if (g->tcp) transport[13] = g->flags;
  else put16(transport + 4, bytes);
  checksum_store_partial(transport + out->csum_offset,
                         checksum_pseudo(first + (g->v6 ? 8 : 12), g->v6 ? 32 : 8, protocol, bytes));
}
