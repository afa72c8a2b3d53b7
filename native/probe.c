/* Entry points for tests: what tunRead and tunWrite do between the system calls. */
#include "addon.h"

/* probeSplit(slab, header and packet, mtu): lists the packets as tunRead would after reading just this. */
napi_value native_probeSplit(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  size_t length;
  struct vnet header;
  struct slab *slab = call_slab(&call, 0);
  const uint8_t *bytes = call_bytes(&call, 1, &length);
  uint32_t mtu = call_unsigned(&call, 2);
  int32_t at = outbound_at, listed = 0, run = 0;
  if (call.bad) return NULL;
  if (length < sizeof header || length > sizeof header + 65535 || mtu > 65535) return call_give(&call, -EINVAL);
  memcpy(&header, bytes, sizeof header);
  memcpy(slab->bytes + at + HEADROOM_BYTES, bytes + sizeof header, length - sizeof header);
  tun_list(slab, &header, (int32_t)(length - sizeof header), mtu, &at, &listed, &run);
  return call_give(&call, listed);
}

/* probeMerge(slab, first, count, offload, out): writes each super-packet as u32 length (host order), header, packet. */
napi_value native_probeMerge(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  size_t room, used = 0;
  struct slab *slab = call_slab(&call, 0);
  int32_t first = call_int(&call, 1), count = call_int(&call, 2);
  uint32_t offload = call_unsigned(&call, 3);
  uint8_t *out = call_bytes(&call, 4, &room);
  if (call.bad) return NULL;
  if (!tun_plan(slab, first, count)) return call_give(&call, -EINVAL);
  coalesce(&slab->plan, slab->bytes, (uint32_t)count, offload);
  slab->counters[COUNTER_CHECKSUM] += (int32_t)slab->plan.bad_checksums;
  for (int32_t i = 0; i < count; i++) {
    struct vnet header;
    if (slab->plan.group[i].count == 0) continue;
    int parts = tun_gather(slab, i, &header);
    uint32_t length = 0;
    for (int k = 1; k <= parts; k++) length += (uint32_t)slab->writing[k].iov_len;
    if (room - used < 4 + sizeof header + length) return call_give(&call, -ENOSPC);
    memcpy(out + used, &length, 4);
    memcpy(out + used + 4, &header, sizeof header);
    used += 4 + sizeof header;
    for (int k = 1; k <= parts; k++) {
      memcpy(out + used, slab->writing[k].iov_base, slab->writing[k].iov_len);
      used += slab->writing[k].iov_len;
    }
  }
  return call_give(&call, (int32_t)used);
}
