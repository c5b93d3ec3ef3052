// The routes of `reminders` as HTTP sees them: what is refused and where, what reaches the database,
// and who may tick.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createApp } from "../../functions/reminders/routes.ts";
import type { Deps } from "../../functions/_shared/deps.ts";
import { createQueueReceiver } from "../../functions/_shared/queue.ts";
import type { RateLimit } from "../../functions/_shared/rate_limit.ts";
import { signDelivery } from "../support/queue.ts";
import { testEveryRoute } from "./matrix.ts";
import {
  type Answer,
  assertFailure,
  assertSuccess,
  fakeDeps,
  NOW_MS,
  post,
  PUBLIC_URL,
  QUEUE_KEYS,
  raised,
  type Subject,
} from "./support.ts";

const ID = "b1b2c3d4-0000-4000-8000-000000000001";
const TICK_PATH = "/reminders/tick";
const URL_OF_TICK = `${PUBLIC_URL}/functions/v1${TICK_PATH}`;

const NOTHING_DUE = { claimed: 0, sent: 0, missed: 0, at: null, id: null };
const NOTHING_OPEN = { claimed: 0, repeated: 0, missed: 0, escalated: 0, at: null, id: null };

/** Answers with which every route succeeds. */
const ANSWERS: Record<string, Answer> = {
  save_reminder: [{ id: ID }],
  has_this_plan: [{ shift_minutes: 0, has_this_plan: false }],
  require_admin: [{}],
  tick_reminders: [NOTHING_DUE],
  follow_up_reminders: [NOTHING_OPEN],
  notify_refills: [{ told: 0 }],
  reminders_to_expand: [],
};

function build(changes: Partial<Deps> = {}, answers: Record<string, Answer> = {}): Subject {
  const deps = fakeDeps({ ...ANSWERS, ...answers }, changes);
  return { app: createApp(deps), deps };
}

const SCHEDULE = {
  rrule: "FREQ=DAILY;BYHOUR=8,20",
  starts_at_local: "2026-03-01T08:00:00",
  timezone: "America/New_York",
};
const REMINDER = { title: "Pill", reminder_type: "medication", ...SCHEDULE };

testEveryRoute((changes) => build(changes), [
  {
    path: "/reminders/preview",
    body: SCHEDULE,
    withUnknownField: { ...SCHEDULE, extra: 1 },
    withWrongType: { ...SCHEDULE, count: "3" },
    maxBytes: 64 * 1024,
  },
  {
    path: "/reminders",
    body: REMINDER,
    withUnknownField: { ...REMINDER, user_id: ID },
    withWrongType: { ...REMINDER, grace_minutes: "60" },
    maxBytes: 64 * 1024,
  },
  {
    method: "PUT",
    path: `/reminders/${ID}`,
    body: REMINDER,
    withUnknownField: { ...REMINDER, shift_minutes: 3 },
    withWrongType: { ...REMINDER, is_active: "yes" },
    maxBytes: 64 * 1024,
  },
  {
    path: TICK_PATH,
    withUnknownField: { extra: 1 },
    withWrongType: "1",
    maxBytes: 64 * 1024,
  },
]);

Deno.test("POST /reminders/preview gives instants with wall clock and offset", async () => {
  const response = await post(build(), "/reminders/preview", {
    ...SCHEDULE,
    count: 3,
    after: "2026-03-07T20:00:00-05:00",
    exdate: ["2026-03-08T20:00:00"],
  });

  assertEquals(await assertSuccess(response), {
    occurrences: [
      { due_at: "2026-03-08T12:00:00Z", local: "2026-03-08T08:00:00", offset: "-04:00" },
      { due_at: "2026-03-09T12:00:00Z", local: "2026-03-09T08:00:00", offset: "-04:00" },
      { due_at: "2026-03-10T00:00:00Z", local: "2026-03-09T20:00:00", offset: "-04:00" },
    ],
  });
});

Deno.test("POST /reminders/preview reads an instant however fine it is", async () => {
  const body = { ...SCHEDULE, count: 1, after: "2026-03-07T12:59:59.123456789123Z" };
  const { occurrences } = await assertSuccess(await post(build(), "/reminders/preview", body));
  assertEquals(occurrences[0].due_at, "2026-03-07T13:00:00Z");
});

