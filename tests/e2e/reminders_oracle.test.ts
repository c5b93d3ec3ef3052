// Gaps and overlaps in every zone, against two oracles. PostgreSQL knows neither the library nor its
// zones: it counts the days of a rule by itself, and finds the instant at which the clock shows each
// time. The library is asked in the zone itself, where the product has it work on a clock without
// changes: it leaves out what does not come, and counts hours as they pass.
// In the long run (deno task test:long) all zones and all changes of 2020 to 2037.

import { assert, assertEquals } from "@std/assert";
import { RRuleTemporal } from "rrule-temporal";
import { Temporal } from "temporal-polyfill";
import { type Occurrence, readSchedule } from "../../functions/reminders/recurrence.ts";
import { adminConnection } from "../../supabase/local/database.ts";
import { withCluster } from "../../tools/throwaway.ts";

const IS_LONG = Deno.env.get("BL_LONG") !== undefined;
const ZONES = IS_LONG ? Intl.supportedValuesOf("timeZone").filter(isNamed) : [
  "America/New_York",
  "America/St_Johns",
  "Europe/London",
  "Europe/Berlin",
  "Africa/Casablanca",
  "Asia/Kolkata",
  "Asia/Tehran",
  "Australia/Lord_Howe",
  "Australia/Sydney",
  "Pacific/Apia",
  "Antarctica/Troll",
  "America/Santiago",
];
const [FIRST, LAST] = IS_LONG ? [2020, 2037] : [2025, 2027];

/** Rules, and how SQL counts the same: `n` counts from 0, `s` is the start. */
const RULES = [
  { rrule: "FREQ=DAILY", sql: "s + n * interval '1 day'" },
  { rrule: "FREQ=WEEKLY", sql: "s + n * interval '7 days'" },
  { rrule: "FREQ=HOURLY;INTERVAL=6", sql: "s + n * interval '6 hours'" },
  {
    rrule: "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    // The last day of the month, or the Friday before it.
    sql: `(
      select e - greatest(extract(isodow from e)::integer - 5, 0) * interval '1 day' + s::time
      from (
        select date_trunc('month', s) + (n + 1) * interval '1 month' - interval '1 day' as e
      ) as l
    )`,
  },
];
/** Occurrences of each case. */
const COUNT = 10;

/** Instants that were compared. */
let compared = 0;

function isNamed(zone: string): boolean {
  return /^[A-Z][A-Za-z_+-]+(\/[A-Za-z0-9_+-]+)+$/.test(zone);
}

/** Instants of the changes of a zone's clocks. */
function changesOf(zone: string): Temporal.ZonedDateTime[] {
  const changes: Temporal.ZonedDateTime[] = [];
  let at: Temporal.ZonedDateTime | null = Temporal.PlainDate.from({
    year: FIRST!,
    month: 1,
    day: 1,
  }).toZonedDateTime(zone);
  while ((at = at.getTimeZoneTransition("next")) && at.year <= LAST!) changes.push(at);
  return changes;
}

interface Case {
  zone: string;
  rule: number;
  /** DTSTART. */
  start: string;
  /** When the clocks change. */
  change: string;
}

/** Starts whose third occurrence falls into the change, before it, and after it. */
function casesOf(zone: string): Case[] {
  return changesOf(zone).flatMap((change) => {
    const before = change.subtract({ seconds: 1 });
    const shift = (change.offsetNanoseconds - before.offsetNanoseconds) / 60e9;
    // In a gap the wall clock jumps from `from` on; in an overlap it comes back to it.
    const from = before.toPlainDateTime().add({ seconds: 1 }).subtract({
      minutes: Math.max(0, -shift),
    });
    return [-1, Math.floor(Math.abs(shift) / 2), Math.abs(shift)].flatMap((minutes) => {
      const local = from.add({ minutes });
      return RULES.map((_, rule) => ({
        zone,
        rule,
        change: change.toInstant().toString(),
        start: (rule === 3
          ? local.subtract({ months: 2 })
          : local.subtract(rule === 1 ? { weeks: 2 } : { days: rule === 2 ? 1 : 2 })).toString({
            smallestUnit: "second",
          }),
      }));
    });
  });
}

