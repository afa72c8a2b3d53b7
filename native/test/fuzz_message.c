/*
 * message.c: control messages of any content are read inside their bounds; what we write beside a message is what we would read;
 * the datagrams of a merged message are listed whole, in order, and never more than there is room for.
 */
#include <netinet/udp.h>

#include "../message.h"
#include "fuzz.h"

enum { LEVELS = 4, TYPES = 6 };

static void read_control(struct script *s) {
  static const int levels[LEVELS] = {IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP, SOL_SOCKET};
  static const int types[TYPES] = {IP_PKTINFO, IPV6_PKTINFO, IP_TOS, IPV6_TCLASS, 104 /* UDP_GRO */, 1};
  struct sockaddr_in6 from = {.sin6_family = take8(s) & 1 ? AF_INET6 : AF_INET, .sin6_port = take16(s)};
  size_t room = take8(s) % (CONTROL_BYTES + 1), used = 0;
  uint8_t *control = malloc(room + 1);
  MUST(control != NULL);
  memset(control, 0, room);
  while (s->left > 0 && used + sizeof(struct cmsghdr) <= room) {
    uint8_t kind = take8(s), length = take8(s) % 64;
    struct cmsghdr header = {.cmsg_level = levels[kind % LEVELS], .cmsg_type = types[kind / LEVELS % TYPES]};
    header.cmsg_len = (__typeof__(header.cmsg_len))(kind & 0x80 ? take32(s) : CMSG_LEN(length));
    memcpy(control + used, &header, sizeof header);
    used += sizeof header;
    for (size_t i = 0; i < length && used < room; i++) control[used++] = take8(s);
    used = (used + 7) / 8 * 8;
  }
  struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_control = control,
                           .msg_controllen = (__typeof__(message.msg_controllen))room};
  struct endpoint endpoint;
  int32_t tos;
  message_describe(&message, &endpoint, &tos);
  MUST(endpoint.family == from.sin6_family && endpoint.port == ntohs(from.sin6_port));
  free(control);
}

static void round_trip(struct script *s) {
  bool v6 = take8(s) & 1;
  struct endpoint to = {.family = v6 ? AF_INET6 : AF_INET, .port = take16(s), .scope = v6 ? take32(s) : 0}, back;
  for (size_t i = 0; i < (v6 ? 16 : 4); i++) to.address[i] = take8(s);
  for (size_t i = 0; i < (v6 ? 16 : 4); i++) to.source[i] = take8(s);
  to.source_interface = take32(s) & INT32_MAX;
  int tos = take8(s);
  int32_t read = -1;
  uint16_t segment = take16(s);
  uint8_t *control = malloc(CONTROL_BYTES);
  struct sockaddr_in6 name = {0};
  MUST(control != NULL);
  memset(control, 0xaa, CONTROL_BYTES);
  struct msghdr message = {.msg_name = &name, .msg_control = control};
  message_address(&message, &to, tos, segment);
  MUST(message.msg_controllen <= CONTROL_BYTES && (message.msg_controllen > 0) == (message.msg_control != NULL));
  MUST(message_describe(&message, &back, &read) == 0); /* UDP_SEGMENT is not UDP_GRO */
  static const uint8_t nowhere[16];
  bool sourced = memcmp(to.source, nowhere, 16) != 0;
  bool shown = sourced && !(v6 && to.source[0] == 0xff);
  if (!shown) memset(to.source, 0, 16);
  if (!shown) to.source_interface = 0;
  MUST(memcmp(&to, &back, sizeof to) == 0 && (read & 0xff) == tos);
  bool segmented = false;
  if (message.msg_control == NULL) MUST(tos == 0 && segment == 0 && !sourced);
  else
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c))
      if (c->cmsg_level == IPPROTO_UDP) segmented = c->cmsg_type == 103 && memcmp(CMSG_DATA(c), &segment, 2) == 0;
  MUST(segmented == (segment != 0));
  free(control);
}

static void list(struct script *s) {
  int32_t *offset = malloc(RECEIVED_MAX * 4), *length = malloc(RECEIVED_MAX * 4), *index = malloc(RECEIVED_MAX * 4);
  MUST(offset != NULL && length != NULL && index != NULL);
  struct listing list = {offset, length, index, 0, 0};
  int32_t expected = 0;
  for (int32_t i = 0; i < MESSAGES_MAX && s->left > 0; i++) {
    int32_t size = take16(s), segment = (int32_t)take16(s) - 8, at = i * MESSAGE_STRIDE, before = list.count;
    bool cut = take8(s) & 1, full = list.dropped > expected;
    message_list(&list, i, at, size, segment, cut);
    if (cut) expected++;
    if (cut) MUST(list.count == before && (full || list.dropped == expected));
    if (cut) continue;
    int32_t end = at;
    for (int32_t k = before; k < list.count; k++) {
      MUST(index[k] == i && offset[k] == end && length[k] >= 0 && (segment <= 0 || length[k] <= segment));
      if (segment > 0 && k + 1 < list.count) MUST(length[k] == segment);
      end += length[k];
    }
    MUST(list.count > before || list.count == RECEIVED_MAX);
    MUST(end - at == size || (list.count == RECEIVED_MAX && list.dropped > expected));
  }
  free(offset);
  free(length);
  free(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct script s = {data, size};
  switch (take8(&s) % 3) {
    case 0: read_control(&s); break;
    case 1: round_trip(&s); break;
    default: list(&s);
  }
  return 0;
}
