/*
 * What the kernel says beside a received UDP message, and what we say beside one that we send: addresses, source, TOS,
 * segment size, as control messages (cmsg(3)). Pure: no system call, no node_api.h.
 */
#ifndef WIREHAUL_MESSAGE_H
#define WIREHAUL_MESSAGE_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "slab.h"

enum { CONTROL_BYTES = 128 };

/* Where datagrams are listed: the slab's `received` lists, of RECEIVED_MAX each. */
struct listing {
  int32_t *offset, *length, *message;
  int32_t count;
  int32_t dropped; /* datagrams that were cut off, and messages whose rest had no room */
};

/* Fills an endpoint record and the TOS from a received message; returns the size of its datagrams, 0: all of it. */
int32_t message_describe(struct msghdr *message, struct endpoint *endpoint, int32_t *tos);

/* Lists the datagrams of message `index`, `size` bytes at `at`, each of `segment` bytes but for a shorter last. */
void message_list(struct listing *list, int32_t index, int32_t at, int32_t size, int32_t segment, bool cut);

/* Writes the address (name, namelen) and the control bytes (at most CONTROL_BYTES) of a message to `endpoint`; `segment` != 0: to
 * be cut into datagrams of that size. msg_name must have room for a sockaddr_in6, msg_control for CONTROL_BYTES. */
void message_address(struct msghdr *message, const struct endpoint *endpoint, int tos, uint16_t segment);

#endif
