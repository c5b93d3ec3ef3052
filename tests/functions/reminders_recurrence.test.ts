// What a schedule means: gaps and overlaps, dates, cycles, shifts, limits, and what is refused where.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { readSchedule, type Schedule } from "../../functions/reminders/recurrence.ts";
import { RuleError } from "../../functions/reminders/rrule_text.ts";

const NEW_YORK = "America/New_York";
/** 02:00 becomes 03:00. */
const GAP_DAY = "2026-03-08";
/** 02:00 becomes 01:00. */
const OVERLAP_DAY = "2026-11-01";

function scheduleOf(given: Partial<Schedule>): Schedule {
  return {
    rrule: "FREQ=DAILY",
    starts_at_local: "2026-03-01T08:00:00",
    timezone: NEW_YORK,
    rdate: [],
    exdate: [],
    cycle: null,
    shift_minutes: 0,
    ...given,
  };
}

/** The occurrences of a day, as `03:30-04:00`. */
function timesOn(day: string, given: Partial<Schedule>): string[] {
  const noon = `${day}T12:00:00Z`;
  const after = new Date(Date.parse(noon) - 2 * 86_400_000).toISOString();
  return readSchedule(scheduleOf(given)).next(after, 500)
    .filter(({ local }) => local.startsWith(day))
    .map(({ local, offset }) => local.slice(11, 16) + offset);
}

Deno.test("a time that does not exist comes with the offset before the change", () => {
  const daily = { starts_at_local: "2026-03-01T02:30:00" };

  assertEquals(timesOn("2026-03-07", daily), ["02:30-05:00"]);
  assertEquals(timesOn(GAP_DAY, daily), ["03:30-04:00"]);
  assertEquals(timesOn("2026-03-09", daily), ["02:30-04:00"]);
});

Deno.test("a time that comes twice is its first", () => {
  const daily = { starts_at_local: "2026-10-01T01:30:00" };

  assertEquals(timesOn(OVERLAP_DAY, daily), ["01:30-04:00"]);
  assertEquals(timesOn("2026-11-02", daily), ["01:30-05:00"]);
});

Deno.test("every 6 hours stays at its times of the day through both changes", () => {
  const rule = { rrule: "FREQ=HOURLY;INTERVAL=6", starts_at_local: "2026-03-01T02:00:00" };

  assertEquals(timesOn(GAP_DAY, rule), [
    "03:00-04:00",
    "08:00-04:00",
    "14:00-04:00",
    "20:00-04:00",
  ]);
  assertEquals(
    timesOn("2026-03-09", rule),
    ["02:00-04:00", "08:00-04:00", "14:00-04:00", "20:00-04:00"],
  );
  assertEquals(
    timesOn(OVERLAP_DAY, rule),
    ["02:00-05:00", "08:00-05:00", "14:00-05:00", "20:00-05:00"],
  );
});

Deno.test("times that come to one instant are one occurrence, and all are in order", () => {
  const rule = {
    rrule: "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,30",
    starts_at_local: "2026-03-01T02:00:00",
  };

  assertEquals(timesOn(GAP_DAY, rule), ["03:00-04:00", "03:30-04:00"]);
  const mixed = {
    rrule: "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=15,45",
    starts_at_local: "2026-03-01T02:15:00",
  };
  assertEquals(timesOn(GAP_DAY, mixed), ["03:15-04:00", "03:45-04:00"]);
});

Deno.test("a time in a gap that moves behind others stays in order", () => {
  // Half an hour is missing on Lord Howe Island at 02:00 on 4 October 2026.
  const rule = {
    rrule: "FREQ=DAILY;BYHOUR=2;BYMINUTE=10,35",
    starts_at_local: "2026-09-01T02:10:00",
    timezone: "Australia/Lord_Howe",
  };

  assertEquals(timesOn("2026-10-04", rule), ["02:35+11:00", "02:40+11:00"]);
});

Deno.test("UNTIL is an instant and included, RDATE adds, EXDATE takes away", () => {
  const plan = readSchedule(scheduleOf({
    rrule: "FREQ=DAILY;UNTIL=20260304T130000Z",
    rdate: ["2026-03-02T20:00:00", "2026-04-01T08:00:00"],
    exdate: ["2026-03-03T08:00:00"],
  }));

  assertEquals(plan.next("2026-01-01T00:00:00Z", 10).map(({ local }) => local), [
    "2026-03-01T08:00:00",
    "2026-03-02T08:00:00",
    "2026-03-02T20:00:00",
    "2026-03-04T08:00:00",
    "2026-04-01T08:00:00",
  ]);
});

