// Encrypted fields: a list of patients read through the function `identity`, against the same handler
// and the same SQL on a table whose columns are plaintext; and an import that has a phone and an
// address to seal, against one that has not.

import { createHash } from "node:crypto";
import type { Hono } from "hono";
import postgres from "postgres";
import { type AppEnv, newApp } from "../../functions/_shared/app.ts";
import { asCaller, openDatabase } from "../../functions/_shared/db.ts";
import type { Deps } from "../../functions/_shared/deps.ts";
import { ok } from "../../functions/_shared/envelope.ts";
import { createFieldVault, keyContext } from "../../functions/_shared/fields.ts";
import { newDataKey, openKeyRing } from "../../functions/_shared/key_ring.ts";
import { createQueueReceiver } from "../../functions/_shared/queue.ts";
import { postgresLimiter, pseudonyms, rateLimited } from "../../functions/_shared/rate_limit.ts";
import type { ObjectStore } from "../../functions/_shared/storage.ts";
import { validate } from "../../functions/_shared/validate.ts";
import { createApp } from "../../functions/identity/routes.ts";
import { ReadPatientsBody } from "../../functions/identity/schemas.ts";
import { createApp as createRecordsApp } from "../../functions/records/routes.ts";
import { databaseUrl } from "../../supabase/local/postgres.ts";
import { asAdmin } from "../../supabase/local/database.ts";
import { createMigrated } from "../../tools/schema.ts";
import { withCluster } from "../../tools/throwaway.ts";
import { ISSUER, KEY_VERSIONS, PUBLIC_URL, publicJwk, sign } from "../functions/support.ts";
import { type BenchResult, measure, median } from "./harness.ts";

/** Patients in the registry, and those whose charts the doctor has open. */
const PATIENTS = 2_000;
const LISTED = 20;
/** Resources of an imported bundle; some 900 kB. */
const RESOURCES = 1_000;

const FIELDS = {
  phone: "+91 98450 00117",
  address: "14, 3rd Cross, Jayanagar 4th Block, Bengaluru",
  insurance_policy_number: "HX 204-118/a",
  emergency_contact_phone: "+91 98450 00118",
};

/** Runs the benches of the domain on a database of their own. */
export async function benchFields(say: (line: string) => void): Promise<BenchResult[]> {
  return await withCluster(async (port) => {
    const name = "bench";
    await createMigrated(port, name);
    const url = databaseUrl(port, "postgres", name);
    const sql = postgres(url, { max: 1, onnotice: () => {} });
    try {
      say(`filling: ${PATIENTS} patients, a doctor with ${LISTED} open charts`);
      await asAdmin(port, name, (admin) => fill(admin));
      await sealAll(sql);
      say("lists");
      const lists = await benchLists(createDeps(url));
      say("imports");
      return [...lists, await benchImports(createDeps(url))];
    } finally {
      await sql.end();
    }
  });
}

/** A list of patients: with keys kept from earlier requests, and when none is kept any more. */
async function benchLists(deps: Deps): Promise<BenchResult[]> {
  const plain = ask(plainApp(deps));
  const warm = ask(createApp(deps));
  let hours = 0;
  const cold = ask(createApp({ ...deps, now: () => hours * 3_600_000 }));
  return [
    await measure({
      name: `fields of ${LISTED} patients, against plaintext columns`,
      atMost: 1.3,
      turns: 60,
      product: warm,
      plain,
    }),
    await measure({
      name: "the same, each key unwrapped anew",
      turns: 60,
      product: async () => {
        hours++;
        await cold();
      },
      plain,
    }),
  ];
}

/** Sends the request for the list; every patient must come, with every field. */
function ask(app: Hono<AppEnv>): () => Promise<void> {
  const ids = Array.from({ length: LISTED }, (_, i) => idOf(`p${i + 1}`));
  const token = tokenOf("d1", "aal2");
  return async () => {
    const response = await app.request("/identity/patients/read", {
      method: "POST",
      headers: { authorization: `Bearer ${await token}`, "content-type": "application/json" },
      body: JSON.stringify({ patient_ids: ids }),
    });
    const { data } = await response.json();
    if (data?.length !== LISTED || data[LISTED - 1].phone !== FIELDS.phone) {
      throw new Error(`The list was not read whole: ${response.status}`);
    }
  };
}

/** The route `identity/patients/read` as it would be over plaintext: all of it but keys and opening. */
function plainApp(deps: Deps): Hono<AppEnv> {
  const app = newApp(deps, { name: "identity" });
  app.post(
    "/identity/patients/read",
    rateLimited(deps, { capacity: 120, refillSeconds: 60 }),
    validate("json", ReadPatientsBody),
    async (c) => {
      const { patient_ids } = c.req.valid("json");
      const rows = await asCaller(deps.sql, c.var.caller, (tx) =>
        tx<{ id: string }>`
          select id, phone, address, insurance_policy_number, emergency_contact_phone
          from private.read_plain_fields(${`{${patient_ids.join(",")}}`}::uuid[])`);
      const order = new Map(patient_ids.map((id, index) => [id.toLowerCase(), index]));
      rows.sort((a, b) => (order.get(a.id) ?? 0) - (order.get(b.id) ?? 0));
      return ok(c, rows);
    },
  );
  return app;
}

