/**
 * Errors of the configuration protocol: the number that the `errno=` line prints (negative, as wireguard-go's ipc package has
 * it) and a message for our own log. A message never holds a value, nor anything that might be one: at most a key's name.
 */

/** Reading or writing failed, or a line or request is too long. EIO, asm-generic/errno-base.h. */
export const EIO = -5;
/** A value, a name or an operation's form is bad. EINVAL, asm-generic/errno-base.h. */
export const EINVAL = -22;
/** A line without `=`. EPROTO, asm-generic/errno.h. */
export const EPROTO = -71;
/** The port or the mark could not be set. EADDRINUSE, asm-generic/errno.h. */
export const EADDRINUSE = -98;
/** Anything else: ENOANO, asm-generic/errno.h, as wireguard-go chose. */
export const ENOANO = -55;

export interface UapiError {
  /** Negative. */
  readonly errno: number;
  readonly message: string;
  /** The settings of the peer before it are complete all the same: a bad `public_key` line. */
  readonly completesPeer?: true;
}

/** Longest unknown name that is repeated in a message: shorter than a key in any common notation. */
export const NAME_MAX = 32;

/** The name of a key for messages, or a placeholder when it doesn't look like a name: it may be a pasted secret. */
export function printableName(name: string): string {
  return name.length <= NAME_MAX && /^[a-z][a-z0-9_]*$/.test(name) ? name : "(unprintable)";
}
