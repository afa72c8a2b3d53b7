/*
 * Routes of the sockets' namespace: a netlink socket that tells that something about them has changed, and the question which
 * interface a packet would leave by. What has changed is not read; the route is asked for anew.
 */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <unistd.h>

#include "addon.h"

/* linux/rtnetlink.h has no RTMGRP_* for it. */
enum { GROUP_IPV6_RULE = 1 << (RTNLGRP_IPV6_RULE - 1) };

napi_value native_routesOpen(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int namespace_fd = call_int(&call, 0);
  bool watch = call_bool(&call, 1);
  if (call.bad) return NULL;
  struct sockaddr_nl name = {.nl_family = AF_NETLINK};
  if (watch) name.nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_RULE | GROUP_IPV6_RULE;
  int fd = socket_in(namespace_fd, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (fd < 0) return call_give(&call, fd);
  if (bind(fd, (struct sockaddr *)&name, sizeof name) == 0) return call_give(&call, fd);
  int error = -errno;
  close(fd);
  return call_give(&call, error);
}

napi_value native_routesDrain(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0);
  uint8_t skipped[256];
  if (call.bad) return NULL;
  while (recv(fd, skipped, sizeof skipped, MSG_DONTWAIT) >= 0 || errno == EINTR || errno == ENOBUFS) continue;
  return call_give(&call, errno == EAGAIN ? 0 : -errno);
}

static void attribute(struct nlmsghdr *message, uint16_t type, const void *data, size_t size) {
  struct rtattr *at = (struct rtattr *)(void *)((uint8_t *)message + NLMSG_ALIGN(message->nlmsg_len));
  at->rta_type = type;
  at->rta_len = (uint16_t)RTA_LENGTH(size);
  memcpy(RTA_DATA(at), data, size);
  message->nlmsg_len = NLMSG_ALIGN(message->nlmsg_len) + (uint32_t)RTA_ALIGN(at->rta_len);
}

/* RTA_NEXT without its mix of signs. */
static struct rtattr *next_attribute(struct rtattr *at, int *left) {
  int length = (int)RTA_ALIGN(at->rta_len);
  *left -= length;
  return (struct rtattr *)(void *)((char *)at + length);
}

/* The interface in an answer to RTM_GETROUTE, or -errno. */
static int32_t outgoing(struct nlmsghdr *answer, size_t length) {
  if (!NLMSG_OK(answer, length)) return -EBADMSG;
  if (answer->nlmsg_type == NLMSG_ERROR) {
    const struct nlmsgerr *error = NLMSG_DATA(answer);
    return answer->nlmsg_len < NLMSG_LENGTH(sizeof *error) || error->error == 0 ? -EBADMSG : error->error;
  }
  if (answer->nlmsg_type != RTM_NEWROUTE) return -EBADMSG;
  struct rtmsg *route = NLMSG_DATA(answer);
  int left = (int)RTM_PAYLOAD(answer);
  for (struct rtattr *at = RTM_RTA(route); RTA_OK(at, left); at = next_attribute(at, &left)) {
    int32_t index;
    if (at->rta_type != RTA_OIF || RTA_PAYLOAD(at) < sizeof index) continue;
    memcpy(&index, RTA_DATA(at), sizeof index);
    return index;
  }
  return -ENETUNREACH; /* blackhole and the like */
}

napi_value native_routeInterface(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0);
  size_t length = 0;
  const uint8_t *record = call_bytes(&call, 1, &length);
  uint32_t mark = call_unsigned(&call, 2);
  if (call.bad) return NULL;
  if (length != ENDPOINT_BYTES) return call_give(&call, -EINVAL);
  struct endpoint to;
  memcpy(&to, record, sizeof to);
  if (to.family != AF_INET && to.family != AF_INET6) return call_give(&call, -EAFNOSUPPORT);
  size_t size = to.family == AF_INET ? 4 : 16;
  static const uint8_t nowhere[16];
  _Alignas(NLMSG_ALIGNTO) uint8_t question[128] = {0}, answer[1024];
  struct nlmsghdr *message = (struct nlmsghdr *)(void *)question;
  *message = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)), .nlmsg_type = RTM_GETROUTE,
                               .nlmsg_flags = NLM_F_REQUEST};
  struct rtmsg *route = NLMSG_DATA(message);
  route->rtm_family = (uint8_t)to.family;
  route->rtm_dst_len = (uint8_t)(size * 8);
  attribute(message, RTA_DST, to.address, size);
  if (memcmp(to.source, nowhere, size) != 0) {
    route->rtm_src_len = (uint8_t)(size * 8);
    attribute(message, RTA_SRC, to.source, size);
  }
  if (mark != 0) attribute(message, RTA_MARK, &mark, sizeof mark);
  /* The answer to one that was not read would be taken for this one's. */
  while (recv(fd, answer, sizeof answer, MSG_DONTWAIT) >= 0 || errno == EINTR || errno == ENOBUFS) continue;
  if (send(fd, question, message->nlmsg_len, 0) < 0) return call_give(&call, -errno);
  /* The kernel has answered before send(2) returns. */
  ssize_t got = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
  if (got < 0) return call_give(&call, -errno);
  return call_give(&call, outgoing((struct nlmsghdr *)(void *)answer, (size_t)got));
}
