// The data API, table by table: a key alone gets nothing, a signed-in stranger gets nothing of
// others, and no way of asking (embedding, counting, filtering, writing) gets around that.

import { assert, assertEquals } from "@std/assert";
import type { SupabaseClient } from "@supabase/supabase-js";
import { ownBundleText } from "../functions/bundles.ts";
import { type Person, tokenOf } from "../support/auth.ts";
import { assertUnchanged } from "../support/digest.ts";
import { newClient, testEnv } from "../support/env.ts";
import {
  databaseTest,
  must,
  newCaregiver,
  newDoctor,
  newPatient,
  openChart,
  startCare,
  withDatabase,
} from "../support/people.ts";
import { mustPost, newRecord, share } from "../support/records.ts";
import { send } from "../support/requests.ts";

/** Tables and views that the API serves. */
async function exposedTables(): Promise<string[]> {
  return await withDatabase(async (sql) => {
    const rows = await sql`
      select c.relname as name from pg_class as c
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
      order by 1`;
    return rows.map(({ name }) => name);
  });
}

/** Functions that the API serves, each with the names of its arguments. */
async function exposedFunctions(): Promise<{ name: string; args: string[] }[]> {
  return await withDatabase(async (sql) => [
    ...await sql<{ name: string; args: string[] }[]>`
      select p.proname as name,
        coalesce(p.proargnames[1:p.pronargs], '{}') as args
      from pg_proc as p
      where p.pronamespace = 'public'::regnamespace and p.prokind = 'f'
      order by 1`,
  ]);
}

/** A patient with a history, a share, a doctor in care, and an open chart: a row in every table. */
async function newVictim() {
  const [patient, doctor, relative] = await Promise.all([
    newPatient("Victim"),
    newDoctor(),
    newCaregiver(),
  ]);
  await mustPost(patient.client, "import", await ownBundleText());
  await startCare(doctor, patient);
  await openChart(doctor, patient);
  const record = await newRecord(patient, patient.id);
  const shareId = await share(patient, record, relative);
  return { patient, doctor, relative, record, shareId };
}

databaseTest("without a session no table answers, and no function runs", async () => {
  const tables = await exposedTables();
  assert(tables.includes("medical_records") && tables.includes("audit_events"));
  const outcomes = await Promise.all(tables.flatMap((table) =>
    [
      ...["GET", "HEAD", "DELETE"].map((method) => send(`/rest/v1/${table}`, { method })),
      send(`/rest/v1/${table}`, { method: "POST", body: "{}" }),
      send(`/rest/v1/${table}?id=not.is.null`, { method: "PATCH", body: '{"id": null}' }),
    ].map(async (answer) => [table, (await answer).status])
  ));
  assertEquals(outcomes.filter(([, status]) => Number(status) < 400), []);
  const reads = await Promise.all(tables.map((table) => newClient().from(table).select()));
  assertEquals(
    reads.map(({ status, error }) => [status, error?.code]),
    tables.map(() => [401, "42501"]),
  );

  const functions = await exposedFunctions();
  assert(functions.length > 20);
  const calls = await Promise.all(functions.map(async ({ name, args }) => {
    const body = Object.fromEntries(args.map((arg) => [arg, null]));
    const { status, error } = await newClient().rpc(name, body);
    return [name, status, error?.code];
  }));
  assertEquals(calls, functions.map(({ name }) => [name, 401, "42501"]));
});

databaseTest(
  "the secret key opens no table and runs no function",
  async () => {
    const { patient } = await newVictim();
    const service = newClient(testEnv().secretKey);
    await assertUnchanged([patient.id], async () => {
      for (const table of await exposedTables()) {
        const id = table === "medical_record_contents" ? "record_id" : "id";
        const answers = await Promise.all([
          service.from(table).select(),
          service.from(table).insert({}),
          service.from(table).update({ [id]: null }).not(id, "is", null),
          service.from(table).delete().not(id, "is", null),
        ]);
        assertEquals(answers.filter(({ error }) => !error), [], table);
        assertEquals([answers[0]?.status, answers[0]?.error?.code], [403, "42501"], table);
      }
      for (const { name, args } of await exposedFunctions()) {
        const body = Object.fromEntries(args.map((arg) => [arg, null]));
        const { status, error } = await service.rpc(name, body);
        assertEquals([status, error?.code], [403, "42501"], name);
      }
    });
  },
);

databaseTest("no schema but public is served", async () => {
  const { client } = await newPatient();
  const token = await tokenOf(client);
  const schemas = ["private", "auth", "storage", "extensions", "pg_catalog", "information_schema"];
  for (const schema of schemas) {
    const { status } = await send("/rest/v1/users", {
      token,
      headers: { "accept-profile": schema },
    });
    assert(status >= 400, `${schema} answers ${status}`);
  }
  const partition = await send("/rest/v1/audit_events_default", { token });
  assertEquals(partition.status, 404);
});

