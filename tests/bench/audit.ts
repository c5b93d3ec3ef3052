// Audit: what leaf hashes cost those who write, beside the same table without them, and how fast the
// trail is sealed and checked.

import postgres from "postgres";
import { asAdmin, createDatabase } from "../../supabase/local/database.ts";
import { databaseUrl } from "../../supabase/local/postgres.ts";
import { asCaller, type Caller, openDatabase, type Sql } from "../../functions/_shared/db.ts";
import { createMigrated } from "../../tools/schema.ts";
import { withCluster } from "../../tools/throwaway.ts";
import { type BenchResult, measure, ms } from "./harness.ts";

const HASHED = "bench";
const PLAIN = "bench_plain";
/** Rows of one statement. */
const ROWS = 1_000;
/** Events that are sealed and checked. */
const SEALED = 200_000;
/** A rate of 0.85 is a time of 1 / 0.85. */
const MOST_TIME = 1.176;

const CALLER_ID = "a1b2c3d4-0000-4000-8000-000000000001";
const SESSION_ID = "a1b2c3d4-0000-4000-8000-0000000000aa";
const CALLER: Caller = {
  id: CALLER_ID,
  claims: { sub: CALLER_ID, role: "authenticated", session_id: SESSION_ID, aal: "aal1" },
  request_id: "bench-request",
  ip: "203.0.113.7",
  user_agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
};

/** What both databases get: an account, a table with nothing but its audit triggers, a lone event. */
const SETUP = `
  insert into auth.users (id, email) values ('${CALLER_ID}', 'p@bench.test');
  insert into auth.sessions (id, user_id) values ('${SESSION_ID}', '${CALLER_ID}');
  create table public.bench_rows (
    id uuid primary key default gen_random_uuid(), patient_id uuid, title text, record_type text,
    record_date date, source text
  );
  select private.audit_table('public.bench_rows', 'bench_row', 'id', 'patient_id');
  create function public.bench_event() returns void language sql security definer
    set search_path = '' as $$
    select private.write_audit('open_record', 'medical_record', auth.uid(), auth.uid())
  $$;
  grant execute on function public.bench_event() to authenticated;`;

/** The same table as it would be without hashes, and without what tells when a row was written. */
const WITHOUT_HASHES = `
  alter table public.audit_events drop column leaf_hash, drop column transaction_id`;

/** Runs every bench of the domain on two databases of one server. */
export async function benchAudit(say: (line: string) => void): Promise<BenchResult[]> {
  return await withCluster(async (port) => {
    await createMigrated(port, HASHED);
    await createDatabase(port, PLAIN, HASHED);
    await asAdmin(port, HASHED, (sql) => sql.unsafe(SETUP));
    await asAdmin(port, PLAIN, (sql) => sql.unsafe(WITHOUT_HASHES + ";" + SETUP));
    const results: BenchResult[] = [];
    for (const { way, pair, turns, atMost, by } of WAYS) {
      const time = by === "computing" ? "time that the server computes" : "time";
      say(`${way}, ${time}`);
      const [product, plain] = [connect(port, HASHED), connect(port, PLAIN)];
      try {
        const clock = by === "computing"
          ? { product: await serverClock(product.sql), plain: await serverClock(plain.sql) }
          : undefined;
        const result = await measure({
          name: `audit: ${way}, ${time} against a table without hashes`,
          atMost,
          turns,
          clock,
          product: () => pair(product),
          plain: () => pair(plain),
        });
        result.figures += `; rate ratio ${(1 / Number(result.ratio)).toFixed(2)}`;
        results.push(result);
      } finally {
        await Promise.all([product.admin.end(), plain.admin.end()]);
      }
    }
    say(`sealing and checking ${SEALED} events`);
    results.push(...await benchSeals(port));
    return results;
  });
}

interface Connections {
  /** As functions connect. */
  sql: Sql;
  /** The owner, with the caller's claims set. */
  admin: postgres.Sql;
}

function connect(port: number, name: string): Connections {
  const url = databaseUrl(port, "postgres", name);
  return {
    sql: openDatabase(url),
    admin: postgres(url, {
      max: 1,
      onnotice: () => {},
      fetch_types: false,
      connection: {
        "request.jwt.claims": JSON.stringify(CALLER.claims),
        "request.headers": JSON.stringify({
          "x-forwarded-for": CALLER.ip,
          "user-agent": CALLER.user_agent,
          "x-request-id": CALLER.request_id,
        }),
      },
    }),
  };
}