Deno.test("EXDATE takes a time in a gap away by either of its names", () => {
  for (const exdate of [[`${GAP_DAY}T02:30:00`], [`${GAP_DAY}T03:30:00`]]) {
    assertEquals(timesOn(GAP_DAY, { starts_at_local: "2026-03-01T02:30:00", exdate }), []);
  }
});

Deno.test("without a rule a schedule is its start and RDATE", () => {
  const plan = readSchedule(scheduleOf({ rrule: null, rdate: ["2026-02-27T07:00:00"] }));

  assertEquals(plan.rrule, null);
  assertEquals(plan.next("2026-01-01T00:00:00Z", 10), [
    { due_at: "2026-02-27T12:00:00Z", local: "2026-02-27T07:00:00", offset: "-05:00" },
    { due_at: "2026-03-01T13:00:00Z", local: "2026-03-01T08:00:00", offset: "-05:00" },
  ]);
});

Deno.test("a cycle has days with and days without, counted from the start", () => {
  const plan = readSchedule(scheduleOf({
    starts_at_local: "2026-02-20T21:00:00",
    cycle: { days_on: 21, days_off: 7 },
  }));

  const days = plan.next("2026-01-01T00:00:00Z", 43).map(({ local }) => local.slice(0, 10));
  assertEquals(days[20], "2026-03-12");
  assertEquals(days[21], "2026-03-20");
  assertEquals(days[41], "2026-04-09");
  assertEquals(days[42], "2026-04-17");
  assertEquals(plan.perDay("2026-03-01T00:00:00Z"), 0.75);
});

for (
  const [name, given, per_day] of [
    ["begins in half a year", { starts_at_local: "2026-09-01T08:00:00" }, 1],
    ["is over in ten days", { rrule: "FREQ=DAILY;BYHOUR=8,20;COUNT=20" }, 2],
    ["comes once a week", { rrule: "FREQ=WEEKLY" }, 1 / 7],
    ["comes once a year", { rrule: "FREQ=YEARLY" }, 1 / 84],
    ["has passed", { rrule: "FREQ=DAILY;UNTIL=20260302T130000Z" }, 0],
  ] as const
) {
  Deno.test(`doses a day of a plan that ${name}`, () => {
    const after = name === "has passed" ? "2026-06-01T00:00:00Z" : "2026-02-20T00:00:00Z";
    assertEquals(readSchedule(scheduleOf(given)).perDay(after), per_day);
  });
}

Deno.test("a shift moves the wall-clock times, and EXDATE names the plan before it", () => {
  const plan = readSchedule(scheduleOf({
    rrule: "FREQ=DAILY;BYHOUR=8,20",
    exdate: ["2026-03-02T20:00:00"],
    shift_minutes: 90,
  }));

  assertEquals(plan.next("2026-03-01T00:00:00Z", 3).map(({ local }) => local), [
    "2026-03-01T09:30:00",
    "2026-03-01T21:30:00",
    "2026-03-02T09:30:00",
  ]);
  // A shift backwards over midnight finds the next day's plan.
  const earlier = readSchedule(scheduleOf({ shift_minutes: -600 }));
  assertEquals(earlier.next("2026-03-05T00:00:00-05:00", 1)[0]?.local, "2026-03-05T22:00:00");
});

Deno.test("what comes after an instant does not depend on how far one has read before", () => {
  const plan = readSchedule(
    scheduleOf({ rrule: "FREQ=HOURLY;INTERVAL=7", timezone: "Europe/London" }),
  );
  const all = plan.next("2026-03-01T00:00:00Z", 3_000);

  for (let i = 0; i + 5 < all.length; i += 37) {
    assertEquals(plan.next(all[i]!.due_at, 5), all.slice(i + 1, i + 6));
  }
});

Deno.test("a rule is stored in capitals", () => {
  assertEquals(
    readSchedule(scheduleOf({ rrule: "freq=daily;until=20270101T000000z" })).rrule,
    "FREQ=DAILY;UNTIL=20270101T000000Z",
  );
});

Deno.test("96 occurrences a day are the most", () => {
  const quarterly = scheduleOf({ rrule: "FREQ=MINUTELY;INTERVAL=15" });
  assertEquals(readSchedule(quarterly).next("2026-03-02T00:00:00Z", 97).length, 97);
});

interface Refused {
  given: Partial<Schedule>;
  position?: number;
  field?: string;
  says: RegExp;
}

