// Mutants that change nothing anybody could notice, each with the proof. The run fails when an
// entry names no mutant any more, and when a test notices it after all.

/** A mutant without effect. */
export interface Equivalent {
  /** Name of the mutant. */
  mutant: string;
  /** Why no test can tell it from the product. */
  reason: string;
}

export const EQUIVALENT: Equivalent[] = [
  {
    mutant: "check care_relationships_scopes_check on public.care_relationships: without the " +
      "conjunct (array_position(scopes, NULL::text) IS NULL)",
    reason: "An array that holds a null is contained in none, so <@ refuses it first",
  },
  {
    mutant: "view private.notification_templates: security_invoker",
    reason: "It says whose rights reach what the view reads, and the view reads constants only",
  },
  {
    mutant: "view private.notification_kinds: security_invoker",
    reason: "As the one before",
  },
  {
    mutant: "view private.notification_minimal_words: security_invoker",
    reason: "As the one before",
  },
];
