// The import as a whole: whose bundle it is, what becomes of each entry, what the database is told,
// and what is answered.

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { AppError } from "../../functions/_shared/errors.ts";
import { readBundle } from "../../functions/records/fhir_bundle.ts";
import { planImport } from "../../functions/records/import_plan.ts";
import { createApp } from "../../functions/records/routes.ts";
import {
  bundleOf,
  condition,
  type Fhir,
  observation,
  ownBundle,
  ownBundleText,
  patient,
  PATIENT_URL,
  SUBJECT,
  syntheaBundles,
} from "./bundles.ts";
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

function plan(bundle: Fhir, sourceSystem?: string) {
  const read = readBundle(JSON.parse(JSON.stringify(bundle)));
  return planImport(read, { sourceSystem, today: "2026-03-01" });
}

/** An app whose database answers `imported` for every row that it is sent. */
function build(answers: Record<string, Answer> = {}): Subject & { sent: () => Fhir[] } {
  const deps = fakeDeps({
    import_records: ([, , , rows]) =>
      JSON.parse(String(rows)).map(({ source_id }: Fhir) => ({ source_id, outcome: "imported" })),
    "from public.patients": [{ is_filled: true }],
    ...answers,
  });
  const sent = () =>
    deps.sql.statements.filter(({ text }) => text.includes("import_records"))
      .flatMap(({ values }) => JSON.parse(String(values[3])));
  return { app: createApp(deps), deps, sent };
}

const importOf = (subject: Subject, bundle: Fhir | string, query = "") =>
  post(subject, `/records/import${query}`, bundle);

Deno.test("the project's own bundle becomes 24 records and a registry entry", async () => {
  const { rows, errors, skipped, patient: fields, source_system } = plan(await ownBundle());
  assertEquals(errors, []);
  assertEquals(skipped, { Organization: 1, Practitioner: 1, Claim: 1, Coverage: 1 });
  assertEquals(rows.length, 24);
  assertEquals(source_system, "https://hospital.example/patients");
  assertEquals(fields?.last_name, "Rao");
  const counts = Object.entries(Object.groupBy(rows, ({ record_type }) => record_type))
    .map(([type, found]) => [type, found?.length]);
  assertEquals(Object.fromEntries(counts), {
    encounter: 2,
    condition: 3,
    procedure: 3,
    lab_result: 6,
    observation: 1,
    pathology: 1,
    imaging: 1,
    prescription: 2,
    medication: 1,
    immunization: 1,
    care_plan: 1,
    discharge_summary: 1,
    other: 1,
  });
  const sensitive = rows.filter(({ sensitivity }) => sensitivity === "sensitive");
  assertEquals(sensitive.map(({ title }) => title), ["BRCA1 gene mutation analysis"]);
  const ondansetron = rows.find(({ source_id }) => source_id === "MedicationRequest/medreq-2");
  assertEquals([ondansetron?.title, ondansetron?.record_date], [
    "Ondansetron 8 mg tablet",
    "2024-03-18",
  ]);
});

for (const { name, text } of syntheaBundles()) {
  Deno.test(`Synthea's ${name} is imported without an error`, () => {
    const bundle = JSON.parse(text);
    const { rows, errors, skipped, patient: fields } = plan(bundle);
    assertEquals(errors, []);
    assertEquals(Object.keys(skipped).toSorted(), [
      "Claim",
      "ExplanationOfBenefit",
      "Organization",
      "Practitioner",
    ]);
    const left_out = Object.values(skipped).reduce((sum, count) => sum + count, 0);
    assertEquals(rows.length + left_out + 1, bundle.entry.length);
    assert(rows.length > 100 && fields?.date_of_birth);
    for (const row of rows) assert(row.record_date !== null && row.title.length > 2, row.source_id);
    assertEquals(new Set(rows.map(({ source_id }) => source_id)).size, rows.length);
  });
}

