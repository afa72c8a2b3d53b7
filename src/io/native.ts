/**
 * The native addon: a table of system calls and batched AEAD, typed. It knows file descriptors, slabs and lists, no
 * peers and no protocol. See native/README.md.
 *
 * Every function returns a count or value >= 0, or -errno; nothing throws except on arguments of the wrong type
 * (a programmer's error: TypeError). File descriptors are plain integers owned by the caller and opened with
 * CLOEXEC and, where it matters, O_NONBLOCK.
 */

/** Opaque: a slab registered with the addon; keeps the ArrayBuffer alive, holds the AEAD contexts of this lane. */
export type SlabHandle = { readonly __slab: never };

/** What {@link Native.slabCounters} reports, by index. */
export const counterNames = [
  /** Packets from TUN with a bad virtio_net_hdr, or headers that contradict it. */
  "malformed",
  /** Segments of a super-packet for which the outbound region had no room. */
  "splitDropped",
  /** Datagrams that were truncated, or had no room in the received list. */
  "receivedDropped",
  /** Packets written to TUN alone instead of merged, because a checksum is wrong. */
  "checksum",
] as const;

export interface Native {
  /** Sizes and offsets the addon was compiled with, by name; compared with src/bytes/slab.ts when loaded. */
  readonly abi: Readonly<Record<string, number>>;

  /** Registers the slab of a lane. The buffer must be exactly `slabLayout.end` bytes. */
  slabAttach(buffer: ArrayBuffer): SlabHandle;
  /** Copies the counters of this handle (int32, wrapping; see {@link counterNames}) into `out`; returns how many. */
  slabCounters(slab: SlabHandle, out: Int32Array): number;

  // --- AEAD (OpenSSL inside the node binary) -------------------------------------------------------------------
  /** See TransportCipher.seal. Returns 0 or -errno (-EIO when OpenSSL refuses). */
  seal(slab: SlabHandle, key: Uint8Array, first: number, count: number): number;
  /** See TransportCipher.open. Returns the number of authentic packets. */
  open(slab: SlabHandle, key: Uint8Array, first: number, count: number): number;
  /**
   * Whether this slab's `seal` and `open` call OpenSSL's ChaCha20 and Poly1305 directly, as they do from the start where the node
   * binary exports them. `on` false: through EVP. Returns 1 if they are called directly now, else 0.
   */
  direct(slab: SlabHandle, on: boolean): number;
  /** Overwrites the key schedule of both contexts; called directly, nothing is kept between calls. */
  forget(slab: SlabHandle): void;

  // --- steps of a handshake (the same OpenSSL); out may be an input unless said otherwise -----------------------
  /** X25519 (RFC 7748 5), 32 bytes each. Returns 1, 0: the result is all zero, -ENOSYS: this node doesn't export it. */
  x25519(out: Uint8Array, secret: Uint8Array, point: Uint8Array): number;
  /** X25519 of the secret and the base point. Returns 0 or -ENOSYS. */
  x25519Public(out: Uint8Array, secret: Uint8Array): number;
  /** Keyed BLAKE2s of 16 bytes; the key 1 to 32 bytes. Returns 0 or -errno. */
  mac(out: Uint8Array, key: Uint8Array, input: Uint8Array): number;
  /** BLAKE2s-256 of a || b. Returns 0 or -errno. */
  blake2s(out: Uint8Array, a: Uint8Array, b: Uint8Array): number;
  /** HMAC-BLAKE2s-256; the key at most 64 bytes. Returns 0 or -errno. */
  hmac(out: Uint8Array, key: Uint8Array, input: Uint8Array): number;
  /** See Suite.seal and Suite.open. `out` may not overlap an input. Return 1, 0: not authentic, or -errno. */
  noiseSeal(out: Uint8Array, key: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): number;
  noiseOpen(out: Uint8Array, key: Uint8Array, ciphertext: Uint8Array, ad: Uint8Array): number;

