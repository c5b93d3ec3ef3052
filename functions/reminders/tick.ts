// The tick: works through what is due, batch by batch, and keeps reminders worked out ahead. Each
// batch is a transaction of the database's own; between them nothing is held.

import { asWorker, type Query, type RequestContext } from "../_shared/db.ts";
import type { Deps } from "../_shared/deps.ts";
import { describeFault } from "../_shared/log.ts";
import { expand, type Expandable, type Expansion, stopped } from "./expansion.ts";

/** Rows of one transaction. */
export const BATCH = 1_000;
/** Connections on which a call tells what is due: the database has more than one processor. */
export const LANES = 2;
/** Rules that are worked out between two transactions. */
const EXPANSION_BATCH = 250;
/** For how long a call works rules out: hosted functions may compute for two seconds a request. */
const EXPANSION_LIMIT_MS = 1_000;
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

/** What a part needs of the call that it belongs to. */
interface Run {
  deps: Pick<Deps, "now" | "log">;
  context: RequestContext;
  inTransaction: <T>(work: (tx: Query) => Promise<T>) => Promise<T>;
  report: TickReport;
  /** How long rules have been worked out for. */
  expanded_ms: number;
}

/** Does one batch; gives whether there may be more. */
type Part = (run: Run) => Promise<boolean>;

/**
 * Does all that is due. May run any number of times at once, and be cut off anywhere: what is not
 * committed is due still.
 *
 * The parts take turns by batches, so that however much one of them has to do, it holds up no other.
 * Rules are worked out for a second in all; what is left of them is the next call's.
 *
 * @throws {AppError} `unavailable`; what came before it is done.
 */
export async function tick(
  { now, log, sql }: Pick<Deps, "now" | "log" | "sql">,
  context: RequestContext,
): Promise<TickReport> {
  const ends_at = now() + TIME_LIMIT_MS;
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
    deps: { now, log },
    context,
    inTransaction: (work) => asWorker(sql, "reminder_worker", context, work),
    report,
    expanded_ms: 0,
  };
  const parts: Part[] = [tellDue(), followUp(), notifyRefills, expandReminders];
  while (now() < ends_at) {
    // What was worked out may be due: a round in which all parts found nothing more is the last.
    let is_more = false;
    for (const part of parts) is_more = await part(run) || is_more;
    if (is_more) continue;
    report.is_drained = run.expanded_ms < EXPANSION_LIMIT_MS;
    break;
  }
  return report;
}

/** The row behind which the next batch begins. */
export interface Position {
  at: string;
  id: string;
}

/** What the database says of a batch: its size, its last row, and what of the report it adds to. */
type Batch = Position & { claimed: number } & Partial<Omit<TickReport, "claimed" | "is_drained">>;

export const START: Position = { at: "-infinity", id: "00000000-0000-0000-0000-000000000000" };

function toTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

/**
 * Behind which rows the next batches begin, one in each lane; none when everything is claimed. A lane
 * that was not full has seen the end, and leaves what is left to be found behind the others.
 */
export function nextPositions(
  batches: (Position & { claimed: number })[],
  lanes: number,
): Position[] {
  const full = batches.filter(({ claimed }) => claimed === BATCH);
  if (full.length === 0) return [];
  return Array.from({ length: lanes }, (_, lane) => full[lane % full.length]!);
}

/**
 * A part whose batches follow each other through an index, so many at a time, and begin anew after the
 * last. As a rule little is due, so that the first batch is one alone. It also is what walks past
 * whatever the index still has of earlier times, which is much while somebody's transaction stays open.
 */
function inOrder(
  take: (tx: Query, now: string, after: Position) => Promise<Batch[]>,
  counted: Exclude<keyof TickReport, "is_drained">[],
  lanes = 1,
): Part {
  let positions = [START];
  return async ({ deps, inTransaction, report }) => {
    const now = toTime(deps.now());
    const batches = await Promise.all(positions.map(async (after) => {
      const [batch] = await inTransaction((tx) => take(tx, now, after));
      for (const name of counted) report[name] += batch![name]!;
      return batch!;
    }));
    const next = nextPositions(batches, lanes);
    positions = next.length > 0 ? next : [START];
    return next.length > 0;
  };
}

function tellDue(): Part {
  return inOrder(
    (tx, now, { at, id }) =>
      tx<Batch>`
      select claimed, sent, missed, last_due_at::text as at, last_id as id
      from private.tick_reminders(
        ${now}::text::timestamptz, ${BATCH}, ${at}::text::timestamptz, ${id}::uuid
      )`,
    ["claimed", "sent", "missed"],
    LANES,
  );
}

function followUp(): Part {
  return inOrder((tx, now, { at, id }) =>
    tx<Batch>`
      select claimed, repeated, missed, escalated, last_follow_up_at::text as at, last_id as id
      from private.follow_up_reminders(
        ${now}::text::timestamptz, ${BATCH}, ${at}::text::timestamptz, ${id}::uuid
      )`, ["repeated", "missed", "escalated"]);
}

async function notifyRefills({ deps, inTransaction, report }: Run): Promise<boolean> {
  const [batch] = await inTransaction((tx) =>
    tx<{ told: number }>`
      select private.notify_refills(${toTime(deps.now())}::text::timestamptz, ${BATCH}) as told`
  );
  report.refills += batch!.told;
  return batch!.told === BATCH;
}

async function expandReminders(run: Run): Promise<boolean> {
  if (run.expanded_ms >= EXPANSION_LIMIT_MS) return false;
  const rows = await run.inTransaction((tx) =>
    tx<Expandable>`
      select id, token, rrule, starts_at_local, timezone, rdate, exdate, cycle_days_on,
        cycle_days_off, shift_minutes, expand_after, wanted, is_stale
      from private.reminders_to_expand(${EXPANSION_BATCH})`
  );
  const expansions = expandInTime(rows, run);
  if (expansions.length === 0) return false;
  const [batch] = await run.inTransaction((tx) =>
    tx<{ stored: number }>`
      select private.store_expansions(${JSON.stringify(expansions)}::jsonb) as stored`
  );
  run.report.expanded += batch!.stored;
  // None: another call has been quicker with all of them, and goes on with those that follow.
  return batch!.stored > 0;
}

/** Works rows out until the time for it is over. */
function expandInTime(rows: Expandable[], run: Run): Expansion[] {
  const { deps, context } = run;
  const expansions: Expansion[] = [];
  for (const row of rows) {
    if (run.expanded_ms >= EXPANSION_LIMIT_MS) break;
    const began = deps.now();
    try {
      expansions.push(expand(row));
    } catch (thrown) {
      // One plan that nobody foresaw must not stop those of all others.
      deps.log({
        timestamp: toTime(deps.now()),
        level: "error",
        request_id: context.request_id,
        function: "reminders",
        fault: describeFault(thrown),
      });
      expansions.push(stopped(row));
    }
    run.expanded_ms += deps.now() - began;
  }
  return expansions;
}
