// A database for tests that tamper with the audit trail, or race its sealer: a cluster of its own, so
// that nothing else writes events, and transaction numbers are this test's.

import postgres from "postgres";
import { databaseUrl, SUPERUSER } from "../../supabase/local/postgres.ts";
import { createMigrated } from "../../tools/schema.ts";
import { withCluster } from "../../tools/throwaway.ts";
import { present } from "./auth.ts";

/** A database with an empty trail. */
export interface AuditLab {
  /** One superuser connection. */
  sql: postgres.Sql;
  /** Opens another, closed at the end. */
  connect: (role?: string) => postgres.Sql;
}

/** What `private.check_audit` says. */
export interface Check {
  ok: boolean;
  checked: number;
  first_bad_id: number | null;
  reason: string | null;
}

/** Runs `work` on a new database. */
export async function withAuditLab(work: (lab: AuditLab) => Promise<void>): Promise<void> {
  await withCluster(async (port) => {
    const { name } = await createMigrated(port, "audit");
    const open: postgres.Sql[] = [];
    const connect = (role = SUPERUSER) => {
      const sql = postgres(databaseUrl(port, role, name), {
        max: 1,
        onnotice: () => {},
        // Nobody is to wait for a sealer; who does fails here, and does not hang.
        connection: { lock_timeout: 10_000 },
        types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
      });
      open.push(sql);
      return sql;
    };
    try {
      await work({ sql: connect(), connect });
    } finally {
      await Promise.all(open.map((sql) => sql.end({ timeout: 5 })));
    }
  });
}

/** Writes events in one statement, by the same default values as the product's. */
export async function writeEvents(
  sql: postgres.Sql | postgres.TransactionSql,
  count: number,
): Promise<number[]> {
  const rows = await sql<{ id: number }[]>`
    insert into public.audit_events (actor_id, actor_role, session_id, action, resource_type,
      resource_id, patient_id, purpose, old_values, new_values, ip_address, user_agent, request_id)
    select gen_random_uuid(), 'doctor', gen_random_uuid(), 'update', 'medical_record',
      gen_random_uuid(), gen_random_uuid(), 'treatment', jsonb_build_object('title', 'Old ' || n),
      jsonb_build_object('title', 'New ' || n), '203.0.113.7', 'Tests/1.0', 'r-' || n
    from generate_series(1, ${count}::integer) as n
    returning id`;
  return rows.map(({ id }) => id);
}

/** Seals, as the worker does, in trees of at most `leaves`. */
export async function seal(sql: postgres.Sql | postgres.TransactionSql, leaves = 16384) {
  const [row] = await sql<{ is_busy: boolean; seals: number; events: number }[]>`
    select is_busy, seals, events from private.seal_audit(64, ${leaves})`;
  return { ...present(row) };
}

/** Checks the whole trail. */
export async function check(sql: postgres.Sql | postgres.TransactionSql): Promise<Check> {
  const [row] = await sql<Check[]>`
    select ok, checked, first_bad_id, reason from private.check_audit()`;
  return { ...present(row) };
}

/** Random numbers that a seed repeats: mulberry32. */
export function seeded(seed: number) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ state >>> 15, state | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
  const below = (bound: number) => Math.floor(next() * bound);
  const pick = <T>(from: readonly T[]): T => present(from[below(from.length)]);
  return { below, pick };
}
export type Random = ReturnType<typeof seeded>;
