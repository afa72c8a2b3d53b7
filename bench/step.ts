/** One thing that `micro` measures. */
export interface Step {
  readonly name: string;
  /** Operations that one call does. */
  readonly count: number;
  readonly run: () => void;
}

/** A result that is not what it must be would make the figure worthless. */
export function mustBe(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Error(`bench micro: ${what}`);
}
