/**
 * One probe in one family: where responders see us, and whether a packet from a port of theirs that we never spoke to arrives on a port of
 * ours that never spoke at all.
 */
import type { Clock } from "../../linux/clock.ts";
import { Asker, freshNonce, NO_COOKIE } from "./asker.ts";
import { type Finding, type Judgement, judge } from "./judge.ts";
import { ACCEPTED, ECHO, REACH, REACHED, REFUSED, SEEN, type SocketAddress } from "./message.ts";
import { addressesOf, type ResponderName } from "./responder-name.ts";

export interface Place {
  readonly clock: Clock;
  readonly family: 4 | 6;
  /** Of WireGuard's sockets; undefined: this process's. */
  readonly namespace: string | undefined;
}

export interface ProbeOptions extends Place {
  readonly responders: readonly ResponderName[];
  /** Networks' listen ports come from here, so the silent port does, too: a firewall may be open for just these. */
  readonly portRange: readonly [number, number];
  readonly signal: AbortSignal;
}

/** A responder that answers. */
export interface Contact {
  readonly name: string;
  readonly to: SocketAddress;
  readonly cookie: Uint8Array;
}

export interface Probed extends Judgement {
  /** Responders that answered. */
  readonly contacts: readonly Contact[];
}

/** Ours: with a packet in a hundred lost, one probe in 10^8 fails for that. */
const REACH_TRIES = 4;
/** Ours: beyond the time in which "accepted" came; both took the same way. */
const REACH_WAIT_MS = 700;
const PORT_TRIES = 32;

interface Heard extends Finding {
  readonly contact: Contact | undefined;
}

/** Takes some seconds. Rejects if the namespace or the family is not there. */
export async function probe(options: ProbeOptions): Promise<Probed> {
  const { responders, family, signal } = options;
  const found = Promise.all(
    responders.map(async (name) =>
      (await addressesOf(name, family)).map((to) => ({ name: name.text, to })),
    ),
  );
  // Name servers may take their time.
  const targets = (await Promise.race([found, aborted(signal)])).flat();
  if (targets.length === 0) return { ...judge([], 0), contacts: [] };
  const asker = await Asker.open({ ...options, port: 0 });
  let silent: Asker | undefined;
  try {
    const listener = await openSilent(options);
    silent = listener;
    const heard = await Promise.all(
      targets.map(({ name, to }) => hear(name, to, asker, listener, options)),
    );
    const contacts = heard.flatMap(({ contact }) => (contact === undefined ? [] : [contact]));
    return { ...judge(heard, listener.port), contacts };
  } finally {
    asker.close();
    silent?.close();
  }
}

function aborted(signal: AbortSignal): Promise<[]> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve([]);
    signal.addEventListener("abort", () => resolve([]), { once: true });
  });
}

/**
 * A listen port that no network has: it is in use for some seconds, during which a network that wants just this one is told so. On it
 * nothing is ever sent.
 */
async function openSilent(options: ProbeOptions): Promise<Asker> {
  const { portRange, clock } = options;
  const [first, last] = portRange;
  for (let tries = 1; ; tries++) {
    const port = first + Math.floor(clock.random() * (last - first + 1));
    try {
      return await Asker.open({ ...options, port });
    } catch (error) {
      if ((error as { code?: string }).code !== "EADDRINUSE" || tries === PORT_TRIES) throw error;
    }
  }
}

async function hear(
  responder: string,
  to: SocketAddress,
  asker: Asker,
  silent: Asker,
  { clock, signal }: ProbeOptions,
): Promise<Heard> {
  const nothing = { responder, seen: undefined, isReached: undefined, contact: undefined };
  const echo = { kind: ECHO, cookie: NO_COOKIE, port: 0, delayMs: 0 } as const;
  try {
    const answer = await asker.ask(to, echo, signal);
    if (answer?.kind !== SEEN) return { ...nothing, fault: "no answer" };
    const { seen, cookie } = answer;
    const known = { ...nothing, seen, contact: { name: responder, to, cookie } };
    const nonce = freshNonce();
    const arrived = new AbortController();
    silent.listen(nonce, ({ kind }) => {
      if (kind === REACHED) arrived.abort();
    });
    const reach = { kind: REACH, cookie, port: silent.port, delayMs: 0 } as const;
    for (let tries = 0; tries < REACH_TRIES; tries++) {
      const accepted = await asker.ask(to, reach, signal, nonce);
      const isReached = arrived.signal.aborted;
      if (isReached) return { ...known, isReached, fault: undefined };
      if (accepted?.kind === REFUSED) return { ...known, fault: "it refused" };
      if (accepted?.kind !== ACCEPTED) return { ...known, fault: "no answer any more" };
      await clock.wait(REACH_WAIT_MS, AbortSignal.any([signal, arrived.signal]));
      if (arrived.signal.aborted) return { ...known, isReached: true, fault: undefined };
    }
    return { ...known, isReached: signal.aborted ? undefined : false, fault: "interrupted" };
  } catch (error) {
    return { ...nothing, fault: (error as Error).message };
  }
}