Deno.test("what a rule means in a zone is what PostgreSQL and the library make of it", () =>
  withCluster(async (port) => {
    const sql = adminConnection(port, "postgres");
    const disagreeing: string[] = [];
    try {
      for (const zone of ZONES) {
        const cases = casesOf(zone);
        if (cases.length === 0) continue;
        const ours = cases.map(({ rule, start }) =>
          readSchedule({
            rrule: RULES[rule]!.rrule,
            starts_at_local: start,
            timezone: zone,
            rdate: [],
            exdate: [],
            cycle: null,
            shift_minutes: 0,
          }).next("1970-01-01T00:00:00Z", COUNT)
        );
        for (const [i, given] of cases.entries()) compareWithLibrary(given, ours[i]!);
        const rows = await sql.unsafe(ORACLE, [
          JSON.stringify(cases.map((given, i) => ({ ...given, i }))),
          zone,
        ]);
        for (const [i, given] of cases.entries()) {
          const found = ours[i]!.map(({ due_at }) => due_at);
          const expected = (rows[i]!.due as string[]).slice(0, found.length);
          compared += expected.length;
          if (JSON.stringify(found) === JSON.stringify(expected)) continue;
          // Two editions of the zone database may differ; both must then see other clocks there.
          if (await seesOtherClocks(sql, zone, [...found, ...expected])) disagreeing.push(zone);
          else assertEquals(found, expected, describe(given));
        }
      }
    } finally {
      await sql.end();
    }
    const zones = new Set(disagreeing);
    console.log(
      `${compared} instants compared; zones of another edition: ${[...zones].join(", ")}`,
    );
    assert(compared > 1_000);
    assert(zones.size * 20 <= ZONES.length, [...zones].join(", "));
  }));

function describe(given: Case): string {
  return JSON.stringify({ ...given, ...RULES[given.rule] });
}

/** The library's instants are ours, but for what comes otherwise by intent. */
function compareWithLibrary(given: Case, ours: Occurrence[]): void {
  const { zone, start, change } = given;
  const { rrule } = RULES[given.rule]!;
  const local = Temporal.PlainDateTime.from(start);
  const dtstart = local.toZonedDateTime(zone);
  // A start in another gap: the library would follow a rule at another time of day.
  if (!dtstart.toPlainDateTime().equals(local)) return;
  const library = new RRuleTemporal({ rruleString: `${rrule};COUNT=${COUNT}`, dtstart })
    .all().map((date) => date.toInstant().toString());
  const found = ours.filter((occurrence) => {
    if (rrule.startsWith("FREQ=HOURLY")) return occurrence.due_at < change;
    return occurrence.local.slice(11) === start.slice(11);
  }).map(({ due_at }) => due_at);
  // Of a set of days the library counts only those on which the time comes.
  if (rrule.includes("BYSETPOS") && found.length < ours.length) return;
  assertEquals(
    library.slice(0, found.length),
    found,
    `as the library has it: ${describe(given)}`,
  );
  compared += found.length;
}

/**
 * In JSON, as the driver at times gives an array of a connection's first statement as a text. For each
 * case, the instants: the first at which the clock shows the time, else as before the gap.
 */
const ORACLE = `
  select (
    select json_agg(to_char(due at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') order by due)
    from (
      select distinct coalesce(
        (
          select min(t)
          from unnest(array[0, 30, 60, 90, 120, 180, 240, 1440]) as back
          cross join lateral (
            select w.wall at time zone $2 - make_interval(mins => back) as t
          ) as c
          where t at time zone $2 = w.wall
        ),
        w.wall at time zone $2
      ) as due
      from (
        select case c.rule ${
  RULES.map(({ sql }, i) => `when ${i} then ${sql}`).join(" ")
} end as wall
        from generate_series(0, ${COUNT + 4}) as n
        cross join lateral (select c.start as s) as start
      ) as w
      where w.wall >= c.start
    ) as d
  ) as due
  from json_to_recordset($1::text::json) as c (rule integer, start timestamp, i integer)
  order by c.i`;

/** Whether PostgreSQL and this runtime read another clock at one of the instants. */
async function seesOtherClocks(
  sql: ReturnType<typeof adminConnection>,
  zone: string,
  instants: string[],
): Promise<boolean> {
  const rows = await sql<{ at: string; local: string }[]>`
    select g.at, to_char(g.at::timestamptz at time zone ${zone}, 'YYYY-MM-DD"T"HH24:MI:SS') as local
    from json_array_elements_text(${JSON.stringify(instants)}::text::json) as g (at)`;
  return rows.some(({ at, local }) =>
    Temporal.Instant.from(at).toZonedDateTimeISO(zone).toPlainDateTime().toString({
      smallestUnit: "second",
    }) !== local
  );
}
