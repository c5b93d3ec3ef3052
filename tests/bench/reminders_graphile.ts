// graphile-worker on the same database: jobs that do nothing, and jobs that do what a tick does for an
// occurrence; with its local queue and its batches switched on.

import { Logger, run } from "graphile-worker";
import pg from "pg";

/** Jobs that run at once. */
const CONCURRENCY = 24;

/** Jobs a second, by what a job does. */
export async function benchGraphile(
  url: string,
  jobs: number,
  accounts: number,
  say: (line: string) => void,
): Promise<Map<string, number>> {
  const pool = new pg.Pool({ connectionString: url, max: CONCURRENCY });
  for (const event of ["error", "connect"] as const) {
    pool.on(event, (given: unknown) => {
      if (event === "connect") {
        (given as { on: (e: string, f: () => void) => void }).on("error", () => {});
      }
    });
  }
  await pool.query(`
    create table if not exists public.bench_logs (
      id uuid primary key default gen_random_uuid(),
      n integer not null,
      due_at timestamptz not null,
      unique (n, due_at)
    )`);
  const rates = new Map<string, number>();
  try {
    say("graphile-worker: jobs that do nothing");
    rates.set("which do nothing", await rateOf(pool, jobs, () => Promise.resolve()));
    say("graphile-worker: jobs that do the same");
    rates.set(
      "which do the same",
      await rateOf(pool, jobs, async ({ n }, query, addJob) => {
        const { rows } = await query(
          "insert into public.bench_logs (n, due_at) values ($1, now()) returning id",
          [n],
        );
        await query(
          `select private.notify(md5('u' || $1::integer % $2::integer)::uuid, 'reminder_due',
             jsonb_build_object('log_id', $3::uuid))`,
          [n, accounts, rows[0].id],
        );
        await addJob("later", { n }, { runAt: new Date(Date.now() + 86_400_000) });
      }),
    );
    return rates;
  } finally {
    await pool.end();
  }
}

type Work = (
  payload: { n: number },
  // deno-lint-ignore no-explicit-any -- the driver brings no types of its own
  query: (text: string, values: unknown[]) => Promise<{ rows: any[] }>,
  addJob: (name: string, payload: object, spec: { runAt: Date }) => Promise<unknown>,
) => Promise<void>;

async function rateOf(pool: pg.Pool, jobs: number, work: Work): Promise<number> {
  let done = 0;
  const all = Promise.withResolvers<void>();
  const logger = new Logger(() => () => {});
  const settings = {
    pgPool: pool,
    logger,
    noHandleSignals: true,
    concurrency: CONCURRENCY,
    parsedCronItems: [],
    preset: {
      worker: {
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
        concurrentJobs: CONCURRENCY,
      },
    },
  };
  // Only makes its tables, as it has no task for what follows.
  const maker = await run({ ...settings, taskList: { none: () => Promise.resolve() } });
  await maker.stop();
  // In one statement they would take a time that grows with their square.
  for (let n = 1; n <= jobs; n += 500) {
    await pool.query(
      `select graphile_worker.add_job('bench', json_build_object('n', n))
       from generate_series($1::integer, $2::integer) as n`,
      [n, Math.min(n + 499, jobs)],
    );
  }
  await pool.query("analyze");
  const began = performance.now();
  const runner = await run({
    ...settings,
    taskList: {
      bench: async (payload, helpers) => {
        await work(payload as { n: number }, helpers.query, helpers.addJob as never);
        if (++done === jobs) all.resolve();
      },
    },
  });
  runner.events.on("job:error", ({ error }) => all.reject(error));
  await all.promise;
  const took = performance.now() - began;
  await runner.stop();
  await pool.query("delete from graphile_worker._private_jobs");
  return jobs / took * 1000;
}