databaseTest("a stranger finds no row of others in any table, however they ask", async () => {
  const { patient, doctor, relative, record, shareId } = await newVictim();
  const anonymous = newClient();
  assertEquals((await anonymous.auth.signInAnonymously()).error, null);
  const strangers = [(await newPatient("Stranger")).client, anonymous];
  const traces = [patient.id, doctor.id, relative.id, record, shareId, "Victim"];
  const owned = await must(patient.client.from("medical_records").select("id"));
  assertEquals(owned.length, 25);

  for (const table of await exposedTables()) {
    for (const stranger of strangers) {
      const { data, error } = await stranger.from(table).select();
      const text = JSON.stringify(data ?? error);
      assertEquals(traces.filter((trace) => text.includes(trace)), [], table);
    }
  }
  // The same questions find the rows for those who may see them.
  const seen = JSON.stringify(await must(patient.client.from("medical_record_shares").select()));
  assert([patient.id, relative.id, record, shareId].every((trace) => seen.includes(trace)));
});

/** Numbers of a patient's rows that a client is told by counting alone. */
async function counts(client: SupabaseClient, { id }: Person) {
  const count = async (table: string, column: string) => {
    const { count } = await client.from(table).select("*", { count: "exact", head: true })
      .eq(column, id);
    return count;
  };
  return {
    records: await count("medical_records", "patient_id"),
    contents: await count("medical_record_contents", "patient_id"),
    shares: await count("medical_record_shares", "patient_id"),
    care: await count("care_relationships", "patient_id"),
    charts: await count("chart_sessions", "patient_id"),
    registry: await count("patients", "id"),
  };
}

databaseTest("a count tells no more than the rows", async () => {
  const { patient, doctor, relative } = await newVictim();
  const stranger = await newPatient();
  assertEquals(await counts(patient.client, patient), {
    ...{ records: 25, contents: 24, shares: 1, care: 1, charts: 1, registry: 1 },
  });
  assertEquals(await counts(doctor.client, patient), {
    ...{ records: 25, contents: 24, shares: 0, care: 1, charts: 1, registry: 1 },
  });
  assertEquals(await counts(relative.client, patient), {
    ...{ records: 1, contents: 0, shares: 1, care: 0, charts: 0, registry: 0 },
  });
  assertEquals(await counts(stranger.client, patient), {
    ...{ records: 0, contents: 0, shares: 0, care: 0, charts: 0, registry: 0 },
  });
});

/** All that hangs on a record; the foreign keys are named, as the tables meet in several ways. */
const EVERYTHING_OF_A_RECORD = `
  id, medical_record_contents(record_id, fhir),
  patients!medical_records_patient_id_fkey(id, last_name),
  medical_record_shares(id, shared_with_id), profiles!medical_records_created_by_fkey(id)`
  .replaceAll(/\s+/g, "");

databaseTest("an embedded table shows what it would show by itself", async () => {
  const { patient, doctor, relative, record, shareId } = await newVictim();
  const ask = ({ client }: Person) =>
    must(client.from("medical_records").select(EVERYTHING_OF_A_RECORD).eq("id", record));
  const whole = {
    id: record,
    medical_record_contents: null,
    patients: { id: patient.id, last_name: "Rao" },
    medical_record_shares: [{ id: shareId, shared_with_id: relative.id }],
    profiles: { id: patient.id },
  };
  await must(patient.client.from("medical_record_contents").insert({ record_id: record }));

  const contents = { record_id: record, fhir: null };
  assertEquals(await ask(patient), [{ ...whole, medical_record_contents: contents }]);
  assertEquals(await ask(doctor), [{
    ...whole,
    medical_record_contents: contents,
    medical_record_shares: [],
    profiles: null,
  }]);
  assertEquals(await ask(relative), [{ ...whole, patients: null, profiles: null }]);
  assertEquals(await ask(await newPatient()), []);
});

databaseTest("a filter on an embedded table tells nothing about rows one may not see", async () => {
  const { patient, relative, record } = await newVictim();
  const ask = async ({ client }: Person, filter: [string, string]) => {
    const { data } = await client.from("medical_records")
      .select("id, patients!medical_records_patient_id_fkey!inner(id)")
      .eq("id", record).eq(...filter);
    return data?.length;
  };
  const [right, wrong]: [string, string][] = [["patients.last_name", "Rao"], [
    "patients.last_name",
    "Roe",
  ]];
  assertEquals([await ask(patient, right!), await ask(patient, wrong!)], [1, 0]);
  assertEquals([await ask(relative, right!), await ask(relative, wrong!)], [0, 0]);
});

