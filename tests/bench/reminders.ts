// Reminders: what a tick costs as the table grows, how many occurrences a second go from claim to the
// next one beside graphile-worker on the same database, how late they are while ticks keep up, and
// what a transaction that is left open does to that.
//
// Sizes, unless the environment says otherwise: BENCH_REMINDERS (rows of the large table, 10,000,000),
// BENCH_DUE (due in one minute, 100,000), BENCH_HOLD_SECONDS (of the open transaction, 180).

import postgres from "postgres";
import {
  BATCH,
  LANES,
  nextPositions,
  type Position,
  START,
} from "../../functions/reminders/tick.ts";
import { asAdmin } from "../../supabase/local/database.ts";
import { databaseUrl } from "../../supabase/local/postgres.ts";
import { createMigrated } from "../../tools/schema.ts";
import { withCluster } from "../../tools/throwaway.ts";
import { type BenchResult, median, round } from "./harness.ts";
import { benchGraphile } from "./reminders_graphile.ts";

const ROWS = Number(Deno.env.get("BENCH_REMINDERS") ?? 10_000_000);
const DUE = Number(Deno.env.get("BENCH_DUE") ?? 100_000);
const HOLD_SECONDS = Number(Deno.env.get("BENCH_HOLD_SECONDS") ?? 180);
/** The small table is a tenth of the large one. */
const GROWTH = 10;
const ACCOUNTS = 5_000;
/** Jobs that graphile-worker is measured by. */
const MOST_JOBS = 20_000;
/** Ticks of each table that count, taking turns. */
const ROUNDS = 5;
/** Occurrences that each reminder holds ahead. */
const AHEAD = 16;
/** The first minute that is due. */
const BEGIN = Date.UTC(2027, 0, 1);

/** Runs every bench of the domain on one server. */
export async function benchReminders(say: (line: string) => void): Promise<BenchResult[]> {
  return await withCluster(async (port) => {
    const names = { small: "bench_small", large: "bench_large" };
    say(`filling: ${ROWS / GROWTH} and ${ROWS} reminders, ${DUE} due a minute`);
    await createMigrated(port, names.small);
    await createMigrated(port, names.large);
    await fill(port, names.small, ROWS / GROWTH);
    await fill(port, names.large, ROWS);
    const small = new Clockwork(port, names.small);
    const large = new Clockwork(port, names.large);
    try {
      const results: BenchResult[] = [];
      const keep = (result: BenchResult) => {
        say(`${result.name}: ${result.ratio ?? ""} (${result.figures})`);
        results.push(result);
      };
      keep(await benchGrowth(small, large, say));
      say("throughput, beside graphile-worker");
      const throughput = await benchThroughput(large);
      const url = databaseUrl(port, "postgres", names.large);
      for (
        const [name, rate] of await benchGraphile(url, Math.min(DUE, MOST_JOBS), ACCOUNTS, say)
      ) {
        const does_the_same = name.endsWith("the same");
        keep({
          name: `reminders: claim, log, notification, next, of jobs/s of graphile-worker (${name})`,
          ratio: round(throughput / rate),
          // Jobs that do nothing say what the queue alone can do; nothing is claimed of them.
          goal: does_the_same ? ">= 3" : null,
          met: does_the_same ? throughput / rate >= 3 : null,
          rounds: 1,
          spread: null,
          figures: `${Math.round(throughput)}/s against ${Math.round(rate)}/s`,
        });
      }
      say("lateness");
      keep(await benchLateness(large, throughput));
      say(`a transaction held open for ${HOLD_SECONDS} s`);
      keep(await benchHeld(large, port, names.large));
      return results;
    } finally {
      await small.end();
      await large.end();
    }
  });
}

/**
 * Reminders by turns: so many are due in each minute, and each again when all have been. Written past
 * triggers and foreign keys.
 */