  // --- TUN -----------------------------------------------------------------------------------------------------
  /**
   * Opens /dev/net/tun and creates (or attaches to a persistent) interface `name` (at most 15 bytes; may hold "%d";
   * empty: the kernel chooses), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, with IFF_MULTI_QUEUE if `multiQueue`.
   * In the namespace of file descriptor `namespaceFd` (-1: the caller's). -EBUSY: the name is in use there.
   */
  tunOpen(name: string, multiQueue: boolean, namespaceFd: number): number;
  /** Name of the interface as it is called now, or -errno (-EBADFD: deleted). */
  tunName(fd: number): string | number;
  /** IFF_* flags of the queue (TUNGETIFF), or -errno. */
  tunFlags(fd: number): number;
  /**
   * Sets O_NONBLOCK, TUNSETVNETHDRSZ 10 and as many offloads as the kernel takes, of
   * TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 (| TUN_F_USO4 | TUN_F_USO6).
   * Returns the TUN_F_* mask that is on; 0 when the queue has no IFF_VNET_HDR or the kernel takes none.
   */
  tunOffload(fd: number, wanted: number): number;
  /**
   * Reads packets until EAGAIN or until the outbound region or `innerMax` could overflow with one more read. Splits
   * TSO/USO super-packets, completes checksums, writes the `inner` list from 0. Each packet has HEADROOM_BYTES before it,
   * and after it its padding (to 16 bytes, not past `mtu`; zeroed) and TAILROOM_BYTES; packets lie back to back in that
   * shape, so a run is one contiguous piece. `flags`: 1 = queue has a virtio_net_hdr.
   * Malformed packets (bad GSO header) are dropped and counted (slabCounters: malformed).
   * Returns packets listed (0: nothing to read), or -errno of the first read (-EBADFD: interface deleted; -EIO: down).
   */
  tunRead(slab: SlabHandle, fd: number, mtu: number, flags: number): number;
  /**
   * Writes packets `first` to `first + count - 1` of the `plain` list, merging consecutive segments of one TCP or UDP flow
   * into super-packets where `offload` (mask from tunOffload) allows and checksums verify. `flags` as in tunRead.
   * Returns the number of packets the kernel refused (EIO: down; ENOBUFS), or -EBADFD: interface deleted.
   */
  tunWrite(
    slab: SlabHandle,
    fd: number,
    first: number,
    count: number,
    offload: number,
    flags: number,
  ): number;

  // --- link ----------------------------------------------------------------------------------------------------
  /**
   * Opens a NETLINK_ROUTE socket, subscribed to link changes, in the network namespace where the interface of this
   * TUN fd now is (TUNGETDEVNETNS; before Linux 5.9 SIOCGSKNS, where it was made). Where the kernel or missing rights forbid, opens it in the caller's namespace. Non-blocking.
   */
  linkOpen(tunFd: number): number;
  /**
   * Drains the netlink socket, then asks by TUN fd and name. Fills out[0] = interface index, out[1] = IFF_* link flags,
   * out[2] = MTU. Returns 0; -EBADFD: interface deleted; -ENODEV: it is not in this socket's namespace any more.
   */
  linkQuery(linkFd: number, tunFd: number, out: Int32Array): number;
  /** SIOCSIFMTU through the netlink socket `linkFd` on the TUN's interface. */
  linkSetMtu(linkFd: number, tunFd: number, mtu: number): number;

  // --- routes --------------------------------------------------------------------------------------------------
  /**
   * Opens a NETLINK_ROUTE socket in the namespace of `namespaceFd` (-1: the caller's), non-blocking; `isWatching`: subscribed to
   * changes of routes and rules, else for {@link routeInterface}. Returns fd or -errno.
   */
  routesOpen(namespaceFd: number, isWatching: boolean): number;
  /** Reads and forgets what a watching socket has been told. 0 or -errno. */
  routesDrain(fd: number): number;
  /**
   * Index of the interface by which a packet with this mark would leave that goes from and to the addresses of an endpoint record
   * (48 bytes; no source: any), or -errno: there is no route, or the source is no address of ours.
   */
  routeInterface(fd: number, endpoint: Uint8Array, mark: number): number;

