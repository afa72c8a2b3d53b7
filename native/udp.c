/* UDP sockets: opening, batched receiving with UDP_GRO, batched sending with UDP_SEGMENT, source addresses, TOS. */
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <unistd.h>

#include "addon.h"
#include "filter.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif

/* Ours: while a send waits for room the lane serves nobody, and the buffer that is full holds 14 MB already. */
enum { BUFFER_BYTES = 7 << 20, PATIENCE_US = 10000, SEGMENTS_OF_ONE_SEND = 128 };

static int set(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value); }

static int configure(int fd, int family, int port, uint32_t mark, bool reuse) {
  struct timeval patience = {0, PATIENCE_US};
  bool v6 = family == AF_INET6;
  if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES) < 0) set(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
  if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES) < 0) set(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
  set(fd, IPPROTO_UDP, UDP_GRO, 1);
  if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0) return -errno;
  if (v6 && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0) return -errno;
  if (set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1) < 0) return -errno;
  if (set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVTCLASS : IP_RECVTOS, 1) < 0) return -errno;
  /* K socket.c send4, df 0: a router whose next link is narrower cuts; with IPv6 none may. */
  if (!v6) set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
  if (mark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0) return -errno;
  if (reuse && set(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0) return -errno;
  struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int bound = v6 ? bind(fd, (struct sockaddr *)&any6, sizeof any6) : bind(fd, (struct sockaddr *)&any4, sizeof any4);
  return bound < 0 ? -errno : 0;
}

napi_value native_udpOpen(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int family = call_int(&call, 0), port = call_int(&call, 1);
  uint32_t mark = call_unsigned(&call, 2);
  int namespace_fd = call_int(&call, 3);
  bool reuse = call_bool(&call, 4);
  if (call.bad) return NULL;
  if (family != AF_INET && family != AF_INET6) return call_give(&call, -EAFNOSUPPORT);
  if (port < 0 || port > 65535) return call_give(&call, -EINVAL);
  int fd = socket_in(namespace_fd, family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int error = fd < 0 ? fd : configure(fd, family, port, mark, reuse);
  if (error == 0) return call_give(&call, fd);
  if (fd >= 0) close(fd);
  return call_give(&call, error);
}

/* Its identifier is the kernel's choice at the first send, and answers to others never come here. */
napi_value native_pingOpen(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int family = call_int(&call, 0), namespace_fd = call_int(&call, 1);
  if (call.bad) return NULL;
  if (family != AF_INET && family != AF_INET6) return call_give(&call, -EAFNOSUPPORT);
  int protocol = family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
  return call_give(&call, socket_in(namespace_fd, family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
}

napi_value native_udpPort(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0);
  struct sockaddr_in6 name = {0};
  socklen_t length = sizeof name;
  if (call.bad) return NULL;
  if (getsockname(fd, (struct sockaddr *)&name, &length) < 0) return call_give(&call, -errno);
  return call_give(&call, ntohs(name.sin6_port)); /* at the same place in sockaddr_in */
}

napi_value native_udpMark(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0);
  uint32_t mark = call_unsigned(&call, 1);
  if (call.bad) return NULL;
  return call_result(&call, setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark));
}

napi_value native_udpDropped(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0);
  uint32_t memory[SK_MEMINFO_VARS] = {0};
  socklen_t length = sizeof memory;
  if (call.bad) return NULL;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length) < 0) return call_give(&call, -errno);
  return call_give(&call, (int32_t)(memory[SK_MEMINFO_DROPS] & INT32_MAX));
}

napi_value native_udpSegments(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0), value = 0;
  socklen_t length = sizeof value;
  if (call.bad) return NULL;
  return call_give(&call, getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &value, &length) == 0);
}

