#include "message.h"

#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* Copies a control message's data; false: it is another one, or was cut short for want of room (K net/core/scm.c put_cmsg). */
static bool take(const struct msghdr *message, const struct cmsghdr *c, int level, int type, void *out, size_t size) {
  size_t left = message->msg_controllen - (size_t)((const uint8_t *)c - (const uint8_t *)message->msg_control);
  if (c->cmsg_level != level || c->cmsg_type != type || c->cmsg_len < CMSG_LEN(size) || left < CMSG_LEN(size)) return false;
  memcpy(out, CMSG_DATA(c), size);
  return true;
}

int32_t message_describe(struct msghdr *message, struct endpoint *endpoint, int32_t *tos) {
  const struct sockaddr_in6 *from6 = message->msg_name;
  const struct sockaddr_in *from4 = message->msg_name;
  int32_t segment = 0;
  uint8_t byte;
  struct in_pktinfo local4;
  struct in6_pktinfo local6;
  memset(endpoint, 0, sizeof *endpoint);
  *tos = 0;
  endpoint->family = from6->sin6_family;
  endpoint->port = ntohs(from6->sin6_port);
  if (from6->sin6_family == AF_INET6) {
    endpoint->scope = from6->sin6_scope_id;
    memcpy(endpoint->address, &from6->sin6_addr, 16);
  } else {
    memcpy(endpoint->address, &from4->sin_addr, 4);
  }
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    if (take(message, c, IPPROTO_IP, IP_PKTINFO, &local4, sizeof local4)) {
      memcpy(endpoint->source, &local4.ipi_spec_dst, 4);
      endpoint->source_interface = (uint32_t)local4.ipi_ifindex;
    } else if (take(message, c, IPPROTO_IPV6, IPV6_PKTINFO, &local6, sizeof local6)) {
      if (IN6_IS_ADDR_MULTICAST(&local6.ipi6_addr)) continue; /* no address to answer from */
      memcpy(endpoint->source, &local6.ipi6_addr, 16);
      endpoint->source_interface = (uint32_t)local6.ipi6_ifindex;
    } else if (take(message, c, IPPROTO_IP, IP_TOS, &byte, 1)) {
      *tos = byte;
    } else if (!take(message, c, IPPROTO_IPV6, IPV6_TCLASS, tos, sizeof *tos)) {
      take(message, c, IPPROTO_UDP, UDP_GRO, &segment, sizeof segment);
    }
  }
  return segment;
}

void message_list(struct listing *list, int32_t index, int32_t at, int32_t size, int32_t segment, bool cut) {
  if (segment <= 0 || segment > size) segment = size;
  if (cut) {
    list->dropped++;
    return;
  }
  do { /* once for an empty datagram */
    if (list->count == RECEIVED_MAX) {
      list->dropped++;
      return;
    }
    list->offset[list->count] = at;
    list->length[list->count] = size < segment ? size : segment;
    list->message[list->count++] = index;
    at += segment;
    size -= segment;
  } while (size > 0);
}

static size_t put(uint8_t *at, size_t used, int level, int type, const void *data, size_t size) {
  struct cmsghdr header = {.cmsg_level = level, .cmsg_type = type};
  header.cmsg_len = (__typeof__(header.cmsg_len))CMSG_LEN(size);
  memcpy(at + used, &header, sizeof header);
  memcpy(at + used + CMSG_LEN(0), data, size);
  return used + CMSG_SPACE(size);
}

void message_address(struct msghdr *message, const struct endpoint *e, int tos, uint16_t segment) {
  static const uint8_t nowhere[16];
  bool v6 = e->family == AF_INET6, sourced = memcmp(e->source, nowhere, 16) != 0;
  uint8_t *room = message->msg_control;
  size_t used = 0;
  static_assert(CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(2) <= CONTROL_BYTES, "");
  if (v6) {
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(e->port), .sin6_scope_id = e->scope};
    memcpy(&to.sin6_addr, e->address, 16);
    memcpy(message->msg_name, &to, sizeof to);
    message->msg_namelen = sizeof to;
  } else {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(e->port)};
    memcpy(&to.sin_addr, e->address, 4);
    memcpy(message->msg_name, &to, sizeof to);
    message->msg_namelen = sizeof to;
  }
  if (sourced && v6) {
    struct in6_pktinfo from = {.ipi6_ifindex = (__typeof__(from.ipi6_ifindex))e->source_interface};
    memcpy(&from.ipi6_addr, e->source, 16);
    used = put(room, used, IPPROTO_IPV6, IPV6_PKTINFO, &from, sizeof from);
  } else if (sourced) {
    struct in_pktinfo from = {.ipi_ifindex = (int)e->source_interface};
    memcpy(&from.ipi_spec_dst, e->source, 4);
    used = put(room, used, IPPROTO_IP, IP_PKTINFO, &from, sizeof from);
  }
  if (tos != 0) used = put(room, used, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, &tos, sizeof tos);
  if (segment != 0) used = put(room, used, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment);
  message->msg_controllen = (__typeof__(message->msg_controllen))used;
  if (used == 0) message->msg_control = NULL;
}
