/*
 * filter.c and steer.c: the programs are such as the kernel takes (K net/core/filter.c bpf_check_classic), and an interpreter of
 * them comes to the same verdict on any datagram as their description in a few lines of C.
 */
#include "../checksum.h"
#include "../filter.h"
#include "fuzz.h"

enum { INITIATION = 148, MAC = 16, UDP_HEADER = 8, NETWORK = 40 };

struct datagram {
  const uint8_t *bytes; /* what the program sees */
  size_t length;
  const uint8_t *network;
  uint32_t random;
};

static void check_program(const struct sock_filter *steps, unsigned short count) {
  MUST(count > 0 && count <= FILTER_STEPS_MAX && BPF_CLASS(steps[count - 1].code) == BPF_RET);
  for (unsigned short i = 0; i < count; i++) {
    if (BPF_CLASS(steps[i].code) != BPF_JMP) continue;
    if (BPF_OP(steps[i].code) == BPF_JA) MUST(i + 1 + steps[i].k < count);
    else MUST(i + 1 + steps[i].jt < count && i + 1 + steps[i].jf < count);
  }
}

/* A load: false, it is past the end, and the program ends with 0. */
static bool load(const struct datagram *d, uint32_t at, uint32_t bytes, uint32_t *out) {
  if (at == (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)) {
    *out = d->random;
    return true;
  }
  const uint8_t *from = d->bytes;
  size_t length = d->length;
  if ((int32_t)at < 0 && (int32_t)at >= SKF_NET_OFF) {
    at -= (uint32_t)SKF_NET_OFF;
    from = d->network;
    length = NETWORK;
  }
  if (at > length || length - at < bytes) return false;
  *out = bytes == 1 ? from[at] : get32(from + at);
  return true;
}

static uint32_t run(const struct sock_filter *steps, const struct datagram *d) {
  uint32_t a = 0, x = 0;
  for (const struct sock_filter *i = steps;; i++) {
    switch (i->code) {
      case BPF_LD | BPF_W | BPF_LEN: a = (uint32_t)d->length; break;
      case BPF_LD | BPF_B | BPF_ABS:
        if (!load(d, i->k, 1, &a)) return 0;
        break;
      case BPF_LD | BPF_W | BPF_ABS:
        if (!load(d, i->k, 4, &a)) return 0;
        break;
      case BPF_LD | BPF_W | BPF_IND:
        if (!load(d, x + i->k, 4, &a)) return 0;
        break;
      case BPF_LDX | BPF_W | BPF_IMM: x = i->k; break;
      case BPF_MISC | BPF_TAX: x = a; break;
      case BPF_ALU | BPF_SUB | BPF_K: a -= i->k; break;
      case BPF_ALU | BPF_AND | BPF_K: a &= i->k; break;
      case BPF_ALU | BPF_MOD | BPF_K:
        MUST(i->k != 0);
        a %= i->k;
        break;
      case BPF_JMP | BPF_JA: i += i->k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: i += a == i->k ? i->jt : i->jf; break;
      case BPF_JMP | BPF_JGE | BPF_K: i += a >= i->k ? i->jt : i->jf; break;
      case BPF_RET | BPF_K: return i->k;
      case BPF_RET | BPF_A: return a;
      default: MUST(!"an instruction that is not used");
    }
  }
}

static bool is_zero(const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (bytes[i] != 0) return false;
  return true;
}

static void shed(struct script *s, struct datagram *d, uint8_t *bytes, uint8_t how) {
  struct sock_filter steps[FILTER_STEPS_MAX];
  bool v6 = how & 1;
  uint8_t source[16], network[NETWORK] = {0};
  for (size_t i = 0; i < (v6 ? 16 : 4); i++) source[i] = take8(s);
  memcpy(network + (v6 ? 8 : 12), source, v6 ? 16 : 4);
  if (how & 2) network[take8(s) % NETWORK] ^= take8(s);
  d->network = network;
  d->random = take16(s);
  uint8_t *payload = bytes + UDP_HEADER;
  size_t length = how & 4 ? take16(s) % 1500 : INITIATION * (size_t)(take8(s) % 9);
  if (!(how & 8)) payload[0] = 1;
  for (size_t i = how & 8 ? 0 : 1; i < length; i++) payload[i] = i % INITIATION < INITIATION - MAC ? 0xee : 0;
  while (s->left >= 3 && length > 0) {
    size_t at = take16(s) % length;
    payload[at] = take8(s);
  }
  d->length = UDP_HEADER + length;
  unsigned short count = filter_shed(steps, source, v6);
  check_program(steps, count);
  bool drops = length >= INITIATION && length % INITIATION == 0 && payload[0] == 1 &&
               is_zero(payload + INITIATION - MAC, MAC) && is_zero(payload + length - MAC, MAC) &&
               memcmp(network + (v6 ? 8 : 12), source, v6 ? 16 : 4) == 0 && d->random % FILTER_SAMPLE != 0;
  MUST(run(steps, d) == (drops ? 0 : UINT32_MAX));
}

static void steer(struct script *s, struct datagram *d, uint8_t *bytes) {
  struct sock_filter steps[FILTER_STEPS_MAX];
  uint32_t lanes = 1 + take8(s) % STEER_LANES_MAX, expected = 0;
  size_t length = take8(s) % 40;
  for (size_t i = 0; i < length; i++) bytes[i] = take8(s);
  d->length = length;
  unsigned short count = filter_steer(steps, lanes);
  check_program(steps, count);
  if (length > 8 && bytes[0] == 2) expected = bytes[8] % lanes;
  else if (length > 4 && bytes[0] != 1 && bytes[0] != 2) expected = bytes[4] % lanes;
  MUST(run(steps, d) == expected && expected < lanes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct script s = {data, size};
  static uint8_t bytes[UDP_HEADER + 2000];
  memset(bytes, 0, sizeof bytes);
  struct datagram datagram = {.bytes = bytes};
  uint8_t how = take8(&s);
  if (how & 0x80) steer(&s, &datagram, bytes);
  else shed(&s, &datagram, bytes, how);
  return 0;
}