napi_value native_udpReceive(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  struct slab *slab = call_slab(&call, 0);
  int fd = call_int(&call, 1);
  if (call.bad) return NULL;
  struct receiving *r = &slab->receiving;
  for (int i = 0; i < MESSAGES_MAX; i++) {
    r->parts[i] = (struct iovec){slab->bytes + inbound_at + i * MESSAGE_STRIDE, MESSAGE_STRIDE};
    r->messages[i].msg_hdr = (struct msghdr){.msg_name = &r->from[i], .msg_namelen = sizeof r->from[i],
                                             .msg_iov = &r->parts[i], .msg_iovlen = 1,
                                             .msg_control = r->control[i], .msg_controllen = CONTROL_BYTES};
  }
  int got = recvmmsg(fd, r->messages, MESSAGES_MAX, MSG_DONTWAIT, NULL);
  if (got < 0) return call_give(&call, errno == EAGAIN || errno == EINTR ? 0 : -errno);

  struct listing list = {slab_list(slab, receivedOffset_at), slab_list(slab, receivedLength_at),
                         slab_list(slab, receivedMessage_at), 0, 0};
  for (int32_t i = 0; i < got; i++) {
    struct msghdr *message = &r->messages[i].msg_hdr;
    int32_t segment = message_describe(message, slab_endpoints(slab, messageEndpoint_at) + i,
                                       slab_list(slab, messageTos_at) + i);
    message_list(&list, i, inbound_at + i * MESSAGE_STRIDE, (int32_t)r->messages[i].msg_len, segment,
                 message->msg_flags & MSG_TRUNC);
  }
  slab->counters[COUNTER_RECEIVED_DROPPED] += list.dropped;
  return call_give(&call, list.count);
}

/* A sendmmsg in the making: messages and parts of slab->sending. */
struct batch {
  struct slab *slab;
  int fd, messages, parts, flags;
};

static void flush(struct batch *batch) {
  struct sending *s = &batch->slab->sending;
  int32_t *status = slab_list(batch->slab, groupStatus_at);
  for (int done = 0; done < batch->messages;) {
    int sent = sendmmsg(batch->fd, s->messages + done, (unsigned)(batch->messages - done), batch->flags);
    if (sent > 0) {
      done += sent;
      continue;
    }
    if (sent < 0 && errno == EINTR) continue;
    int error = sent < 0 ? errno : EIO;
    /* Having waited once for the socket's buffer, wait no more in this call. */
    if (error == EAGAIN) batch->flags = MSG_DONTWAIT;
    if (status[s->group[done]] == 0) status[s->group[done]] = -error;
    done++;
  }
  batch->messages = batch->parts = 0;
}

/* Begins a message to the endpoint of a group; `segment` != 0: to be cut into datagrams of that size. */
static struct msghdr *compose(struct batch *batch, int32_t group, uint16_t segment) {
  struct slab *slab = batch->slab;
  struct sending *s = &slab->sending;
  int i = batch->messages++;
  struct msghdr *message = &s->messages[i].msg_hdr;
  *message = (struct msghdr){.msg_name = &s->to[i], .msg_iov = s->parts + batch->parts, .msg_control = s->control[i]};
  message_address(message, slab_endpoints(slab, groupEndpoint_at) + group, slab_list(slab, groupTos_at)[group] & 0xff, segment);
  s->group[i] = group;
  return message;
}

/* Adds bytes to the last message; to its last part where they follow in memory. */
static void append(struct batch *batch, struct msghdr *message, int32_t offset, int32_t length) {
  uint8_t *bytes = batch->slab->bytes + offset;
  struct iovec *last = batch->slab->sending.parts + batch->parts - 1;
  if (message->msg_iovlen > 0 && (uint8_t *)last->iov_base + last->iov_len == bytes) {
    last->iov_len += (size_t)length;
    return;
  }
  batch->slab->sending.parts[batch->parts++] = (struct iovec){bytes, (size_t)length};
  message->msg_iovlen++;
}