databaseTest(
  "records come in one total order, page by page as at once, and again the same",
  async () => {
    const patient = await newPatient();
    await mustPost(patient.client, "import", await ownBundleText());
    // Rows that differ in nothing but the id.
    await Promise.all(Array.from({ length: 10 }, () => newRecord(patient, patient.id)));
    const listing = () =>
      patient.client.from("medical_records").select("id, record_date")
        .order("record_date", { ascending: false, nullsFirst: false })
        .order("id", { ascending: false });

    const all = await must(listing());
    assertEquals(all.length, 34);
    const sorted = all.toSorted((a, b) =>
      (b.record_date ?? "").localeCompare(a.record_date ?? "") || (a.id < b.id ? 1 : -1)
    );
    assertEquals(all, sorted);
    const pages = [];
    for (let from = 0; from < 34; from += 7) {
      pages.push(
        await must(listing().range(from, from + 6)),
      );
    }
    assertEquals(pages.flat(), all);
    assertEquals(await must(listing()), all);
    const beyond = await listing().range(1000, 1009);
    assertEquals([beyond.status, beyond.data], [200, []]);
  },
);

databaseTest("nobody changes rows of others by insert, upsert, update or delete", async () => {
  const { patient, doctor, relative, record, shareId } = await newVictim();
  const stranger = await newPatient();
  const row = { patient_id: patient.id, title: "Taken over", record_type: "other" };
  const attempts = ({ client }: Person) => [
    client.from("medical_records").insert(row),
    client.from("medical_records").upsert({ id: record, ...row }),
    client.from("medical_records").update({ title: "Taken over" }).eq("id", record),
    client.from("medical_records").update({ patient_id: relative.id }).eq("id", record),
    client.from("medical_records").delete().eq("id", record),
    client.from("medical_record_contents").insert({ record_id: record, metadata: {} }),
    client.from("medical_record_contents").update({ metadata: {} }).neq("record_id", record),
    client.from("medical_record_contents").delete().eq("patient_id", patient.id),
    client.from("medical_record_shares").update({ expires_at: "2100-01-01" }).eq("id", shareId),
    client.from("medical_record_shares").delete().eq("id", shareId),
    client.from("medical_record_shares").insert({
      ...{ record_id: record, patient_id: patient.id, shared_with_id: relative.id },
      ...{ shared_by_id: patient.id, expires_at: "2100-01-01" },
    }),
    client.from("patients").update({ last_name: "Taken over" }).eq("id", patient.id),
    client.from("patients").delete().eq("id", patient.id),
    client.from("profiles").update({ display_name: "Taken over" }).eq("id", patient.id),
    client.from("profiles").upsert({ id: patient.id, role: "admin" }),
    client.from("profiles").delete().eq("id", patient.id),
    client.from("care_relationships").update({ status: "ended" }).eq("patient_id", patient.id),
    client.from("chart_sessions").delete().eq("patient_id", patient.id),
    client.from("audit_events").delete().eq("patient_id", patient.id),
    client.from("audit_events").insert({ actor_role: "patient", action: "x", resource_type: "x" }),
  ];

  await assertUnchanged([patient.id], async () => {
    for (const person of [stranger, relative]) {
      const answers = await Promise.all(attempts(person));
      // Refused, or done to the rows one sees, which are none.
      assertEquals(
        answers.filter(({ error, data }) => !error && JSON.stringify(data ?? []) !== "[]"),
        [],
      );
    }
  });
  // A doctor may add to an open chart, and change nothing that others have added.
  await assertUnchanged([patient.id], async () => {
    for (const attempt of attempts(doctor).slice(1)) await attempt;
  });
  const added = await doctor.client.from("medical_records").insert(row).select("source");
  assertEquals(added.data, [{ source: "doctor" }]);
});

databaseTest("nobody makes themselves more than they are", async () => {
  const person = await newCaregiver();
  const { client, id } = person;
  const changes: Record<string, Record<string, unknown>[]> = {
    profiles: [
      { role: "admin" },
      { role: "doctor", is_verified: true },
      { is_active: true },
      { subscription_tier: "premium" },
      { id: crypto.randomUUID() },
    ],
    doctors: [{ verified_at: "2020-01-01" }],
    account_grants: [{ grant: "moderator" }],
  };
  await assertUnchanged([id], async () => {
    for (const [table, values] of Object.entries(changes)) {
      for (const value of values) {
        const updated = await client.from(table).update(value).eq("id", id);
        const upserted = await client.from(table).upsert({ id, ...value });
        assertEquals([updated.error?.code, upserted.error?.code], ["42501", "42501"]);
      }
    }
    await client.auth.updateUser({ data: { role: "admin", is_verified: true } });
  });
  // What is theirs to change, changes.
  await must(client.from("profiles").update({ bio: "Sister of a patient" }).eq("id", id));
  assertEquals(await must(client.from("profiles").select("bio, role")), [
    { bio: "Sister of a patient", role: "caregiver" },
  ]);
});
