/**
 * Measures how long a mapping of the NAT or firewall before us lives in silence: a fresh socket asks to be answered after the silence, so
 * that its mapping is as young as that of a WireGuard session that has just begun, and many do so at once.
 */
import { Asker, freshNonce } from "./asker.ts";
import { type Bounds, learn, NOTHING_TRIED, nextRound, type Trial } from "./lifetime.ts";
import { ACCEPTED, LATER, WOKEN } from "./message.ts";
import type { Contact, Place } from "./probe.ts";

/** Ours: what a packet may be late. */
const GRACE_MS = 1_000;
/** Ours: one lost packet makes no mapping look dead. */
const COPIES = 2;

/** What {@link sit} brings: "untried" if the responder did not promise to answer. */
type Fate = "lived" | "died" | "untried";

/** Ends within six minutes, or when told to; undefined: the responder answers no longer, or was asked too much. */
export async function measureLifetime(
  place: Place,
  contact: Contact,
  signal: AbortSignal,
): Promise<Bounds | undefined> {
  let bounds = NOTHING_TRIED;
  for (let round = 0; ; round++) {
    const silences = nextRound(bounds, round);
    if (silences.length === 0) return bounds;
    const trials = await tryAll(place, contact, silences, signal);
    if (signal.aborted) return undefined;
    if (trials.length === 0) return round === 0 ? undefined : bounds;
    bounds = learn(bounds, trials);
  }
}

/** Tries silences (ascending) at once; when one is found to be too long, longer ones are given up. */
async function tryAll(
  place: Place,
  contact: Contact,
  silences: readonly number[],
  signal: AbortSignal,
): Promise<Trial[]> {
  const enough = new AbortController();
  const either = AbortSignal.any([signal, enough.signal]);
  const trials: Trial[] = [];
  await Promise.all(
    silences.map(async (silenceMs) => {
      const copies = Array.from({ length: COPIES }, () => sit(place, contact, silenceMs, either));
      const fates = await Promise.all(copies);
      const hasLived = fates.includes("lived");
      if (!hasLived && !fates.includes("died")) return;
      trials.push({ silenceMs, hasLived });
      if (!hasLived) enough.abort();
    }),
  );
  return trials;
}

async function sit(
  place: Place,
  { to, cookie }: Contact,
  silenceMs: number,
  signal: AbortSignal,
): Promise<Fate> {
  const asker = await Asker.open({ ...place, port: 0 }).catch(() => undefined);
  if (asker === undefined) return "untried";
  try {
    const woken = new AbortController();
    const later = { kind: LATER, cookie, port: 0, delayMs: silenceMs } as const;
    const answer = await asker.ask(to, later, signal, freshNonce(), ({ kind }) => {
      if (kind === WOKEN) woken.abort();
    });
    if (answer?.kind !== ACCEPTED) return "untried";
    await place.clock.wait(silenceMs + GRACE_MS, AbortSignal.any([signal, woken.signal]));
    if (woken.signal.aborted) return "lived";
    return signal.aborted ? "untried" : "died";
  } catch {
    return "untried";
  } finally {
    asker.close();
  }
}
