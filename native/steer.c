/* Which of the sockets that share a port gets a datagram: a classic BPF program over a group of SO_REUSEPORT sockets. */
#include <linux/filter.h>

#include "addon.h"

#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif

/* include/messages.h of WireGuard, whitepaper 5.4: little-endian types, so the first byte tells them apart. */
enum { INITIATION = 1, RESPONSE = 2, RECEIVER_AT = 4, RESPONSE_RECEIVER_AT = 8, LANES_MAX = 64 };

napi_value native_udpSteer(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0), lanes = call_int(&call, 1);
  if (call.bad) return NULL;
  if (lanes < 1 || lanes > LANES_MAX) return call_give(&call, -EINVAL);
  /* The program sees the payload (net/core/sock_reuseport.c run_bpf_filter). A load past its end returns 0. */
  struct sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, INITIATION, 6, 0), /* to the last step */
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RESPONSE, 0, 2),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, RESPONSE_RECEIVER_AT),
      BPF_STMT(BPF_JMP | BPF_JA, 1),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, RECEIVER_AT),
      BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, (uint32_t)lanes),
      BPF_STMT(BPF_RET | BPF_A, 0),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog program = {.len = sizeof steps / sizeof *steps, .filter = steps};
  return call_result(&call, setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program));
}
