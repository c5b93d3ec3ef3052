// From a valid FHIR resource to a record: title, type, date, sensitivity, id; and from a Patient to
// the registry.

import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { toPatientFields, toPatientReference } from "../../functions/records/fhir_patient.ts";
import type { Name } from "../../functions/records/fhir_subject.ts";
import { conceptText, toDay, toRecordEntry } from "../../functions/records/fhir_record.ts";
import { canonicalJson, sourceIdOf } from "../../functions/records/fhir_source.ts";
import { condition, type Fhir, observation, ownBundle, SUBJECT } from "./bundles.ts";
import { anyJson, entryOf, fhirJson, fhirWord, valid } from "./fhir_samples.ts";

Deno.test("a title comes from the concept's text, then a display, then a code", () => {
  assertEquals(conceptText({ text: "a", coding: [{ display: "b", code: "c" }] }), "a");
  assertEquals(conceptText({ coding: [{ code: "c" }, { display: "b" }] }), "b");
  assertEquals(conceptText({ coding: [{}, { code: "c" }] }), "c");
  assertEquals(conceptText({}), undefined);
  assertEquals(conceptText(undefined), undefined);
});

Deno.test("a title is one line of at most 300 characters, in any script", () => {
  const titleOf = (text: string) => entryOf(condition({ code: { text } })).title;
  assertEquals(titleOf("  Breast\n\tcancer  "), "Breast cancer");
  assertEquals(titleOf("रक्ताल्पता"), "रक्ताल्पता");
  assertEquals([...titleOf("\u{1f600}".repeat(400))].length, 300);
  assertEquals(titleOf("\u{1f600}".repeat(400)).at(-1), "…");
  assertEquals(titleOf("x".repeat(300)), "x".repeat(300));
});

Deno.test("a resource without words is named by its type", () => {
  assertEquals(entryOf(condition({ code: undefined })).title, "Condition");
  const report = {
    resourceType: "DiagnosticReport",
    status: "final",
    code: { extension: [{ url: "urn:x", valueString: "y" }] },
  };
  assertEquals(entryOf(report).title, "Diagnostic report");
});

Deno.test("each type's title comes from the element that names it", () => {
  const base = { status: "completed", subject: SUBJECT };
  const cases: [Fhir, string][] = [
    [{
      resourceType: "AllergyIntolerance",
      patient: SUBJECT,
      clinicalStatus: { text: "active" },
      code: { text: "Latex" },
    }, "Allergy: Latex"],
    [{
      resourceType: "AllergyIntolerance",
      patient: SUBJECT,
      clinicalStatus: { text: "active" },
      reaction: [{ substance: { text: "Nuts" }, manifestation: [{ text: "Hives" }] }],
    }, "Allergy: Nuts"],
    [{
      ...base,
      resourceType: "CarePlan",
      intent: "plan",
      category: [{ text: "assess-plan" }, { text: "Diabetes plan" }],
    }, "Diabetes plan"],
    [{
      ...base,
      resourceType: "CarePlan",
      intent: "plan",
      title: "A plan",
      category: [{ text: "x" }],
    }, "A plan"],
    [
      { ...base, resourceType: "Encounter", class: { code: "EMER", display: "emergency" } },
      "emergency",
    ],
    [{
      ...base,
      resourceType: "Encounter",
      class: { code: "EMER" },
      reasonCode: [{ text: "Fall" }],
    }, "Fall"],
    [{
      resourceType: "Immunization",
      status: "completed",
      patient: SUBJECT,
      occurrenceString: "as a child",
      vaccineCode: { text: "MMR" },
    }, "MMR"],
    [{
      ...base,
      resourceType: "MedicationStatement",
      medicationReference: { reference: "Medication/1", display: "Aspirin" },
    }, "Aspirin"],
    [{
      ...base,
      resourceType: "MedicationStatement",
      contained: [{ resourceType: "Medication", id: "m", code: { text: "Ibuprofen" } }],
      medicationReference: { reference: "#m" },
    }, "Ibuprofen"],
    [{
      resourceType: "DocumentReference",
      status: "current",
      content: [{ attachment: { title: "Letter" } }],
    }, "Letter"],
    [{ ...base, resourceType: "Procedure", code: { text: "Biopsy" } }, "Biopsy"],
  ];
  for (const [resource, title] of cases) assertEquals(entryOf(resource).title, title);
});

