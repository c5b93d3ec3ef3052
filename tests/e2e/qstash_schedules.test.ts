// Schedules of the queue: made and replaced by id, paused, deleted, in a zone; what was due while nobody
// was at work comes once.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { QstashError } from "@upstash/qstash";
import { nextTime } from "../../supabase/local/qstash/cron.ts";
import { withQueueLab } from "../support/queue_lab.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;

Deno.test("a schedule publishes at each of its times, with its own body and headers", async () => {
  await withQueueLab(async ({ client, at, run, pass, arrivals, now }) => {
    const { scheduleId } = await client.schedules.create({
      destination: at("/tick?deep=1"),
      cron: "* * * * *",
      body: '{"a":1}',
      headers: { "X-Kind": "k" },
      method: "PUT",
      retries: 1,
      label: "ticks",
    });
    assertEquals(await run(), 0);
    for (let minute = 1; minute <= 3; minute++) {
      pass(MINUTE);
      assertEquals(await run(), 1);
      assertEquals(await run(), 0);
    }
    const [first] = arrivals;
    assertEquals([first!.url, first!.method, first!.body], [at("/tick?deep=1"), "PUT", '{"a":1}']);
    assertEquals(first!.headers.get("content-type"), "application/json");
    assertEquals(first!.headers.get("upstash-schedule-id"), scheduleId);
    assertEquals(first!.headers.get("x-kind"), "k");
    assertEquals(new Set(arrivals.map(({ headers }) => headers.get("upstash-message-id"))).size, 3);
    const schedule = await client.schedules.get(scheduleId);
    assertEquals(schedule.cron, "* * * * *");
    assertEquals(schedule.destination, at("/tick?deep=1"));
    assertEquals(schedule.isPaused, false);
    assertEquals(schedule.retries, 1);
    assertEquals(schedule.body, '{"a":1}');
    assertEquals(Object.values(schedule.lastScheduleStates ?? {}), ["DELIVERED"]);
    assert(schedule.nextScheduleTime! > now() && schedule.nextScheduleTime! <= now() + MINUTE);
    await client.schedules.delete(scheduleId);
    pass(DAY);
    assertEquals(await run(), 0);
    await assertRejects(() => client.schedules.get(scheduleId), QstashError);
    await assertRejects(() => client.schedules.delete(scheduleId), QstashError);
  });
});

Deno.test("made again under its id, a schedule is replaced; what was due stays due", async () => {
  await withQueueLab(async ({ client, at, run, pass, arrivals }) => {
    const create = (path: string, cron = "0 3 * * *") =>
      client.schedules.create({ scheduleId: "ours-1", destination: at(path), cron });
    await create("/old");
    await client.schedules.create({ destination: at("/foreign"), cron: "0 0 1 1 *" });
    pass(DAY);
    await create("/new");
    assertEquals((await client.schedules.list()).length, 2);
    assertEquals(await run(), 1);
    assertEquals(arrivals.map(({ url }) => url), [at("/new")]);
    await create("/new", "0 4 * * *");
    assertEquals((await client.schedules.get("ours-1")).cron, "0 4 * * *");
  });
});

Deno.test("times that fall into a pause are skipped", async () => {
  await withQueueLab(async ({ client, at, run, pass }) => {
    const { scheduleId } = await client.schedules.create({
      destination: at("/"),
      cron: "* * * * *",
    });
    await client.schedules.pause({ schedule: scheduleId });
    assertEquals((await client.schedules.get(scheduleId)).isPaused, true);
    pass(10 * MINUTE);
    assertEquals(await run(), 0);
    await client.schedules.resume({ schedule: scheduleId });
    assertEquals(await run(), 0);
    pass(MINUTE);
    assertEquals(await run(), 1);
    await assertRejects(() => client.schedules.pause({ schedule: "nobody" }), QstashError);
  });
});

Deno.test("what was due while the queue was down comes once, and then at its times again", async () => {
  await withQueueLab(async ({ client, at, run, pass, restart }) => {
    await client.schedules.create({ destination: at("/minute"), cron: "* * * * *" });
    await client.schedules.create({ destination: at("/later"), cron: "0 0 1 1 *" });
    await client.publish({ url: at("/message"), delay: 60 });
    await restart(() => pass(DAY));
    assertEquals(await run(), 2);
    assertEquals(await run(), 0);
    pass(MINUTE);
    assertEquals(await run(), 1);
  });
});

Deno.test("a tick may be delayed, go into a queue, and go to a URL group", async () => {
  await withQueueLab(async ({ client, at, run, pass, arrivals, control }) => {
    await client.urlGroups.addEndpoints({
      name: "both",
      endpoints: [{ url: at("/1") }, { url: at("/2") }],
    });
    const { scheduleId } = await client.schedules.create({
      destination: "both",
      cron: "0 0 1 1 *",
      delay: 90,
      queueName: "line",
    });
    const ticked = await control("POST", `/schedules/${scheduleId}/tick`);
    assertEquals((await ticked.json()).message_ids.length, 2);
    assertEquals(await run(), 0);
    pass(90_000);
    assertEquals(await run(), 2);
    assertEquals(arrivals.map(({ url }) => url), [at("/1"), at("/2")]);
    assertEquals((await client.schedules.get(scheduleId)).delay, 90);
    assertEquals((await control("POST", "/schedules/nobody/tick")).status, 404);
    // A group that is gone stops neither the schedule nor the others.
    await client.urlGroups.delete("both");
    await client.schedules.create({ destination: at("/other"), cron: "0 0 1 1 *" });
    pass(366 * DAY);
    assertEquals(await run(), 1);
  });
});

Deno.test("times of a cron: in UTC, in a zone and over its changes; what is no cron is refused", async () => {
  const times = (cron: string, after: string, count: number) => {
    let at = Date.parse(after);
    return Array.from({ length: count }, () => new Date(at = nextTime(cron, at)!).toISOString());
  };
  assertEquals(times("30 1 * * *", "2026-01-01T01:30:00Z", 2), [
    "2026-01-02T01:30:00.000Z",
    "2026-01-03T01:30:00.000Z",
  ]);
  // Winter and summer.
  const noon = "CRON_TZ=Europe/Amsterdam 0 12 * * *";
  assertEquals(times(noon, "2026-03-28T00:00:00Z", 2), [
    "2026-03-28T11:00:00.000Z",
    "2026-03-29T10:00:00.000Z",
  ]);
  assertEquals(times("CRON_TZ=Asia/Kathmandu 0 0 * * MON", "2026-01-01T00:00:00Z", 1), [
    "2026-01-04T18:15:00.000Z",
  ]);
  // The 13th, and every Friday.
  assertEquals(times("0 0 13 * 5", "2026-01-09T00:00:00Z", 2), [
    "2026-01-13T00:00:00.000Z",
    "2026-01-16T00:00:00.000Z",
  ]);
  assertEquals(nextTime("0 0 30 2 *", Date.parse("2026-01-01T00:00:00Z")), null);
  await withQueueLab(async ({ client, at }) => {
    const wrong = [
      "",
      "* * * *",
      "* * * * * *",
      "61 * * * *",
      "@daily",
      "0 0 L * *",
      "CRON_TZ=Mars/Olympus 0 0 * * *",
    ];
    for (const cron of wrong) {
      const error = await assertRejects(
        () => client.schedules.create({ destination: at("/"), cron }),
        QstashError,
      );
      assertEquals(error.status, 400, cron);
    }
    await assertRejects(
      () => client.schedules.create({ destination: at("/"), cron: "* * * * *", scheduleId: "a b" }),
      QstashError,
    );
    assertEquals(await client.schedules.list(), []);
  });
});
