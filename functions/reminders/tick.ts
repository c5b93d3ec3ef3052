// The tick: works through what is due, batch by batch, and keeps reminders worked out ahead. Each
// batch is a transaction of the database's own; between them nothing is held.

import { asWorker, type Query, type RequestContext } from "../_shared/db.ts";
import type { Deps } from "../_shared/deps.ts";
import { KEPT_AHEAD, toSchedule } from "./plan.ts";
import { readSchedule, type Recurrence, reopenSchedule } from "./recurrence.ts";
import { RuleError } from "./rrule_text.ts";

/** Rows of one transaction. */
const BATCH = 1_000;
/** Rules that are worked out between two transactions. */
const EXPANSION_BATCH = 250;
/** After so long the rest is left to the next call, which comes a minute after this one. */
const TIME_LIMIT_MS = 50_000;

/** What a call has done. */
export interface TickReport {
  claimed: number;
  sent: number;
  missed: number;
  repeated: number;
  escalated: number;
  refills: number;
  expanded: number;
  /** Whether nothing was left over for the next call. */
  is_drained: boolean;
}

/** The row behind which the next batch begins. */
interface Position {
  at: string;
  id: string;
}

const START: Position = { at: "-infinity", id: "00000000-0000-0000-0000-000000000000" };

/**
 * Does all that is due. May run any number of times at once, and be cut off anywhere: what is not
 * committed is due still.
 *
 * @throws {AppError} `unavailable`; what came before it is done.
 */
export async function tick(deps: Deps, context: RequestContext): Promise<TickReport> {
  const ends_at = deps.now() + TIME_LIMIT_MS;
  const report: TickReport = {
    claimed: 0,
    sent: 0,
    missed: 0,
    repeated: 0,
    escalated: 0,
    refills: 0,
    expanded: 0,
    is_drained: false,
  };
  const run: Run = {
    now: () => new Date(deps.now()).toISOString(),
    is_over: () => deps.now() >= ends_at,
    inTransaction: (work) => asWorker(deps.sql, "reminder_worker", context, work),
    report,
  };
  // New plans first, as something of theirs may be due; last, what the batches have used up.
  const parts = [expandReminders, tellDue, followUp, notifyRefills, expandReminders];
  report.is_drained = true;
  for (const part of parts) report.is_drained = await part(run) && report.is_drained;
  return report;
}

interface Run {
  now: () => string;
  is_over: () => boolean;
  inTransaction: <T>(work: (tx: Query) => Promise<T>) => Promise<T>;
  report: TickReport;
}

/** Each part gives whether it has come to its end. */
async function tellDue({ now, is_over, inTransaction, report }: Run): Promise<boolean> {
  let position = START;
  while (!is_over()) {
    const batch = await inTransaction(async (tx) => {
      const [row] = await tx<{
        claimed: number;
        sent: number;
        missed: number;
        at: string;
        id: string;
      }>`
        select claimed, sent, missed, last_due_at::text as at, last_id as id
        from private.tick_reminders(
          ${now()}::text::timestamptz, ${BATCH}, ${position.at}::text::timestamptz,
          ${position.id}::uuid
        )`;
      return row!;
    });
    report.claimed += batch.claimed;
    report.sent += batch.sent;
    report.missed += batch.missed;
    if (batch.claimed < BATCH) return true;
    position = batch;
  }
  return false;
}

async function followUp({ now, is_over, inTransaction, report }: Run): Promise<boolean> {
  let position = START;
  while (!is_over()) {
    const batch = await inTransaction(async (tx) => {
      const [row] = await tx<{
        claimed: number;
        repeated: number;
        missed: number;
        escalated: number;
        at: string;
        id: string;
      }>`
        select claimed, repeated, missed, escalated, last_follow_up_at::text as at, last_id as id
        from private.follow_up_reminders(
          ${now()}::text::timestamptz, ${BATCH}, ${position.at}::text::timestamptz,
          ${position.id}::uuid
        )`;
      return row!;
    });
    report.repeated += batch.repeated;
    report.missed += batch.missed;
    report.escalated += batch.escalated;
    if (batch.claimed < BATCH) return true;
    position = batch;
  }
  return false;
}

async function notifyRefills({ now, is_over, inTransaction, report }: Run): Promise<boolean> {
  while (!is_over()) {
    const [row] = await inTransaction((tx) =>
      tx<{ told: number }>`
        select private.notify_refills(${now()}::text::timestamptz, ${BATCH}) as told`
    );
    report.refills += row!.told;
    if (row!.told < BATCH) return true;
  }
  return false;
}

/** A reminder that has to be worked out; see private.reminders_to_expand. */
interface Expandable {
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

interface Expansion {
  id: string;
  token: string;
  upcoming: string[];
  is_complete: boolean;
  is_refused: boolean;
  per_day: number | null;
}

async function expandReminders({ is_over, inTransaction, report }: Run): Promise<boolean> {
  while (!is_over()) {
    const rows = await inTransaction((tx) =>
      tx<Expandable>`
        select id, token, rrule, starts_at_local, timezone, rdate, exdate, cycle_days_on,
          cycle_days_off, shift_minutes, expand_after, wanted, is_stale
        from private.reminders_to_expand(${EXPANSION_BATCH})`
    );
    if (rows.length === 0) return true;
    const expansions = JSON.stringify(rows.map(expand));
    const [row] = await inTransaction((tx) =>
      tx<{ stored: number }>`select private.store_expansions(${expansions}::jsonb) as stored`
    );
    report.expanded += row!.stored;
    // Another call has been quicker with all of them, and goes on with those that follow.
    if (row!.stored === 0) return true;
    if (rows.length < EXPANSION_BATCH) return true;
  }
  return false;
}

function expand(row: Expandable): Expansion {
  const { id, token, expand_after, wanted, is_stale } = row;
  const { rrule, starts_at_local, timezone, rdate, exdate, cycle_days_on, cycle_days_off } = row;
  let plan: Recurrence;
  try {
    const schedule = toSchedule(
      { rrule, starts_at_local, timezone, rdate, exdate, cycle_days_on, cycle_days_off },
      row.shift_minutes,
    );
    // What came by RPC has not been looked at yet.
    plan = is_stale ? readSchedule(schedule) : reopenSchedule(schedule);
  } catch (thrown) {
    if (!(thrown instanceof RuleError)) throw thrown;
    return { id, token, upcoming: [], is_complete: true, is_refused: true, per_day: null };
  }
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
