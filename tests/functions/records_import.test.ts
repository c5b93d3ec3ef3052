// POST /records/import: what the database is told and what is answered.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  bundleOf,
  condition,
  type Fhir,
  observation,
  ownBundle,
  ownBundleText,
  patient,
  SUBJECT,
} from "./bundles.ts";
import { importApp, importOf } from "./import_app.ts";
import { type Answer, assertFailure, assertSuccess, CALLER_ID, post, raised } from "./support.ts";

const PATIENT_ID = "f1b2c3d4-0000-4000-8000-000000000006";

Deno.test("POST /records/import sends patient and rows in one call and counts outcomes", async () => {
  const outcomes = ["imported", "updated", "unchanged", "unchanged", "kept"];
  const app = importApp({
    import_records: ([, , , rows]) =>
      JSON.parse(String(rows)).map(({ source_id }: Fhir, index: number) => ({
        source_id,
        outcome: outcomes[index],
      })),
  });
  const bundle = bundleOf(
    patient({ name: [{ family: "Rao", given: ["Ananya"] }] }),
    condition(),
    observation(),
    condition({ id: "c2" }),
    observation({ id: "o2" }),
    observation({ id: "o3" }),
    { resourceType: "Claim" },
    { resourceType: "Condition", id: "bad" },
  );
  const data = await assertSuccess(await importOf(app, bundle));
  assertEquals(data, {
    patient_id: CALLER_ID,
    source_system: "urn:beautiful-life:fhir-import",
    imported: 1,
    updated: 1,
    unchanged: 2,
    kept: 1,
    by_type: { Condition: 2, Observation: 3 },
    skipped: { Claim: 1 },
    patient: "filled",
    error_count: 1,
    errors: [{
      index: 7,
      resource_type: "Condition",
      path: "Condition.subject",
      message: "Missing required property",
    }],
  });
  const calls = app.deps.sql.statements.filter(({ text }) => text.includes("import_records"));
  assertEquals(calls.length, 1);
  const [patientId, system, fields] = calls[0]!.values;
  assertEquals([patientId, system], [CALLER_ID, "urn:beautiful-life:fhir-import"]);
  assertEquals(JSON.parse(String(fields)), {
    source_id: "p1",
    resource_id: "p1",
    first_name: "Ananya",
    last_name: "Rao",
  });
  assertEquals(app.sent()[0], {
    source_id: "Condition/c1",
    resource_type: "Condition",
    record_type: "condition",
    title: "Anaemia",
    record_date: null,
    sensitivity: "normal",
    fhir: { resourceType: "Condition", id: "c1", code: { text: "Anaemia" }, subject: SUBJECT },
  });
  assertEquals(app.deps.sql.settingsOf(calls[0]!).role, "authenticated");
});

Deno.test("POST /records/import writes for the patient and source that the query names", async () => {
  const app = importApp();
  const query = `?patient_id=${PATIENT_ID}&source_system=urn%3Ahospital`;
  const bundle = bundleOf(condition({ subject: { reference: "Patient/p1" } }));
  const data = await assertSuccess(await importOf(app, bundle, query));
  assertEquals([data.patient_id, data.source_system], [PATIENT_ID, "urn:hospital"]);
  const [patientId, system, person] = app.deps.sql.find("import_records").values;
  assertEquals([patientId, system], [PATIENT_ID, "urn:hospital"]);
  // Without a Patient, the one that the resources refer to is compared.
  assertEquals(JSON.parse(String(person)), { is_reference: true, resource_id: "p1" });
  assertEquals(data.patient, "absent");
});

Deno.test("POST /records/import asks for the right even when there is nothing to write", async () => {
  const app = importApp({
    import_records: raised("PT404", "not_found", "No patient with this id"),
  });
  const response = await importOf(app, bundleOf(), `?patient_id=${PATIENT_ID}`);
  await assertFailure(response, 404, "not_found");
  assertEquals(app.deps.sql.find("import_records").values[3], "[]");
});

Deno.test("POST /records/import passes on that the bundle is somebody else's", async () => {
  const app = importApp({
    import_records: raised("PT422", "wrong_patient", "The bundle is about somebody else"),
  });
  await assertFailure(await importOf(app, bundleOf(patient())), 422, "wrong_patient");
  assertEquals(app.deps.sql.ended, ["rolled back"]);
});

Deno.test("POST /records/import keeps numbers as they were written", async () => {
  const app = importApp();
  await assertSuccess(await importOf(app, await ownBundleText()));
  const { values } = app.deps.sql.find("import_records");
  for (const number of ["11.20", "0.80", "12.0", "58.5"]) {
    assertStringIncludes(String(values[3]), `"value":${number},`);
  }
});

Deno.test("POST /records/import sends resources as they came, to the letter", async () => {
  const app = importApp();
  const bundle = await ownBundle();
  await assertSuccess(await importOf(app, bundle));
  const came = new Map(
    bundle.entry.map(({ resource }: Fhir) => [`${resource.resourceType}/${resource.id}`, resource]),
  );
  for (const { source_id, fhir } of app.sent()) assertEquals(fhir, came.get(source_id));
});