interface Way {
  way: string;
  pair: (connections: Connections) => Promise<unknown>;
  turns: number;
  /** Left out where no claim is made. */
  atMost?: number;
  /** Which time counts: what passes, or what the server's process of the connection computes (Linux). */
  by?: "computing";
}

/**
 * A clock of what the server computes for the caller's connection. One event is a matter of
 * microseconds in a transaction of many round trips, so that the time that passes says little.
 */
async function serverClock(sql: Sql): Promise<() => number> {
  const [row] = await asCaller(
    sql,
    CALLER,
    (tx) => tx<{ pid: number }>`select pg_backend_pid() as pid`,
  );
  const path = `/proc/${row?.pid}/schedstat`;
  // Its first number is the nanoseconds that the process has run.
  return () => Number(Deno.readTextFileSync(path).split(" ")[0]) / 1e6;
}

const WAYS: Way[] = [
  {
    way: `a statement of ${ROWS} rows, its audit triggers alone`,
    turns: 8,
    atMost: MOST_TIME,
    pair: ({ admin }) =>
      admin`
        insert into public.bench_rows (patient_id, title, record_type, record_date, source)
        select ${CALLER_ID}::uuid, 'Record ' || i, 'observation', '2026-03-01', 'upload'
        from generate_series(1, ${ROWS}) as i`,
  },
  {
    way: `${ROWS} medical records in one statement`,
    turns: 4,
    atMost: MOST_TIME,
    pair: ({ admin }) =>
      admin`
        insert into public.medical_records
          (patient_id, title, record_type, record_date, source, created_by)
        select ${CALLER_ID}::uuid, 'Record ' || i, 'observation', '2026-03-01', 'upload',
          ${CALLER_ID}::uuid
        from generate_series(1, ${ROWS}) as i`,
  },
  {
    way: "one event in a caller's transaction",
    turns: 300,
    pair: ({ sql }) => asCaller(sql, CALLER, (tx) => tx`select public.bench_event()`),
  },
  {
    way: "one event in a caller's transaction",
    turns: 300,
    atMost: MOST_TIME,
    by: "computing",
    pair: ({ sql }) => asCaller(sql, CALLER, (tx) => tx`select public.bench_event()`),
  },
  {
    way: `${ROWS} bare inserts in one statement, nothing around them`,
    turns: 8,
    pair: ({ admin }) =>
      admin`
        insert into public.audit_events
          (actor_id, actor_role, action, resource_type, resource_id, patient_id, new_values)
        select ${CALLER_ID}::uuid, 'patient', 'create', 'medical_record', gen_random_uuid(),
          ${CALLER_ID}::uuid, jsonb_build_object('title', 'Record ' || i)
        from generate_series(1, ${ROWS}) as i`,
  },
];

/** Rates of sealing and of checking; there is nothing plain to compare them with. */
async function benchSeals(port: number): Promise<BenchResult[]> {
  return await asAdmin(port, HASHED, async (sql) => {
    const seal = () => sql<{ events: string }[]>`select events from private.seal_audit(1000)`;
    while (Number((await seal())[0]?.events) > 0);
    await sql`
      insert into public.audit_events
        (actor_id, actor_role, action, resource_type, resource_id, patient_id, new_values)
      select ${CALLER_ID}::uuid, 'patient', 'create', 'medical_record', gen_random_uuid(),
        ${CALLER_ID}::uuid, jsonb_build_object('title', 'Record ' || i, 'record_type', 'other')
      from generate_series(1, ${SEALED}::integer) as i`;
    const sealing = await timed(seal);
    if (Number(sealing.value[0]?.events) !== SEALED) throw new Error("Not all was sealed");
    await sql`analyze`;
    const checking = await timed(() =>
      sql<{ ok: boolean; checked: string }[]>`select ok, checked from private.check_audit()`
    );
    const [verdict] = checking.value;
    if (!verdict?.ok) throw new Error("The trail does not check");
    return [
      rate("audit: sealing, events a second", SEALED, sealing.elapsed),
      rate("audit: verify_audit, events a second", Number(verdict.checked), checking.elapsed),
    ];
  });
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; elapsed: number }> {
  const began = performance.now();
  const value = await work();
  return { value, elapsed: performance.now() - began };
}

function rate(name: string, count: number, elapsed: number): BenchResult {
  return {
    name,
    ratio: null,
    goal: null,
    met: null,
    rounds: 1,
    spread: null,
    figures: `${Math.round(count / elapsed * 1000)}/s (${count} in ${ms(elapsed)})`,
  };
}
