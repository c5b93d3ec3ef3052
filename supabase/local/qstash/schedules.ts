// Schedules: kept publications that are published again at each time that their cron names. A time
// that passed while nobody was at work is made up once, however many there were; one that fell into a
// pause is not.

import { nextTime } from "./cron.ts";
import { invalid, notFound, overLimit, QStashError } from "./errors.ts";
import { isUrl, NAME, readOptions, type Source } from "./options.ts";
import { publish, type PublishSettings } from "./publish.ts";
import { newId, type Sql, type Tx } from "./store.ts";

/** A schedule. Times are unix milliseconds. */
export interface ScheduleRow {
  id: string;
  cron: string;
  destination: string;
  source: Source;
  body: Uint8Array<ArrayBuffer>;
  caller_ip: string | null;
  is_paused: boolean;
  created_at: number;
  last_at: number | null;
  next_at: number | null;
  last_message_ids: string[];
}

const MAX_SCHEDULES = 1000;

/** Creates a schedule, or replaces the one of that id; answers its id. */
export async function putSchedule(
  sql: Sql,
  { destination, source, body, callerIp }: {
    destination: string;
    source: Source;
    body: Uint8Array<ArrayBuffer>;
    callerIp: string;
  },
  now: number,
): Promise<string> {
  const id = source["upstash-schedule-id"] ?? newId("scd_");
  const cron = source["upstash-cron"];
  if (!NAME.test(id)) throw invalid('Schedule ids may have letters, digits, "-", "." and "_"');
  if (cron === undefined) throw invalid("Upstash-Cron is missing");
  if (!isUrl(destination) && !NAME.test(destination)) {
    throw invalid("Destination must begin with http:// or https://, or be the name of a URL group");
  }
  readOptions(source, now);
  const nextAt = nextTime(cron, now);
  await sql.begin(async (tx) => {
    await tx`lock table _qstash.schedules in share row exclusive mode`;
    const [others] = await tx<{ count: number }[]>`
      select count(*) as count from _qstash.schedules where id <> ${id}`;
    if (others!.count >= MAX_SCHEDULES) throw overLimit(`Over ${MAX_SCHEDULES} schedules`);
    await tx`
      insert into _qstash.schedules as s
        (id, cron, destination, source, body, caller_ip, created_at, next_at)
      values (
        ${id}, ${cron}, ${destination}, ${tx.json(source)}, ${body}, ${callerIp}, ${now}, ${nextAt}
      )
      on conflict (id) do update
      set cron = excluded.cron, destination = excluded.destination, source = excluded.source,
          body = excluded.body, caller_ip = excluded.caller_ip,
          -- What is due stays due when a schedule is only written again.
          next_at = case when s.cron = excluded.cron then s.next_at else excluded.next_at end`;
  });
  return id;
}

/** Pauses a schedule, or lets it go on with the first time after now. */
export async function setPaused(
  sql: Sql,
  id: string,
  isPaused: boolean,
  now: number,
): Promise<void> {
  await sql.begin(async (tx) => {
    const [schedule] = await tx<ScheduleRow[]>`
      select * from _qstash.schedules where id = ${id} for update`;
    if (!schedule) throw notFound("Schedule");
    if (schedule.is_paused === isPaused) return;
    await tx`
      update _qstash.schedules
      set is_paused = ${isPaused}, next_at = ${nextTime(schedule.cron, now)}
      where id = ${id}`;
  });
}

/** Publishes what the schedules that are due say; each of them once. */
export async function tick(sql: Sql, settings: PublishSettings, now: number): Promise<void> {
  for (;;) {
    const ticked = await sql.begin(async (tx) => {
      const [schedule] = await tx<ScheduleRow[]>`
        select * from _qstash.schedules
        where not is_paused and next_at <= ${now}
        order by next_at
        limit 1
        for update skip locked`;
      if (schedule) await fire(tx, schedule, settings, now);
      return schedule !== undefined;
    });
    if (!ticked) return;
  }
}

/** Lets one schedule tick now, whatever its cron says. */
export async function tickNow(
  sql: Sql,
  id: string,
  settings: PublishSettings,
  now: number,
): Promise<string[]> {
  return await sql.begin(async (tx) => {
    const [schedule] = await tx<ScheduleRow[]>`
      select * from _qstash.schedules where id = ${id} for update`;
    if (!schedule) throw notFound("Schedule");
    return await fire(tx, schedule, settings, now);
  });
}

async function fire(
  tx: Tx,
  schedule: ScheduleRow,
  settings: PublishSettings,
  now: number,
): Promise<string[]> {
  let ids = schedule.last_message_ids;
  try {
    const published = await tx.savepoint((inner) =>
      publish(
        inner,
        {
          destination: schedule.destination,
          source: schedule.source,
          body: new Uint8Array(schedule.body),
          callerIp: schedule.caller_ip,
          scheduleId: schedule.id,
        },
        settings,
        now,
      )
    );
    ids = [published].flat().map(({ messageId }) => messageId);
  } catch (error) {
    // Its URL group is gone, say: that is no reason to try the same time again for ever.
    if (!(error instanceof QStashError)) throw error;
    console.error(`Schedule ${schedule.id} published nothing: ${error.message}`);
  }
  await tx`
    update _qstash.schedules
    set last_at = ${now}, next_at = ${nextTime(schedule.cron, now)}, last_message_ids = ${ids}
    where id = ${schedule.id}`;
  return ids;
}