Deno.test("POST /records/import takes every kind of bundle that holds resources, and no other", async () => {
  for (const type of ["collection", "transaction", "batch", "document"]) {
    await assertSuccess(await importOf(importApp(), { ...bundleOf(condition()), type }));
  }
  for (const type of ["searchset", "history", "message", "batch-response", "", undefined]) {
    const response = await importOf(importApp(), { ...bundleOf(condition()), type });
    await assertFailure(response, 400, "invalid_request");
  }
});

Deno.test("POST /records/import refuses what is no bundle", async () => {
  for (const body of [condition(), patient(), {}, { resourceType: "Bundle" }]) {
    const app = importApp();
    await assertFailure(await importOf(app, body), 400, "invalid_request");
    assertEquals(app.deps.sql.statements, []);
  }
});

Deno.test("POST /records/import takes application/fhir+json", async () => {
  const headers = { "content-type": "application/fhir+json; charset=utf-8" };
  await assertSuccess(await post(importApp(), "/records/import", bundleOf(condition()), headers));
});

Deno.test("POST /records/import refuses a bundle of 100,000 entries before it looks at them", async () => {
  const app = importApp();
  const entry = JSON.stringify({ resource: condition() });
  const body = `{"resourceType":"Bundle","type":"collection","entry":[${
    Array(100_000).fill(entry).join(",")
  }]}`;
  const started = performance.now();
  await assertFailure(await importOf(app, body), 400, "invalid_request");
  assert(performance.now() - started < 3_000);
  assertEquals(app.deps.sql.statements, []);
});

Deno.test("POST /records/import writes many rows in batches of one transaction", async () => {
  const app = importApp();
  const resources = Array.from({ length: 12_001 }, (_, index) => condition({ id: `c${index}` }));
  const data = await assertSuccess(await importOf(app, bundleOf(patient(), ...resources)));
  assertEquals(data.imported, 12_001);
  const calls = app.deps.sql.statements.filter(({ text }) => text.includes("import_records"));
  assertEquals(calls.map(({ values }) => JSON.parse(String(values[3])).length), [5000, 5000, 2001]);
  assertEquals(calls.map(({ values }) => values[2] === null), [false, true, true]);
  assertEquals(app.deps.sql.ended, ["committed"]);
});

Deno.test("POST /records/import lists the first thousand errors and counts them all", async () => {
  const bad = Array.from({ length: 1_500 }, (_, index) => condition({ id: `c${index}`, code: 7 }));
  const data = await assertSuccess(await importOf(importApp(), bundleOf(patient(), ...bad)));
  assertEquals([data.error_count, data.errors.length, data.errors[999].index], [
    1_500,
    1_000,
    1_000,
  ]);
});

Deno.test("POST /records/import leaves out resources that PostgreSQL cannot store", async () => {
  const app = importApp();
  const bundle = bundleOf(
    patient(),
    condition({ id: "nul", note: [{ text: "x\u0000y" }] }),
    condition({ id: "half", note: [{ text: "x\ud800y" }] }),
    condition({ id: "fine", note: [{ text: "x\u{1f600}y" }] }),
  );
  const data = await assertSuccess(await importOf(app, bundle));
  assertEquals(app.sent().map(({ source_id }) => source_id), ["Condition/fine"]);
  assertEquals(data.errors.map(({ index, path }: Fhir) => [index, path]), [
    [1, "Condition.note[0].text"],
    [2, "Condition.note[0].text"],
  ]);
});

Deno.test("nothing of a bundle or a file is logged or in an error", async () => {
  const canary = "ZQXJananya";
  const hostile = [
    bundleOf(
      patient({ name: [{ family: canary }], birthDate: canary }),
      condition({ [canary]: canary }),
    ),
    bundleOf(patient(), condition({ code: { text: canary, coding: canary } })),
    bundleOf(patient(), condition({ subject: { reference: canary } })),
    bundleOf({ resourceType: canary, [canary]: canary }),
    { ...bundleOf(condition()), [canary]: canary },
    { ...bundleOf(condition()), type: canary },
    `{"${canary}": ${canary}`,
  ];
  const row = raised("22P02", `invalid input ${canary}`, `Failing row contains (${canary})`);
  const databases: Record<string, Answer>[] = [
    {},
    { import_records: row },
    { import_records: raised("XX000", canary, canary) },
    { import_records: new TypeError(canary) },
    { import_records: Object.assign(new Error(canary), { code: "ECONNRESET" }) },
  ];
  for (const answers of databases) {
    for (const body of [...hostile, bundleOf(patient(), condition({ code: { text: canary } }))]) {
      const app = importApp(answers);
      const response = await post(app, `/records/import?source_system=${canary}`, body, {
        "user-agent": canary,
      });
      const answer = await response.text();
      assert(!JSON.stringify(app.deps.logged).includes(canary), JSON.stringify(app.deps.logged));
      // A success repeats the source system that the caller named, and nothing else.
      const told = answer.replace(`"source_system":"${canary}"`, "");
      assert(!told.includes(canary), told);
    }
  }
});
