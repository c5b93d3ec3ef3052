// When a reminder is due: a rule of RFC 5545 on wall-clock time, and the instants that it means in a
// time zone. Recurrence itself is the library's (rrule-temporal, on Temporal).

import { RRuleTemporal } from "rrule-temporal";
import { Temporal } from "temporal-polyfill";
import { readRuleText, RuleError, type RuleText } from "./rrule_text.ts";

/** Most occurrences of one local day. */
export const MAX_PER_DAY = 96;
/** Most dates in each of RDATE and EXDATE. */
export const MAX_DATES = 100;

/** Days from the first occurrence in which the busiest one is looked for: a leap year and a month. */
const CHECKED_DAYS = 397;
/** And at most so many occurrences, which of the densest rule are 50 days. */
const CHECKED_OCCURRENCES = 5_000;
/** Days that the doses of a day are averaged over: three cycles of 21 days on and 7 off. */
const AVERAGED_DAYS = 84;
/**
 * Periods without an occurrence after which a rule counts as having no more, and all the periods that
 * a rule with COUNT may take.
 */
const MAX_PERIODS = 10_000;
const MAX_COUNTED_PERIODS = 25_000;
/** Beyond it nobody plans; a rule of every thousandth year ends here. */
const LAST_YEAR = 2199;
const LAST_MS = Date.UTC(LAST_YEAR + 1, 0, 1);
const DAY_MS = 86_400_000;
const LONGEST_STRETCH_DAYS = 64;

/** Names of the IANA database; abbreviations and offsets are no zones. As private.is_timezone. */
const ZONE_NAME = /^(UTC|Etc\/GMT[+-]\d{1,2}|[A-Z][A-Za-z_+-]+(\/[A-Za-z_+-]+)+)$/;
const LOCAL_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$/;

/** Wall-clock times without zone are written `2026-03-08T02:30:00`. */
export interface Schedule {
  /** The value of RRULE; null: once, and at each RDATE. */
  rrule: string | null;
  /** DTSTART. */
  starts_at_local: string;
  /** IANA zone. */
  timezone: string;
  rdate: string[];
  exdate: string[];
  /** Days with and days without, in turn from the day of starts_at_local; null: every day. */
  cycle: { days_on: number; days_off: number } | null;
  /** By how much the whole plan is moved, on the wall clock. */
  shift_minutes: number;
}

/** One time at which a reminder is due. */
export interface Occurrence {
  /** UTC, ISO 8601 with `Z`. */
  due_at: string;
  /** What the wall clock shows at that instant. */
  local: string;
  /** For example `+05:30`. */
  offset: string;
}

/** A schedule that was found good. */
export interface Recurrence {
  /** The rule as it is stored; null when there is none. */
  rrule: string | null;
  /**
   * The next occurrences after an instant, in order.
   *
   * @param after ISO 8601 with offset; itself left out.
   * @throws {RuleError} As `perDay`, when a day has too many after all; no check sees all days to come.
   */
  next(after: string, count: number): Occurrence[];
  /**
   * Occurrences a day, breaks included, on the average of 84 days from the first one after an instant,
   * or of the days to the last one.
   */
  perDay(after: string): number;
}

/**
 * Reads a schedule.
 *
 * The rule speaks of the wall clock, all of it: also "every 6 hours" is at the same four times of each
 * day, on the day of a change of clocks, too. A rule without a zone yields wall-clock times, and each
 * becomes an instant so:
 *
 * - A time in a gap (the hour that the clocks leave out) is taken with the offset before the change,
 *   as RFC 5545, section 3.3.5, has it: 02:30 comes at 03:30. Nothing is skipped, though section
 *   3.3.10 would let a rule skip it.
 * - A time in an overlap (the hour that comes twice) is its first occurrence; the second has none.
 * - Two times that come to one instant, 02:30 and 03:30 on that day, are one occurrence.
 *
 * DTSTART is an occurrence when the rule yields it; what it does not yield, RDATE can add. EXDATE takes
 * away by instant. With a cycle, days are counted from DTSTART's; COUNT counts what the rule yields,
 * before EXDATE and cycle take away. UNTIL is an instant and included.
 *
 * @throws {RuleError} When the schedule is malformed, yields nothing, or yields more than 96
 * occurrences on some local day within 397 days, or 5,000 occurrences, of its first.
 */
