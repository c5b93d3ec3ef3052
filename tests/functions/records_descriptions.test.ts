// The encrypted description of a record: what reaches the database and what is answered.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { createApp } from "../../functions/records/routes.ts";
import { FieldStore } from "./field_store.ts";
import {
  type Answer,
  assertFailure,
  assertSuccess,
  CALLER_ID,
  fakeDeps,
  post,
  raised,
  type Subject,
} from "./support.ts";

const PATIENT_ID = "f1b2c3d4-0000-4000-8000-000000000006";
const RECORD_ID = "b1b2c3d4-0000-4000-8000-000000000002";
const OTHER_RECORD_ID = "b1b2c3d4-0000-4000-8000-000000000003";
const TEXT = "Invasive ductal carcinoma, grade 2";

/** An app on a database in memory whose records are all the patient's. */
function build(answers: Record<string, Answer> = {}): Subject & { store: FieldStore } {
  const store = new FieldStore(PATIENT_ID);
  const deps = fakeDeps({ ...store.answers, ...answers });
  return { app: createApp(deps), deps, store };
}

const put = (subject: Subject, description: unknown, id = RECORD_ID) =>
  post(subject, `/records/${id}/description`, { description }, {}, "PUT");
const read = (subject: Subject, ...record_ids: string[]) =>
  post(subject, "/records/descriptions/read", { record_ids });

Deno.test("PUT /records/:id/description hands the database a sealed text, as the caller", async () => {
  const subject = build();
  const response = await put(subject, TEXT, RECORD_ID.toUpperCase());
  const { sql, logged } = subject.deps;
  assertEquals(await assertSuccess(response), { record_id: RECORD_ID });
  const written = sql.find("write_record_description");
  assertEquals(sql.settingsOf(written).role, "authenticated");
  const [key] = subject.store.keys.get(PATIENT_ID)!;
  assertEquals(written.values[0], RECORD_ID);
  assertMatch(
    String(written.values[1]),
    new RegExp(`^v1\\.${key!.data_key_id}\\.[A-Za-z0-9+/]+=*$`),
  );
  const everything = JSON.stringify([sql.statements, logged]);
  for (const form of [TEXT, btoa(TEXT), "carcinoma"]) assert(!everything.includes(form));
});

Deno.test("PUT /records/:id/description makes the key of the record's patient, not of the caller", async () => {
  const subject = build();
  await assertSuccess(await put(subject, TEXT));
  const made = subject.deps.sql.find("keep_patient_key");
  assertEquals(subject.deps.sql.settingsOf(made).role, "identity_worker");
  assertEquals(made.values[0], PATIENT_ID);
  assertEquals(JSON.parse(subject.deps.sql.settingsOf(made)["request.jwt.claims"]!).sub, CALLER_ID);
});

Deno.test("POST /records/descriptions/read opens what the database gives, in the order asked for", async () => {
  const subject = build();
  const long = "👩".repeat(20_000);
  await assertSuccess(await put(subject, TEXT));
  await assertSuccess(await put(subject, long, OTHER_RECORD_ID));
  assertEquals(await assertSuccess(await read(subject, OTHER_RECORD_ID, PATIENT_ID, RECORD_ID)), [
    { record_id: OTHER_RECORD_ID, description: long },
    { record_id: RECORD_ID, description: TEXT },
  ]);
  const asked = subject.deps.sql.find("read_record_descriptions");
  assertEquals(subject.deps.sql.settingsOf(asked).role, "authenticated");
});

Deno.test("PUT /records/:id/description empties with null, without a key", async () => {
  const subject = build();
  await assertSuccess(await put(subject, null));
  const { statements } = subject.deps.sql;
  assert(!statements.some(({ text }) => /field_key_for|keep_patient_key/.test(text)));
  assertEquals(await assertSuccess(await read(subject, RECORD_ID)), [
    { record_id: RECORD_ID, description: null },
  ]);
});

Deno.test("POST /records/descriptions/read refuses a description of another record", async () => {
  const subject = build();
  await assertSuccess(await put(subject, TEXT));
  await assertSuccess(await put(subject, "Benign", OTHER_RECORD_ID));
  const { descriptions } = subject.store;
  descriptions.set(RECORD_ID, descriptions.get(OTHER_RECORD_ID)!);
  await assertFailure(await read(subject, RECORD_ID), 500, "internal");
  assertEquals(await assertSuccess(await read(subject, OTHER_RECORD_ID)), [
    { record_id: OTHER_RECORD_ID, description: "Benign" },
  ]);
});

Deno.test("PUT /records/:id/description refuses what is no description", async () => {
  const subject = build();
  for (const wrong of ["", "x".repeat(20_001), "👩".repeat(20_001), undefined, 1, "a\u0000b"]) {
    await assertFailure(await put(subject, wrong), 400, "invalid_request");
  }
  await assertFailure(await put(subject, TEXT, "x"), 400, "invalid_request");
  assertEquals(subject.deps.sql.statements, []);
});

Deno.test("PUT /records/:id/description takes the longest text, however it is written", async () => {
  const subject = build();
  const body = `{"description": "${"\\ud83d\\udc69".repeat(20_000)}"}`;
  await assertSuccess(await post(subject, `/records/${RECORD_ID}/description`, body, {}, "PUT"));
  const [row] = await assertSuccess(await read(subject, RECORD_ID));
  assertEquals(row.description, "👩".repeat(20_000));
});

Deno.test("PUT /records/:id/description answers 404 not_found where the caller may not write", async () => {
  const refusal = raised("PT404", "not_found", "No record with this id");
  const early = build({ field_key_for_record: refusal });
  await assertFailure(await put(early, TEXT), 404, "not_found");
  assert(!early.deps.sql.statements.some(({ text }) => text.includes("keep_patient_key")));
  // Taken away between the two transactions.
  const late = build({ write_record_description: refusal });
  await assertFailure(await put(late, TEXT), 404, "not_found");
});