Deno.test("the source system is what the caller says, else the patient's, else the bundle's", () => {
  const own = patient({ identifier: [{ system: "urn:patients", value: "1" }] });
  const bundle = { ...bundleOf(own, condition()), identifier: { system: "urn:exports" } };
  assertEquals(plan(bundle, "urn:said").source_system, "urn:said");
  assertEquals(plan(bundle).source_system, "urn:patients");
  const bare = { ...bundle, entry: bundleOf(patient(), condition()).entry };
  assertEquals(plan(bare).source_system, "urn:exports");
  assertEquals(plan(bundleOf(condition())).source_system, "urn:beautiful-life:fhir-import");
  const odd = patient({ identifier: [{ system: "not a uri", value: "1" }] });
  assertEquals(plan(bundleOf(odd)).source_system, "urn:beautiful-life:fhir-import");
});

/** Ways to name the one patient of a bundle. */
const SAME_PERSON: [string, Fhir, Fhir][] = [
  ["by fullUrl", patient(), { reference: PATIENT_URL }],
  ["by type and id", patient(), { reference: "Patient/p1" }],
  ["by a version of it", patient(), { reference: "Patient/p1/_history/3" }],
  ["by the UUID that is its id", patient({ id: "0b6a8c52" }), { reference: "urn:uuid:0b6a8c52" }],
  [
    "by an address on the web that is fullUrl",
    patient({ fullUrl: "https://h.example/fhir/Patient/p1" }),
    { reference: "https://h.example/fhir/Patient/p1" },
  ],
  [
    "by id where fullUrl is on the web",
    patient({ id: undefined, fullUrl: "https://h.example/fhir/Patient/p1" }),
    { reference: "Patient/p1" },
  ],
  [
    "by an address on the web where fullUrl is not",
    patient(),
    { reference: "https://h.example/fhir/Patient/p1" },
  ],
  [
    "by a search for its number",
    patient({ identifier: [{ system: "urn:n", value: "7" }] }),
    { reference: "Patient?identifier=urn%3An%7C7" },
  ],
  [
    "by its number",
    patient({ identifier: [{ system: "urn:n", value: "7" }] }),
    { identifier: { system: "urn:n", value: "7" } },
  ],
];

for (const [how, person, subject] of SAME_PERSON) {
  Deno.test(`a resource that names the patient ${how} is taken`, () => {
    const { rows, errors } = plan(bundleOf(person, condition({ subject })));
    assertEquals([rows.length, errors], [1, []]);
  });
}

const OTHERS: [string, Fhir][] = [
  ["another UUID", { reference: "urn:uuid:00000000-8a44-4d0b-9c55-2f0d3f1e7a01" }],
  ["another id", { reference: "Patient/p2" }],
  ["an id that begins alike", { reference: "Patient/p10" }],
  ["an address on the web", { reference: "https://h.example/fhir/Patient/p2" }],
  ["a search for another number", { reference: "Patient?identifier=urn%3An%7C8" }],
  ["another number", { identifier: { system: "urn:n", value: "8" } }],
  ["the same number elsewhere", { identifier: { system: "urn:m", value: "7" } }],
  ["a group", { reference: "Group/g1" }],
];

for (const [how, subject] of OTHERS) {
  Deno.test(`a bundle with a resource about ${how} is refused whole`, async () => {
    const person = patient({ identifier: [{ system: "urn:n", value: "7" }] });
    const bundle = bundleOf(person, condition(), observation({ subject }));
    const app = build();
    const error = await assertFailure(await importOf(app, bundle), 422, "wrong_patient");
    assertEquals(error.details[0].path, "Bundle.entry[2].resource.subject");
    assertEquals(app.deps.sql.statements.filter(({ text }) => text.includes("import_")), []);
  });
}

Deno.test("a web address of another server is somebody else, though the id is the same", () => {
  const person = patient({ fullUrl: "https://a.example/fhir/Patient/p1" });
  const other = condition({ subject: { reference: "https://b.example/fhir/Patient/p1" } });
  const error = assertThrows(() => plan(bundleOf(person, other)), AppError);
  assertEquals(error.code, "wrong_patient");
});

Deno.test("a bundle with two patients is refused whole, with the place of the second", async () => {
  const bundle = bundleOf(patient(), condition(), patient({ id: "p2" }));
  const error = await assertFailure(await importOf(build(), bundle), 422, "wrong_patient");
  assertEquals(error.details[0].path, "Bundle.entry[2].resource");
});