export function readSchedule(schedule: Schedule): Recurrence {
  const plan = readPlan(schedule);
  checkDays(plan);
  return toRecurrence(plan);
}

/**
 * Reads a schedule that `readSchedule` has found good before, and was stored, without the checks that
 * have to look at a year of it.
 *
 * @throws {RuleError} When it is malformed all the same.
 */
export function reopenSchedule(schedule: Schedule): Recurrence {
  return toRecurrence(readPlan(schedule));
}

function toRecurrence(plan: Plan): Recurrence {
  return {
    rrule: plan.rule?.canonical ?? null,
    next: (after, count) => take(occurrences(plan, Temporal.Instant.from(after)), count),
    perDay: (after) => averageOf(plan, Temporal.Instant.from(after)),
  };
}

/**
 * On the wall clock, where a day has 24 hours and a change of clocks does not count; from the first
 * occurrence on, or a plan that begins next month would count as one of few doses for ever, and to the
 * day of the last one, or so would one that ends next week.
 */
function averageOf(plan: Plan, after: Temporal.Instant): number {
  const from = planned(plan, after);
  let first = Infinity;
  let last = NaN;
  let count = 0;
  for (const wall of walls(plan, from)) {
    // `after` itself has been.
    if (wall <= from) continue;
    if (plan.exdate.size > 0 && plan.exdate.has(instantOf(wall, plan.timezone))) continue;
    first = Math.min(first, wall);
    if (wall >= first + AVERAGED_DAYS * DAY_MS) return count / AVERAGED_DAYS;
    last = wall;
    count++;
  }
  return count === 0 ? 0 : count / (1 + Math.floor(last / DAY_MS) - Math.floor(first / DAY_MS));
}

/**
 * What a wall clock shows, in milliseconds as if it were UTC, where no hour is missing or comes twice.
 */
type Wall = number;

/** A schedule, parsed. */
interface Plan {
  rule: RuleText | null;
  library: RRuleTemporal | null;
  /** All that a rule with COUNT yields, which can only be counted from its start; else null. */
  counted: Wall[] | null;
  start: Wall;
  timezone: string;
  rdate: Wall[];
  /** Instants in milliseconds. */
  exdate: Set<number>;
  until: number;
  cycle: Schedule["cycle"];
  shift_minutes: number;
}

function readPlan(schedule: Schedule): Plan {
  const { timezone, cycle, shift_minutes } = schedule;
  if (!isZone(timezone)) {
    throw new RuleError("The zone is a name of the IANA database", 0, "timezone");
  }
  const start = readLocal(schedule.starts_at_local, "starts_at_local");
  const rule = schedule.rrule === null ? null : readRuleText(schedule.rrule);
  const library = rule && expand(rule, start);
  return {
    rule,
    library,
    counted: rule?.count != null ? countOut(library!) : null,
    start,
    timezone,
    rdate: readDates(schedule.rdate, "rdate").sort((a, b) => a - b),
    exdate: new Set(
      readDates(schedule.exdate, "exdate").map((wall) => instantOf(wall, timezone)),
    ),
    until: rule?.until ? Date.parse(rule.until) : Infinity,
    cycle,
    shift_minutes,
  };
}

function expand(rule: RuleText, start: Wall): RRuleTemporal {
  try {
    return new RRuleTemporal({
      rruleString: rule.text,
      dtstart: Temporal.Instant.fromEpochMilliseconds(start).toZonedDateTimeISO("UTC"),
      strict: true,
      cache: false,
      maxIterations: rule.count === null ? MAX_PERIODS : MAX_COUNTED_PERIODS,
    });
  } catch {
    throw new RuleError("The parts of the rule do not go together");
  }
}

function countOut(library: RRuleTemporal): Wall[] {
  const all: Wall[] = [];
  try {
    library.all((date) => {
      all.push(date.epochMilliseconds);
      return date.epochMilliseconds < LAST_MS;
    });
  } catch {
    if (all.length > 0) {
      throw new RuleError("Counting what the rule yields takes too many periods");
    }
  }
  return all;
}

function isZone(name: string): boolean {
  if (!ZONE_NAME.test(name)) return false;
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name);
    return true;
  } catch {
    return false;
  }
}

