/* What a UDP socket does not even queue: a classic BPF filter against a flood of initiations from one source. */
#include <linux/filter.h>

#include "addon.h"

/*
 * The filter sees the UDP header and what follows (net/ipv4/udp.c udp_queue_rcv_one_skb). WireGuard, whitepaper 5.4.2: an
 * initiation has 148 bytes, of which the last 16 are mac2.
 */
enum { PAYLOAD = 8, INITIATION = 1, LENGTH = PAYLOAD + 148, MAC2 = PAYLOAD + 132, V4_SOURCE = 12, V6_SOURCE = 8 };
/* One in so many passes: src/session/flood-watch.ts learns from them whether the flood goes on. A power of two. */
enum { SAMPLE = 64 };

/* Jumps are relative; those to the end are filled in when the end is known. */
enum { TO_PASS = 0xff, STEPS_MAX = 32 };

struct program {
  struct sock_filter steps[STEPS_MAX];
  unsigned short length;
};

static void step(struct program *program, uint16_t code, uint32_t value) {
  program->steps[program->length++] = (struct sock_filter)BPF_STMT(code, value);
}

/* Goes on if the accumulator is `value`, else the datagram passes. */
static void require(struct program *program, uint32_t value) {
  program->steps[program->length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, TO_PASS);
}

static uint32_t word_at(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static int attach(int fd, const uint8_t *source, bool v6) {
  struct program program = {.length = 0};
  /* First, since a load past the end drops. Several merged on the way (UDP_GRO) have one source: the first stands for all. */
  step(&program, BPF_LD | BPF_W | BPF_LEN, 0);
  program.steps[program.length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, LENGTH, 0, TO_PASS);
  step(&program, BPF_LD | BPF_B | BPF_ABS, PAYLOAD);
  require(&program, INITIATION);
  for (uint32_t at = MAC2; at < LENGTH; at += 4) {
    step(&program, BPF_LD | BPF_W | BPF_ABS, at);
    require(&program, 0);
  }
  uint32_t at = (uint32_t)SKF_NET_OFF + (v6 ? V6_SOURCE : V4_SOURCE);
  for (uint32_t word = 0; word < (v6 ? 16 : 4); word += 4) {
    step(&program, BPF_LD | BPF_W | BPF_ABS, at + word);
    require(&program, word_at(source + word));
  }
  step(&program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM));
  step(&program, BPF_ALU | BPF_AND | BPF_K, SAMPLE - 1);
  /* Here "is it" passes. */
  program.steps[program.length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, TO_PASS, 0);
  step(&program, BPF_RET | BPF_K, 0);
  unsigned short pass = program.length;
  step(&program, BPF_RET | BPF_K, UINT32_MAX);
  for (unsigned short i = 0; i < pass; i++) {
    struct sock_filter *jump = &program.steps[i];
    if (BPF_CLASS(jump->code) != BPF_JMP) continue;
    if (jump->jt == TO_PASS) jump->jt = (uint8_t)(pass - i - 1);
    if (jump->jf == TO_PASS) jump->jf = (uint8_t)(pass - i - 1);
  }
  struct sock_fprog attached = {.len = program.length, .filter = program.steps};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof attached);
}

napi_value native_udpShed(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0), none = 0;
  size_t length = 0;
  const uint8_t *source = call_bytes(&call, 1, &length);
  if (call.bad) return NULL;
  if (length == 0) return call_result(&call, setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none));
  if (length != 4 && length != 16) return call_give(&call, -EINVAL);
  return call_result(&call, attach(fd, source, length == 16));
}