Deno.test("a medicine that the bundle describes elsewhere gives its name", () => {
  const order = valid({
    resourceType: "MedicationRequest",
    status: "active",
    intent: "order",
    subject: SUBJECT,
    medicationReference: { reference: "Medication/1" },
  });
  const names = new Map([["Medication/1", "Tamoxifen"]]);
  assertEquals(toRecordEntry(order, (reference) => names.get(reference)).title, "Tamoxifen");
  assertEquals(toRecordEntry(order, () => undefined).title, "Medication request");
});

Deno.test("a date is the day as written, whatever the offset", () => {
  assertEquals(toDay("2024-03-31T23:30:00+05:30"), "2024-03-31");
  assertEquals(toDay("2024-04-01T00:30:00-08:00"), "2024-04-01");
  assertEquals(toDay("2024-03-31T23:30:00Z"), "2024-03-31");
  assertEquals(toDay("2024-03-31"), "2024-03-31");
});

Deno.test("a partial date counts as its first day, no date and impossible ones as none", () => {
  assertEquals(toDay("2024-03"), "2024-03-01");
  assertEquals(toDay("1996"), "1996-01-01");
  for (const none of [undefined, "", "soon", "0001-01-01", "1879-12-31", "2200-01-01", "9999"]) {
    assertEquals(toDay(none), null);
  }
});

Deno.test("each type's date is when it began or was done, before when it was written down", () => {
  const base = { status: "completed", subject: SUBJECT };
  const cases: [Fhir, string | null][] = [
    [condition({ onsetDateTime: "2020-01-02", recordedDate: "2021-01-01" }), "2020-01-02"],
    [condition({ onsetPeriod: { start: "2020-02" }, recordedDate: "2021-01-01" }), "2020-02-01"],
    [condition({ onsetString: "as a child", recordedDate: "2021-01-01" }), "2021-01-01"],
    [condition(), null],
    [
      observation({ effectiveInstant: "2020-01-02T03:04:05Z", issued: "2021-01-01T00:00:00Z" }),
      "2020-01-02",
    ],
    [
      observation({ effectivePeriod: { end: "2020-01-02" }, issued: "2021-01-01T00:00:00Z" }),
      "2021-01-01",
    ],
    [{
      ...base,
      resourceType: "Procedure",
      performedPeriod: { start: "2020-01-02", end: "2020-01-09" },
    }, "2020-01-02"],
    [
      { ...base, resourceType: "Encounter", class: { code: "AMB" }, period: { end: "2020-01-02" } },
      "2020-01-02",
    ],
    [{
      ...base,
      resourceType: "MedicationRequest",
      intent: "order",
      medicationCodeableConcept: { text: "x" },
      authoredOn: "2020-01-02",
    }, "2020-01-02"],
    [{
      ...base,
      resourceType: "MedicationStatement",
      medicationCodeableConcept: { text: "x" },
      dateAsserted: "2020-01-02",
    }, "2020-01-02"],
    [{ ...base, resourceType: "CarePlan", intent: "plan", created: "2020-01-02" }, "2020-01-02"],
    [{
      resourceType: "Immunization",
      status: "completed",
      vaccineCode: { text: "x" },
      patient: SUBJECT,
      occurrenceDateTime: "2020-01-02",
      recorded: "2021",
    }, "2020-01-02"],
    [{
      resourceType: "AllergyIntolerance",
      patient: SUBJECT,
      clinicalStatus: { text: "active" },
      recordedDate: "2020-01-02",
    }, "2020-01-02"],
    [{
      resourceType: "DiagnosticReport",
      status: "final",
      code: { text: "x" },
      issued: "2020-01-02T00:00:00Z",
    }, "2020-01-02"],
    [{
      resourceType: "DocumentReference",
      status: "current",
      content: [{ attachment: { creation: "2020-01-02" } }],
    }, "2020-01-02"],
  ];
  for (const [resource, date] of cases) assertEquals(entryOf(resource).record_date, date);
});