Deno.test("a bundle without a patient is about one person or refused", () => {
  const subject = { reference: "Patient/x" };
  const { rows, patient: fields } = plan(
    bundleOf(condition({ subject }), observation({ subject })),
  );
  assertEquals([rows.length, fields], [2, null]);
  const mixed = bundleOf(
    condition({ subject }),
    observation({ subject: { reference: "Patient/y" } }),
  );
  assertEquals(assertThrows(() => plan(mixed), AppError).code, "wrong_patient");
});

Deno.test("a resource that needs no subject is taken without one", () => {
  const { rows, errors } = plan(bundleOf(patient(), observation({ subject: undefined })));
  assertEquals([rows.length, errors], [1, []]);
});

Deno.test("a resource whose subject names nobody is an error, the rest goes in", () => {
  const nameless = [
    observation({ id: "o2", subject: { display: "Ananya" } }),
    observation({ id: "o3", subject: { reference: "#inside" } }),
    observation({ id: "o4", subject: { identifier: { system: "urn:n" } } }),
  ];
  const { rows, errors } = plan(bundleOf(patient(), condition(), ...nameless));
  assertEquals(rows.length, 1);
  assertEquals(errors.map(({ index, path }) => [index, path]), [
    [2, "Observation.subject"],
    [3, "Observation.subject"],
    [4, "Observation.subject"],
  ]);
});

Deno.test("of two entries with one id the later is taken and the earlier reported", () => {
  const { rows, errors } = plan(bundleOf(
    patient(),
    condition({ code: { text: "Old" } }),
    observation(),
    condition({ code: { text: "New" } }),
  ));
  assertEquals(rows.map(({ title }) => title).toSorted(), ["Haemoglobin", "New"]);
  assertEquals(errors, [{
    index: 1,
    resource_type: "Condition",
    path: "Condition.id",
    message: "Has the same id as a later entry, which was taken instead",
  }]);
});