Deno.test("POST /reminders/preview begins now, with ten, when nothing else is asked for", async () => {
  const { occurrences } = await assertSuccess(await post(build(), "/reminders/preview", SCHEDULE));

  assertEquals(occurrences.length, 10);
  assert(Date.parse(occurrences[0].due_at) > NOW_MS);
  assert(Date.parse(occurrences[0].due_at) < NOW_MS + 86_400_000);
});

for (
  const [name, changes, detail] of [
    ["a malformed rule", { rrule: "FREQ=DAILY;BYHOUR=25" }, {
      path: "rrule",
      message: "BYHOUR lists whole numbers of 0 to 23",
      position: 18,
    }],
    ["a rule that never yields", { rrule: "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30" }, {
      path: "rrule",
      message: "The rule never yields an occurrence",
      position: 0,
    }],
    ["a rule that yields too much", { rrule: "FREQ=MINUTELY" }, {
      path: "rrule",
      message: "A rule yields at most 96 occurrences a day",
      position: 0,
    }],
    ["an unknown zone", { timezone: "Mars/Olympus" }, {
      path: "timezone",
      message: "The zone is a name of the IANA database",
      position: 0,
    }],
    ["half a cycle", { cycle_days_on: 21 }, {
      path: "cycle_days_off",
      message: "A cycle has days with and days without",
      position: 0,
    }],
  ] as const
) {
  for (
    const [path, method, body] of [
      ["/reminders/preview", "POST", SCHEDULE],
      ["/reminders", "POST", REMINDER],
      [`/reminders/${ID}`, "PUT", REMINDER],
    ] as const
  ) {
    Deno.test(`${method} ${path} refuses ${name} with reason and position`, async () => {
      const subject = build();
      const response = await post(subject, path, { ...body, ...changes }, {}, method);
      const error = await assertFailure(response, 400, "invalid_request");
      assertEquals(error.details, [detail]);
      assert(
        !subject.deps.sql.statements.some(({ text }) => /save_reminder/.test(text)),
      );
    });
  }
}

Deno.test("POST /reminders hands the next 16 occurrences to the database, as the caller", async () => {
  const subject = build();
  const data = await assertSuccess(await post(subject, "/reminders", REMINDER));

  assertEquals(data.id, ID);
  assertEquals(data.occurrences.length, 16);
  const statement = subject.deps.sql.find("save_reminder");
  assertEquals(subject.deps.sql.settingsOf(statement).role, "authenticated");
  const due = data.occurrences.map(({ due_at }: { due_at: string }) => due_at);
  assert(statement.values.includes(JSON.stringify(due)));
  assert(Date.parse(due[0]) > NOW_MS);
  assertEquals(statement.values.slice(-2), [false, 2]);
});

Deno.test("POST /reminders says of a plan that ends that it is complete", async () => {
  const subject = build();
  const body = { ...REMINDER, rrule: "FREQ=DAILY;COUNT=16" };
  await assertSuccess(
    await post(subject, "/reminders", { ...body, starts_at_local: "2026-03-02T08:00" }),
  );

  assertEquals(subject.deps.sql.find("save_reminder").values.at(-2), true);
});

Deno.test("POST /reminders refuses a plan that has passed", async () => {
  const body = { ...REMINDER, rrule: "FREQ=DAILY;COUNT=2", starts_at_local: "2026-02-01T08:00:00" };
  const error = await assertFailure(
    await post(build(), "/reminders", body),
    400,
    "invalid_request",
  );
  assertStringIncludes(error.message, "has passed");
});

Deno.test("POST /reminders passes on what the database refuses", async () => {
  const answer = raised("PT404", "not_found", "No medicine with this id");
  const subject = build({}, { save_reminder: answer });
  await assertFailure(await post(subject, "/reminders", REMINDER), 404, "not_found");
});

Deno.test("PUT /reminders/:id works out the plan as it is shifted", async () => {
  const subject = build({}, { has_this_plan: [{ shift_minutes: 90, has_this_plan: false }] });
  const data = await assertSuccess(
    await post(subject, `/reminders/${ID}`, { ...REMINDER, rrule: "FREQ=DAILY" }, {}, "PUT"),
  );
  assertEquals(data.occurrences[0].local.slice(11), "09:30:00");
});

