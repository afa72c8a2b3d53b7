/** Makes an input smaller as long as it keeps what it is wanted for. */

/** Ours: tries of one minimisation. A replay takes a millisecond or so. */
const TRIES_MAX = 3_000;

/**
 * A smaller input for which `keeps` is still true: first pieces go, halves to single bytes, then bytes become zero. `keeps(input)`
 * must be true.
 */
export function minimise(
  input: Uint8Array,
  keeps: (candidate: Uint8Array) => boolean,
  triesMax: number = TRIES_MAX,
): Uint8Array {
  let best = input;
  let tries = 0;
  const isKept = (candidate: Uint8Array): boolean => {
    if (tries >= triesMax) return false;
    tries++;
    return keeps(candidate);
  };
  for (let isSmaller = true; isSmaller && tries < triesMax; ) {
    isSmaller = false;
    for (let size = best.length; size >= 1; size = Math.floor(size / 2)) {
      for (let at = 0; at < best.length; ) {
        const candidate = new Uint8Array(best.length - Math.min(size, best.length - at));
        candidate.set(best.subarray(0, at));
        candidate.set(best.subarray(at + size), at);
        if (isKept(candidate)) {
          best = candidate;
          isSmaller = true;
        } else {
          at += size;
        }
      }
    }
  }
  for (let at = 0; at < best.length; at++) {
    if (best[at] === 0) continue;
    const candidate = best.slice();
    candidate[at] = 0;
    if (isKept(candidate)) best = candidate;
  }
  return best;
}
