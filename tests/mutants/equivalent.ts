// Mutants that change nothing anybody could notice, each with the proof. The run fails when an entry
// names no mutant any more, and when a test notices it after all.

/** A mutant without effect. */
export interface Equivalent {
  /** Name of the mutant. */
  mutant: string;
  /** Why no test can tell it from the product. */
  reason: string;
}

export const EQUIVALENT: Equivalent[] = [];