Deno.test("PUT /reminders/:id answers 404 not_found for a reminder of somebody else", async () => {
  const subject = build({}, { has_this_plan: [] });
  await assertFailure(
    await post(subject, `/reminders/${ID}`, REMINDER, {}, "PUT"),
    404,
    "not_found",
  );
});

Deno.test("PUT /reminders/:id refuses a plan that has passed, but for the one that is stored", async () => {
  const body = { ...REMINDER, rrule: "FREQ=DAILY;COUNT=2", starts_at_local: "2026-02-01T08:00:00" };
  const change = (has_this_plan: boolean) =>
    post(
      build({}, { has_this_plan: [{ shift_minutes: 0, has_this_plan }] }),
      `/reminders/${ID}`,
      body,
      {},
      "PUT",
    );
  assertStringIncludes(
    (await assertFailure(await change(false), 400, "invalid_request")).message,
    "has passed",
  );
  assertEquals((await assertSuccess(await change(true))).occurrences, []);
});

Deno.test("PUT /reminders/:id pauses a plan that has passed", async () => {
  const subject = build();
  const body = {
    ...REMINDER,
    rrule: "FREQ=DAILY;COUNT=2",
    starts_at_local: "2026-02-01T08:00:00",
    is_active: false,
  };
  const data = await assertSuccess(await post(subject, `/reminders/${ID}`, body, {}, "PUT"));
  assertEquals(data.occurrences, []);
});

// The tick ---------------------------------------------------------------------------------------

async function deliver({ app }: Subject, signature: string, body = "{}"): Promise<Response> {
  return await app.request(TICK_PATH, {
    method: "POST",
    headers: { "upstash-signature": signature, "content-type": "application/json" },
    body,
  });
}

function tickStatements({ deps }: Subject): string[] {
  return deps.sql.statements.flatMap(({ text }) =>
    /private\.(tick_reminders|follow_up_reminders|notify_refills|reminders_to_expand|store_expansions)/
      .exec(text)?.[1] ?? []
  );
}

for (const [name, key] of Object.entries(QUEUE_KEYS)) {
  Deno.test(`POST /reminders/tick works for the queue, signed with its ${name} key`, async () => {
    const subject = build();
    const signature = await signDelivery({ url: URL_OF_TICK, key, body: "{}" });
    const data = await assertSuccess(await deliver(subject, signature));
    assertEquals(data.is_drained, true);
    assertEquals(tickStatements(subject), [
      "tick_reminders",
      "follow_up_reminders",
      "notify_refills",
      "reminders_to_expand",
    ]);
    const { role } = subject.deps.sql.settingsOf(subject.deps.sql.find("tick_reminders"));
    assertEquals(role, "reminder_worker");
  });
}

for (
  const [name, claims] of Object.entries({
    "of another key": { key: "sig_forged" },
    "that has ended": { endsInSeconds: -60 },
    "for another address": { url: `${URL_OF_TICK}/x` },
    "of another issuer": { issuer: "Somebody" },
    "over another body": { body: '{"a":1}' },
  })
) {
  Deno.test(`POST /reminders/tick answers 401 to a signature ${name}, without effect`, async () => {
    const subject = build();
    const signature = await signDelivery({
      url: URL_OF_TICK,
      key: QUEUE_KEYS.current,
      body: "{}",
      ...claims,
    });
    await assertFailure(await deliver(subject, signature), 401, "unauthenticated");
    assertEquals(subject.deps.sql.statements, []);
  });
}

Deno.test("POST /reminders/tick answers 401 to a signature that was used, without effect", async () => {
  const taken = new Set<string>();
  // One token is for one delivery; the route's own bucket has more.
  const take = (key: string, { capacity }: RateLimit) => {
    const allowed = capacity > 1 || !taken.has(key);
    taken.add(key);
    return Promise.resolve({ allowed, remaining: 1, reset_seconds: 1 });
  };
  const subject = build({ rateLimiter: { take } });
  const signature = await signDelivery({ url: URL_OF_TICK, key: QUEUE_KEYS.current, body: "{}" });
  await assertSuccess(await deliver(subject, signature));
  const before = tickStatements(subject);
  await assertFailure(await deliver(subject, signature), 401, "unauthenticated");
  assertEquals(tickStatements(subject), before);
});

