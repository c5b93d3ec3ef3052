// From a request to a stored plan: reads the schedule, works out its next occurrences, and hands both
// to the database as the caller.

import { asCaller, type Caller, type Query } from "../_shared/db.ts";
import type { Deps } from "../_shared/deps.ts";
import { AppError } from "../_shared/errors.ts";
import { type Occurrence, readSchedule, type Recurrence, type Schedule } from "./recurrence.ts";
import { RuleError } from "./rrule_text.ts";
import type { CreateBody, UpdateBody } from "./schemas.ts";

/** Occurrences that are kept ahead with a reminder. */
export const KEPT_AHEAD = 16;

interface ScheduleFields {
  rrule: string | null;
  starts_at_local: string;
  timezone: string;
  rdate: string[];
  exdate: string[];
  cycle_days_on: number | null;
  cycle_days_off: number | null;
}

/** Brings a schedule from the form of the wire into its own. */
export function toSchedule(fields: ScheduleFields, shift_minutes: number): Schedule {
  const { cycle_days_on, cycle_days_off, ...rest } = fields;
  const cycle = cycle_days_on !== null && cycle_days_off !== null
    ? { days_on: cycle_days_on, days_off: cycle_days_off }
    : null;
  return { ...rest, cycle, shift_minutes };
}

/**
 * Reads the schedule of a request.
 *
 * @throws {AppError} `invalid_request`; its detail says what is wrong, and for a rule the position.
 */
export function readRequested(fields: ScheduleFields, shift_minutes = 0): Recurrence {
  if ((fields.cycle_days_on === null) !== (fields.cycle_days_off === null)) {
    throw refused(new RuleError("A cycle has days with and days without", 0, "cycle_days_off"));
  }
  return refusing(() => readSchedule(toSchedule(fields, shift_minutes)));
}

/**
 * Does something with a schedule of a request.
 *
 * @throws {AppError} `invalid_request`, as `readRequested`.
 */
export function refusing<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw thrown instanceof RuleError ? refused(thrown) : thrown;
  }
}

function refused({ reason, position, field }: RuleError): AppError {
  return new AppError("invalid_request", `Cannot plan: ${reason}`, {
    details: [{ path: field, message: reason, position }],
  });
}

/** What of a plan is stored beside it. */
interface Ahead {
  rrule: string | null;
  occurrences: Occurrence[];
  is_complete: boolean;
  per_day: number | null;
}

/** @param mayBeOver Whether a plan that yields nothing any more is taken. */
function lookAhead(
  fields: ScheduleFields,
  shift_minutes: number,
  now: number,
  mayBeOver = false,
): Ahead {
  const plan = readRequested(fields, shift_minutes);
  const from = new Date(now).toISOString();
  const { next, per_day } = refusing(() => ({
    next: plan.next(from, KEPT_AHEAD + 1),
    per_day: plan.perDay(from),
  }));
  if (next.length === 0 && !mayBeOver) {
    throw refused(new RuleError("Every occurrence of the rule has passed"));
  }
  return {
    rrule: plan.rrule,
    occurrences: next.slice(0, KEPT_AHEAD),
    is_complete: next.length <= KEPT_AHEAD,
    per_day,
  };
}

/** Of one that is paused; it is worked out when it goes on. */
const NOTHING_AHEAD = { occurrences: [], is_complete: false, per_day: null };

/** A stored reminder, and when it comes. */
export interface StoredReminder {
  id: string;
  occurrences: Occurrence[];
}

/**
 * Makes a reminder of the caller.
 *
 * @throws {AppError} `invalid_request`, `not_found` (medicine, caregiver), `mfa_required`.
 */
export async function createReminder(
  { sql, now }: Deps,
  caller: Caller,
  body: CreateBody,
): Promise<StoredReminder> {
  const ahead = lookAhead(body, 0, now());
  return await asCaller(sql, caller, (tx) => save(tx, null, { ...body, is_active: true }, ahead));
}

/**
 * Replaces a reminder of the caller. When it is due changes with the plan only.
 *
 * @throws {AppError} `invalid_request`, `not_found`, `mfa_required`.
 */
export async function updateReminder(
  { sql, now }: Deps,
  caller: Caller,
  id: string,
  body: UpdateBody,
): Promise<StoredReminder> {
  return await asCaller(sql, caller, async (tx) => {
    // A plan that is over and stays as it is hinders no change of its title.
    const { shift_minutes, has_this_plan } = await readStored(tx, id, body);
    const ahead = body.is_active
      ? lookAhead(body, shift_minutes, now(), has_this_plan)
      : { ...NOTHING_AHEAD, rrule: readRequested(body, shift_minutes).rrule };
    return await save(tx, id, body, ahead);
  });
}

/** Stores a reminder by the body that the RPC `create_reminder` (id null) and `update_reminder` share. */
async function save(
  tx: Query,
  id: string | null,
  body: UpdateBody,
  { rrule, occurrences, is_complete, per_day }: Ahead,
): Promise<StoredReminder> {
  const upcoming = occurrences.map(({ due_at }) => due_at);
  const [row] = await tx<{ id: string }>`
    select private.save_reminder(
      p_id => ${id}::uuid,
      p_title => ${body.title},
      p_reminder_type => ${body.reminder_type},
      p_starts_at_local => ${body.starts_at_local}::text::timestamp,
      p_timezone => ${body.timezone},
      p_rrule => ${rrule},
      p_description => ${body.description},
      p_rdate => array(select value::timestamp from json_array_elements_text(${
    JSON.stringify(body.rdate)
  }::json)),
      p_exdate => array(select value::timestamp from json_array_elements_text(${
    JSON.stringify(body.exdate)
  }::json)),
      p_cycle_days_on => ${body.cycle_days_on},
      p_cycle_days_off => ${body.cycle_days_off},
      p_is_active => ${body.is_active},
      p_grace_minutes => ${body.grace_minutes},
      p_repeat_every_minutes => ${body.repeat_every_minutes},
      p_max_repeats => ${body.max_repeats},
      p_escalate_to => ${body.escalate_to}::uuid,
      p_medication_id => ${body.medication_id}::uuid,
      p_upcoming => array(select value::timestamptz from json_array_elements_text(${
    JSON.stringify(upcoming)
  }::json)),
      p_is_complete => ${is_complete},
      p_per_day => ${per_day}
    ) as id`;
  if (!row) throw new Error("private.save_reminder gave no row");
  return { id: row.id, occurrences };
}

async function readStored(
  tx: Query,
  id: string,
  plan: ScheduleFields,
): Promise<{ shift_minutes: number; has_this_plan: boolean }> {
  const [row] = await tx<{ shift_minutes: number; has_this_plan: boolean }>`
    select
      r.shift_minutes,
      (
        r.rrule, r.starts_at_local, r.timezone, r.rdate, r.exdate, r.cycle_days_on, r.cycle_days_off
      ) is not distinct from (
        ${plan.rrule?.toUpperCase() ?? null}::text, ${plan.starts_at_local}::text::timestamp,
        ${plan.timezone}::text,
        array(select value::timestamp from json_array_elements_text(${
    JSON.stringify(plan.rdate)
  }::json)),
        array(select value::timestamp from json_array_elements_text(${
    JSON.stringify(plan.exdate)
  }::json)),
        ${plan.cycle_days_on}::integer, ${plan.cycle_days_off}::integer
      ) as has_this_plan
    from public.reminders as r
    where r.id = ${id}::uuid and r.user_id = auth.uid()`;
  if (!row) throw new AppError("not_found", "No reminder with this id");
  return row;
}
