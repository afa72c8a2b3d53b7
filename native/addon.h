/* What the files of the addon share: arguments and results of a call, the slab handle, namespaced sockets. */
#ifndef WIREHAUL_ADDON_H
#define WIREHAUL_ADDON_H

#define NAPI_VERSION 9
#include <errno.h>
#include <netinet/in.h>
#include <node_api.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "coalesce.h"
#include "message.h"
#include "primitives.h"
#include "slab.h"

/* The environment's own state: one per thread that loads the addon. */
struct environment {
  bool no_pwait2; /* the kernel (or its seccomp filter) has no epoll_pwait2 */
  /* Made when first needed, for noise.c. */
  EVP_MD_CTX *digest;
  EVP_MD *blake2s;
  EVP_MAC_CTX *mac;
  EVP_CIPHER_CTX *cipher;
};

enum { SEND_MESSAGES = 64, SEND_PARTS = 1024, NAME_BYTES = 16 };
static_assert(SEND_PARTS >= DATAGRAMS_MAX / 2, "a group always fits in an empty batch");

/* Scratch of one recvmmsg, and of one sendmmsg. */
struct receiving {
  struct mmsghdr messages[MESSAGES_MAX];
  struct iovec parts[MESSAGES_MAX];
  struct sockaddr_in6 from[MESSAGES_MAX];
  _Alignas(16) uint8_t control[MESSAGES_MAX][CONTROL_BYTES];
};
struct sending {
  struct mmsghdr messages[SEND_MESSAGES];
  struct iovec parts[SEND_PARTS];
  struct sockaddr_in6 to[SEND_MESSAGES];
  int32_t group[SEND_MESSAGES];
  _Alignas(16) uint8_t control[SEND_MESSAGES][CONTROL_BYTES];
};

struct slab {
  uint8_t *bytes;
  napi_env env;
  napi_ref buffer; /* strong: the memory outlives the handle */
  EVP_CIPHER_CTX *sealing, *opening;
  bool armed;  /* both contexts hold the cipher */
  bool direct; /* seal and open go by primitives.h */
  _Alignas(16) uint8_t poly[POLY1305_BYTES];
  int32_t counters[COUNTERS];
  struct iovec writing[SEGMENTS_MAX + 1];
  struct plan plan;
  struct receiving receiving;
  struct sending sending;
};

static inline int32_t *slab_list(struct slab *slab, int region) { return (int32_t *)(void *)(slab->bytes + region); }
static inline struct endpoint *slab_endpoints(struct slab *slab, int region) {
  return (struct endpoint *)(void *)(slab->bytes + region);
}

/*
 * One call from JavaScript. A bad argument throws a TypeError that names it, sets `bad`, and makes every later
 * argument read as zero: a function reads all its arguments, then returns if `bad`.
 */
struct call {
  napi_env env;
  napi_value argv[8];
  bool bad;
};

struct call call_begin(napi_env env, napi_callback_info info);
int32_t call_int(struct call *call, unsigned index);
uint32_t call_unsigned(struct call *call, unsigned index);
double call_double(struct call *call, unsigned index);
bool call_bool(struct call *call, unsigned index);
/* A string of at most 15 bytes without NUL, as interface names are. */
void call_name(struct call *call, unsigned index, char name[NAME_BYTES]);
uint8_t *call_bytes(struct call *call, unsigned index, size_t *length);
int32_t *call_ints(struct call *call, unsigned index, size_t *length);
struct slab *call_slab(struct call *call, unsigned index);
/* Throws, once. */
void call_refuse(struct call *call, unsigned index, const char *wanted);
napi_value call_give(struct call *call, int32_t value);
/* Likewise, after a call that had secrets: none stays in a vector register. */
napi_value call_give_clean(struct call *call, int32_t value);
napi_value call_give_name(struct call *call, int error, const char *name);
/* 0 or more, or -errno of what a system call returned. */
static inline napi_value call_result(struct call *call, int result) {
  return call_give(call, result < 0 ? -errno : result);
}

/* socket(2) in the namespace of `namespace_fd`; the calling thread is back in its own, or the process ends. -errno. */
int socket_in(int namespace_fd, int domain, int type, int protocol);
/* open(2), likewise. */
int open_in(int namespace_fd, const char *path, int flags);

/* Splits what lies at `*at` + HEADROOM_BYTES of the slab and appends it to the `inner` list. */
void tun_list(struct slab *slab, const struct vnet *header, int32_t length, uint32_t mtu, int32_t *at, int32_t *listed,
              int32_t *run);
/* Fills plan->offset and plan->length from the `plain` list. False: something is out of range. */
bool tun_plan(struct slab *slab, int32_t first, int32_t count);
/* The pieces of the group that begins at packet `i`, headers patched, into slab->writing[1...]; returns how many. */
int tun_gather(struct slab *slab, int32_t i, struct vnet *header);

#define FUNCTIONS(F)                                                                                               \
  F(slabAttach)                                                                                                    \
  F(slabCounters)                                                                                                  \
  F(seal)                                                                                                          \
  F(open)                                                                                                          \
  F(direct)                                                                                                        \
  F(forget)                                                                                                        \
  F(x25519)                                                                                                        \
  F(x25519Public)                                                                                                  \
  F(mac)                                                                                                           \
  F(blake2s)                                                                                                       \
  F(hmac)                                                                                                          \
  F(noiseSeal)                                                                                                     \
  F(noiseOpen)                                                                                                     \
  F(tunOpen)                                                                                                       \
  F(tunName)                                                                                                       \
  F(tunFlags)                                                                                                      \
  F(tunOffload)                                                                                                    \
  F(tunRead)                                                                                                       \
  F(tunWrite)                                                                                                      \
  F(linkOpen)                                                                                                      \
  F(linkQuery)                                                                                                     \
  F(linkSetMtu)                                                                                                    \
  F(pingOpen)                                                                                                      \
  F(udpOpen)                                                                                                       \
  F(udpPort)                                                                                                       \
  F(udpMark)                                                                                                       \
  F(udpSegments)                                                                                                   \
  F(udpSteer)                                                                                                      \
  F(udpDropped)                                                                                                    \
  F(udpShed)                                                                                                       \
  F(routesOpen)                                                                                                    \
  F(routesDrain)                                                                                                   \
  F(routeInterface)                                                                                                \
  F(udpReceive)                                                                                                    \
  F(udpSend)                                                                                                       \
  F(eventOpen)                                                                                                     \
  F(eventSignal)                                                                                                   \
  F(eventDrain)                                                                                                    \
  F(epollOpen)                                                                                                     \
  F(epollAdd)                                                                                                      \
  F(epollRemove)                                                                                                   \
  F(epollWait)                                                                                                     \
  F(bootTimeMs)                                                                                                    \
  F(interfaceIndex)                                                                                                \
  F(interfaceName)                                                                                                 \
  F(trimMemory)                                                                                                    \
  F(peerCredentials)                                                                                               \
  F(fdClose)                                                                                                       \
  F(fdCloseOnExec)                                                                                                 \
  F(probeSplit)                                                                                                    \
  F(probeMerge)

#define DECLARE(name) napi_value native_##name(napi_env env, napi_callback_info info);
FUNCTIONS(DECLARE)
#undef DECLARE

#endif
