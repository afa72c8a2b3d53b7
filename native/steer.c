/* Which of the sockets that share a port gets a datagram: a classic BPF program over a group of SO_REUSEPORT sockets. */
#include "filter.h"

#include <string.h>

/* include/messages.h of WireGuard, whitepaper 5.4: little-endian types, so the first byte tells them apart. */
enum { INITIATION = 1, RESPONSE = 2, RECEIVER_AT = 4, RESPONSE_RECEIVER_AT = 8 };

unsigned short filter_steer(struct sock_filter *steps, uint32_t lanes) {
  const struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, INITIATION, 6, 0), /* to the last step */
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RESPONSE, 0, 2),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, RESPONSE_RECEIVER_AT),
      BPF_STMT(BPF_JMP | BPF_JA, 1),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, RECEIVER_AT),
      BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, lanes),
      BPF_STMT(BPF_RET | BPF_A, 0),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  memcpy(steps, program, sizeof program);
  return sizeof program / sizeof *program;
}