Deno.test("entries without a known resource are errors, and repeat no name", () => {
  const bundle = bundleOf(patient(), condition());
  bundle.entry.push(null, 7, {}, { resource: null }, { resource: [] }, { resource: { id: "x" } });
  bundle.entry.push({ resource: { resourceType: "AnanyaRao" } }, { resource: { resourceType: 7 } });
  bundle.entry.push({ resource: { resourceType: "constructor" } });
  const { rows, errors, skipped } = plan(bundle);
  assertEquals([rows.length, skipped], [1, {}]);
  assertEquals(errors.map(({ index }) => index), [2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert(errors.every(({ resource_type }) => resource_type === null));
  assert(!JSON.stringify(errors).includes("Ananya"));
});

Deno.test("every other type of FHIR R4 is counted and skipped", () => {
  const types = ["Claim", "ExplanationOfBenefit", "Coverage", "Provenance", "Device", "Claim"];
  const others = types.map((resourceType) => ({ resourceType, anything: "at all" }));
  const { skipped, errors } = plan(bundleOf(patient(), ...others));
  assertEquals(errors, []);
  assertEquals(skipped, {
    Claim: 2,
    ExplanationOfBenefit: 1,
    Coverage: 1,
    Provenance: 1,
    Device: 1,
  });
});

Deno.test("a patient who is not valid is an error, and what is sound of them is compared", () => {
  const bad = patient({ name: [{ family: "Rao" }], birthDate: "soon", gender: "female" });
  const { patient: fields, errors, rows } = plan(bundleOf(bad, condition()));
  assertEquals(rows.length, 1);
  assertEquals(errors.map(({ index, path }) => [index, path]), [[0, "Patient.birthDate"]]);
  assertEquals([fields?.last_name, fields?.gender, fields?.date_of_birth], [
    "Rao",
    "female",
    undefined,
  ]);
});

Deno.test("a medicine that an entry describes names the order that points to it", () => {
  const medication = {
    resourceType: "Medication",
    id: "m1",
    code: { text: "Letrozole" },
    fullUrl: "urn:uuid:m",
  };
  const order = (reference: string, id: string) => ({
    resourceType: "MedicationRequest",
    id,
    status: "active",
    intent: "order",
    subject: SUBJECT,
    medicationReference: { reference },
  });
  const { rows, skipped } = plan(
    bundleOf(patient(), order("urn:uuid:m", "1"), order("Medication/m1", "2"), medication),
  );
  assertEquals(rows.map(({ title }) => title), ["Letrozole", "Letrozole"]);
  assertEquals(skipped, { Medication: 1 });
});

Deno.test("POST /records/import sends patient and rows in one call and counts outcomes", async () => {
  const outcomes = ["imported", "updated", "unchanged", "unchanged"];
  const app = build({
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
    by_type: { Condition: 2, Observation: 2 },
    skipped: { Claim: 1 },
    patient: "filled",
    error_count: 1,
    errors: [{
      index: 6,
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
  const app = build();
  const query = `?patient_id=${PATIENT_ID}&source_system=urn%3Ahospital`;
  const data = await assertSuccess(await importOf(app, bundleOf(condition()), query));
  assertEquals([data.patient_id, data.source_system], [PATIENT_ID, "urn:hospital"]);
  assertEquals(app.deps.sql.find("import_records").values.slice(0, 3), [
    PATIENT_ID,
    "urn:hospital",
    null,
  ]);
  assertEquals(data.patient, "absent");
});

Deno.test("POST /records/import asks for the right even when there is nothing to write", async () => {
  const app = build({ import_records: raised("PT404", "not_found", "No patient with this id") });
  const response = await importOf(app, bundleOf(), `?patient_id=${PATIENT_ID}`);
  await assertFailure(response, 404, "not_found");
  assertEquals(app.deps.sql.find("import_records").values[3], "[]");
});

Deno.test("POST /records/import passes on that the bundle is somebody else's", async () => {
  const app = build({
    import_records: raised("PT422", "wrong_patient", "The bundle is about somebody else"),
  });
  await assertFailure(await importOf(app, bundleOf(patient())), 422, "wrong_patient");
  assertEquals(app.deps.sql.ended, ["rolled back"]);
});

Deno.test("POST /records/import keeps numbers as they were written", async () => {
  const app = build();
  await assertSuccess(await importOf(app, await ownBundleText()));
  const { values } = app.deps.sql.find("import_records");
  for (const number of ["11.20", "0.80", "12.0", "58.5"]) {
    assertStringIncludes(String(values[3]), `"value":${number},`);
  }
});

Deno.test("POST /records/import sends resources as they came, to the letter", async () => {
  const app = build();
  const bundle = await ownBundle();
  await assertSuccess(await importOf(app, bundle));
  const came = new Map(
    bundle.entry.map(({ resource }: Fhir) => [`${resource.resourceType}/${resource.id}`, resource]),
  );
  for (const { source_id, fhir } of app.sent()) assertEquals(fhir, came.get(source_id));
});

Deno.test("POST /records/import takes every kind of bundle that holds resources, and no other", async () => {
  for (const type of ["collection", "transaction", "batch", "document"]) {
    await assertSuccess(await importOf(build(), { ...bundleOf(condition()), type }));
  }
  for (const type of ["searchset", "history", "message", "batch-response", "", undefined]) {
    const response = await importOf(build(), { ...bundleOf(condition()), type });
    await assertFailure(response, 400, "invalid_request");
  }
});

Deno.test("POST /records/import refuses what is no bundle", async () => {
  for (const body of [condition(), patient(), {}, { resourceType: "Bundle" }]) {
    const app = build();
    await assertFailure(await importOf(app, body), 400, "invalid_request");
    assertEquals(app.deps.sql.statements, []);
  }
});

Deno.test("POST /records/import takes application/fhir+json", async () => {
  const headers = { "content-type": "application/fhir+json; charset=utf-8" };
  await assertSuccess(await post(build(), "/records/import", bundleOf(condition()), headers));
});

Deno.test("POST /records/import refuses a bundle of 100,000 entries before it looks at them", async () => {
  const app = build();
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
  const app = build();
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
  const data = await assertSuccess(await importOf(build(), bundleOf(patient(), ...bad)));
  assertEquals([data.error_count, data.errors.length, data.errors[999].index], [
    1_500,
    1_000,
    1_000,
  ]);
});

Deno.test("POST /records/import leaves out resources that PostgreSQL cannot store", async () => {
  const app = build();
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
      const app = build(answers);
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