async function fill(port: number, name: string, rows: number): Promise<void> {
  const minutes = Math.ceil(rows / DUE);
  await asAdmin(port, name, async (sql) => {
    await sql.unsafe(`
      set session_replication_role = replica;
      insert into auth.users (id, email, email_confirmed_at)
        select md5('u' || n)::uuid, n || '@bench.test', now()
        from generate_series(0, ${ACCOUNTS - 1}) as n;
      insert into public.profiles (id, timezone)
        select id, 'Asia/Kolkata' from auth.users;
      insert into public.reminders (
        user_id, title, reminder_type, rrule, starts_at_local, timezone, upcoming, expansion
      )
      select
        md5('u' || n % ${ACCOUNTS})::uuid, 'Pill', 'medication', 'FREQ=DAILY', '2026-01-01 08:00',
        'Asia/Kolkata',
        array(
          select to_timestamp(${BEGIN / 1000}) + (n / ${DUE} + k * ${minutes}) * interval '1 minute'
          from generate_series(0, ${AHEAD - 1}) as k
        ),
        'complete'
      from generate_series(0, ${rows - 1}) as n;`);
    await sql.unsafe("vacuum analyze public.reminders");
    await sql.unsafe("analyze");
  });
}

/** Ticks of one database, minute by minute. */
class Clockwork {
  readonly #sql: postgres.Sql;
  #minute = 0;

  constructor(port: number, name: string) {
    this.#sql = postgres(databaseUrl(port, "postgres", name), { max: LANES, onnotice: () => {} });
  }