Deno.test("POST /reminders/tick accepts nothing signed while no keys are set", async () => {
  const subject = build({ queue: createQueueReceiver(undefined) });
  const signature = await signDelivery({ url: URL_OF_TICK, key: QUEUE_KEYS.current, body: "{}" });
  await assertFailure(await deliver(subject, signature), 401, "unauthenticated");
});

Deno.test("POST /reminders/tick answers 403 forbidden to who is no administrator", async () => {
  const subject = build({}, { require_admin: raised("PT403", "forbidden", "Only administrators") });
  await assertFailure(await post(subject, TICK_PATH, {}), 403, "forbidden");
  assertEquals(tickStatements(subject), []);
});

Deno.test("POST /reminders/tick goes on behind the last row while batches are full", async () => {
  const batches = [
    { claimed: 1000, sent: 900, missed: 100, at: "2026-03-01 11:00:00.000001+00", id: ID },
    { claimed: 1000, sent: 1000, missed: 0, at: "2026-03-01 12:00:00+00", id: ID },
    { claimed: 1000, sent: 1000, missed: 0, at: "2026-03-01 13:00:00+00", id: ID },
    { claimed: 1000, sent: 1000, missed: 0, at: "2026-03-01 14:00:00+00", id: ID },
    { claimed: 3, sent: 3, missed: 0, at: "2026-03-01 15:00:00+00", id: ID },
  ];
  const seen: unknown[][] = [];
  const subject = build({}, {
    tick_reminders: (values) => {
      seen.push(values);
      return [batches.shift() ?? NOTHING_DUE];
    },
  });
  const data = await assertSuccess(await post(subject, TICK_PATH, {}));
  assertEquals([data.claimed, data.sent, data.missed], [4003, 3903, 100]);
  assertEquals(seen.map((values) => values[2]), [
    "-infinity", // one alone, then two at a time
    ...["2026-03-01 11:00:00.000001+00", "2026-03-01 11:00:00.000001+00"],
    ...["2026-03-01 12:00:00+00", "2026-03-01 13:00:00+00"],
    // One of these was the last: what it left is behind the other.
    ...["2026-03-01 14:00:00+00", "2026-03-01 14:00:00+00"],
  ]);
});

Deno.test("POST /reminders/tick ends in time, and says that something is left", async () => {
  let now = NOW_MS;
  const full = { claimed: 1000, sent: 1000, missed: 0, at: "2026-03-01 11:00:00+00", id: ID };
  const subject = build({ now: () => (now += 5_000) }, { tick_reminders: [full] });
  const data = await assertSuccess(await post(subject, TICK_PATH, {}));
  assertEquals(data.is_drained, false);
  assert(data.claimed < 12_000);
});

Deno.test("POST /reminders/tick works plans out ahead, and ends those that are none", async () => {
  const row = {
    id: ID,
    token: "7",
    rrule: "FREQ=DAILY",
    starts_at_local: "2026-03-01T08:00:00",
    timezone: "UTC",
    rdate: [],
    exdate: [],
    cycle_days_on: null,
    cycle_days_off: null,
    shift_minutes: 0,
    expand_after: "2026-03-03T08:00:00.000000Z",
    wanted: 13,
    is_stale: false,
  };
  const rows = [
    row,
    { ...row, rrule: "FREQ=DAILY;COUNT=5", token: "8", is_stale: true, wanted: 16 },
    { ...row, rrule: "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", token: "9", is_stale: true },
  ];
  let asked = 0;
  const subject = build({}, {
    reminders_to_expand: () => asked++ === 0 ? rows : [],
    store_expansions: [{ stored: 3 }],
  });
  const data = await assertSuccess(await post(subject, TICK_PATH, {}));
  assertEquals(data.expanded, 3);
  const stored = JSON.parse(String(subject.deps.sql.find("store_expansions").values[0]));
  assertEquals(stored.map((e: { upcoming: string[] }) => e.upcoming.length), [13, 2, 0]);
  assertEquals(stored[0].upcoming[0], "2026-03-04T08:00:00Z");
  assertEquals(stored[1], {
    id: ID,
    token: "8",
    upcoming: ["2026-03-04T08:00:00Z", "2026-03-05T08:00:00Z"],
    is_complete: true,
    is_refused: false,
    per_day: 1,
  });
  assertEquals([stored[2].is_refused, stored[2].upcoming], [true, []]);
});

