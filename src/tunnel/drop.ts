/**
 * Why a packet was dropped: small integers, one counter each. The list is the documentation: `wirehaul status` and
 * docs/drops.md show these names.
 */

/** Names and meaning, in the order of their numbers. Append only. */
export const DROP_REASONS = [
  ["badType", "datagram whose first word is no message type"],
  ["badSize", "datagram whose size does not fit its type"],
  ["noIdentity", "handshake message while no private key is set"],
  ["badMac1", "handshake message whose mac1 is not for our key"],
  ["badHandshake", "handshake message that is not authentic, replayed, or from an unknown key"],
  ["handshakeQueueFull", "handshake message while the queue was full"],
  ["rateLimited", "handshake message above its source's rate, under load"],
  ["cookieDemanded", "handshake message answered with a cookie reply, under load"],
  ["badCookieReply", "cookie reply that is not authentic or was not awaited"],
  ["unknownIndex", "message for a receiver index that we have not given out"],
  ["expiredKey", "transport message under a key that is too old"],
  ["counterExhausted", "transport message with a counter beyond the protocol's limit"],
  ["badTag", "transport message that is not authentic"],
  ["replay", "transport message that was received before, or too long ago"],
  ["badInner", "decrypted packet that is no IP packet, or shorter than it says"],
  ["wrongSource", "decrypted packet from a source that is not among its peer's allowed IPs"],
  ["badEcn", "decrypted packet marked congested though its sender does not speak ECN (RFC 6040)"],
  ["noRoute", "packet to a destination in no peer's allowed IPs"],
  ["noEndpoint", "packet to a peer whose endpoint is not known"],
  ["badOutgoing", "packet from the TUN device that is no IP packet"],
  ["stagedOverflow", "oldest waiting packet of a peer, pushed out by a newer one"],
  ["stagedExpired", "waiting packets of a peer that did not answer in time, or went away"],
  ["stagedMemory", "packet that could not wait: the lane's memory for waiting packets was full"],
  ["interfaceDown", "packet while the interface was down"],
  ["sendFailed", "datagram that the kernel refused to send"],
  ["tunRefused", "packet that the kernel refused to take from us"],
  ["routingLoop", "message of ours to a peer that a route leads back into the tunnel to that peer"],
] as const;

export type DropName = (typeof DROP_REASONS)[number][0];

/** Number of each reason. */
export const Drop: Readonly<Record<DropName, number>> = Object.fromEntries(
  DROP_REASONS.map(([name], index) => [name, index]),
) as Record<DropName, number>;

/** A fresh set of counters, one per reason. Doubles: they do not wrap. */
export function dropCounters(): Float64Array {
  return new Float64Array(DROP_REASONS.length);
}