/** Imports into patients who have nothing yet, with and without what is to be sealed. */
async function benchImports(deps: Deps): Promise<BenchResult> {
  const app = createRecordsApp(deps);
  const seconds: number[] = [];
  let turn = 0;
  const importInto = async (patient: object) => {
    const token = await tokenOf(`p${100 + turn++}`, "aal1");
    const body = JSON.stringify(bundle(patient));
    const began = performance.now();
    const response = await app.request("/records/import", {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/fhir+json" },
      body,
    });
    const { data } = await response.json();
    if (data?.imported !== RESOURCES) throw new Error("The bundle was not imported whole");
    return { seconds: (performance.now() - began) / 1000, kilobytes: body.length / 1000 };
  };
  const telecom = [{ system: "phone", value: FIELDS.phone }];
  const address = [{ line: [FIELDS.address], city: "Bengaluru" }];
  let kilobytes = 0;
  const result = await measure({
    name: "import of a bundle with phone and address, against one without",
    turns: 1,
    product: async () => {
      const took = await importInto({ telecom, address });
      kilobytes = took.kilobytes;
      seconds.push(took.seconds);
    },
    plain: () => importInto({}),
  });
  result.figures += `; ${Math.round(kilobytes)} kB in ${median(seconds).toFixed(2)} s`;
  return result;
}

function bundle(patient: object) {
  const observation = (_: unknown, i: number) => ({
    resource: {
      resourceType: "Observation",
      id: `bench-${i}`,
      status: "final",
      subject: { reference: "Patient/p1" },
      code: { coding: [{ system: "http://loinc.org", code: "718-7", display: "Hemoglobin" }] },
      effectiveDateTime: "2026-03-01T09:00:00+05:30",
      valueQuantity: { value: 10 + (i % 50) / 10, unit: "g/dL" },
      note: [{ text: `Sample ${i}: ${"measured twice, both within range; ".repeat(15)}` }],
    },
  });
  const about = { resource: { resourceType: "Patient", id: "p1", ...patient } };
  return {
    resourceType: "Bundle",
    type: "collection",
    entry: [about, ...Array.from({ length: RESOURCES }, observation)],
  };
}

/** Dependencies on the real database, the limiter at its full cost, its buckets never empty. */
function createDeps(url: string): Deps {
  const sql = openDatabase(url);
  const absent = () => Promise.reject(new Error("There are no files here"));
  const files: ObjectStore = {
    signUpload: absent,
    signDownload: absent,
    open: absent,
    create: absent,
    remove: absent,
  };
  return {
    now: () => Date.now(),
    log: () => {},
    auth: {
      issuer: ISSUER,
      env: { url: PUBLIC_URL, publishableKeys: {}, secretKeys: {}, jwks: { keys: [publicJwk] } },
    },
    sql,
    recordFiles: files,
    chatFiles: files,
    keyRing: openKeyRing(KEY_VERSIONS),
    blindIndexKey: new Uint8Array(32).fill(9),
    rateLimiter: {
      take: (key, limit, context) =>
        postgresLimiter(sql).take(key, { ...limit, capacity: 1_000_000 }, context),
    },
    queue: createQueueReceiver(undefined),
    pseudonym: pseudonyms("bench"),
    allowedOrigins: ["*"],
    publicUrl: PUBLIC_URL,
  };
}

/**
 * The population. Ids are digests of `p<n>` (patients) and `d1` (the doctor), and of `s` and the id
 * for sessions. Beside it the plain table and the two functions over it, which differ from those of
 * sql/27_fields.sql in nothing but the table and the keys.
 */
async function fill(sql: postgres.Sql): Promise<void> {
  await sql.unsafe(`
    set session_replication_role = replica;
    insert into auth.users (id, email)
      select md5(n)::uuid, n || '@bench.test'
      from (
        select 'p' || i as n from generate_series(1, ${PATIENTS}) as i union all select 'd1'
      ) as names;
    insert into auth.sessions (id, user_id) select md5('s' || id)::uuid, id from auth.users;
    insert into public.profiles (id, role, is_verified)
      select id, case when email like 'd%' then 'doctor' else 'patient' end, email like 'd%'
      from auth.users;
    insert into public.patients (id) select id from public.profiles where role = 'patient';
    insert into public.doctors (id, license_number, specialty, verified_at)
      values (md5('d1')::uuid, 'LIC-1', 'Oncology', now());
    insert into public.care_relationships
      (patient_id, member_id, kind, status, requested_by, starts_at)
      select md5('p' || i)::uuid, md5('d1')::uuid, 'doctor', 'active', md5('d1')::uuid, now()
      from generate_series(1, ${LISTED}) as i;
    insert into public.chart_sessions (patient_id, viewer_id, purpose, expires_at)
      select patient_id, member_id, 'treatment', now() + interval '59 minutes'
      from public.care_relationships;
    set session_replication_role = origin;

    create table public.plain_patients (like public.patients including defaults including indexes);
    insert into public.plain_patients select * from public.patients;
    update public.plain_patients set
      phone = '${FIELDS.phone}', address = '${FIELDS.address}',
      insurance_policy_number = '${FIELDS.insurance_policy_number}',
      emergency_contact_phone = '${FIELDS.emergency_contact_phone}';
    alter table public.plain_patients enable row level security;
    grant select on public.plain_patients to authenticated;
    ${await plainPolicies(sql)};
    ${await plainFunctions(sql)};
  `);
  await sql.unsafe("vacuum analyze");
}

