// Working out ahead what a stored reminder yields next, for the tick.

import { KEPT_AHEAD, toSchedule } from "./plan.ts";
import { readSchedule, reopenSchedule } from "./recurrence.ts";
import { RuleError } from "./rrule_text.ts";

/** A reminder that has to be worked out; see private.reminders_to_expand. */
export interface Expandable {
  id: string;
  token: string;
  rrule: string | null;
  starts_at_local: string;
  timezone: string;
  rdate: string[];
  exdate: string[];
  cycle_days_on: number | null;
  cycle_days_off: number | null;
  shift_minutes: number;
  expand_after: string;
  wanted: number;
  is_stale: boolean;
}

/** What was worked out; see private.store_expansions. */
export interface Expansion {
  id: string;
  token: string;
  upcoming: string[];
  is_complete: boolean;
  is_refused: boolean;
  per_day: number | null;
}

/** Works out as many occurrences as are wanted. A plan that cannot be followed is refused. */
export function expand(row: Expandable): Expansion {
  try {
    return workOut(row);
  } catch (thrown) {
    if (thrown instanceof RuleError) return stopped(row);
    throw thrown;
  }
}

function workOut(row: Expandable): Expansion {
  const { id, token, expand_after, wanted, is_stale } = row;
  const schedule = toSchedule(row, row.shift_minutes);
  // What came by RPC without occurrences has not been looked at yet.
  const plan = is_stale ? readSchedule(schedule) : reopenSchedule(schedule);
  const next = plan.next(expand_after, Math.min(wanted, KEPT_AHEAD) + 1);
  return {
    id,
    token,
    upcoming: next.slice(0, wanted).map(({ due_at }) => due_at),
    is_complete: next.length <= wanted,
    is_refused: false,
    per_day: is_stale ? plan.perDay(expand_after) : null,
  };
}

/** Of a plan that cannot be followed: its reminder stops, and its owner is told. */
export function stopped({ id, token }: Expandable): Expansion {
  return { id, token, upcoming: [], is_complete: true, is_refused: true, per_day: null };
}
