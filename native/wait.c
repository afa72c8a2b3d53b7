/* Waiting (epoll, eventfd), the clock, memory, and the descriptors themselves. */
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "addon.h"

/* NPEER_GROUPS_MAX of linux/limits.h. */
enum { EVENTS_MAX = 64, CLOCK_WORDS = 4, PEER_GROUPS_MAX = 65536 };

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59 /* asm-generic/socket.h; musl has it, glibc takes the kernel's */
#endif

napi_value native_eventOpen(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  return call_result(&call, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

napi_value native_eventSignal(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0);
  uint64_t one = 1;
  if (call.bad) return NULL;
  if (write(fd, &one, sizeof one) < 0 && errno != EAGAIN) return call_give(&call, -errno); /* full: signalled already */
  return call_give(&call, 0);
}

napi_value native_eventDrain(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0);
  uint64_t count;
  if (call.bad) return NULL;
  if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN) return call_give(&call, -errno);
  return call_give(&call, 0);
}

napi_value native_epollOpen(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  return call_result(&call, epoll_create1(EPOLL_CLOEXEC));
}

napi_value native_epollAdd(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int epoll = call_int(&call, 0), fd = call_int(&call, 1), tag = call_int(&call, 2);
  if (call.bad) return NULL;
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)tag};
  return call_result(&call, epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

napi_value native_epollRemove(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int epoll = call_int(&call, 0), fd = call_int(&call, 1);
  if (call.bad) return NULL;
  return call_result(&call, epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL));
}

static double clock_ms(clockid_t clock) {
  struct timespec now = {0};
  clock_gettime(clock, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int wait_for(struct environment *environment, int epoll, struct epoll_event *events, int most, double ms) {
#ifdef SYS_epoll_pwait2
  if (!environment->no_pwait2) {
    double seconds = floor(ms / 1000);
    /* As the kernel wants it on every architecture, whatever time_t the C library was built with. */
    struct {
      int64_t seconds, nanoseconds;
    } limit = {(int64_t)seconds, (int64_t)((ms - seconds * 1000) * 1e6)};
    long got = syscall(SYS_epoll_pwait2, epoll, events, most, ms < 0 ? NULL : &limit, NULL, (size_t)0);
    if (got >= 0 || (errno != ENOSYS && errno != EPERM)) return (int)got;
    environment->no_pwait2 = true;
  }
#else
  (void)environment;
#endif
  return epoll_wait(epoll, events, most, ms < 0 ? -1 : (int)ceil(ms));
}

napi_value native_epollWait(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  size_t length;
  int epoll = call_int(&call, 0);
  int32_t *out = call_ints(&call, 1, &length);
  double ms = call_double(&call, 2);
  void *environment = NULL;
  if (call.bad || napi_get_instance_data(env, &environment) != napi_ok) return NULL;
  if (length < CLOCK_WORDS + 2 || (uintptr_t)out % 8 != 0) return call_give(&call, -EINVAL);
  struct epoll_event events[EVENTS_MAX];
  int32_t *pairs = out + CLOCK_WORDS;
  size_t room = (length - CLOCK_WORDS) / 2;
  int most = room < EVENTS_MAX ? (int)room : EVENTS_MAX;
  if (ms > 2147483647.0) ms = 2147483647.0;
  int got = wait_for(environment, epoll, events, most, ms);
  int error = got < 0 && errno != EINTR ? -errno : 0;
  double clocks[2] = {clock_ms(CLOCK_BOOTTIME), clock_ms(CLOCK_REALTIME)};
  memcpy(out, clocks, sizeof clocks);
  if (got < 0) return call_give(&call, error);
  for (int i = 0; i < got; i++) {
    pairs[2 * i] = (int32_t)events[i].data.u32;
    pairs[2 * i + 1] = (int32_t)events[i].events;
  }
  return call_give(&call, got);
}

napi_value native_bootTimeMs(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value result = NULL;
  napi_create_double(env, clock_ms(CLOCK_BOOTTIME), &result);
  return result;
}

/* Free memory of the C library's heap goes back to the system. Does nothing where the library has no such function (musl). */
napi_value native_trimMemory(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  return call_give(&call, 0);
}

napi_value native_peerCredentials(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  struct ucred peer = {0};
  socklen_t bytes = sizeof peer;
  size_t room = 0;
  int fd = call_int(&call, 0);
  int32_t *out = call_ints(&call, 1, &room);
  if (call.bad) return NULL;
  if (room < 3) return call_give(&call, -EINVAL);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0) return call_give(&call, -errno);
  out[0] = (int32_t)peer.pid;
  out[1] = (int32_t)peer.uid;
  out[2] = (int32_t)peer.gid;
  size_t most = room - 3 < PEER_GROUPS_MAX ? room - 3 : PEER_GROUPS_MAX;
  bytes = (socklen_t)(most * sizeof *out);
  /* Older than Linux 4.13: none are known. More than there is room for: ERANGE, and those that are known do not count. */
  if (most == 0 || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, out + 3, &bytes) < 0) return call_give(&call, 0);
  return call_give(&call, (int)(bytes / sizeof *out));
}

napi_value native_fdClose(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0);
  if (call.bad) return NULL;
  int result = close(fd);
  return call_give(&call, result < 0 && errno != EINTR ? -errno : 0); /* on Linux EINTR closes, too */
}

napi_value native_fdCloseOnExec(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int fd = call_int(&call, 0);
  bool on = call_bool(&call, 1);
  if (call.bad) return NULL;
  int flags = fcntl(fd, F_GETFD);
  if (flags >= 0) flags = fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC);
  return call_result(&call, flags);
}
