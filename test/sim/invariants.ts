/** What must hold in every storm, by name; storm-faults.test.ts shows of each that a storm tells when it does not. */

export const INVARIANTS = {
  nonce: "a nonce is used once under a key",
  session: "nothing is sealed but under the session in use of a peer, before it is 180 s old",
  sealed: "a transport message leaves sealed, and once",
  messages: "nothing leaves but WireGuard's messages, of their sizes",
  plaintext: "no inner packet shows in a datagram",
  once: "a packet is delivered once",
  intact: "a packet comes out as it went in",
  place: "a packet comes out at the peer that it was routed to",
  source: "a packet comes in only from the peer that has its source among the allowed IPs",
  unauthentic: "what is not authentic, or refused, changes nothing",
  own: "what a peer sends changes nothing of another peer",
  flood: "of initiations in less than 20 ms one is answered",
  queue: "handshake messages that wait are bounded",
  staging: "packets that wait are bounded",
  tables: "three keypairs and one handshake a peer at most",
  wiped: "keys that nobody holds are zero",
  again: "after the storm every pair speaks both ways within REKEY_ATTEMPT_TIME",
  large: "a session carries packets of the MTU",
  silent: "after 540 s of silence no key is left, and nothing is waited for",
  closed: "a closed tunnel leaves no secret",
} as const;

export type Invariant = keyof typeof INVARIANTS;

/** What must hold and does not. */
export class Broken extends Error {
  readonly invariant: Invariant;

  constructor(invariant: Invariant, detail: string) {
    super(`${invariant}: ${INVARIANTS[invariant]}; but ${detail}`);
    this.invariant = invariant;
  }
}

/** Throws {@link Broken} if `isTrue` is not; `detail` is asked then what is there instead. */
export function must(isTrue: boolean, invariant: Invariant, detail: () => string): asserts isTrue {
  if (!isTrue) throw new Broken(invariant, detail());
}
