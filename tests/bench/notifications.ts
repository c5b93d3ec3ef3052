// Notifications: what private.notify costs beside a plain insert of the same row, and how many a second
// it makes; what the outbox hands out and takes back.

import postgres from "postgres";
import { asAdmin } from "../../supabase/local/database.ts";
import { databaseUrl } from "../../supabase/local/postgres.ts";
import { createMigrated } from "../../tools/schema.ts";
import { withCluster } from "../../tools/throwaway.ts";
import { type BenchResult, measure, median, ms } from "./harness.ts";

const DATABASE = "bench";
/** Accounts that are told something. */
const ACCOUNTS = 1_000;
/** Connections that work at once. */
const WORKERS = 8;
/** Transactions of each connection in a turn. */
const TRANSACTIONS = 50;
/** Deliveries of one claim. */
const BATCH = 500;
/** In-app notifications a second that the project holds itself to. */
const LEAST_RATE = 1_000;

/** Accounts with an address, and a table with the rows and indexes of notifications, and no more. */
const SETUP = `
  insert into auth.users (id, email, email_confirmed_at, is_anonymous)
  select md5('bench ' || n)::uuid, n || '@bench.test', now(), false
  from generate_series(1, ${ACCOUNTS}) as n;
  create table public.bench_rows (like public.notifications including all);
  analyze;`;

/** Runs every bench of the domain on one database. */
export async function benchNotifications(say: (line: string) => void): Promise<BenchResult[]> {
  return await withCluster(async (port) => {
    await createMigrated(port, DATABASE);
    await asAdmin(port, DATABASE, (sql) => sql.unsafe(SETUP));
    const db = postgres(databaseUrl(port, "postgres", DATABASE), {
      max: WORKERS,
      onnotice: () => {},
    });
    try {
      return [
        ...await benchNotify(db, say),
        ...await benchOutbox(db, say),
      ];
    } finally {
      await db.end();
    }
  });
}

async function benchNotify(
  db: postgres.Sql,
  say: (line: string) => void,
): Promise<BenchResult[]> {
  const results: BenchResult[] = [];
  for (const { way, count, product, plain } of WAYS) {
    say(way);
    const times: number[] = [];
    const result = await measure({
      name: `notifications: ${way}, time against plain inserts`,
      turns: 4,
      product: async () => {
        const began = performance.now();
        await product(db);
        times.push(performance.now() - began);
      },
      plain: () => plain(db),
    });
    results.push(result, rate(`notifications: ${way}, a second`, count, times, LEAST_RATE));
  }
  const [told] = await db`
    select
      (select count(*)::integer from public.notifications) as notifications,
      (select count(*)::integer from realtime.messages) as messages`;
  if (told?.notifications !== told?.messages || !told?.messages) {
    throw new Error("Not every notification was broadcast");
  }
  return results;
}

interface Way {
  way: string;
  /** Notifications of one turn. */
  count: number;
  product: (db: postgres.Sql) => Promise<unknown>;
  plain: (db: postgres.Sql) => Promise<unknown>;
}

const WAYS: Way[] = [
  {
    way: `${ACCOUNTS} in-app in one statement`,
    count: ACCOUNTS,
    product: (db) =>
      db`
        select private.notify(
          md5('bench ' || n)::uuid, 'new_message',
          jsonb_build_object('conversation_id', gen_random_uuid())
        )
        from generate_series(1, ${ACCOUNTS}::integer) as n`,
    plain: (db) =>
      db`
        insert into public.bench_rows (user_id, kind, title, body, data)
        select
          md5('bench ' || n)::uuid, 'new_message', 'You have a new message',
          'Open the conversation to read it.',
          jsonb_build_object('conversation_id', gen_random_uuid())
        from generate_series(1, ${ACCOUNTS}::integer) as n`,
  },
  {
    way: `${WORKERS * TRANSACTIONS} in-app, a transaction each, ${WORKERS} at once`,
    count: WORKERS * TRANSACTIONS,
    product: (db) =>
      atOnce((n) =>
        db`
          select private.notify(
            md5('bench ' || ${n}::integer)::uuid, 'new_message',
            jsonb_build_object('conversation_id', gen_random_uuid())
          )`
      ),
    plain: (db) =>
      atOnce((n) =>
        db`
          insert into public.bench_rows (user_id, kind, title, body, data)
          values (
            md5('bench ' || ${n}::integer)::uuid, 'new_message', 'You have a new message',
            'Open the conversation to read it.',
            jsonb_build_object('conversation_id', gen_random_uuid())
          )`
      ),
  },
];

async function atOnce(work: (n: number) => PromiseLike<unknown>): Promise<void> {
  await Promise.all(Array.from({ length: WORKERS }, async (_, worker) => {
    for (let i = 0; i < TRANSACTIONS; i++) await work(1 + worker * TRANSACTIONS + i);
  }));
}

/** What the database's half of a delivery takes: claiming and finishing, nothing sent between. */
async function benchOutbox(
  db: postgres.Sql,
  say: (line: string) => void,
): Promise<BenchResult[]> {
  say(`claiming and finishing ${BATCH} deliveries`);
  await db`
    select private.notify(md5('bench ' || n)::uuid, 'care_ended', '{}')
    from generate_series(1, ${ACCOUNTS}::integer) as n, generate_series(1, 10)`;
  const times: number[] = [];
  for (let turn = 0; turn < 10; turn++) {
    const began = performance.now();
    const count = await db.begin(async (tx) => {
      await tx`set local role notification_worker`;
      const [row] = await tx`
        select private.finish_deliveries(jsonb_agg(jsonb_build_object(
          'id', c.id, 'claim_token', c.claim_token, 'outcome', 'sent', 'provider', 'resend',
          'provider_message_id', c.id
        ))) as count
        from private.claim_deliveries(${BATCH}, 60) as c`;
      return row?.count;
    });
    if (count !== BATCH) throw new Error(`${count} deliveries were finished`);
    times.push(performance.now() - began);
  }
  return [rate("notifications: deliveries claimed and finished, a second", BATCH, times)];
}

/** A rate from the median of the times that `count` took; there is nothing plain to compare it with. */
function rate(name: string, count: number, times: number[], least?: number): BenchResult {
  const elapsed = median(times);
  const perSecond = Math.round(count / elapsed * 1000);
  return {
    name,
    ratio: null,
    goal: least === undefined ? null : `>= ${least}/s`,
    met: least === undefined ? null : perSecond >= least,
    rounds: times.length,
    spread: null,
    figures: `${perSecond}/s (${count} in ${ms(elapsed)})`,
  };
}