  /** Does what is due in the next minute; gives how many there were, and the milliseconds. */
  async next(): Promise<{ count: number; took: number }> {
    const now = new Date(BEGIN + this.#minute++ * 60_000).toISOString();
    const began = performance.now();
    let count = 0;
    let positions = [START];
    do {
      const batches = await Promise.all(positions.map((after) => this.#claim(now, after)));
      for (const { claimed } of batches) count += claimed;
      positions = nextPositions(batches, LANES);
    } while (positions.length > 0);
    return { count, took: performance.now() - began };
  }

  /** One batch, as the product's tick takes it. */
  async #claim(now: string, { at, id }: Position): Promise<Position & { claimed: number }> {
    const [batch] = await this.#sql<(Position & { claimed: number })[]>`
      select claimed, last_due_at::text as at, last_id as id
      from private.tick_reminders(
        ${now}::text::timestamptz, ${BATCH}, ${at}::text::timestamptz, ${id}::uuid
      )`;
    return batch!;
  }

  /** On one connection all batches that are due at `now`; `seen` hears of each when it is committed. */
  async drain(now: string, seen: (count: number) => void = () => {}): Promise<number> {
    let total = 0;
    for (let after = START;;) {
      const batch = await this.#claim(now, after);
      total += batch.claimed;
      seen(batch.claimed);
      if (batch.claimed < BATCH) return total;
      after = batch;
    }
  }

  /**
   * Spreads so many of the next minute over its first `seconds`, leaves the others out, and gives when
   * it begins.
   */
  async spread(count: number, seconds: number): Promise<number> {
    const begin = BEGIN + this.#minute++ * 60_000;
    await this.#sql`
      with due as (
        select id, row_number() over () - 1 as n
        from public.reminders
        where is_active and next_due_at = ${new Date(begin).toISOString()}::text::timestamptz
      )
      update public.reminders as r
      set upcoming = case
        when d.n >= ${count} then r.upcoming[2 :]
        else (
          r.upcoming[1] + d.n * ${seconds}::double precision / ${count} * interval '1 second'
        ) || r.upcoming[2 :]
      end
      from due as d where r.id = d.id`;
    return begin;
  }

  async end(): Promise<void> {
    await this.#sql.end();
  }
}

async function benchGrowth(
  small: Clockwork,
  large: Clockwork,
  say: (line: string) => void,
): Promise<BenchResult> {
  const ratios: number[] = [];
  const times: number[][] = [[], []];
  for (let turn = 0; turn <= ROUNDS; turn++) {
    say(`minute ${turn} of both tables`);
    const one = await small.next();
    const ten = await large.next();
    if (one.count !== DUE || ten.count !== DUE) {
      throw new Error(`${one.count} and ${ten.count} were due, not ${DUE}`);
    }
    if (turn === 0) continue; // to warm up
    times[0]!.push(one.took);
    times[1]!.push(ten.took);
    ratios.push(ten.took / one.took);
  }
  const ratio = median(ratios);
  return {
    name: `reminders: ${DUE} due of ${ROWS}, time against ${DUE} due of ${ROWS / GROWTH}`,
    ratio: round(ratio),
    goal: "<= 1.5",
    met: ratio <= 1.5,
    rounds: ROUNDS,
    spread: [round(Math.min(...ratios)), round(Math.max(...ratios))],
    figures: `${(median(times[1]!) / 1000).toFixed(1)} s against ${
      (median(times[0]!) / 1000).toFixed(1)
    } s`,
  };
}

async function benchThroughput(clockwork: Clockwork): Promise<number> {
  const { count, took } = await clockwork.next();
  return count / took * 1000;
}

/** Ticks follow each other without a pause, and what is due in a minute comes evenly. */
async function benchLateness(clockwork: Clockwork, throughput: number): Promise<BenchResult> {
  const seconds = 30;
  const rate = Math.min(DUE / 60, throughput / 2);
  const count = Math.floor(rate * seconds);
  const begin = await clockwork.spread(count, seconds);
  const beganAt = performance.now();
  const clock = () => performance.now() - beganAt;
  const lateness: number[] = [];
  while (lateness.length < count && clock() < 4 * seconds * 1000) {
    await clockwork.drain(new Date(begin + clock()).toISOString(), (claimed) => {
      // In the order of their times, so the n-th that is done is the n-th that was due.
      for (let i = 0; i < claimed; i++) {
        lateness.push(clock() - lateness.length * seconds * 1000 / count);
      }
    });
  }
  if (lateness.some((ms) => ms < -1)) throw new Error("Something was done before it was due");
  lateness.sort((a, b) => a - b);
  const p99 = lateness[Math.floor(lateness.length * 0.99)]! / 1000;
  return {
    name: `reminders: lateness at ${Math.round(rate)} a second, on one connection`,
    ratio: null,
    goal: "p99 <= 1 s",
    met: p99 <= 1 && lateness.length >= count,
    rounds: 1,
    spread: null,
    figures: `p99 ${p99.toFixed(3)} s, median ${
      (lateness[Math.floor(lateness.length / 2)]! / 1000).toFixed(3)
    } s`,
  };
}

/** Throughput while a snapshot is held, of that just before; both for as long. */
async function benchHeld(clockwork: Clockwork, port: number, name: string): Promise<BenchResult> {
  const run = async () => {
    const ends = performance.now() + HOLD_SECONDS * 1000;
    let [count, took] = [0, 0];
    while (performance.now() < ends) {
      const minute = await clockwork.next();
      if (minute.count === 0) throw new Error("Nothing is due any more");
      count += minute.count;
      took += minute.took;
    }
    return count / took * 1000;
  };
  const before = await run();
  const holder = postgres(databaseUrl(port, "postgres", name), { max: 1, onnotice: () => {} });
  let during = 0;
  try {
    await holder.begin("isolation level repeatable read", async (tx) => {
      await tx`select pg_current_xact_id(), count(*) from public.profiles`;
      during = await run();
    });
  } finally {
    await holder.end();
  }
  return {
    name: `reminders: throughput with a transaction open for ${HOLD_SECONDS} s, of that without`,
    ratio: round(during / before),
    goal: ">= 0.9",
    met: during / before >= 0.9,
    rounds: 1,
    spread: null,
    figures: `${Math.round(during)}/s against ${Math.round(before)}/s`,
  };
}