/** A reminder whose next occurrences are to be worked out. */
const EXPANDABLE = {
  id: ID,
  token: "7",
  rrule: "FREQ=DAILY",
  starts_at_local: "2026-03-01T08:00:00",
  timezone: "UTC",
  rdate: [] as string[] | null,
  exdate: [],
  cycle_days_on: null,
  cycle_days_off: null,
  shift_minutes: 0,
  expand_after: "2026-03-03T08:00:00.000000Z",
  wanted: 16,
  is_stale: true,
};

Deno.test("POST /reminders/tick stops a plan that nobody foresaw, and goes on with the others", async () => {
  const rows = [{ ...EXPANDABLE, token: "1", rdate: null }, { ...EXPANDABLE, token: "2" }];
  let asked = 0;
  const subject = build({}, {
    reminders_to_expand: () => asked++ === 0 ? rows : [],
    store_expansions: [{ stored: 2 }],
  });
  await assertSuccess(await post(subject, TICK_PATH, {}));
  const stored = JSON.parse(String(subject.deps.sql.find("store_expansions").values[0]));
  assertEquals(
    stored.map((e: { token: string; is_refused: boolean }) => [e.token, e.is_refused]),
    [["1", true], ["2", false]],
  );
  const faults = subject.deps.logged.filter((entry) => "fault" in entry);
  assertEquals(faults.map(({ function: name, level }) => [name, level]), [["reminders", "error"]]);
});

for (
  const [name, plan] of Object.entries({
    "too many a day": { rrule: "FREQ=MINUTELY" },
    "too many a day for the library": { rrule: "FREQ=SECONDLY" },
    "too many a day, counted": { rrule: "FREQ=MINUTELY;COUNT=2000" },
  })
) {
  Deno.test(`POST /reminders/tick stops a plan of ${name}, though it came with occurrences`, async () => {
    let asked = 0;
    const subject = build({}, {
      reminders_to_expand: () => asked++ === 0 ? [{ ...EXPANDABLE, is_stale: false, ...plan }] : [],
      store_expansions: [{ stored: 1 }],
    });
    await assertSuccess(await post(subject, TICK_PATH, {}));
    const [stored] = JSON.parse(String(subject.deps.sql.find("store_expansions").values[0]));
    assertEquals([stored.is_refused, stored.upcoming], [true, []]);
    assertEquals(subject.deps.logged.filter((entry) => "fault" in entry), []);
  });
}

Deno.test("POST /reminders takes a rule by minutes whose days take the library many periods", async () => {
  const subject = build();
  const body = { ...REMINDER, rrule: "FREQ=MINUTELY;BYMINUTE=2,11,17;BYSECOND=47" };
  await assertSuccess(await post(subject, "/reminders", body));
  assertEquals(subject.deps.sql.find("save_reminder").values.at(-1), 72);
});

for (const path of ["/reminders/preview", "/reminders"]) {
  Deno.test(`POST ${path} refuses a rule whose later days have too many`, async () => {
    // On the day of the start 80; the break hides the next ones from the first look.
    const body = {
      ...(path === "/reminders" ? REMINDER : SCHEDULE),
      rrule: "FREQ=MINUTELY",
      starts_at_local: "2026-02-28T22:40:00",
      cycle_days_on: 1,
      cycle_days_off: 10,
      ...(path === "/reminders" ? {} : { count: 100 }),
    };
    const error = await assertFailure(await post(build(), path, body), 400, "invalid_request");
    assertStringIncludes(error.message, "at most 96");
  });
}

Deno.test("POST /reminders/tick works rules out for a second, and says that some are left", async () => {
  let now = NOW_MS;
  let left = 5;
  const subject = build({ now: () => (now += 400) }, {
    reminders_to_expand: () => Array.from({ length: left }, () => EXPANDABLE),
    store_expansions: (values) => {
      const { length } = JSON.parse(String(values[0]));
      left -= length;
      return [{ stored: length }];
    },
  });
  const first = await assertSuccess(await post(subject, TICK_PATH, {}));
  assertEquals([first.expanded, first.is_drained], [3, false]);
  // What was worked out may be due.
  assertEquals(tickStatements(subject).filter((name) => name === "tick_reminders").length, 2);
  const second = await assertSuccess(await post(subject, TICK_PATH, {}));
  assertEquals([second.expanded, second.is_drained], [2, true]);
});
