// A PostgreSQL of its own in which reminders come due by a clock that tests turn, with ticks as the
// function makes them, and workers that can be killed.

import { fromFileUrl } from "@std/path";
import type postgres from "postgres";
import { openDatabase, type RequestContext } from "../../functions/_shared/db.ts";
import type { Deps } from "../../functions/_shared/deps.ts";
import { tick, type TickReport } from "../../functions/reminders/tick.ts";
import { databaseUrl, startCluster, stopCluster } from "../../supabase/local/postgres.ts";
import { adminConnection, createDatabase, ensureTemplate } from "../../supabase/local/database.ts";
import { createMigrated } from "../../tools/schema.ts";
import { freePort, withCleanup, withFolder } from "../../tools/throwaway.ts";

const TEMPLATE = "reminders";
/** When the clock of every lab begins. */
export const BEGIN_MS = Date.UTC(2027, 0, 10);
const CONTEXT: RequestContext = { request_id: "lab", ip: null, user_agent: null };

export interface Lab {
  url: string;
  port: number;
  /** A superuser's connection. */
  sql: postgres.Sql;
}

/** Runs one lab after another, each with a database of its own. */
export type InLab = (work: (lab: Lab) => Promise<void>) => Promise<void>;

/** Runs `work` with a server that keeps what it has committed, as no test of the others needs. */
export async function withReminderLabs(work: (inLab: InLab) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const cluster = { dataDir: `${folder}/db`, port: freePort() };
    // Without fsync nothing is lost while the machine itself goes on.
    await startCluster({ ...cluster, settings: { fsync: "off", restart_after_crash: "on" } });
    await withCleanup(async () => {
      await ensureTemplate(cluster.port);
      await createMigrated(cluster.port, TEMPLATE);
      let labs = 0;
      await work(async (use) => {
        const name = `reminders_${++labs}`;
        await createDatabase(cluster.port, name, TEMPLATE);
        await useLab(cluster.port, name, use);
      });
    }, async () => {
      await stopCluster(cluster.dataDir);
    });
  });
}

async function useLab(
  port: number,
  name: string,
  use: (lab: Lab) => Promise<void>,
): Promise<void> {
  const sql = adminConnection(port, name);
  try {
    await use({ url: databaseUrl(port, "postgres", name), port, sql });
  } finally {
    // Pools drop connections that end while idle; those of a server that is gone they would miss.
    await sql`
      select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'functions'`;
    await sql.end();
  }
}

/** Ticks with one pool of connections. */
export function ticker(url: string): (now: () => number) => Promise<TickReport> {
  const sql = openDatabase(url);
  return (now) => tick({ now, sql } as unknown as Deps, CONTEXT);
}

/** Makes people, each signed in, and gives their ids; `u1`, `u2` … name them. */
export async function makePeople({ sql }: Lab, count: number): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    insert into auth.users (id, email, email_confirmed_at, is_anonymous)
    select md5('u' || n)::uuid, 'u' || n || '@lab.test', now(), false
    from generate_series(1, ${count}::integer) as n
    returning id`;
  await sql`
    insert into auth.sessions (id, user_id, aal)
    select md5('s' || id)::uuid, id, 'aal1' from auth.users`;
  return rows.map(({ id }) => id);
}

/** Makes reminders of the people by turns, none of them worked out yet. */
export async function makeReminders(
  { sql }: Lab,
  count: number,
  rule: { rrule: string | null; starts_at_local: string; grace_minutes?: number },
): Promise<void> {
  const { rrule, starts_at_local, grace_minutes = 60 } = rule;
  await sql`
    insert into public.reminders (
      user_id, title, reminder_type, rrule, starts_at_local, timezone, grace_minutes, expanded_to
    )
    select u.id, 'Reminder ' || n, 'medication', ${rrule}, ${starts_at_local}::text::timestamp, 'UTC',
      ${grace_minutes}, ${starts_at_local}::text::timestamp at time zone 'UTC' - interval '1 second'
    from generate_series(1, ${count}::integer) as n
    join (select id, row_number() over (order by id) - 1 as i, count(*) over () as all from auth.users) as u
      on u.i = n % u.all`;
}

/** Occurrences that are logged more or less often than once, of those due from BEGIN_MS to `until`. */
export async function wronglyLogged(
  { sql }: Lab,
  every_minutes: number,
  until: number,
): Promise<number> {
  const [row] = await sql<{ wrong: number }[]>`
    with expected as (
      select r.id, d as due_at
      from public.reminders as r
      cross join generate_series(
        ${new Date(BEGIN_MS).toISOString()}::text::timestamptz,
        ${new Date(until).toISOString()}::text::timestamptz,
        make_interval(mins => ${every_minutes})
      ) as d
    )
    select count(*)::integer as wrong
    from expected as e
    full join public.reminder_logs as l on l.reminder_id = e.id and l.due_at = e.due_at
    where e.id is null or l.id is null`;
  return row!.wrong;
}

/** Logged occurrences that were told more than once. */
export async function toldTwice({ sql }: Lab): Promise<number> {
  const [row] = await sql<{ twice: number }[]>`
    select count(*)::integer as twice from (
      select n.data ->> 'log_id' from public.notifications as n
      where n.kind = 'reminder_due'
      group by 1 having count(*) > 1
    ) as t`;
  return row!.twice;
}

/** A process that ticks without end, by a clock that runs fast, until it is killed. */
export function spawnWorker(url: string, beganAt: number, speed: number): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      fromFileUrl(new URL("reminder_worker.ts", import.meta.url)),
      url,
      String(beganAt),
      String(speed),
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
}