function readLocal(text: string, field: string): Wall {
  try {
    if (!LOCAL_TIME.test(text)) throw new RangeError();
    const local = Temporal.PlainDateTime.from(text, { overflow: "reject" });
    if (local.year < 1970 || local.year > LAST_YEAR) throw new RangeError();
    return local.toZonedDateTime("UTC").epochMilliseconds;
  } catch {
    throw new RuleError(
      `A local time has the form 2026-03-08T02:30:00, of a year 1970 to ${LAST_YEAR}`,
      0,
      field,
    );
  }
}

function readDates(texts: string[], field: string): Wall[] {
  if (texts.length > MAX_DATES) throw new RuleError(`At most ${MAX_DATES} dates`, 0, field);
  return texts.map((text, index) => readLocal(text, `${field}.${index}`));
}

function tooMany(): RuleError {
  return new RuleError(`A rule yields at most ${MAX_PER_DAY} occurrences a day`);
}

/** Refuses a plan that yields nothing, or too much on some day. */
function checkDays({ library, counted, start, rdate, exdate, until, timezone, cycle }: Plan): void {
  const counts = new Map<number, number>();
  let busiest = 0;
  let seen = 0;
  let yields = false;
  let end = Infinity;
  /** Counts an occurrence; gives whether the next one is of interest. */
  const see = (wall: Wall) => {
    if (!isOn(wall, start, cycle)) return wall < LAST_MS;
    const day = Math.floor(wall / DAY_MS);
    const count = (counts.get(day) ?? 0) + 1;
    counts.set(day, count);
    busiest = Math.max(busiest, count);
    end = Math.min(end, wall + CHECKED_DAYS * DAY_MS);
    if (!yields) {
      const at = instantOf(wall, timezone);
      yields = !exdate.has(at) && (at <= until || rdate.includes(wall));
    }
    return busiest <= MAX_PER_DAY && wall < LAST_MS && ++seen < CHECKED_OCCURRENCES &&
      (!yields || wall < end);
  };
  for (const wall of library ? rdate : [start, ...rdate]) see(wall);
  end = Infinity;
  if (counted) counted.every(see);
  else {
    try {
      library?.all((date) => see(date.epochMilliseconds));
    } catch {
      // MAX_PERIODS without an occurrence: there are no more.
    }
  }
  if (busiest > MAX_PER_DAY) throw tooMany();
  if (!yields) throw new RuleError("The rule never yields an occurrence");
}

/** All occurrences after an instant, in order. */
function* occurrences(plan: Plan, after: Temporal.Instant): Generator<Occurrence> {
  let last = after.epochMilliseconds;
  for (const zoned of inOrder(plan, after)) {
    const at = zoned.epochMilliseconds;
    if (at <= last) continue;
    last = at;
    yield {
      due_at: zoned.toInstant().toString(),
      local: zoned.toPlainDateTime().toString({ smallestUnit: "second" }),
      offset: zoned.offset,
    };
  }
}

/**
 * Instants from about `after`, in order. A time in a gap moves behind others of the same day: it is
 * held back until they have passed.
 */
function* inOrder(plan: Plan, after: Temporal.Instant): Generator<Temporal.ZonedDateTime> {
  const { timezone, shift_minutes, exdate } = plan;
  const held: Temporal.ZonedDateTime[] = [];
  // A wall clock is never turned by more than a day.
  for (const wall of walls(plan, planned(plan, after) - 2 * DAY_MS)) {
    if (wall >= LAST_MS) break;
    if (exdate.size > 0 && exdate.has(instantOf(wall, timezone))) continue;
    const local = toLocal(wall + shift_minutes * 60_000);
    const zoned = local.toZonedDateTime(timezone, { disambiguation: "compatible" });
    if (!zoned.toPlainDateTime().equals(local)) {
      held.push(zoned);
      continue;
    }
    while (held[0] && held[0].epochMilliseconds <= zoned.epochMilliseconds) yield held.shift()!;
    yield zoned;
  }
  yield* held;
}

/**
 * Planned wall-clock times from `from` on, in order: rule and RDATE, on days of the cycle.
 *
 * @throws {RuleError} At a day with more than 96: what came by RPC, or what is too far ahead to be seen
 * by `readSchedule`.
 */
