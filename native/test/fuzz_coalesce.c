/*
 * coalesce.c: a batch of packets of a few flows, some damaged, some noise. Every group lies inside its memory, no packet is lost or
 * doubled, only packets with right checksums are merged, the order within a flow stays, nothing overtakes a fragment, and split.c
 * makes of a super-packet what was merged, bit for bit.
 */
#include "../checksum.h"
#include "../coalesce.h"
#include "fuzz.h"

enum { FLOW_COUNT = 4, MEMORY = 200000, KEY = 38 };

/* What the next packet of a record's flow differs in. */
enum { FLOW_MASK = 3, SKIPS = 4, DAMAGED = 8, NOISE = 16, RESIZED = 32, FLAGGED = 64, ODD_ID = 128 };

struct flow {
  uint32_t sequence;
  uint16_t id, size;
};

struct batch {
  struct plan plan;
  uint8_t *memory;
  uint32_t count, offload;
  size_t used;
};

static size_t add_packet(struct script *s, struct flow *flows, uint8_t *out) {
  uint8_t how = take8(s), which = how & FLOW_MASK;
  struct flow *flow = &flows[which];
  if (how & NOISE) {
    size_t length = take8(s);
    for (size_t i = 0; i < length; i++) out[i] = take8(s);
    return length;
  }
  if (how & RESIZED) flow->size = take16(s) % 1500;
  if (how & SKIPS) flow->sequence += take8(s);
  if (how & ODD_ID) flow->id = (uint16_t)(flow->id + take8(s));
  struct plain_packet packet = {.v6 = which & 1, .tcp = which < 3, .flow = which, .flags = TCP_ACK, .id = flow->id};
  packet.whole = which == 2; /* one identification for all: RFC 6864 allows it */
  if (!packet.whole) flow->id++;
  packet.sequence = flow->sequence;
  packet.payload = flow->size;
  packet.fill = (uint8_t)flow->sequence;
  if (how & FLAGGED) {
    packet.flags = take8(s);
    packet.options = (size_t)(take8(s) % 11) * 4;
  }
  size_t length = packet_make(out, &packet);
  flow->sequence += flow->size;
  if (!(how & DAMAGED)) return length;
  /* Some of the damage is such that the packet stays sound: DF with a fixed identification, fragments, options. */
  size_t at = take8(s) % length;
  out[at] ^= take8(s);
  if (out[0] == 0x45 && length >= 20 && at < 20) {
    put16(out + 10, 0);
    put16(out + 10, ~naive_sum(0, out, 20) & 0xffff);
  }
  return length;
}

static void read_batch(struct script *s, struct batch *batch) {
  struct flow flows[FLOW_COUNT] = {{1, 65530, 1400}, {0xffffff00u, 1, 1}, {7, 2, 536}, {0, 3, 1200}};
  batch->offload = take8(s);
  while (s->left > 0 && batch->count < PLAIN_MAX && batch->used + 2000 < MEMORY) {
    size_t length = add_packet(s, flows, batch->memory + batch->used);
    batch->plan.offset[batch->count] = (uint32_t)batch->used;
    batch->plan.length[batch->count++] = (uint32_t)length;
    batch->used += length;
  }
}

/* The flow of a packet as text, in `key`; false: it has none, or none that can be seen. */
static bool key_of(const uint8_t *p, size_t length, uint8_t key[KEY]) {
  memset(key, 0, KEY);
  size_t start = 40;
  if (length >= 20 && p[0] >> 4 == 4) {
    start = (size_t)(p[0] & 15) * 4;
    if (start < 20 || length < start + 4 || (get16(p + 6) & 0x3fff) != 0) return false;
    key[0] = p[9];
    memcpy(key + 2, p + 12, 8);
  } else if (length >= 44 && p[0] >> 4 == 6) {
    key[0] = p[6];
    memcpy(key + 2, p + 8, 32);
  } else {
    return false;
  }
  key[1] = p[0] >> 4;
  if (key[0] != PROTOCOL_TCP && key[0] != PROTOCOL_UDP) return false;
  memcpy(key + 34, p + start, 4);
  return true;
}

