/**
 * The one assertion: what the program itself must keep true. Not for input from outside, which is parsed, and refused
 * by value.
 */

/** Throws an Error that names `expectation` ("what should be true") unless `condition` holds. Allocates only then. */
export function assert(condition: boolean, expectation: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${expectation}`);
}
