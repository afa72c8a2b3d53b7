/*
 * Fuzz driver of split.c and coalesce.c, which are pure. libFuzzer finds LLVMFuzzerTestOneInput; without it, main
 * replays the files that it is given, or makes inputs: `fuzz_offload [--runs N] [--seed N] [file ...]`.
 *
 * Checked beside what the sanitizers see: every piece lies inside its area and adds up to the super-packet; every
 * group lies inside its memory, no packet is lost or doubled, and what is merged can be split again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../checksum.h"
#include "../coalesce.h"
#include "../split.h"

#define MUST(condition)                                                                   \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);             \
      abort();                                                                            \
    }                                                                                     \
  } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of exactly the size allowed, so that one byte too far is seen. */
static void try_split(const uint8_t *data, size_t size) {
  struct vnet header;
  if (size < sizeof header + 6) return;
  memcpy(&header, data, sizeof header);
  size_t mtu = get16(data + 10), most = get16(data + 12) % 2049, spare = (size_t)get16(data + 14) * 8;
  data += 16;
  size -= 16;
  size_t room = HEADROOM_BYTES + size + spare;
  uint8_t *area = malloc(room);
  MUST(area != NULL);
  memset(area, 0xaa, room);
  memcpy(area + HEADROOM_BYTES, data, size);
  struct cut cut;
  if (split(&header, area, room, size, mtu, (uint32_t)most, &cut)) {
    MUST(cut.count >= 1 && cut.count <= most && cut.used <= room);
    MUST(cut.length <= cut.stride && cut.last <= cut.length);
    MUST((size_t)(cut.count - 1) * cut.stride + HEADROOM_BYTES + cut.last + TAILROOM_BYTES <= cut.used);
    if (header.gso_type == VNET_NONE) MUST(cut.count == 1 && cut.last == size);
  }
  free(area);
}

static void try_coalesce(const uint8_t *data, size_t size) {
  static struct plan plan;
  if (size < 3) return;
  uint32_t offload = data[0], count = 0;
  uint8_t *memory = malloc(size);
  MUST(memory != NULL);
  memcpy(memory, data, size);
  for (size_t at = 1; at + 2 <= size && count < PLAIN_MAX;) {
    size_t length = get16(data + at);
    at += 2;
    if (length > size - at) length = size - at;
    plan.offset[count] = (uint32_t)at;
    plan.length[count++] = (uint32_t)length;
    at += length;
  }
  coalesce(&plan, memory, count, offload);
  uint32_t seen = 0;
  for (uint32_t i = 0; i < count; i++) {
    struct group *group = &plan.group[i];
    if (group->count == 0) continue;
    uint32_t members = 0, total = 0, previous = i;
    for (uint32_t k = i;; k = plan.next[k]) {
      MUST(k < count && (members == 0 || k > previous));
      total += members == 0 ? plan.length[k] : plan.length[k] - group->header;
      previous = k;
      members++;
      if (plan.next[k] == 0) break;
    }
    MUST(members == group->count && previous == group->last);
    seen += members;
    if (members < 2) continue;
    MUST(total == group->total && total <= 65535);
    struct vnet header;
    coalesce_header(group, memory + plan.offset[i], &header);
    /* And back. */
    size_t room = (size_t)members * (group->gso + group->header + 64u);
    uint8_t *area = malloc(room), *end = area + HEADROOM_BYTES;
    MUST(area != NULL);
    for (uint32_t k = i;; k = plan.next[k]) {
      uint32_t skip = k == i ? 0 : group->header;
      memcpy(end, memory + plan.offset[k] + skip, plan.length[k] - skip);
      end += plan.length[k] - skip;
      if (plan.next[k] == 0) break;
    }
    struct cut cut;
    MUST(split(&header, area, room, total, 65535, PLAIN_MAX, &cut));
    MUST(cut.count == members && cut.dropped == 0);
    uint32_t piece = 0;
    for (uint32_t k = plan.next[i]; k != 0; k = plan.next[k]) { /* the first was patched */
      uint8_t *again = area + ++piece * cut.stride + HEADROOM_BYTES;
      uint8_t *original = memory + plan.offset[k];
      uint32_t skip = group->v6 ? 0 : 12; /* a fixed identification may differ, and its checksum */
      MUST(memcmp(again + skip, original + skip, plan.length[k] - skip) == 0);
    }
    free(area);
  }
  MUST(seen == count);
  free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  if (data[0] & 1) try_split(data + 1, size - 1);
  else try_coalesce(data + 1, size - 1);
  return 0;
}

#ifndef LIBFUZZER
static uint64_t state;

static uint32_t roll(uint32_t below) { /* xorshift64* */
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return below == 0 ? 0 : (uint32_t)((state * 0x2545f4914f6cdd1du) >> 33) % below;
}

/* A sound packet with right checksums, `payload` bytes. */
static size_t make_packet(uint8_t *p, bool v6, bool tcp, uint32_t flow, uint32_t sequence, uint32_t id, size_t payload,
                          uint8_t flags, size_t options) {
  size_t start = v6 ? 40 : 20, header = start + (tcp ? 20 + options : 8), length = header + payload;
  uint8_t protocol = tcp ? PROTOCOL_TCP : PROTOCOL_UDP;
  memset(p, 0, header);
  for (size_t i = header; i < length; i++) p[i] = (uint8_t)roll(256);
  uint8_t *t = p + start;
  if (v6) {
    p[0] = 0x60;
    put16(p + 4, length - 40);
    p[6] = protocol;
    p[7] = 64;
    p[39] = (uint8_t)flow;
  } else {
    p[0] = 0x45;
    put16(p + 2, length);
    put16(p + 4, id);
    p[8] = 64;
    p[9] = protocol;
    p[19] = (uint8_t)flow;
    checksum_store_header(p + 10, checksum_add(0, p, 20));
  }
  if (tcp) {
    put32(t + 4, sequence);
    t[12] = (uint8_t)((20 + options) / 4 << 4);
    t[13] = flags;
  } else {
    put16(t + 4, length - start);
  }
  uint64_t pseudo = checksum_pseudo(p + (v6 ? 8 : 12), v6 ? 32 : 8, protocol, length - start);
  checksum_store_transport(t + (tcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT), checksum_add(pseudo, t, length - start));
  return length;
}

