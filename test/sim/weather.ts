/** The weather of a storm: how likely what goes wrong. Drawn from the seed; nothing here does anything. */
import type { Dice } from "./dice.ts";

/** Shares are of 1; of what happens to datagrams, per datagram; of trouble, forgery and mischief, per step. */
export interface Weather {
  loss: number;
  doubled: number;
  /** At most; which reorders. */
  delayMs: number;
  /** Cut short on the way. */
  cut: number;
  /** A forged datagram beside a true one. */
  forged: number;
  /** An old one repeated, beside a true one. */
  replayed: number;
  /** Notes between lanes that are late. */
  lateNotes: number;
  trouble: number;
  /** What the peer does that breaks the rules. */
  mischief: number;
}

export function drawWeather(dice: Dice): Weather {
  return {
    loss: dice.pick([0, 0.05, 0.3, 0.7]),
    doubled: dice.pick([0, 0.1, 0.5]),
    delayMs: dice.pick([0, 50, 600, 3_000]),
    cut: dice.pick([0, 0, 0.1]),
    forged: dice.pick([0, 0.05, 0.3]),
    replayed: dice.pick([0, 0.05, 0.2]),
    lateNotes: dice.pick([0, 0.5]),
    trouble: dice.pick([0, 0.04, 0.12]),
    mischief: dice.pick([0, 0.1, 0.3]),
  };
}

/** Nothing goes wrong any more. */
export const CALM: Weather = {
  loss: 0,
  doubled: 0,
  delayMs: 0,
  cut: 0,
  forged: 0,
  replayed: 0,
  lateNotes: 0,
  trouble: 0,
  mischief: 0,
};
