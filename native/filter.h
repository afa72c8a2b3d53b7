/*
 * Classic BPF programs (linux/filter.h) that the kernel runs for our sockets. Pure: they are made here and attached by udp.c.
 */
#ifndef WIREHAUL_FILTER_H
#define WIREHAUL_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

/* One initiation in FILTER_SAMPLE passes. */
enum { FILTER_STEPS_MAX = 48, FILTER_SAMPLE = 64, STEER_LANES_MAX = 64 };

/* filter.c: throws away most initiations without a mac2 from `source` (4 or 16 bytes). Returns the number of steps. */
unsigned short filter_shed(struct sock_filter *steps, const uint8_t *source, bool v6);

/* steer.c: which of `lanes` (1 to STEER_LANES_MAX) sockets gets a datagram. Returns the number of steps. */
unsigned short filter_steer(struct sock_filter *steps, uint32_t lanes);

#endif
