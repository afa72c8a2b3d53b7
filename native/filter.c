/* What a UDP socket does not even queue: a classic BPF filter against a flood of initiations from one source. */
#include "filter.h"

/*
 * The filter sees the UDP header and what follows (net/ipv4/udp.c udp_queue_rcv_one_skb). WireGuard, whitepaper 5.4.2: an
 * initiation has 148 bytes, of which the last 16 are mac2.
 */
enum { PAYLOAD = 8, INITIATION = 1, SIZE = 148, LENGTH = PAYLOAD + SIZE, MAC = 16, V4_SOURCE = 12, V6_SOURCE = 8 };
/* One in so many passes: src/session/flood-watch.ts learns from them whether the flood goes on. A power of two. */
enum { SAMPLE = FILTER_SAMPLE };

/* Jumps are relative; those to the end are filled in when the end is known. */
enum { TO_PASS = 0xff };

struct program {
  struct sock_filter *steps;
  unsigned short length;
};

static void step(struct program *program, uint16_t code, uint32_t value) {
  program->steps[program->length++] = (struct sock_filter)BPF_STMT(code, value);
}

/* Goes on if the accumulator is `value`, else the datagram passes. */
static void require(struct program *program, uint32_t value) {
  program->steps[program->length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, TO_PASS);
}

/* Goes on if the MAC bytes from X + `at` on are zero, else the datagram passes. */
static void require_no_mac(struct program *program, uint32_t at) {
  for (uint32_t word = 0; word < MAC; word += 4) {
    step(program, BPF_LD | BPF_W | BPF_IND, at + word);
    require(program, 0);
  }
}

static uint32_t word_at(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

unsigned short filter_shed(struct sock_filter *steps, const uint8_t *source, bool v6) {
  struct program program = {steps, 0};
  /* First, since a load past the end drops. */
  step(&program, BPF_LD | BPF_W | BPF_LEN, 0);
  program.steps[program.length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, LENGTH, 0, TO_PASS);
  step(&program, BPF_LD | BPF_B | BPF_ABS, PAYLOAD);
  require(&program, INITIATION);
  /*
   * UDP_GRO merges what comes from one port, all of the first one's size but for a shorter last (udp_gro_receive_segment in
   * net/ipv4/udp_offload.c): who forges a peer's address and port would have the peer's messages judged by the forged one before
   * them. So all must be of this size, which no other message of WireGuard has (transport: a multiple of 16), and neither the first
   * nor the last may bear a mac2. One between them goes with the others; its sender tries again.
   */
  step(&program, BPF_LD | BPF_W | BPF_LEN, 0);
  step(&program, BPF_ALU | BPF_SUB | BPF_K, PAYLOAD);
  step(&program, BPF_ALU | BPF_MOD | BPF_K, SIZE);
  require(&program, 0);
  step(&program, BPF_LDX | BPF_W | BPF_IMM, 0);
  require_no_mac(&program, LENGTH - MAC);
  step(&program, BPF_LD | BPF_W | BPF_LEN, 0);
  step(&program, BPF_ALU | BPF_SUB | BPF_K, MAC);
  step(&program, BPF_MISC | BPF_TAX, 0);
  require_no_mac(&program, 0);
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
  return program.length;
}