  // --- UDP -----------------------------------------------------------------------------------------------------
  /**
   * Opens a UDP socket of `family` (2 or 10; IPv6 is V6ONLY), bound to the wildcard address and `port` (0: any), in
   * the namespace of file descriptor `namespaceFd` (-1: the caller's). Sets: O_CLOEXEC, packet info and TOS/TCLASS
   * reporting, UDP_GRO (ignored if refused), large buffers (SO_RCVBUFFORCE, else SO_RCVBUF), SO_MARK if `mark`,
   * SO_REUSEPORT if `reusePort`, SO_SNDTIMEO 10 ms. Returns fd or -errno.
   */
  udpOpen(
    family: number,
    port: number,
    mark: number,
    namespaceFd: number,
    reusePort: boolean,
  ): number;
  /**
   * Opens a socket for ICMP echoes of `family` (icmp(7): SOCK_DGRAM) in the namespace of `namespaceFd` (-1: the caller's). The kernel
   * writes identifier and checksum of what is sent, and gives it the answers to that alone. Returns fd, or -errno (-EACCES: the
   * namespace's net.ipv4.ping_group_range does not have our group).
   */
  pingOpen(family: number, namespaceFd: number): number;
  /** Bound port, or -errno. */
  udpPort(fd: number): number;
  /** SO_MARK. */
  udpMark(fd: number, mark: number): number;
  /**
   * Gives the group of SO_REUSEPORT sockets that `fd` belongs to a program that chooses among them, in the order in which they were
   * bound: initiations go to the first, all else to number (least byte of the receiver index) modulo `lanes`. 0 or -errno.
   */
  udpSteer(fd: number, lanes: number): number;
  /**
   * Has the kernel throw away, for this socket, initiations without a mac2 that come from `source` (4 or 16 bytes),
   * but for one in 64 at random. Empty: nothing any more. 0 or -errno (-ENOENT: nothing to take back).
   */
  udpShed(fd: number, source: Uint8Array): number;
  /** Datagrams that the kernel dropped for this socket (SO_MEMINFO; wraps at 2^31), or -errno (before Linux 4.12). */
  udpDropped(fd: number): number;
  /** 1 if UDP_SEGMENT works on this socket, else 0. */
  udpSegments(fd: number): number;
  /**
   * One recvmmsg (MSG_DONTWAIT) of up to MESSAGES_MAX messages into the inbound region; cuts GRO'd messages into
   * datagrams; fills `received*` from 0, `messageEndpoint` (remote, and local address + interface it came to) and `messageTos`.
   * Zero-length datagrams are listed with length 0. Returns datagrams listed, 0 when there is nothing, or -errno.
   */
  udpReceive(slab: SlabHandle, fd: number): number;
  /**
   * Sends groups `first` to `first + count - 1`. A group is one endpoint and datagrams of equal length (the last may be
   * shorter): with `segment` = true each group leaves as one UDP_SEGMENT message (at most 64 datagrams and 65,000 bytes: the
   * caller sees to it), else datagram by datagram. Uses sendmmsg over groups of one family. fd4/fd6 may be -1.
   * A non-zero source address in the endpoint record goes into IP_PKTINFO / IPV6_PKTINFO; `groupTos` into IP_TOS / IPV6_TCLASS.
   * Fills groupStatus with 0 or -errno (-EAFNOSUPPORT: no socket of that family); goes on after errors. Returns the number of
   * groups whose status is not 0.
   */
  udpSend(
    slab: SlabHandle,
    fd4: number,
    fd6: number,
    first: number,
    count: number,
    segment: boolean,
  ): number;

  // --- waiting -------------------------------------------------------------------------------------------------
  eventOpen(): number;
  /** Wakes whoever waits on the eventfd. */
  eventSignal(fd: number): number;
  eventDrain(fd: number): number;
  epollOpen(): number;
  /** Adds fd for reading (EPOLLIN, level-triggered), reported as `tag` (int32). */
  epollAdd(epollFd: number, fd: number, tag: number): number;
  epollRemove(epollFd: number, fd: number): number;
  /**
   * Waits at most `timeoutMs` (fractions count; -1: for ever; 0: just look). Then fills `out` (8-byte aligned, room for one pair at
   * least) with two doubles, CLOCK_BOOTTIME and CLOCK_REALTIME in milliseconds, and from out[4] on with (tag, EPOLL* events) pairs.
   * Returns the number of pairs; EINTR gives 0.
   */
  epollWait(epollFd: number, out: Int32Array, timeoutMs: number): number;

  // --- the rest ------------------------------------------------------------------------------------------------
  /** CLOCK_BOOTTIME in milliseconds: monotonic, goes on while the machine sleeps. */
  bootTimeMs(): number;
  /** Index of a network interface by name in the caller's namespace, or -errno. */
  interfaceIndex(name: string): number;
  /** Name of a network interface by index, or -errno. */
  interfaceName(index: number): string | number;
  /** malloc_trim(3): gives the C library's free memory back to the system, where it can (glibc). */
  trimMemory(): number;
  /**
   * Who is at the other end of a Unix socket, as of its connect (SO_PEERCRED): fills out[0] = pid, out[1] = uid, out[2] = gid, and
   * from out[3] on the supplementary groups (SO_PEERGROUPS) if all have room. Numbers above 2^31 look negative. Returns how many
   * groups it filled in, or -errno; `out` holds three at least.
   */
  peerCredentials(fd: number, out: Int32Array): number;
  fdClose(fd: number): number;
  /** Sets or clears FD_CLOEXEC. */
  fdCloseOnExec(fd: number, on: boolean): number;

  // --- for tests: tunRead and tunWrite without the system calls ------------------------------------------------
  /** Lists packets as tunRead would after one read that gave `bytes`: virtio_net_hdr (10) and packet. */
  probeSplit(slab: SlabHandle, bytes: Uint8Array, mtu: number): number;
  /**
   * Writes what tunWrite would write into `out`, each write as u32 length (of the packet, host order), virtio_net_hdr, packet.
   * Returns the bytes used.
   */
  probeMerge(
    slab: SlabHandle,
    first: number,
    count: number,
    offload: number,
    out: Uint8Array,
  ): number;
}