enum { INPUT_MAX = 140000 };

static void damage(uint8_t *input, size_t from, size_t size) {
  for (uint32_t n = roll(4); n > 0 && size > from; n--) {
    size_t where = from + roll(roll(2) ? (uint32_t)(size - from) : (uint32_t)(size - from < 96 ? size - from : 96));
    input[where] = (uint8_t)(roll(2) ? roll(256) : input[where] ^ 1u << roll(8));
  }
}

static size_t make_split(uint8_t *input) {
  bool v6 = roll(2), tcp = roll(2), tiny = roll(4) == 0;
  size_t options = tcp ? 4 * roll(11) : 0;
  uint32_t payload = tiny ? roll(4) : roll(4) ? roll(65000) : roll(100);
  struct vnet header = {.flags = VNET_NEEDS_CSUM, .gso_type = tcp ? (v6 ? VNET_TCPV6 : VNET_TCPV4) : VNET_UDP_L4};
  header.gso_size = (uint16_t)(roll(4) ? 1 + roll(2000) : roll(65536));
  header.csum_start = v6 ? 40 : 20;
  header.csum_offset = tcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT;
  if (roll(6) == 0) header.gso_type = 0;
  input[0] = 1;
  memcpy(input + 1, &header, sizeof header);
  put16(input + 11, roll(4) ? 1280 + roll(300) : roll(65536));
  put16(input + 13, roll(4) ? 2048 : roll(2049));
  put16(input + 15, roll(3) == 0 ? 0 : roll(2) ? 60000 : roll(20000));
  size_t size = 17 + make_packet(input + 17, v6, tcp, 1, roll(1u << 31), roll(65536), payload, TCP_ACK | TCP_PSH, options);
  if (tiny && roll(3) == 0) { /* ends within its headers, and says so */
    size -= roll((uint32_t)(size - 17));
    if (v6) put16(input + 21, size - 17 - 40);
    else put16(input + 19, size - 17);
  }
  if (header.gso_type == 0 && roll(2)) {
    header.csum_start = (uint16_t)roll((uint32_t)size);
    header.csum_offset = (uint16_t)roll(40);
    memcpy(input + 1, &header, sizeof header);
  }
  if (tiny && tcp && size > 17u + header.csum_start + 12 && roll(2)) input[17 + header.csum_start + 12] = (uint8_t)roll(256);
  if (roll(3) == 0) damage(input, 1, size);
  if (roll(10) == 0) size = roll((uint32_t)size);
  return size;
}

static size_t make_coalesce(uint8_t *input) {
  size_t used = 2;
  uint32_t sequence[4] = {roll(1u << 31), 0xffffff00u, 7, 0}, id[4] = {65530, 1, 2, 3}, sizes[4];
  uint32_t options = 4 * roll(4), flows = 1 + roll(4);
  for (int i = 0; i < 4; i++) sizes[i] = roll(3) ? 1 + roll(1400) : 1400;
  bool clean = roll(4) == 0;
  input[0] = 0;
  input[1] = (uint8_t)(roll(4) ? 0x67 : roll(256));
  for (uint32_t n = roll(90); n > 0; n--) {
    uint32_t flow = roll(flows), payload = clean || roll(8) ? sizes[flow] : roll(1400);
    if (used + 2 + 80 + payload + 40 > INPUT_MAX) break;
    uint8_t flags = (uint8_t)(clean || roll(10) ? TCP_ACK : roll(256));
    size_t length = make_packet(input + used + 2, flow & 1, flow < 3, flow, sequence[flow], id[flow]++, payload, flags,
                                options);
    sequence[flow] += payload;
    if (!clean && roll(30) == 0) damage(input, used + 2, used + 2 + length);
    put16(input + used, length);
    used += 2 + length;
  }
  return used;
}

static int replay(const char *path) {
  static uint8_t input[1 << 20];
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    return 1;
  }
  size_t size = fread(input, 1, sizeof input, file);
  fclose(file);
  LLVMFuzzerTestOneInput(input, size);
  return 0;
}

int main(int argc, char **argv) {
  unsigned long runs = 20000, seed = 1;
  int files = 0, failed = 0;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc) runs = strtoul(argv[++i], NULL, 10);
    else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) seed = strtoul(argv[++i], NULL, 10);
    else files++, failed |= replay(argv[i]);
  }
  if (files > 0) return failed;
  uint8_t *input = malloc(INPUT_MAX);
  MUST(input != NULL);
  for (unsigned long i = 0; i < runs; i++) {
    state = (seed + i) * 0x9e3779b97f4a7c15u | 1;
    for (int k = 0; k < 4; k++) roll(2);
    size_t size;
    switch (roll(8)) {
      case 0: /* noise */
        size = roll(400);
        for (size_t k = 0; k < size; k++) input[k] = (uint8_t)roll(256);
        break;
      case 1:
      case 2:
      case 3:
        size = make_split(input);
        break;
      default:
        size = make_coalesce(input);
    }
    uint8_t *exact = malloc(size > 0 ? size : 1);
    MUST(exact != NULL);
    memcpy(exact, input, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
  }
  free(input);
  printf("%lu inputs from seed %lu: no finding\n", runs, seed);
  return 0;
}
#endif
