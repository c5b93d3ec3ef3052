// Races straight on the database: people with accounts and sessions, and ways to let many act at
// once, or one while another has not finished. Role and claims make the person, as in
// functions/_shared/db.ts.

import postgres from "postgres";
import { present } from "./auth.ts";
import { testEnv } from "./env.ts";

/** How many act at once. */
export const RUNNERS = 20;

/** Somebody with an account and a session. */
export interface Racer {
  id: string;
  sessionId: string;
}

/** What an account can be. */
export type Role = "patient" | "caregiver" | "doctor" | "admin";

/** What is done in a transaction of somebody. */
export type Work<T> = (tx: postgres.TransactionSql) => Promise<T>;

/** What became of one runner: `ok`, or the SQLSTATE and the message of what refused it. */
export type Outcome = string;

/** Registers a test that is given connections for all; ignored without the database's URL. */
export function raceTest(name: string, fn: (db: postgres.Sql) => Promise<void>): void {
  const { dbUrl } = testEnv();
  Deno.test({
    name,
    ignore: !dbUrl,
    fn: async () => {
      const db = postgres(present(dbUrl), { max: RUNNERS + 5, onnotice: () => {} });
      try {
        await fn(db);
      } finally {
        await db.end();
      }
    },
  });
}

/** Makes accounts with a session each; doctors are verified. */
export async function people<Roles extends Role[]>(
  db: postgres.Sql,
  ...roles: Roles
): Promise<{ [K in keyof Roles]: Racer }> {
  const made = roles.map(async (role) => {
    const person = { id: crypto.randomUUID(), sessionId: crypto.randomUUID() };
    await db.begin(async (tx) => {
      await tx`
        insert into auth.users (
          id, aud, role, email, is_anonymous, raw_app_meta_data, raw_user_meta_data
        )
        values (
          ${person.id}, 'authenticated', 'authenticated', ${`${person.id}@example.org`}, false,
          '{}', jsonb_build_object('role', ${role}::text)
        )`;
      await tx`insert into auth.sessions (id, user_id) values (${person.sessionId}, ${person.id})`;
      if (role === "patient" || role === "caregiver") return;
      await tx`update public.profiles set role = ${role} where id = ${person.id}`;
      if (role === "admin") return;
      await tx`
        insert into public.doctors (id, license_number, specialty, verified_at)
        values (${person.id}, 'KA-1', 'Oncology', now())`;
    });
    return person;
  });
  return await Promise.all(made) as { [K in keyof Roles]: Racer };
}

/** What one runner does, and as whom. */
export interface Runner {
  claims: Record<string, unknown>;
  role: string;
  work: Work<void>;
}

/** A runner who is a person, signed in with a second factor. */
export function as({ id, sessionId }: Racer, work: Work<void>): Runner {
  const claims = { sub: id, role: "authenticated", aal: "aal2", session_id: sessionId };
  return { claims, role: "authenticated", work };
}

async function become(tx: postgres.TransactionSql, { role, claims }: Runner): Promise<void> {
  await tx`
    select set_config('role', ${role}, true),
      set_config('request.jwt.claims', ${JSON.stringify(claims)}, true)`;
}

/** Runs `work` as somebody in a transaction of its own and gives what it gives. */
export async function runAs<T>(db: postgres.Sql, person: Racer, work: Work<T>): Promise<T> {
  const { result } = await db.begin(async (tx) => {
    await become(tx, as(person, async () => {}));
    return { result: await work(tx) };
  });
  return result;
}

/** Lets `count` runners go at the same moment; answers what became of each. */
export async function race(
  db: postgres.Sql,
  runner: (n: number) => Runner,
  count = RUNNERS,
): Promise<Outcome[]> {
  const ready = Array.from({ length: count }, () => Promise.withResolvers<void>());
  const start = Promise.all(ready.map(({ promise }) => promise));
  return await Promise.all(ready.map((own, n) =>
    outcomeOf(db, runner(n), () => {
      own.resolve();
      return start;
    }).finally(own.resolve) // who fails before the start keeps nobody waiting
  ));
}

/**
 * Lets the second runner go when the first has done its work, but not yet committed it, and commits
 * the first when the second waits for it.
 */
export async function inOrder(
  db: postgres.Sql,
  first: Runner,
  second: Runner,
): Promise<[Outcome, Outcome]> {
  const worked = Promise.withResolvers<void>();
  const waits = Promise.withResolvers<void>();
  const held: Runner = {
    ...first,
    work: async (tx) => {
      await first.work(tx);
      worked.resolve();
      await waits.promise;
    },
  };
  let pid = 0;
  const watched: Runner = {
    ...second,
    work: async (tx) => {
      pid = present((await tx`select pg_backend_pid() as pid`)[0]).pid;
      await second.work(tx);
    },
  };
  const firstOutcome = outcomeOf(db, held).finally(worked.resolve);
  await worked.promise;
  const secondOutcome = outcomeOf(db, watched);
  try {
    await waitUntilBlocked(db, () => pid);
  } finally {
    waits.resolve();
  }
  return await Promise.all([firstOutcome, secondOutcome]);
}

async function waitUntilBlocked(db: postgres.Sql, pid: () => number): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const [row] = await db`select cardinality(pg_blocking_pids(${pid()})) > 0 as blocked`;
    if (present(row).blocked) return;
  }
  throw new Error("The second transaction did not wait for the first within a minute");
}

/** Runs one runner to its commit. */
async function outcomeOf(
  db: postgres.Sql,
  runner: Runner,
  whenReady: () => Promise<unknown> = () => Promise.resolve(),
): Promise<Outcome> {
  let outcome = "ok";
  try {
    await db.begin(async (tx) => {
      await become(tx, runner);
      await whenReady();
      await runner.work(tx);
      outcome = await answeredRefusal(tx) ?? "ok";
    });
    return outcome;
  } catch (error) {
    if (error instanceof postgres.PostgresError) return `${error.code} ${error.message}`;
    throw error;
  }
}

/** The refusal that a function has answered and logged in this transaction, not raised. */
async function answeredRefusal(tx: postgres.TransactionSql): Promise<Outcome | undefined> {
  await tx`select set_config('role', 'none', true)`;
  const [refusal] = await tx`
    select concat_ws(' ', 'PT' || current_setting('response.status'), new_values ->> 'code') as is
    from public.audit_events
    where action like 'refuse\\_%' and transaction_id = pg_current_xact_id()
      and nullif(current_setting('response.status', true), '') is not null`;
  return refusal?.is;
}

/** How many runners came to each outcome. */
export function tally(outcomes: Outcome[]): Record<Outcome, number> {
  const counts: Record<Outcome, number> = {};
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

/** Adds a record to a patient's history; answers its id. */
export async function newRecord(db: postgres.Sql, patient: Racer): Promise<string> {
  const rows = await runAs(db, patient, (tx) =>
    tx`
      insert into public.medical_records (patient_id, title, record_type)
      values (${patient.id}, 'Scan', 'imaging')
      returning id`);
  return present(rows[0]).id;
}

/** How many rows of one kind the trail has about a patient. */
export async function auditRows(
  db: postgres.Sql,
  patient: Racer,
  action: string,
  resourceType: string,
): Promise<number> {
  const rows = await db`
    select 1 from public.audit_events
    where patient_id = ${patient.id} and action = ${action} and resource_type = ${resourceType}`;
  return rows.length;
}
