// The newest 20 records: one's own, of a patient whose chart is open, those shared with one, and the
// first two without any filter, so that policies alone pick the rows. Each against the same statement
// run by a role that no policy binds, in a transaction with the same settings. A statement without a
// filter would then list everybody's records: its plain way names the caller's rows by hand.

import type postgres from "postgres";
import { type BenchResult, measure, type Pair } from "./harness.ts";

/** Somebody who lists, with the claims of their token. */
interface Viewer {
  id: string;
  claims: string;
}

/** A statement with its parameters. */
interface Statement {
  text: string;
  values: string[];
}

/** Measures the listings, both ways on one connection: two may sit on processors of unlike speed. */
export async function benchListings(sql: postgres.Sql): Promise<BenchResult[]> {
  const patient = await viewer(sql, "p5", "aal1");
  const doctor = await viewer(sql, "d5", "aal2");
  const [chart] = await sql`
    select patient_id from public.chart_sessions where viewer_id = ${doctor.id} limit 1`;
  const listings = statements(patient.id, doctor.id, chart!.patient_id);
  const results: BenchResult[] = [];
  for (const { name, who, atMost, query, byHand } of listings) {
    const { claims } = who === "patient" ? patient : doctor;
    const pair: Pair = {
      name,
      atMost,
      turns: 150,
      product: () => inTransaction(sql, "authenticated", claims, query),
      plain: () => inTransaction(sql, "bench_plain", claims, byHand ?? query),
    };
    await refuseBadPlan(sql, name, claims, query);
    results.push(await measure(pair));
  }
  return results;
}

async function viewer(sql: postgres.Sql, name: string, aal: string): Promise<Viewer> {
  const [row] = await sql`
    select md5(${name})::uuid as id, jsonb_build_object(
      'sub', md5(${name})::uuid, 'role', 'authenticated', 'aal', ${aal}::text,
      'session_id', md5('s' || md5(${name})::uuid)::uuid
    )::text as claims`;
  return { id: row!.id, claims: row!.claims };
}

/** One transaction as `asCaller` runs it: role, claims, headers and session, then the statement. */
async function inTransaction(
  sql: postgres.Sql,
  role: string,
  claims: string,
  query: Statement,
): Promise<unknown> {
  return await sql.begin(async (tx) => {
    await tx`
      with settings as materialized (
        select set_config('role', ${role}, true), set_config('request.jwt.claims', ${claims}, true),
          set_config('request.headers', '{"user-agent":"bench"}', true)
      )
      select private.session_is_live() from settings`;
    // The comment gives each role a statement, and with it a kept plan, of its own.
    return await tx.unsafe(`${query.text} -- ${role}`, query.values, { prepare: true });
  });
}

interface Listing {
  name: string;
  who: "patient" | "doctor";
  atMost: number;
  query: Statement;
  /** The plain way, where it is not the same statement. */
  byHand?: Statement;
}

function statements(me: string, doctor: string, patient: string): Listing[] {
  return [
    {
      name: "own records, newest 20",
      who: "patient",
      atMost: 1.15,
      query: newest("where patient_id = $1", [me]),
    },
    {
      name: "open chart, newest 20",
      who: "doctor",
      atMost: 1.5,
      query: newest("where patient_id = $1", [patient]),
    },
    {
      name: "shared with me, newest 20",
      who: "patient",
      atMost: 1.5,
      query: asJson(
        `select s.id, s.access_level, s.expires_at, r.id as record_id, r.title, r.record_type,
          r.record_date
        from public.medical_record_shares as s
        join public.medical_records as r on r.id = s.record_id
        where s.shared_with_id = $1 and s.revoked_at is null and s.expires_at > now()
        order by s.expires_at desc, s.id limit 20`,
        [me],
      ),
    },
    {
      name: "patient, no filter",
      who: "patient",
      atMost: 3,
      query: newest("", []),
      byHand: newest(
        `where patient_id = $1 or id = any (array(
          select record_id from public.medical_record_shares
          where shared_with_id = $1 and revoked_at is null and expires_at > now()
        ))`,
        [me],
      ),
    },
    {
      name: "doctor, no filter",
      who: "doctor",
      atMost: 3,
      query: newest("", []),
      byHand: newest(
        `where patient_id = any (array(
          select patient_id from public.chart_sessions
          where viewer_id = $1 and closed_at is null and expires_at > now()
        ))`,
        [doctor],
      ),
    },
  ];
}

function newest(where: string, values: string[]): Statement {
  return asJson(
    `select * from public.medical_records ${where}
    order by record_date desc nulls last, id desc limit 20`,
    values,
  );
}

/** The form in which PostgREST sends `select()` of a client: its rows come as one JSON text. */
function asJson(text: string, values: string[]): Statement {
  return {
    text: `with source as (${text})
      select count(source), coalesce(json_agg(source), '[]') as body from source`,
    values,
  };
}

/** Fails when a plan runs something once a row: a SubPlan, or a function in a filter. */
async function refuseBadPlan(
  sql: postgres.Sql,
  name: string,
  claims: string,
  query: Statement,
): Promise<void> {
  const plan = await sql.begin(async (tx) => {
    await tx`select set_config('role', 'authenticated', true),
      set_config('request.jwt.claims', ${claims}, true)`;
    const rows = await tx.unsafe(`explain (verbose) ${query.text}`, query.values);
    return rows.map((row) => row["QUERY PLAN"]).join("\n");
  });
  const bad = plan.split("\n").filter((line) =>
    /SubPlan/.test(line) || /(Filter|Cond):.*\b(private|auth)\.\w+\(/.test(line)
  );
  if (bad.length > 0) throw new Error(`The plan of "${name}" works once a row:\n${bad.join("\n")}`);
}
