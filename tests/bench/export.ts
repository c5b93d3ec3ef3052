// The export of a long history: how fast it goes through the whole product, and how much memory it
// takes, which must not follow the length of the history.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import postgres from "postgres";
import { createApp } from "../../functions/records/routes.ts";
import { asAdmin } from "../../supabase/local/database.ts";
import { databaseUrl } from "../../supabase/local/postgres.ts";
import { createMigrated } from "../../tools/schema.ts";
import { withCluster } from "../../tools/throwaway.ts";
import { type BenchResult, measure, median, round } from "./harness.ts";
import { createDeps, person } from "./records_function.ts";

/** Records of the long history. */
const RECORDS = 20_000;
/** Letters of the note in each resource of the patient whose export is weighed. */
const NOTE_LENGTH = 4_000;
/** Most that an export may take in memory, in bytes; its bundle is a multiple of it. */
const MAX_MEMORY = 8 * 1024 * 1024;

/** Measures the export of one long history. */
export async function benchExport(say: (line: string) => void): Promise<BenchResult[]> {
  return await withCluster(async (port) => {
    const name = "bench";
    await createMigrated(port, name);
    say(`filling: 2 patients with ${RECORDS} imported records each`);
    await fill(port, name);
    const url = databaseUrl(port, "postgres", name);
    const sql = postgres(url, { max: 1, onnotice: () => {} });
    try {
      const app = createApp(createDeps(url));
      const [light, heavy] = [await person(sql, "p1"), await person(sql, "p2")];
      const read = async (token: string, onPiece = () => {}) => {
        const headers = { authorization: `Bearer ${token}` };
        const response = await app.request("/records/export", { headers });
        let bytes = 0;
        for await (const piece of response.body ?? []) {
          bytes += piece.length;
          onPiece();
        }
        if (response.status !== 200) throw new Error(`The answer was ${response.status}`);
        return bytes;
      };
      say("memory");
      // What every export needs is there by then; what a long one would pile up is not.
      await read(light.token);
      const memory = await weigh((onPiece) => read(heavy.token, onPiece));
      say("speed");
      const seconds: number[] = [];
      const speed = await measure({
        name: `export of ${RECORDS} resources, against jsonb_agg of the same rows as the same role`,
        atMost: 2.5,
        turns: 1,
        product: async () => {
          const began = performance.now();
          await read(light.token);
          seconds.push((performance.now() - began) / 1000);
        },
        plain: () => aggregate(sql, light.caller.claims),
      });
      speed.figures +=
        `; ${Math.round(RECORDS / median(seconds))} resources/s, ratio of resources/s ` +
        `${round(1 / Number(speed.ratio))}`;
      return [speed, memory];
    } finally {
      await sql.end();
    }
  });
}

/**
 * Memory in use above what there was before, at its highest while an export is read. What is in use
 * is known after a collection only, so the collector is called, every few pieces.
 */
async function weigh(read: (onPiece: () => void) => Promise<number>): Promise<BenchResult> {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  const inUse = () => {
    collect();
    const { heapUsed, external } = Deno.memoryUsage();
    return heapUsed + external;
  };
  const before = inUse();
  let highest = before;
  let pieces = 0;
  const bytes = await read(() => {
    if (pieces++ % 16 === 0) highest = Math.max(highest, inUse());
  });
  const taken = highest - before;
  const mib = (value: number) => `${(value / 1024 / 1024).toFixed(1)} MiB`;
  return {
    name: `memory of an export of ${RECORDS} resources, of the size of the bundle`,
    ratio: round(taken / bytes),
    goal: `<= ${mib(MAX_MEMORY)}`,
    met: taken <= MAX_MEMORY,
    rounds: 1,
    spread: null,
    figures: `${mib(taken)} at most above ${mib(before)}, for a bundle of ${mib(bytes)}`,
  };
}

/** The plain way: one statement, as the same role, under the same policies. */
async function aggregate(sql: postgres.Sql, claims: Record<string, unknown>): Promise<void> {
  const [row] = await sql.begin(async (tx) => {
    await tx`
      select set_config('role', 'authenticated', true),
        set_config('request.jwt.claims', ${JSON.stringify(claims)}, true)`;
    return await tx`
      select jsonb_agg(c.fhir)::text as bundle, count(*)::integer as count
      from public.medical_records as r
      join public.medical_record_contents as c on c.record_id = r.id
      where r.patient_id = ${String(claims.sub)} and r.deleted_at is null`;
  });
  if (row?.count !== RECORDS) throw new Error("The statement did not see every row");
}

/** Ids are digests of `p<n>`, and of `s` and the id for sessions, as `person` expects. */
async function fill(port: number, name: string): Promise<void> {
  await asAdmin(port, name, async (sql) => {
    await sql.unsafe(`
      set session_replication_role = replica;
      insert into auth.users (id, email)
        select md5('p' || i)::uuid, 'p' || i || '@bench.test' from generate_series(1, 2) as i;
      insert into auth.sessions (id, user_id) select md5('s' || id)::uuid, id from auth.users;
      insert into public.profiles (id) select id from auth.users;
      insert into public.patients (id, first_name) select id, 'Asha' from auth.users;
      insert into public.medical_records (
        patient_id, title, record_type, record_date, source, source_system, source_id, source_url
      )
        select md5('p' || p)::uuid, 'Hemoglobin', 'lab_result', date '2010-01-01' + i % 5000,
          'fhir', 'https://h.example', 'Observation/o' || i,
          'urn:uuid:' || md5('o' || i)::uuid
        from generate_series(1, 2) as p, generate_series(1, ${RECORDS}) as i;
      insert into public.medical_record_contents (record_id, patient_id, sensitivity, fhir)
        select r.id, r.patient_id, 'normal', jsonb_build_object(
          'resourceType', 'Observation', 'id', split_part(r.source_id, '/', 2), 'status', 'final',
          'category', '[{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory", "display": "Laboratory"}]}]'::jsonb,
          'code', '{"coding": [{"system": "http://loinc.org", "code": "718-7", "display": "Hemoglobin"}], "text": "Hemoglobin [Mass/volume] in Blood"}'::jsonb,
          'subject', '{"reference": "urn:uuid:6f1c2a52-8a44-4d0b-9c55-2f0d3f1e7a01"}'::jsonb,
          'effectiveDateTime', r.record_date,
          'valueQuantity', '{"value": 11.20, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"}'::jsonb
        ) || case when r.patient_id = md5('p1')::uuid then '{}' else jsonb_build_object(
          'note', jsonb_build_array(jsonb_build_object('text', notes.text))
        ) end
        from public.medical_records as r
        cross join lateral (
          select string_agg(md5(r.id::text || n), '') as text
          from generate_series(1, ${NOTE_LENGTH / 32}) as n
          where r.patient_id = md5('p2')::uuid
        ) as notes;
      set session_replication_role = origin;
    `);
    await sql.unsafe("vacuum analyze");
  });
}
