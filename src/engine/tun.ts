/**
 * Making a TUN interface, with an answer for each way in which it can fail: which right, device or name is the matter, and
 * what to do about it.
 */
import { withoutKeys } from "../bytes/secret-text.ts";
import { errnoName } from "../io/errno.ts";
import type { Native } from "../io/native.ts";

/** linux/if.h IFNAMSIZ less the terminator. */
export const NAME_BYTES_MAX = 15;

/** NUL, "/", ":" and white space to the kernel, whose isspace (lib/ctype.c) has 0xa0: a byte of some letters in UTF-8. */
const BYTES_REFUSED: readonly number[] = [0, 0x2f, 0x3a, 0x20, 9, 10, 11, 12, 13, 0xa0];

/** Why a name cannot be an interface's, or undefined if it can (net/core/dev.c dev_valid_name). */
export function nameProblem(name: string): string | undefined {
  if (typeof name !== "string" || name === "") return "the interface name is empty";
  const bytes = new TextEncoder().encode(name);
  if (bytes.length > NAME_BYTES_MAX) {
    return `the interface name "${withoutKeys(name)}" has ${bytes.length} bytes, Linux allows ${NAME_BYTES_MAX}: use a shorter one`;
  }
  if (name === "." || name === ".." || bytes.some((byte) => BYTES_REFUSED.includes(byte))) {
    return `"${name}" cannot be an interface name: it holds "/", ":" or white space, or is a dot`;
  }
  if (name.includes("%") && !/^[^%]*%d[^%]*$/.test(name)) {
    return `"${name}" cannot be an interface name: only one "%d" may stand in it`;
  }
  return undefined;
}

/** Descriptors of an interface, one a queue, and the name that the kernel gave it. */
export interface Tun {
  readonly fds: readonly number[];
  readonly name: string;
}

/**
 * Makes an interface with its MTU and so many queues, in the namespace of a descriptor (-1: this process's). The descriptors are the
 * caller's.
 */
export function createTun(
  native: Native,
  name: string,
  mtu: number,
  queues = 1,
  namespaceFd = -1,
): Tun {
  const problem = nameProblem(name);
  if (problem !== undefined) throw new Error(problem);
  const fds: number[] = [];
  try {
    const first = native.tunOpen(name, queues > 1, namespaceFd);
    if (first < 0) throw new Error(explain(name, first));
    fds.push(first);
    const real = native.tunName(first);
    if (typeof real !== "string") {
      throw new Error(`the new interface cannot be asked for its name: ${errnoName(real)}`);
    }
    while (fds.length < queues) {
      const fd = native.tunOpen(real, true, namespaceFd);
      if (fd < 0) throw new Error(`${real} gets no ${fds.length + 1}. queue: ${errnoName(fd)}`);
      fds.push(fd);
    }
    const status = setMtu(native, first, mtu);
    if (status < 0) {
      throw new Error(`the MTU of ${real} cannot be set to ${mtu}: ${errnoName(status)}`);
    }
    return { fds, name: real };
  } catch (error) {
    for (const fd of fds) native.fdClose(fd);
    throw error;
  }
}

/** Ours: how often a new interface is followed that others move between namespaces. */
const MOVES_MAX = 8;

/** 0 or -errno. Whoever waits for the interface may move it at once, also between the two steps. */
function setMtu(native: Native, fd: number, mtu: number): number {
  let status = 0;
  for (let move = 0; move < MOVES_MAX; move++) {
    const link = native.linkOpen(fd);
    if (link < 0) return link;
    status = native.linkSetMtu(link, fd, mtu);
    native.fdClose(link);
    if (errnoName(status) !== "ENODEV") break;
  }
  return status;
}

/** The name of the interface behind a descriptor that was given to us. */
export function givenTunName(native: Native, fd: number): string {
  const name = native.tunName(fd);
  if (typeof name === "string") return name;
  throw new Error(`descriptor ${fd} is not a TUN interface (${errnoName(name)})`);
}

function explain(name: string, status: number): string {
  const errno = errnoName(status);
  switch (errno) {
    case "EACCES":
      return `no right to open /dev/net/tun (${errno}): run as root or give CAP_NET_ADMIN and, to this user, the device ("chmod 0666 /dev/net/tun" is what udev does)`;
    case "EPERM":
      return `no right to make the interface ${name} (${errno}): run as root or give CAP_NET_ADMIN; in a container or unit, allow the device /dev/net/tun too`;
    case "ENOENT":
    case "ENXIO":
    case "ENODEV":
      return `there is no /dev/net/tun (${errno}): load the module with "modprobe tun", or give the device to this container`;
    case "ENOTTY":
      return `/dev/net/tun is not the TUN device (${errno}): make it with "mknod /dev/net/tun c 10 200"`;
    case "EBUSY":
    case "EEXIST":
      return `the interface ${name} exists already (${errno}): choose another name, or remove it with "ip link del ${name}"`;
    case "EINVAL":
      return `the interface ${name} cannot be made (${errno}): an interface of this name that is no TUN device may exist already, see "ip link show ${name}"`;
    default:
      return `the interface ${name} cannot be made: ${errno}`;
  }
}
