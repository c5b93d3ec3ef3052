// Occurrences are logged once each, whatever happens to workers, database and clock. In the long run
// (deno task test:long) a hundred kills, in the normal one a few.

import { assert, assertEquals } from "@std/assert";
import { asCaller, type Caller, openDatabase } from "../../functions/_shared/db.ts";
import {
  BEGIN_MS,
  type Lab,
  makePeople,
  makeReminders,
  spawnWorker,
  ticker,
  toldTwice,
  withReminderLabs,
  wronglyLogged,
} from "../support/reminder_lab.ts";

const KILLS = Deno.env.get("BL_LONG") ? 100 : 6;
const HOUR = 3_600_000;
const RULE = { rrule: "FREQ=MINUTELY;INTERVAL=15", starts_at_local: "2027-01-10T00:00:00" };

/** Reads what a lab's worker has to show once all is due until `until`. */
async function settle({ url }: Lab, until: number): Promise<void> {
  const tick = ticker(url);
  for (let report = await tick(() => until); !report.is_drained || report.claimed > 0;) {
    report = await tick(() => until);
  }
}

Deno.test("occurrences, whoever ticks and whatever the clock says", (t) =>
  withReminderLabs(async (inLab) => {
    for (const count of [2, 4, 8]) {
      await t.step(
        `${count} ticks at once log each occurrence once and tell it once`,
        () =>
          inLab(async (lab) => {
            await makePeople(lab, 20);
            await makeReminders(lab, 60, RULE);
            await settle(lab, BEGIN_MS - 1);
            const tick = ticker(lab.url);

            for (let quarter = 0; quarter < 3; quarter++) {
              const now = BEGIN_MS + quarter * HOUR / 4;
              const reports = await Promise.all(
                Array.from({ length: count }, () => tick(() => now)),
              );
              assertEquals(reports.reduce((sum, { sent }) => sum + sent, 0), 60);
            }

            assertEquals(await wronglyLogged(lab, 15, BEGIN_MS + HOUR / 2), 0);
            assertEquals(await toldTwice(lab), 0);
          }),
      );
    }

    await t.step(
      "ticks that tell the same people what was missed never wait for each other in a ring",
      () =>
        inLab(async (lab) => {
          const { sql } = lab;
          const workers = openDatabase(lab.url);
          await makePeople(lab, 600);
          for (let round = 0; round < 3; round++) {
            await sql`delete from public.reminders`;
            await sql`delete from public.notifications`;
            await sql`
              insert into public.reminders (
                user_id, title, reminder_type, starts_at_local, timezone, upcoming, expansion
              )
              select id, 'Pill', 'medication', '2027-01-01', 'UTC',
                array['2027-01-01 00:00Z'::timestamptz + random() * interval '1 hour'], 'complete'
              from auth.users, generate_series(1, 5)`;
            // Batches of many sizes, so that they are planned in different ways.
            await Promise.all(Array.from({ length: 8 }, async (_, worker) => {
              for (let turn = 0; turn < 10; turn++) {
                const limit = [7, 40, 150, 400, 1000][(worker + turn) % 5]!;
                await workers.begin((tx) =>
                  tx`select private.tick_reminders('2027-01-10', ${limit})`
                );
              }
            }));
            const [left] = await sql`
              select count(*)::integer as left from public.reminders where next_due_at is not null`;
            assertEquals(left!.left, 0);
          }
        }),
    );

    await t.step(
      "a clock that jumps between ticks loses nothing and doubles nothing",
      () =>
        inLab(async (lab) => {
          await makePeople(lab, 5);
          await makeReminders(lab, 12, RULE);
          let now = BEGIN_MS;
          const tick = ticker(lab.url);
          for (
            const jump of [
              0,
              HOUR,
              -HOUR,
              0.25 * HOUR,
              24 * HOUR,
              -24 * HOUR,
              0.5 * HOUR,
              23 * HOUR,
            ]
          ) {
            now += jump;
            await tick(() => now);
            await tick(() => now);
          }

          const furthest = BEGIN_MS + 24.25 * HOUR;
          await settle(lab, furthest);
          assertEquals(await wronglyLogged(lab, 15, furthest), 0);
          assertEquals(await toldTwice(lab), 0);
        }),
    );

    await t.step(
      "a worker that was away for six hours sends what is of use and does not flood",
      () =>
        inLab(async (lab) => {
          await makePeople(lab, 3);
          await makeReminders(lab, 12, { ...RULE, grace_minutes: 31 });
          await settle(lab, BEGIN_MS + 6 * HOUR);

          assertEquals(await wronglyLogged(lab, 15, BEGIN_MS + 6 * HOUR), 0);
          const [told] = await lab.sql`
      select
        count(*) filter (where kind = 'reminder_due')::integer as due,
        count(*) filter (where kind = 'reminder_missed')::integer as missed,
        (select count(*)::integer from public.reminder_logs where status = 'sent') as sent
      from public.notifications`;
          // Of each reminder the three of the last half hour are sent, and told as one.
          assertEquals({ ...told }, { due: 12, missed: 3, sent: 36 });
        }),
    );
  }));