static void check_order(const struct batch *batch, const uint32_t *order) {
  static uint8_t keys[PLAIN_MAX][KEY];
  static bool has[PLAIN_MAX];
  for (uint32_t i = 0; i < batch->count; i++) {
    const uint8_t *p = batch->memory + batch->plan.offset[order[i]];
    uint32_t length = batch->plan.length[order[i]];
    has[i] = key_of(p, length, keys[i]);
    bool fragment = length >= 20 && p[0] >> 4 == 4 && (get16(p + 6) & 0x3fff) != 0;
    for (uint32_t k = 0; k < i; k++) {
      if (fragment || (has[i] && has[k] && memcmp(keys[i], keys[k], KEY) == 0)) MUST(order[k] < order[i]);
    }
  }
}

/* Splits the group again and compares. `was` is the memory before headers were patched. */
static void check_group(const struct batch *batch, uint32_t i, const uint8_t *was) {
  const struct plan *plan = &batch->plan;
  const struct group *group = &plan->group[i];
  struct vnet header;
  coalesce_header(group, batch->memory + plan->offset[i], &header);
  size_t room = (size_t)group->count * (group->gso + group->header + 64u);
  uint8_t *area = malloc(room), *end = area + HEADROOM_BYTES;
  MUST(area != NULL);
  for (uint32_t k = i;; k = plan->next[k]) {
    uint32_t skip = k == i ? 0 : group->header;
    memcpy(end, batch->memory + plan->offset[k] + skip, plan->length[k] - skip);
    end += plan->length[k] - skip;
    if (plan->next[k] == 0) break;
  }
  struct cut cut;
  MUST(split(&header, area, room, group->total, 65535, PLAIN_MAX, &cut));
  MUST(cut.count == group->count && cut.dropped == 0);
  uint32_t piece = 0;
  for (uint32_t k = i;; k = plan->next[k]) {
    const uint8_t *again = area + piece++ * cut.stride + HEADROOM_BYTES, *original = was + plan->offset[k];
    MUST(naive_intact(original, plan->length[k], group->start, group->tcp ? PROTOCOL_TCP : PROTOCOL_UDP));
    bool fixed = !group->v6 && group->fixed_id; /* a fixed identification counts on, RFC 6864, and its checksum with it */
    for (uint32_t at = 0; at < plan->length[k]; at++) {
      if (fixed && (at == 4 || at == 5 || at == 10 || at == 11)) continue;
      MUST(again[at] == original[at]);
    }
    if (plan->next[k] == 0) break;
  }
  free(area);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct batch batch;
  static uint32_t order[PLAIN_MAX];
  static uint8_t scratch[MEMORY];
  struct script s = {data, size};
  batch.count = 0;
  batch.used = 0;
  batch.memory = scratch;
  read_batch(&s, &batch);
  if (batch.used == 0) return 0;
  batch.memory = malloc(batch.used); /* exact, so that one byte too far is seen */
  MUST(batch.memory != NULL);
  memcpy(batch.memory, scratch, batch.used);
  coalesce(&batch.plan, batch.memory, batch.count, batch.offload);
  MUST(memcmp(batch.memory, scratch, batch.used) == 0);
  uint32_t seen = 0;
  for (uint32_t i = 0; i < batch.count; i++) {
    struct group *group = &batch.plan.group[i];
    if (group->count == 0) continue;
    uint32_t members = 0, total = 0, previous = i;
    for (uint32_t k = i;; k = batch.plan.next[k]) {
      MUST(k < batch.count && (members == 0 || k > previous) && seen < batch.count);
      total += members == 0 ? batch.plan.length[k] : batch.plan.length[k] - group->header;
      previous = k;
      members++;
      order[seen++] = k;
      if (batch.plan.next[k] == 0) break;
    }
    MUST(members == group->count && previous == group->last);
    if (members < 2) continue;
    MUST(total == group->total && total <= 65535);
    check_group(&batch, i, scratch);
  }
  MUST(seen == batch.count);
  memcpy(batch.memory, scratch, batch.used);
  check_order(&batch, order);
  free(batch.memory);
  return 0;
}
