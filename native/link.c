/*
 * Interfaces and namespaces: sockets opened in another network namespace, and what a TUN's interface is like now.
 * Netlink messages only wake the caller; the state is always asked for anew, by ioctl.
 */
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "addon.h"

#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)
#endif

static bool same_namespace(int a, int b) {
  struct stat x, y;
  return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* Takes the calling thread into a namespace; `home` is then what it has to go back to, or -1. 0 or -errno. */
static int enter(int namespace_fd, int *home) {
  *home = -1;
  if (namespace_fd < 0) return 0;
  int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own < 0) return -errno;
  if (same_namespace(own, namespace_fd)) { /* needs no rights */
    close(own);
    return 0;
  }
  if (setns(namespace_fd, CLONE_NEWNET) < 0) {
    int error = -errno;
    close(own);
    return error;
  }
  *home = own;
  return 0;
}

static void go_back(int home) {
  if (home < 0) return;
  if (setns(home, CLONE_NEWNET) < 0) {
    /* This thread would go on in a stranger's network. */
    perror("wirehaul: cannot return to the network namespace; setns");
    abort();
  }
  close(home);
}

int socket_in(int namespace_fd, int domain, int type, int protocol) {
  int home, error = enter(namespace_fd, &home);
  if (error < 0) return error;
  int fd = socket(domain, type, protocol);
  if (fd < 0) error = -errno;
  go_back(home);
  return fd < 0 ? error : fd;
}

int open_in(int namespace_fd, const char *path, int flags) {
  int home, error = enter(namespace_fd, &home);
  if (error < 0) return error;
  int fd = open(path, flags);
  if (fd < 0) error = -errno;
  go_back(home);
  return fd < 0 ? error : fd;
}

/* The namespace where the interface is now; else the one where the queue was opened; else -1. */
static int device_namespace(int tun) {
  int fd = ioctl(tun, TUNGETDEVNETNS);
  return fd >= 0 ? fd : ioctl(tun, SIOCGSKNS);
}

static int subscribe(int fd) {
  struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
  return bind(fd, (struct sockaddr *)&name, sizeof name) < 0 ? -errno : 0;
}

napi_value native_linkOpen(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int tun = call_int(&call, 0), type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
  if (call.bad) return NULL;
  int target = device_namespace(tun);
  int fd = socket_in(target, AF_NETLINK, type, NETLINK_ROUTE);
  if (fd < 0 && target >= 0) fd = socket_in(-1, AF_NETLINK, type, NETLINK_ROUTE);
  if (target >= 0) close(target);
  int error = fd < 0 ? fd : subscribe(fd);
  if (error < 0 && fd >= 0) close(fd);
  return call_give(&call, error < 0 ? error : fd);
}

/* Whether device and socket are known to be in different namespaces: there may be another of that name here. */
static bool moved(int link, int tun) {
  int device = ioctl(tun, TUNGETDEVNETNS), own = ioctl(link, SIOCGSKNS);
  bool result = device >= 0 && own >= 0 && !same_namespace(device, own);
  if (device >= 0) close(device);
  if (own >= 0) close(own);
  return result;
}

napi_value native_linkQuery(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  size_t length;
  int link = call_int(&call, 0), tun = call_int(&call, 1);
  int32_t *out = call_ints(&call, 2, &length);
  uint8_t skipped[256];
  struct ifreq request = {0};
  if (call.bad) return NULL;
  if (length < 3) return call_give(&call, -EINVAL);
  while (recv(link, skipped, sizeof skipped, MSG_DONTWAIT) >= 0 || errno == EINTR || errno == ENOBUFS) continue;
  if (ioctl(tun, TUNGETIFF, &request) < 0) return call_give(&call, -errno);
  if (moved(link, tun)) return call_give(&call, -ENODEV);
  if (ioctl(link, SIOCGIFINDEX, &request) < 0) return call_give(&call, -errno);
  out[0] = request.ifr_ifindex;
  if (ioctl(link, SIOCGIFFLAGS, &request) < 0) return call_give(&call, -errno);
  out[1] = (uint16_t)request.ifr_flags;
  if (ioctl(link, SIOCGIFMTU, &request) < 0) return call_give(&call, -errno);
  out[2] = request.ifr_mtu;
  return call_give(&call, 0);
}

napi_value native_linkSetMtu(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  struct ifreq request = {0};
  int link = call_int(&call, 0), tun = call_int(&call, 1), mtu = call_int(&call, 2);
  if (call.bad) return NULL;
  if (ioctl(tun, TUNGETIFF, &request) < 0) return call_give(&call, -errno);
  if (moved(link, tun)) return call_give(&call, -ENODEV);
  request.ifr_mtu = mtu;
  return call_result(&call, ioctl(link, SIOCSIFMTU, &request));
}

napi_value native_interfaceIndex(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  char name[NAME_BYTES];
  call_name(&call, 0, name);
  if (call.bad) return NULL;
  unsigned index = if_nametoindex(name);
  return call_give(&call, index == 0 ? -errno : (int32_t)index);
}

napi_value native_interfaceName(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  int index = call_int(&call, 0);
  char name[IF_NAMESIZE] = "";
  if (call.bad) return NULL;
  int error = index > 0 && if_indextoname((unsigned)index, name) != NULL ? 0 : index > 0 ? -errno : -ENXIO;
  return call_give_name(&call, error, name);
}
