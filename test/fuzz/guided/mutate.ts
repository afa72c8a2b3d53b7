/** Makes a new input from those there are. All chance comes from the dice. */
import type { Dice } from "../../sim/dice.ts";

const INTERESTING = [0, 1, 2, 3, 4, 7, 8, 15, 16, 20, 31, 32, 40, 63, 64, 127, 128, 254, 255];

/** What mutations draw from. */
export interface Stock {
  readonly others: readonly Uint8Array[];
  readonly dictionary: readonly Uint8Array[];
  readonly maxBytes: number;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function insertion(input: Uint8Array, at: number, piece: Uint8Array): Uint8Array {
  return joined(input.subarray(0, at), piece, input.subarray(at));
}

/** A piece of `input`: short mostly. */
function piece(input: Uint8Array, dice: Dice): Uint8Array {
  if (input.length === 0) return input;
  const at = dice.below(input.length);
  const most = dice.chance(0.8) ? 16 : input.length;
  return input.slice(at, at + 1 + dice.below(most));
}

/** A line of `input` with its end: text is repeated and moved line by line. */
function line(input: Uint8Array, dice: Dice): { readonly start: number; readonly end: number } {
  const at = dice.below(input.length + 1);
  const start = at === 0 ? 0 : input.lastIndexOf(10, at - 1) + 1;
  const feed = input.indexOf(10, start);
  return { start, end: feed < 0 ? input.length : feed + 1 };
}

type Step = (input: Uint8Array, stock: Stock, dice: Dice) => Uint8Array;

const STEPS: readonly Step[] = [
  function flipBit(input, _stock, dice) {
    if (input.length > 0) input[dice.below(input.length)]! ^= 1 << dice.below(8);
    return input;
  },
  function setByte(input, _stock, dice) {
    const value = dice.chance(0.5) ? dice.pick(INTERESTING) : dice.below(256);
    if (input.length > 0) input[dice.below(input.length)] = value;
    return input;
  },
  function addToByte(input, _stock, dice) {
    if (input.length > 0) input[dice.below(input.length)]! += dice.below(33) - 16;
    return input;
  },
  function insertBytes(input, _stock, dice) {
    const bytes = dice.bytes(1 + dice.below(dice.chance(0.8) ? 4 : 32));
    return insertion(input, dice.below(input.length + 1), bytes);
  },
  function removeBytes(input, _stock, dice) {
    const at = dice.below(input.length + 1);
    const count = 1 + dice.below(dice.chance(0.8) ? 8 : input.length + 1);
    return joined(input.subarray(0, at), input.subarray(at + count));
  },
  function repeatPiece(input, _stock, dice) {
    return insertion(input, dice.below(input.length + 1), piece(input, dice));
  },
  function insertOther(input, { others }, dice) {
    const other = others.length > 0 ? dice.pick(others) : input;
    return insertion(input, dice.below(input.length + 1), piece(other, dice));
  },
  function splice(input, { others }, dice) {
    const other = others.length > 0 ? dice.pick(others) : input;
    const from = other.subarray(dice.below(other.length + 1));
    return joined(input.subarray(0, dice.below(input.length + 1)), from);
  },
  function insertWord(input, { dictionary }, dice) {
    if (dictionary.length === 0) return input;
    return insertion(input, dice.below(input.length + 1), dice.pick(dictionary));
  },
  function overwriteWord(input, { dictionary }, dice) {
    if (dictionary.length === 0) return input;
    const word = dice.pick(dictionary);
    const at = dice.below(input.length + 1);
    return joined(input.subarray(0, at), word, input.subarray(at + word.length));
  },
  function repeatLine(input, _stock, dice) {
    const { start, end } = line(input, dice);
    return insertion(input, line(input, dice).start, input.slice(start, end));
  },
  function removeLine(input, _stock, dice) {
    const { start, end } = line(input, dice);
    return joined(input.subarray(0, start), input.subarray(end));
  },
];

/** A changed copy of `input`: one step or several. */
export function mutate(input: Uint8Array, stock: Stock, dice: Dice): Uint8Array {
  let mutated: Uint8Array = input.slice();
  const steps = 1 << dice.below(4);
  for (let step = 0; step < steps; step++) mutated = dice.pick(STEPS)(mutated, stock, dice);
  return mutated.length > stock.maxBytes ? mutated.slice(0, stock.maxBytes) : mutated;
}