/** The policies by which patients are read, for the plain table. */
async function plainPolicies(sql: postgres.Sql): Promise<string> {
  const policies = await sql`
    select policyname, permissive, qual from pg_policies
    where schemaname = 'public' and tablename = 'patients' and cmd in ('SELECT', 'ALL')`;
  if (policies.length === 0) throw new Error("No policy lets anybody read patients");
  return policies.map(({ policyname, permissive, qual }) =>
    `create policy ${policyname} on public.plain_patients as ${permissive} for select
      to authenticated using (${qual})`
  ).join(";\n");
}

/** The two functions of the list as they stand in the catalogue, for the plain table. */
async function plainFunctions(sql: postgres.Sql): Promise<string> {
  const functions = await sql`
    select pg_get_functiondef(p.oid) as definition
    from pg_proc as p
    where p.oid in (
      'private.disclose_patient_fields(uuid[])'::regprocedure,
      'private.read_patient_fields(uuid[])'::regprocedure
    )
    order by p.proname`;
  return functions.map(({ definition }) =>
    definition.replaceAll("_patient_fields", "_plain_fields")
      .replaceAll("public.patients", "public.plain_patients")
      .replaceAll(/,\s*(keys jsonb|d\.keys|coalesce\(k\.keys, '\[\]'\))/g, "")
      .replace(/left join private\.patient_keys.*/, "")
  ).join(";\n") + `;
    grant execute on function private.disclose_plain_fields(uuid[]),
      private.read_plain_fields(uuid[]) to authenticated`;
}

/** Gives every patient a key and sealed fields. */
async function sealAll(sql: postgres.Sql): Promise<void> {
  const keyRing = openKeyRing(KEY_VERSIONS);
  const vault = createFieldVault({ keyRing, now: () => 0 });
  const patients = await sql`select id from public.patients`;
  const rows = await Promise.all(patients.map(async ({ id }) => {
    const data_key_id = crypto.randomUUID();
    const wrapped = await keyRing.wrap(newDataKey(), keyContext(data_key_id, id));
    const key = { ...wrapped, data_key_id, wrapped_key: wrapped.wrapped_key.toHex() };
    const seal = (name: keyof typeof FIELDS) =>
      vault.seal(id, key, { column: `patients.${name}`, row_id: id }, FIELDS[name]);
    return {
      id,
      ...key,
      phone: await seal("phone"),
      address: await seal("address"),
      insurance_policy_number: await seal("insurance_policy_number"),
      emergency_contact_phone: await seal("emergency_contact_phone"),
    };
  }));
  await sql`
    insert into private.data_keys (id, purpose, subject_id, key_id, key_version, wrapped_key)
    select data_key_id, 'patient_fields', id, key_id, key_version, decode(wrapped_key, 'hex')
    from jsonb_to_recordset(${sql.json(rows)}) as r (
      id uuid, data_key_id uuid, key_id text, key_version integer, wrapped_key text
    )`;
  // Those of the list; whoever imports has nothing yet.
  await sql`
    update public.patients as p set
      phone = r.phone, address = r.address, insurance_policy_number = r.insurance_policy_number,
      emergency_contact_phone = r.emergency_contact_phone
    from jsonb_to_recordset(${sql.json(rows)}) as r (
      id uuid, phone text, address text, insurance_policy_number text,
      emergency_contact_phone text
    )
    join public.chart_sessions as c on c.patient_id = r.id
    where p.id = r.id`;
}

/** The id that the population has under a name. */
function idOf(name: string): string {
  const hex = createHash("md5").update(name).digest("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** A token of somebody's live session. */
async function tokenOf(name: string, aal: "aal1" | "aal2"): Promise<string> {
  const sub = idOf(name);
  const now = Math.floor(Date.now() / 1000);
  return await sign({
    sub,
    role: "authenticated",
    aud: "authenticated",
    iss: ISSUER,
    iat: now,
    exp: now + 900,
    session_id: idOf(`s${sub}`),
    aal,
  });
}
