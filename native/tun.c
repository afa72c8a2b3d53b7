/* TUN: opening, offloads, batched reading (split) and writing (coalesce). */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "addon.h"

enum { FLAG_VNET = 1, PACKET_MAX = 65535 };
/* A turn reads until this much of the outbound region is used: the rest has room for one more worst case. */
enum { OUTBOUND_BUDGET = OUTBOUND_BYTES / 2, INNER_BUDGET = INNER_MAX - 1366 };
static_assert(OUTBOUND_BUDGET + HEADROOM_BYTES + PACKET_MAX + 16 + TAILROOM_BYTES < OUTBOUND_BYTES, "one more read");

napi_value native_tunOpen(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  struct ifreq request = {0};
  char name[NAME_BYTES];
  call_name(&call, 0, name);
  bool queues = call_bool(&call, 1);
  int namespace_fd = call_int(&call, 2);
  if (call.bad) return NULL;
  /* A queue belongs to the namespace where it was opened (drivers/net/tun.c tun_chr_open), and so does its interface. */
  int fd = open_in(namespace_fd, "/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd < 0) return call_give(&call, fd);
  static_assert(IFNAMSIZ == NAME_BYTES, "interface names");
  memcpy(request.ifr_name, name, NAME_BYTES);
  request.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | (queues ? IFF_MULTI_QUEUE : 0));
  if (ioctl(fd, TUNSETIFF, &request) < 0) {
    int error = errno;
    close(fd);
    return call_give(&call, -error);
  }
  return call_give(&call, fd);
}

napi_value native_tunName(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  struct ifreq request = {0};
  int fd = call_int(&call, 0);
  if (call.bad) return NULL;
  int error = ioctl(fd, TUNGETIFF, &request) < 0 ? -errno : 0;
  request.ifr_name[IFNAMSIZ - 1] = 0;
  return call_give_name(&call, error, request.ifr_name);
}

napi_value native_tunFlags(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  struct ifreq request = {0};
  int fd = call_int(&call, 0);
  if (call.bad) return NULL;
  if (ioctl(fd, TUNGETIFF, &request) < 0) return call_give(&call, -errno);
  return call_give(&call, (uint16_t)request.ifr_flags);
}

napi_value native_tunOffload(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  struct ifreq request = {0};
  int fd = call_int(&call, 0), size = sizeof(struct vnet);
  unsigned wanted = call_unsigned(&call, 1);
  if (call.bad) return NULL;
  int mode = fcntl(fd, F_GETFL);
  if (mode < 0 || fcntl(fd, F_SETFL, mode | O_NONBLOCK) < 0) return call_give(&call, -errno);
  if (ioctl(fd, TUNGETIFF, &request) < 0) return call_give(&call, -errno);
  if (!((unsigned)request.ifr_flags & IFF_VNET_HDR)) return call_give(&call, 0);
  if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0) return call_give(&call, -errno);
  const unsigned tcp = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6, udp = OFFLOAD_USO4 | OFFLOAD_USO6;
  const unsigned masks[] = {wanted & (tcp | udp), wanted & tcp, wanted & OFFLOAD_CSUM};
  for (size_t i = 0; i < sizeof masks / sizeof *masks; i++)
    if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)masks[i]) == 0) return call_give(&call, (int32_t)masks[i]);
  return call_give(&call, 0);
}

void tun_list(struct slab *slab, const struct vnet *header, int32_t length, uint32_t mtu, int32_t *at, int32_t *listed,
              int32_t *run) {
  struct cut cut;
  size_t room = (size_t)(outbound_at + OUTBOUND_BYTES - *at);
  if (!split(header, slab->bytes + *at, room, (size_t)length, mtu, (uint32_t)(INNER_MAX - *listed), &cut)) {
    slab->counters[COUNTER_MALFORMED]++;
    return;
  }
  int32_t *offsets = slab_list(slab, innerOffset_at) + *listed, *lengths = slab_list(slab, innerLength_at) + *listed,
          *runs = slab_list(slab, innerRun_at) + *listed;
  for (uint32_t i = 0; i < cut.count; i++) {
    offsets[i] = *at + (int32_t)(i * cut.stride) + HEADROOM_BYTES;
    lengths[i] = (int32_t)(i + 1 == cut.count ? cut.last : cut.length);
    runs[i] = *run;
  }
  slab->counters[COUNTER_SPLIT_DROPPED] += (int32_t)cut.dropped;
  *at += (int32_t)cut.used;
  *listed += (int32_t)cut.count;
  ++*run;
}

