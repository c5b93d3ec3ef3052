// Exports that are longer than what lies on the way between function and reader: what happens to them
// when a right ends, a reader leaves, or the database goes, while they are under way.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Person, present } from "../support/auth.ts";
import { exportOf, startExport } from "../support/exports.ts";
import {
  databaseTest,
  must,
  newDoctor,
  newPatient,
  openChart,
  startCare,
  withDatabase,
} from "../support/people.ts";
import { until } from "../support/stack_process.ts";

/** Records of a long history, and bytes of each: together more than sockets hold, by far. */
const RECORDS = 1_000;
const NOTE_BYTES = 20_000;

/** Gives a patient a long history, past the function: what is tested is the way out. */
async function giveLongHistory({ id }: Person): Promise<void> {
  await withDatabase((sql) =>
    sql`
      with made as (
        insert into public.medical_records
          (patient_id, title, record_type, source, source_system, source_id)
        select ${id}, 'Note ' || i, 'condition', 'fhir', 'urn:test', 'Condition/' || i
        from generate_series(1, ${RECORDS}::integer) as i
        returning id, source_id
      )
      insert into public.medical_record_contents (record_id, patient_id, sensitivity, fhir)
      select id, ${id}, 'normal', jsonb_build_object(
        'resourceType', 'Condition', 'id', split_part(source_id, '/', 2),
        'subject', jsonb_build_object('reference', 'Patient/x'),
        'note', jsonb_build_array(jsonb_build_object(
          'text', (select string_agg(md5(source_id || i), '')
                   from generate_series(1, ${NOTE_BYTES / 32}::integer) as i)
        ))
      )
      from made`
  );
}

/** Reads a part of an export; answers how to read the rest. */
async function readSome(person: Person, query: Record<string, string>) {
  const response = await startExport(person, query);
  assertEquals(response.status, 200);
  const reader = present(response.body).pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (text.length < 200_000) text += (await reader.read()).value ?? "";
  const rest = async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
    }
  };
  return { reader, rest, text: () => text };
}

/** Backends of exports under way: those whose transaction has the cursor open. */
async function exportBackends(): Promise<number[]> {
  return await withDatabase(async (sql) => {
    const rows = await sql`
      select pid from pg_stat_activity
      where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()
        and query ~ 'exported|subject_reference'`;
    return rows.map(({ pid }) => pid);
  });
}

/** Fails unless what was read is the beginning of a bundle and nobody can take it for one. */
function assertUnfinished(text: string): void {
  assert(text.startsWith('{"resourceType":"Bundle"'));
  assert(text.length < RECORDS * NOTE_BYTES);
  assertThrows(() => JSON.parse(text), SyntaxError);
}

databaseTest(
  "an export breaks off when its right ends, and cannot be taken for a whole one",
  async () => {
    const [patient, doctor] = [await newPatient(), await newDoctor()];
    await giveLongHistory(patient);
    const care = await startCare(doctor, patient);
    await openChart(doctor, patient);
    const { rest, text } = await readSome(doctor, { patient_id: patient.id });
    await must(patient.client.rpc("end_care", { p_id: care, p_reason: "Changed hospital" }));
    await assertRejects(rest);
    assertUnfinished(text());
    assertEquals((await exportOf(doctor, { patient_id: patient.id })).refusal, [404, "not_found"]);
    await until(async () => (await exportBackends()).length === 0);
  },
);

databaseTest("an export breaks off when its session is signed out", async () => {
  const patient = await newPatient();
  await giveLongHistory(patient);
  const { rest, text } = await readSome(patient, {});
  await patient.client.auth.signOut();
  await assertRejects(rest);
  assertUnfinished(text());
});

databaseTest("a reader who leaves ends the transaction, and may ask again", async () => {
  const patient = await newPatient();
  await giveLongHistory(patient);
  const { reader } = await readSome(patient, {});
  assertEquals((await exportBackends()).length, 1);
  // One at a time for an account: a connection is kept while it is read.
  assertEquals((await exportOf(patient)).refusal, [503, "unavailable"]);
  await reader.cancel();
  await until(async () => (await exportBackends()).length === 0);
  const { status, entries } = await exportOf(patient);
  assertEquals([status, entries.length], [200, RECORDS + 1]);
});

databaseTest("an export whose connection to the database is cut breaks off", async () => {
  const patient = await newPatient();
  await giveLongHistory(patient);
  const { rest, text } = await readSome(patient, {});
  const [pid] = await exportBackends();
  await withDatabase((sql) => sql`select pg_terminate_backend(${present(pid)})`);
  await assertRejects(rest);
  assertUnfinished(text());
  assertEquals((await exportOf(patient)).entries.length, RECORDS + 1);
});

databaseTest("an export shows one moment, whatever changes while it is read", async () => {
  const patient = await newPatient();
  await giveLongHistory(patient);
  const { rest, text } = await readSome(patient, {});
  await withDatabase((sql) =>
    sql`update public.medical_record_contents set fhir = fhir || '{"code": {"text": "Later"}}'
        where patient_id = ${patient.id}`
  );
  const { data } = await patient.client.from("medical_records").select("id")
    .eq("source_id", `Condition/${RECORDS}`).single();
  await must(patient.client.rpc("delete_medical_record", { p_id: present(data).id }));
  await rest();
  assertEquals(JSON.parse(text()).entry.length, RECORDS + 1);
  assert(!text().includes("Later"));
});