Deno.test("a record's type follows the resource, and its category where that says more", () => {
  const base = { status: "completed", subject: SUBJECT };
  const report = (...codes: string[]) => ({
    resourceType: "DiagnosticReport",
    status: "final",
    code: { text: "x" },
    ...codes.length > 0 && { category: codes.map((code) => ({ coding: [{ code }] })) },
  });
  const document = (code?: string) => ({
    resourceType: "DocumentReference",
    status: "current",
    content: [{ attachment: { title: "x" } }],
    ...code && { type: { coding: [{ system: "http://loinc.org", code }] } },
  });
  const order = (intent: string) => ({
    ...base,
    resourceType: "MedicationRequest",
    intent,
    medicationCodeableConcept: { text: "x" },
  });
  const category = (code: string) => ({ category: [{ coding: [{ code }] }] });
  const cases: [Fhir, string][] = [
    [condition(), "condition"],
    [observation(), "observation"],
    [observation(category("vital-signs")), "observation"],
    [observation(category("laboratory")), "lab_result"],
    [observation(category("imaging")), "imaging"],
    [observation(category("constructor")), "observation"],
    [report(), "diagnostic_report"],
    [report("OTH"), "diagnostic_report"],
    [report("LAB"), "lab_result"],
    [report("OTH", "RAD"), "imaging"],
    [report("LP29684-5"), "imaging"],
    [report("SP"), "pathology"],
    [report("toString"), "diagnostic_report"],
    [document(), "other"],
    [document("18842-5"), "discharge_summary"],
    [document("11526-1"), "pathology"],
    [document("34133-9"), "other"],
    [order("order"), "prescription"],
    [order("reflex-order"), "prescription"],
    [order("plan"), "medication"],
    [order("constructor"), "prescription"],
    [
      { ...base, resourceType: "MedicationStatement", medicationCodeableConcept: { text: "x" } },
      "medication",
    ],
    [{ ...base, resourceType: "Procedure", code: { text: "x" } }, "procedure"],
    [{ ...base, resourceType: "Encounter", class: { code: "AMB" } }, "encounter"],
    [{ ...base, resourceType: "CarePlan", intent: "plan" }, "care_plan"],
    [{
      resourceType: "Immunization",
      status: "completed",
      vaccineCode: { text: "x" },
      patient: SUBJECT,
      occurrenceString: "x",
    }, "immunization"],
    [
      { resourceType: "AllergyIntolerance", patient: SUBJECT, clinicalStatus: { text: "active" } },
      "condition",
    ],
  ];
  for (const [resource, type] of cases) assertEquals(entryOf(resource).record_type, type);
});

Deno.test("a record is sensitive when its resource is labelled so", () => {
  const sensitivityOf = (...codes: string[]) =>
    entryOf(condition({ meta: { security: codes.map((code) => ({ system: "urn:x", code })) } }))
      .sensitivity;
  for (const code of ["R", "V", "HIV", "PSY", "SUD", "ETH", "BH", "STD", "GDIS"]) {
    assertEquals(sensitivityOf("N", code), "sensitive", code);
  }
  assertEquals(sensitivityOf("N"), "normal");
  assertEquals(sensitivityOf("M", "TREAT"), "normal");
  assertEquals(entryOf(condition()).sensitivity, "normal");
});

Deno.test("a source id is the id, then what fullUrl says, then a digest of the content", () => {
  const uuid = "urn:uuid:0B6A8C52-8a44-4d0b-9c55-2f0d3f1e7a01";
  const nameless = valid(condition({ id: undefined }));
  assertEquals(sourceIdOf(valid(condition({ id: "7" })), uuid), "Condition/7");
  assertEquals(sourceIdOf(nameless, uuid), uuid.toLowerCase());
  assertEquals(sourceIdOf(nameless, "https://h.example/fhir/Condition/9"), "Condition/9");
  for (const url of [null, "https://h.example/fhir/Patient/9", "x", "urn:uuid:x"]) {
    assertMatch(sourceIdOf(nameless, url), /^Condition\/sha256:[0-9a-f]{64}$/);
  }
});