/* Packets are read straight to where they will be sealed; only super-packets are moved, piece by piece. */
napi_value native_tunRead(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  struct slab *slab = call_slab(&call, 0);
  int fd = call_int(&call, 1);
  uint32_t mtu = call_unsigned(&call, 2), flags = call_unsigned(&call, 3);
  if (call.bad) return NULL;
  if (mtu > PACKET_MAX) return call_give(&call, -EINVAL);
  int32_t at = outbound_at, listed = 0, run = 0;
  int head = flags & FLAG_VNET ? (int)sizeof(struct vnet) : 0;
  /* Bounded by turns too: malformed packets take no room. */
  for (int turn = 0; turn < INNER_MAX && listed < INNER_BUDGET && at < outbound_at + OUTBOUND_BUDGET; turn++) {
    struct vnet header = {0};
    struct iovec parts[2] = {{&header, sizeof header}, {slab->bytes + at + HEADROOM_BYTES, PACKET_MAX}};
    ssize_t got = readv(fd, head ? parts : parts + 1, head ? 2 : 1);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || listed > 0) break;
      return call_give(&call, -errno);
    }
    if (got <= head) slab->counters[COUNTER_MALFORMED]++;
    else tun_list(slab, &header, (int32_t)got - head, mtu, &at, &listed, &run);
  }
  return call_give(&call, listed);
}

bool tun_plan(struct slab *slab, int32_t first, int32_t count) {
  if (!in_list(first, count, PLAIN_MAX)) return false;
  const int32_t *offsets = slab_list(slab, plainOffset_at) + first, *lengths = slab_list(slab, plainLength_at) + first;
  for (int32_t i = 0; i < count; i++) {
    if (!in_slab(offsets[i], lengths[i])) return false;
    slab->plan.offset[i] = (uint32_t)offsets[i];
    slab->plan.length[i] = (uint32_t)lengths[i];
  }
  return true;
}

int tun_gather(struct slab *slab, int32_t i, struct vnet *header) {
  const struct plan *plan = &slab->plan;
  const struct group *group = &plan->group[i];
  struct iovec *parts = slab->writing + 1;
  int count = 1;
  *header = (struct vnet){0};
  parts[0] = (struct iovec){slab->bytes + plan->offset[i], plan->length[i]};
  if (group->count < 2) return count;
  coalesce_header(group, slab->bytes + plan->offset[i], header);
  for (uint16_t next = plan->next[i]; next != 0; next = plan->next[next])
    parts[count++] = (struct iovec){slab->bytes + plan->offset[next] + group->header, plan->length[next] - group->header};
  return count;
}

napi_value native_tunWrite(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  struct slab *slab = call_slab(&call, 0);
  int fd = call_int(&call, 1);
  int32_t first = call_int(&call, 2), count = call_int(&call, 3), refused = 0;
  uint32_t offload = call_unsigned(&call, 4), flags = call_unsigned(&call, 5);
  if (call.bad) return NULL;
  if (!tun_plan(slab, first, count)) return call_give(&call, -EINVAL);
  struct vnet header;
  coalesce(&slab->plan, slab->bytes, (uint32_t)count, flags & FLAG_VNET ? offload : 0);
  slab->counters[COUNTER_CHECKSUM] += (int32_t)slab->plan.bad_checksums;
  slab->writing[0] = (struct iovec){&header, sizeof header};
  for (int32_t i = 0; i < count; i++) {
    int32_t packets = slab->plan.group[i].count;
    if (packets == 0) continue; /* merged into an earlier one */
    int parts = tun_gather(slab, i, &header);
    ssize_t put;
    do {
      put = flags & FLAG_VNET ? writev(fd, slab->writing, parts + 1) : writev(fd, slab->writing + 1, parts);
    } while (put < 0 && errno == EINTR);
    if (put >= 0) continue;
    refused += packets;
    if (errno == EBADFD || errno == EBADF) {
      slab->writing[0] = (struct iovec){0};
      return call_give(&call, -errno);
    }
  }
  slab->writing[0] = (struct iovec){0};
  return call_give(&call, refused);
}