static int32_t queue(struct batch *batch, int32_t group, bool segment) {
  struct slab *slab = batch->slab;
  int32_t start = slab_list(slab, groupStart_at)[group], count = slab_list(slab, groupCount_at)[group];
  const int32_t *offsets = slab_list(slab, datagramOffset_at), *lengths = slab_list(slab, datagramLength_at);
  if (batch->fd < 0) return -EAFNOSUPPORT;
  if (!in_list(start, count, DATAGRAMS_MAX)) return -EINVAL;
  if (segment && count > SEGMENTS_OF_ONE_SEND) return -EMSGSIZE;
  for (int32_t i = start; i < start + count; i++)
    if (!in_slab(offsets[i], lengths[i])) return -EINVAL;
  if (count > 1 && segment) {
    if (lengths[start] <= 0 || lengths[start] > UINT16_MAX) return -EMSGSIZE;
    if (batch->messages == SEND_MESSAGES || batch->parts + count > SEND_PARTS) flush(batch);
    struct msghdr *message = compose(batch, group, (uint16_t)lengths[start]);
    for (int32_t i = start; i < start + count; i++) append(batch, message, offsets[i], lengths[i]);
    return 0;
  }
  for (int32_t i = start; i < start + count; i++) {
    if (batch->messages == SEND_MESSAGES || batch->parts == SEND_PARTS) flush(batch);
    append(batch, compose(batch, group, 0), offsets[i], lengths[i]);
  }
  return 0;
}

napi_value native_udpSend(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  struct slab *slab = call_slab(&call, 0);
  int fd4 = call_int(&call, 1), fd6 = call_int(&call, 2);
  int32_t first = call_int(&call, 3), count = call_int(&call, 4), failed = 0;
  bool segment = call_bool(&call, 5);
  if (call.bad) return NULL;
  if (!in_list(first, count, GROUPS_MAX)) return call_give(&call, -EINVAL);
  const struct endpoint *endpoints = slab_endpoints(slab, groupEndpoint_at);
  int32_t *status = slab_list(slab, groupStatus_at);
  struct batch v4 = {slab, fd4, 0, 0, 0}, v6 = {slab, fd6, 0, 0, 0};
  for (int32_t i = first; i < first + count; i++) {
    status[i] = endpoints[i].family == AF_INET || endpoints[i].family == AF_INET6 ? 0 : -EAFNOSUPPORT;
    if (endpoints[i].family != AF_INET) continue;
    int32_t error = queue(&v4, i, segment);
    if (error != 0) status[i] = error;
  }
  flush(&v4);
  for (int32_t i = first; i < first + count; i++) {
    if (endpoints[i].family != AF_INET6) continue;
    int32_t error = queue(&v6, i, segment);
    if (error != 0) status[i] = error;
  }
  flush(&v6);
  for (int32_t i = first; i < first + count; i++) failed += status[i] != 0;
  return call_give(&call, failed);
}

/* What this socket does not even queue: initiations from `source` (4 or 16 bytes); none: nothing. See filter.h. */
napi_value native_udpShed(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0), none = 0;
  size_t length = 0;
  const uint8_t *source = call_bytes(&call, 1, &length);
  if (call.bad) return NULL;
  if (length == 0) return call_result(&call, setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none));
  if (length != 4 && length != 16) return call_give(&call, -EINVAL);
  struct sock_filter steps[FILTER_STEPS_MAX];
  struct sock_fprog program = {.len = filter_shed(steps, source, length == 16), .filter = steps};
  return call_result(&call, setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
}

/* Which socket of the group on this port gets a datagram. */
napi_value native_udpSteer(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0), lanes = call_int(&call, 1);
  if (call.bad) return NULL;
  if (lanes < 1 || lanes > STEER_LANES_MAX) return call_give(&call, -EINVAL);
  struct sock_filter steps[FILTER_STEPS_MAX];
  struct sock_fprog program = {.len = filter_steer(steps, (uint32_t)lanes), .filter = steps};
  return call_result(&call, setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program));
}