Deno.test("a digest does not depend on the order of elements, but on every value", () => {
  const { resourceType, code, subject } = condition();
  const one = valid({ resourceType, code, subject });
  const same = valid({ subject, code, resourceType });
  const other = valid({ resourceType, code: { text: "Anaemia." }, subject });
  assertEquals(sourceIdOf(one, null), sourceIdOf(same, null));
  assert(sourceIdOf(one, null) !== sourceIdOf(other, null));
  assertEquals(canonicalJson({ b: [{ d: 1, c: 2 }], a: null }), '{"a":null,"b":[{"c":2,"d":1}]}');
});

const SYSTEM = "https://hospital.example/patients";
const TODAY = "2026-03-01";

function fieldsOf(patient: Fhir) {
  const fields = toPatientFields({ resourceType: "Patient", ...patient }, SYSTEM, TODAY);
  return JSON.parse(JSON.stringify(fields));
}

Deno.test("a Patient's fields come from the name, number and address in use", async () => {
  const { entry } = await ownBundle();
  assertEquals(fieldsOf(entry[0].resource), {
    source_id: "BL-2041-7",
    resource_id: entry[0].resource.id,
    first_name: "Ananya",
    last_name: "Rao",
    date_of_birth: "1979-08-23",
    gender: "female",
    phone: "+91 98450 00117",
    address: "14, 3rd Cross, Jayanagar 4th Block",
    city: "Bengaluru",
    state: "Karnataka",
    postal_code: "560011",
    country: "IN",
  });
});

Deno.test("a Patient's id in the source system is its number there, else the resource's id", () => {
  const identifier = [{ system: "urn:other", value: "1" }, { system: SYSTEM, value: "2" }];
  assertEquals(fieldsOf({ id: "p", identifier }).source_id, "2");
  assertEquals(fieldsOf({ id: "p", identifier: identifier.slice(0, 1) }).source_id, "p");
  assertEquals(fieldsOf({}).source_id, undefined);
});

Deno.test("a bundle without a Patient refers to one by id, or by number in the source system", () => {
  const referenceOf = (name: Name) => toPatientReference(name, SYSTEM);
  for (const address of ["Patient/p2", "https://h.example/fhir/Patient/p2"]) {
    assertEquals(referenceOf({ address }), { is_reference: true, resource_id: "p2" });
  }
  assertEquals(referenceOf({ identifier: `${SYSTEM}|7` }), { is_reference: true, source_id: "7" });
  // What a bundle makes up for itself, and another system's number, tell nothing.
  assertEquals(referenceOf({ address: `urn:uuid:${crypto.randomUUID()}` }), null);
  assertEquals(referenceOf({ identifier: "urn:other|7" }), null);
});

Deno.test("a Patient's value that does not fit its column is left out", () => {
  const none = [
    { birthDate: "1979" },
    { birthDate: "1979-02-30" },
    { birthDate: "2026-03-02" },
    { birthDate: "1879-01-01" },
    { birthDate: 1979 },
    { gender: "f" },
    { gender: ["female"] },
    { telecom: [{ system: "phone", value: "call my mother" }] },
    { telecom: [{ system: "email", value: "12345" }] },
    { telecom: "12345" },
    { name: [{ family: "x".repeat(101), given: ["\u0000"] }] },
    { name: [{ use: "old", family: "Menon" }] },
    { name: { family: "Rao" } },
    { name: [null, 7, "Rao"] },
    { address: [{ line: "x", city: 7, postalCode: "1".repeat(21) }] },
    { address: [{ line: ["x".repeat(501)] }] },
  ];
  for (const patient of none) assertEquals(fieldsOf(patient), {}, JSON.stringify(patient));
});

Deno.test("a Patient of any shape gives fields that fit", () => {
  fc.assert(
    fc.property(fc.dictionary(fhirWord, fhirJson), fc.dictionary(fc.string(), anyJson), (a, b) => {
      for (
        const [name, value] of Object.entries(fieldsOf({ ...b, ...a, name: Object.values(a) }))
      ) {
        assert(typeof value === "string" && value.length > 0 && value.length <= 1000, name);
      }
    }),
    { numRuns: 500 },
  );
});