function* walls(plan: Plan, from: Wall): Generator<Wall> {
  let day = NaN;
  let count = 0;
  for (const wall of allWalls(plan, from)) {
    const this_day = Math.floor(wall / DAY_MS);
    count = this_day === day ? count + 1 : 1;
    day = this_day;
    if (count > MAX_PER_DAY) throw tooMany();
    yield wall;
  }
}

function* allWalls(plan: Plan, from: Wall): Generator<Wall> {
  const { library, start, cycle } = plan;
  const dates = (library ? plan.rdate : [start, ...plan.rdate])
    .filter((wall) => wall >= from)
    .sort((a, b) => a - b);
  for (const wall of library ? ruleWalls(plan, from) : []) {
    while (dates[0] !== undefined && dates[0] < wall) {
      const date = dates.shift()!;
      if (isOn(date, start, cycle)) yield date;
    }
    if (isOn(wall, start, cycle)) yield wall;
  }
  for (const date of dates) if (isOn(date, start, cycle)) yield date;
}

/** What the rule yields from `from` on. */
function* ruleWalls(plan: Plan, from: Wall): Generator<Wall> {
  const { timezone, until } = plan;
  for (const wall of plan.counted ?? libraryWalls(plan.library!, from)) {
    if (wall < from) continue;
    const at = until === Infinity ? 0 : instantOf(wall, timezone);
    // A time in a gap comes up to a day later than it reads: the next may yet be within.
    if (at > until + DAY_MS) return;
    if (at <= until) yield wall;
  }
}

/**
 * What the library yields from `from` on: read in stretches, each twice as long as the one before, and
 * shorter again where one takes the library too many periods.
 */
function* libraryWalls(library: RRuleTemporal, from: Wall): Generator<Wall> {
  let after = from;
  let longest = LONGEST_STRETCH_DAYS;
  for (let days = 2; after <= LAST_MS; days = Math.min(2 * days, longest)) {
    const first = nextOf(library, after);
    if (first === null) return;
    let dates = stretchOf(library, first, days);
    while (dates === null) {
      // A day that takes so many periods has more occurrences than a day may have, or next to none.
      if (days === 1) throw new RuleError("Working out a day of the rule takes too many periods");
      longest = days = days / 2;
      dates = stretchOf(library, first, days);
    }
    yield* dates;
    after = first + days * DAY_MS;
  }
}

/** All of some days; null when they take more than MAX_PERIODS. */
function stretchOf(library: RRuleTemporal, first: Wall, days: number): Wall[] | null {
  try {
    return library.between(new Date(first), new Date(first + days * DAY_MS - 1), true)
      .map((date) => date.epochMilliseconds);
  } catch {
    return null;
  }
}

/** The first occurrence that is not before `from`. */
function nextOf(library: RRuleTemporal, from: Wall): Wall | null {
  try {
    return library.next(new Date(from), true)?.epochMilliseconds ?? null;
  } catch {
    return null; // no occurrence within MAX_PERIODS: there are no more
  }
}

function toLocal(wall: Wall): Temporal.PlainDateTime {
  return Temporal.Instant.fromEpochMilliseconds(wall).toZonedDateTimeISO("UTC").toPlainDateTime();
}

/** Epoch milliseconds of the instant at which a wall clock shows a time. */
function instantOf(wall: Wall, timezone: string): number {
  return toLocal(wall).toZonedDateTime(timezone, { disambiguation: "compatible" })
    .epochMilliseconds;
}

/** What the wall clock shows at an instant, less the shift: its place in the plan. */
function planned({ timezone, shift_minutes }: Plan, at: Temporal.Instant): Wall {
  return at.toZonedDateTimeISO(timezone).toPlainDateTime().toZonedDateTime("UTC")
    .epochMilliseconds - shift_minutes * 60_000;
}

/** Whether a day is one of those with, counted from the day of the start; days before it are, too. */
function isOn(wall: Wall, start: Wall, cycle: Schedule["cycle"]): boolean {
  if (!cycle) return true;
  const days = Math.floor(wall / DAY_MS) - Math.floor(start / DAY_MS);
  const length = cycle.days_on + cycle.days_off;
  return ((days % length) + length) % length < cycle.days_on;
}

function take<T>(all: Iterable<T>, count: number): T[] {
  const taken: T[] = [];
  if (count <= 0) return taken;
  for (const item of all) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}
