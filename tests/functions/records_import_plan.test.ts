// What an import makes of a bundle: whose it is, and what becomes of each entry.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { AppError } from "../../functions/_shared/errors.ts";
import { readBundle } from "../../functions/records/fhir_bundle.ts";
import { planImport } from "../../functions/records/import_plan.ts";
import {
  bundleOf,
  condition,
  type Fhir,
  observation,
  ownBundle,
  patient,
  PATIENT_URL,
  SUBJECT,
  syntheaBundles,
} from "./bundles.ts";
import { importApp, importOf } from "./import_app.ts";
import { assertFailure } from "./support.ts";

function plan(bundle: Fhir, sourceSystem?: string) {
  const read = readBundle(JSON.parse(JSON.stringify(bundle)));
  return planImport(read, { sourceSystem, today: "2026-03-01" });
}

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
    const app = importApp();
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
  const error = await assertFailure(await importOf(importApp(), bundle), 422, "wrong_patient");
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

Deno.test("planImport keeps the address by which other resources of the bundle refer to one", () => {
  const urlOf = (fullUrl: unknown) =>
    planImport(
      readBundle({ ...bundleOf(), entry: [{ fullUrl, resource: condition() }] }),
      { today: "2026-03-01" },
    ).rows[0]?.source_url;
  for (
    const url of [
      "urn:uuid:6f1c2a52-8a44-4d0b-9c55-2f0d3f1e7a06",
      "urn:oid:1.2.3",
      "https://h.example/fhir/Condition/c1",
      `https://h.example/${"x".repeat(482)}`,
    ]
  ) {
    assertEquals(urlOf(url), url);
  }
  for (
    const url of [
      undefined,
      7,
      "",
      "Condition/c1",
      "urn:uuid:",
      "urn:uuid:a b",
      "javascript:alert(1)",
      `https://h.example/${"x".repeat(483)}`,
    ]
  ) {
    assertEquals(urlOf(url), null);
  }
});