Deno.test(`${KILLS} kills of worker and database lose no completion and double no occurrence`, () =>
  withReminderLabs((inLab) =>
    inLab(async (lab) => {
      const people = await makePeople(lab, 10);
      await makeReminders(lab, 40, RULE);
      const beganAt = Date.now();
      const speed = 1_800; // half an hour a second
      const now = () => BEGIN_MS + (Date.now() - beganAt) * speed;
      let workers = [spawnWorker(lab.url, beganAt, speed), spawnWorker(lab.url, beganAt, speed)];
      let is_over = false;
      const acknowledged = new Map<string, string>();
      const client = complete(lab, people, acknowledged, () => is_over);

      try {
        for (let kill = 0; kill < KILLS; kill++) {
          await progress(lab, acknowledged, 3);
          if (kill % 2 === 0) {
            const victim = workers[Math.floor(Math.random() * workers.length)]!;
            victim.kill("SIGKILL");
            await victim.status;
            workers = workers.map((worker) =>
              worker === victim ? spawnWorker(lab.url, beganAt, speed) : worker
            );
          } else {
            await crash(lab);
          }
        }
        await progress(lab, acknowledged, 3);
      } finally {
        is_over = true;
        for (const worker of workers) worker.kill("SIGKILL");
        await Promise.all(workers.map(({ status }) => status));
        await client;
      }

      // A worker's last transaction may yet be ending.
      const until = Math.floor(now() / (HOUR / 4)) * HOUR / 4;
      await settle(lab, until);
      assertEquals(await wronglyLogged(lab, 15, until), 0);
      assertEquals(await toldTwice(lab), 0);
      const rows = await lab.sql`
      select id, status, completed_at from public.reminder_logs where status = 'completed'`;
      const completed = new Map(rows.map((row) => [row.id, row.completed_at.toISOString()]));
      assert(acknowledged.size >= KILLS);
      for (const [id, at] of acknowledged) assertEquals(completed.get(id), at);
    })
  ));

/** Kills one process of the server as a fault would: the server starts anew, with what it has written. */
async function crash({ sql }: Lab): Promise<void> {
  const [row] = await sql<{ pid: number }[]>`
    select pid from pg_stat_activity
    where backend_type = 'client backend' and pid <> pg_backend_pid()
    order by state = 'active' desc, random() limit 1`;
  if (row) Deno.kill(row.pid, "SIGKILL");
  for (let tries = 0; tries < 200; tries++) {
    const is_up = await sql`select 1`.then(() => true, () => false);
    if (is_up) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("The server has not come back");
}

/** Waits until so many more completions are acknowledged, which takes ticks that go on. */
async function progress(lab: Lab, acknowledged: Map<string, string>, more: number): Promise<void> {
  const goal = acknowledged.size + more;
  const gives_up = Date.now() + 60_000;
  while (acknowledged.size < goal) {
    if (Date.now() > gives_up) {
      const [row] = await lab.sql`select count(*) from public.reminder_logs`;
      throw new Error(`Nothing goes on after ${acknowledged.size} completions of ${row?.count}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Completes what was sent, as its owner, and notes what the database has acknowledged. */
async function complete(
  { url }: Lab,
  people: string[],
  acknowledged: Map<string, string>,
  is_over: () => boolean,
): Promise<void> {
  const sql = openDatabase(url);
  const { createHash } = await import("node:crypto");
  const uuid = (text: string) =>
    createHash("md5").update(text).digest("hex").replace(
      /^(.{8})(.{4})(.{4})(.{4})(.{12})$/,
      "$1-$2-$3-$4-$5",
    );
  for (let turn = 0; !is_over(); turn++) {
    const id = people[turn % people.length]!;
    const caller: Caller = {
      id,
      claims: { sub: id, role: "authenticated", session_id: uuid(`s${id}`), aal: "aal1" },
      request_id: "lab",
      ip: null,
      user_agent: null,
    };
    try {
      const done = await asCaller(sql, caller, async (tx) => {
        const [log] = await tx<{ id: string }>`
          select id from public.reminder_logs where status = 'sent' order by due_at desc limit 1`;
        if (!log) return;
        const [row] = await tx<
          { at: Date }
        >`select public.complete_reminder(${log.id}::uuid) as at`;
        return { id: log.id, at: row!.at.toISOString() };
      });
      if (done) acknowledged.set(done.id, done.at);
    } catch {
      // The database is down; what was not acknowledged may be there or not.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