const TOO_MANY = /at most 96/;
const NEVER = /never yields/;

const REFUSED: Record<string, Refused> = {
  "an empty rule": { given: { rrule: "" }, position: 0, says: /NAME=value/ },
  "a name before it": { given: { rrule: "RRULE:FREQ=DAILY" }, position: 0, says: /NAME=value/ },
  "no FREQ": { given: { rrule: "COUNT=2" }, position: 0, says: /needs FREQ/ },
  "an unknown FREQ": { given: { rrule: "FREQ=FORTNIGHTLY" }, position: 5, says: /FREQ is one of/ },
  "an unknown part": { given: { rrule: "FREQ=DAILY;EVERY=2" }, position: 11, says: /No part/ },
  "a part twice": { given: { rrule: "FREQ=DAILY;FREQ=DAILY" }, position: 11, says: /once/ },
  "a semicolon at the end": { given: { rrule: "FREQ=DAILY;" }, position: 11, says: /NAME=value/ },
  "INTERVAL of 0": { given: { rrule: "FREQ=DAILY;INTERVAL=0" }, position: 20, says: /INTERVAL/ },
  "COUNT of 0": { given: { rrule: "FREQ=DAILY;COUNT=0" }, position: 17, says: /COUNT/ },
  "COUNT over 2,000": { given: { rrule: "FREQ=DAILY;COUNT=2001" }, position: 17, says: /COUNT/ },
  "the 13th month": {
    given: { rrule: "FREQ=DAILY;BYMONTH=1,12,13" },
    position: 24,
    says: /BYMONTH lists .* 1 to 12$/,
  },
  "hour 24": { given: { rrule: "FREQ=DAILY;BYHOUR=8,24" }, position: 20, says: /BYHOUR/ },
  "an empty item": { given: { rrule: "FREQ=DAILY;BYHOUR=8,,9" }, position: 20, says: /BYHOUR/ },
  "day 0 of the month": {
    given: { rrule: "FREQ=MONTHLY;BYMONTHDAY=0" },
    position: 24,
    says: /-31 to -1/,
  },
  "an unknown weekday": {
    given: { rrule: "FREQ=WEEKLY;BYDAY=MO,XX" },
    position: 21,
    says: /BYDAY/,
  },
  "the 54th Monday": { given: { rrule: "FREQ=YEARLY;BYDAY=54MO" }, position: 18, says: /BYDAY/ },
  "a week that begins on a number": {
    given: { rrule: "FREQ=WEEKLY;WKST=1" },
    position: 17,
    says: /WKST/,
  },
  "UNTIL without zone": {
    given: { rrule: "FREQ=DAILY;UNTIL=20271231T080000" },
    position: 17,
    says: /in UTC/,
  },
  "UNTIL as a day": { given: { rrule: "FREQ=DAILY;UNTIL=20271231" }, position: 17, says: /in UTC/ },
  "UNTIL that is no day": {
    given: { rrule: "FREQ=DAILY;UNTIL=20270230T080000Z" },
    position: 17,
    says: /in UTC/,
  },
  "UNTIL beside COUNT": {
    given: { rrule: "FREQ=DAILY;COUNT=3;UNTIL=20271231T080000Z" },
    position: 19,
    says: /exclude/,
  },
  "BYMONTHDAY weekly": {
    given: { rrule: "FREQ=WEEKLY;BYMONTHDAY=3" },
    position: 12,
    says: /WEEKLY/,
  },
  "BYYEARDAY daily": {
    given: { rrule: "FREQ=DAILY;BYYEARDAY=3" },
    position: 11,
    says: /BYYEARDAY/,
  },
  "BYWEEKNO monthly": { given: { rrule: "FREQ=MONTHLY;BYWEEKNO=3" }, position: 13, says: /YEARLY/ },
  "a numbered weekday, weekly": {
    given: { rrule: "FREQ=WEEKLY;BYDAY=1MO" },
    position: 12,
    says: /numbers/,
  },
  "a numbered weekday beside BYWEEKNO": {
    given: { rrule: "FREQ=YEARLY;BYWEEKNO=20;BYDAY=1MO" },
    position: 24,
    says: /numbers/,
  },
  "BYSETPOS alone": { given: { rrule: "FREQ=DAILY;BYSETPOS=1" }, position: 11, says: /BYSETPOS/ },
  "501 characters": { given: { rrule: "F".repeat(501) }, position: 500, says: /500 characters/ },
  // Which the library would follow on wrong days.
  "a day of the year that must be a weekday": {
    given: { rrule: "FREQ=YEARLY;BYDAY=MO;BYYEARDAY=-1" },
    position: 21,
    says: /not followed beside/,
  },
  "a day of the year that must be one of the month": {
    given: { rrule: "FREQ=YEARLY;BYYEARDAY=32;BYMONTHDAY=1" },
    position: 12,
    says: /not followed beside/,
  },
  "a numbered weekday of the year that must be a day of the month": {
    given: { rrule: "FREQ=YEARLY;BYMONTHDAY=26;BYDAY=1MO" },
    position: 12,
    says: /not followed beside/,
  },
  "a week without its day": {
    given: { rrule: "FREQ=YEARLY;BYWEEKNO=20" },
    position: 12,
    says: /without BYDAY/,
  },
  "the week that reaches into the next year": {
    given: { rrule: "FREQ=YEARLY;BYWEEKNO=20,53;BYDAY=SU" },
    position: 12,
    says: /2 to 51/,
  },
  "30 February": { given: { rrule: "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30" }, says: NEVER },
  "30 February, by the minute": {
    given: { rrule: "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30" },
    says: NEVER,
  },
  "UNTIL before the start": {
    given: { rrule: "FREQ=DAILY;UNTIL=20260228T000000Z" },
    says: NEVER,
  },
  "every occurrence excluded": {
    given: { rrule: "FREQ=DAILY;COUNT=1", exdate: ["2026-03-01T08:00:00"] },
    says: NEVER,
  },
  "a month that an interval never meets": {
    given: { rrule: "FREQ=MONTHLY;INTERVAL=2;BYMONTH=2" },
    says: NEVER,
  },
  "every second": { given: { rrule: "FREQ=SECONDLY" }, says: TOO_MANY },
  "every 14 minutes": { given: { rrule: "FREQ=MINUTELY;INTERVAL=14" }, says: TOO_MANY },
  "97 times a day": {
    given: { rrule: "FREQ=HOURLY;INTERVAL=12;BYMINUTE=" + Array.from({ length: 49 }, (_, i) => i) },
    says: TOO_MANY,
  },
  "a day that is rare": {
    given: {
      rrule: "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=1;BYHOUR=1,2;BYMINUTE=" +
        Array.from({ length: 49 }, (_, i) => i),
    },
    says: TOO_MANY,
  },
  "RDATE that makes it too many": {
    given: { rrule: "FREQ=MINUTELY;INTERVAL=15", rdate: ["2026-03-02T08:01:00"] },
    says: TOO_MANY,
  },
  "an unknown zone": { given: { timezone: "Mars/Olympus" }, field: "timezone", says: /IANA/ },
  "an offset for a zone": { given: { timezone: "+05:30" }, field: "timezone", says: /IANA/ },
  "a start with a zone": {
    given: { starts_at_local: "2026-03-01T08:00:00Z" },
    field: "starts_at_local",
    says: /local time/,
  },
  "a start on 30 February": {
    given: { starts_at_local: "2026-02-30T08:00:00" },
    field: "starts_at_local",
    says: /local time/,
  },
  "an RDATE that is none": {
    given: { rdate: ["2026-03-01T08:00:00", "tomorrow"] },
    field: "rdate.1",
    says: /local time/,
  },
};

for (const [name, { given, position = 0, field = "rrule", says }] of Object.entries(REFUSED)) {
  Deno.test(`readSchedule refuses ${name}, and says where`, () => {
    const error = assertThrows(() => readSchedule(scheduleOf(given)), RuleError);

    assert(says.test(error.reason), error.reason);
    assertEquals([error.field, error.position], [field, position]);
  });
}

// 200 random rules of all frequencies but SECONDLY, and what python-dateutil 2.9.0 makes of each: it
// shares nothing with the library that is used here.
const DATEUTIL = await Deno.readTextFile(
  new URL("../fixtures/rrule_dateutil.ndjson", import.meta.url),
);

Deno.test("rules mean what another library, in another language, makes of them", () => {
  const cases = DATEUTIL.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(cases.length, 200);
  for (const { rrule, starts_at_local, occurrences } of cases) {
    const plan = readSchedule(scheduleOf({ rrule, starts_at_local, timezone: "UTC" }));
    const found = plan.next("1970-01-01T00:00:00Z", occurrences.length).map(({ local }) => local);
    assertEquals(found, occurrences, `${rrule} from ${starts_at_local}`);
  }
});
