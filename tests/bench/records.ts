// Records: listings under row-level security over a million rows, the import of a bundle, and the
// way to a download.

import postgres from "postgres";
import { asAdmin } from "../../supabase/local/database.ts";
import { databaseUrl } from "../../supabase/local/postgres.ts";
import { createMigrated } from "../../tools/schema.ts";
import { withCluster } from "../../tools/throwaway.ts";
import type { BenchResult } from "./harness.ts";
import { benchDownload, benchImport } from "./records_function.ts";
import { benchListings } from "./records_listings.ts";

/** Runs every bench of the domain on one database. */
export async function benchRecords(say: (line: string) => void): Promise<BenchResult[]> {
  return await withCluster(async (port) => {
    const name = "bench";
    await createMigrated(port, name);
    say("filling: 1,000,000 records, 2,000 patients, 200 doctors, 50,000 shares");
    await fill(port, name);
    // As the functions connect: the role `postgres`, which then acts as somebody else.
    const sql = postgres(databaseUrl(port, "postgres", name), { max: 1, onnotice: () => {} });
    try {
      say("listings");
      const listings = await benchListings(sql);
      say("import");
      const imports = await benchImport(databaseUrl(port, "postgres", name));
      say("download");
      const downloads = await benchDownload(databaseUrl(port, "postgres", name));
      return [...listings, ...imports, ...downloads];
    } finally {
      await sql.end();
    }
  });
}

/**
 * The population. Ids are digests of `p<n>` (patients) and `d<n>` (doctors), and of `s` and the id
 * for sessions. A patient has 500 records, two doctors, and shares 25 records with one relative; a
 * quarter of the charts are open. Written past the audit triggers: what is measured is reading.
 */
async function fill(port: number, name: string): Promise<void> {
  await asAdmin(port, name, async (sql) => {
    await sql.unsafe(`
      set session_replication_role = replica;
      insert into auth.users (id, email)
        select md5(n)::uuid, n || '@bench.test'
        from (
          select 'p' || i as n from generate_series(1, 2000) as i
          union all select 'd' || i from generate_series(1, 200) as i
        ) as names;
      insert into auth.sessions (id, user_id) select md5('s' || id)::uuid, id from auth.users;
      insert into public.profiles (id, role, is_verified)
        select id, case when email like 'd%' then 'doctor' else 'patient' end, email like 'd%'
        from auth.users;
      insert into public.patients (id) select id from public.profiles where role = 'patient';
      insert into public.doctors (id, license_number, specialty, verified_at)
        select id, 'LIC-' || left(id::text, 8), 'Oncology', now()
        from public.profiles where role = 'doctor';
      insert into public.medical_records
        (patient_id, title, record_type, record_date, source, created_by)
        select
          md5('p' || 1 + i % 2000)::uuid, 'Record ' || i,
          (array['condition', 'observation', 'imaging', 'lab_result'])[1 + i / 2000 % 4],
          date '2010-01-01' + (random() * 5500)::integer, 'upload',
          md5('p' || 1 + i % 2000)::uuid
        from generate_series(0, 999999) as i;
      insert into public.medical_record_contents (record_id, patient_id, sensitivity, description)
        select id, patient_id, sensitivity, 'What the record says'
        from public.medical_records where patient_id = md5('p5')::uuid;
      update public.medical_records set
        file_name = 'scan.pdf', file_type = 'application/pdf', file_size = 1000,
        file_sha256 = repeat('a', 64)
        where patient_id = md5('p5')::uuid;
      update public.medical_record_contents set
        storage_path = patient_id || '/' || record_id || '/' || gen_random_uuid();
      insert into private.record_uploads
        (record_id, patient_id, storage_path, file_name, file_type, file_size, file_sha256,
          requested_by, expires_at, completed_at, object_version)
        select record_id, patient_id, storage_path, 'scan.pdf', 'application/pdf', 1000,
          repeat('a', 64), patient_id, now(), now(), 'v1'
        from public.medical_record_contents;
      insert into storage.objects (bucket_id, name, version)
        select 'medical-records', storage_path, 'v1' from public.medical_record_contents;
      insert into public.care_relationships
        (patient_id, member_id, kind, status, requested_by, starts_at)
        select p, d, 'doctor', 'active', d, now()
        from (
          select md5('p' || i)::uuid as p, md5('d' || 1 + (i * 7 + k) % 200)::uuid as d
          from generate_series(1, 2000) as i, generate_series(0, 1) as k
        ) as pairs;
      insert into public.chart_sessions (patient_id, viewer_id, purpose, expires_at)
        select patient_id, member_id, 'treatment', now() + interval '59 minutes'
        from (
          select patient_id, member_id, row_number() over (order by id) as n
          from public.care_relationships
        ) as numbered
        where n % 4 = 0;
      insert into public.medical_record_shares
        (record_id, patient_id, shared_with_id, shared_by_id, expires_at)
        select r.id, r.patient_id, md5('p' || 1 + i % 2000)::uuid, r.patient_id,
          now() + interval '30 days'
        from generate_series(1, 2000) as i
        cross join lateral (
          select m.id, m.patient_id from public.medical_records as m
          where m.patient_id = md5('p' || i)::uuid
          limit 25
        ) as r;
      set session_replication_role = origin;
      create role bench_plain nologin bypassrls;
      grant bench_plain to postgres;
      grant usage on schema public, private to bench_plain;
      grant select on all tables in schema public to bench_plain;
    `);
    await sql.unsafe("vacuum analyze");
  });
}
