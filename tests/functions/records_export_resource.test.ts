// What a record looks like in an exported bundle: valid whatever it says, as it came where it came
// from elsewhere, and the same record again where it is imported.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { toPatient } from "../../functions/records/export_patient.ts";
import {
  type ExportContents,
  type ExportRecord,
  toEntry,
} from "../../functions/records/export_resource.ts";
import { recordTypeOf, sensitivityOf } from "../../functions/records/fhir_record_type.ts";
import { readBundle } from "../../functions/records/fhir_bundle.ts";
import { DEFAULT_SOURCE_SYSTEM, planImport } from "../../functions/records/import_plan.ts";
import { bundleOf, type Fhir } from "./bundles.ts";
import { faultOf, valid } from "./fhir_samples.ts";

const TARGET = {
  patientUrl: "urn:uuid:a1b2c3d4-0000-4000-8000-000000000001",
  publicUrl: "https://project.example",
};
const RECORD: ExportRecord = {
  id: "a1b2c3d4-0000-4000-8000-00000000000f",
  title: "CT of the chest",
  record_type: "imaging",
  record_date: "2026-01-31",
  source_system: null,
  source_id: null,
  source_url: null,
  sensitivity: "normal",
  file_name: null,
  file_type: null,
  file_size: null,
  file_sha256: null,
  created_at: new Date("2026-02-01T10:20:30.456Z"),
  id_copy: 1,
  url_copy: 1,
};
const IMPORTED: ExportRecord = {
  ...RECORD,
  source_system: "https://h.example/fhir",
  source_id: "Observation/o1",
  source_url: "urn:uuid:6f1c2a52-8a44-4d0b-9c55-2f0d3f1e7a01",
};
const NOTHING: ExportContents = { description: null, fhir: null, subject_reference: null };

const entryOf = (record: Partial<ExportRecord>, contents: Partial<ExportContents> = {}) =>
  toEntry({ ...RECORD, ...record }, { ...NOTHING, ...contents }, TARGET);
const resourceOf = (...record: Parameters<typeof entryOf>): Fhir =>
  JSON.parse(entryOf(...record)).resource;

/** A stored observation as PostgreSQL writes jsonb, whose subject has been set. */
function stored(more: string, subject = '"urn:uuid:p-there"'): Partial<ExportContents> {
  return {
    fhir: `{"id": "o1", "code": {"text": "Hb"}, "status": "final", "subject": {"reference": ` +
      `"${TARGET.patientUrl}"}, "resourceType": "Observation"${more}}`,
    subject_reference: subject,
  };
}

Deno.test("a record without a resource becomes a document that says what is known", () => {
  const file = {
    file_name: "scan.pdf",
    file_type: "application/pdf",
    file_size: 1234,
    file_sha256: "a".repeat(64),
  };
  const entry = JSON.parse(entryOf(file, { description: "Clear, ünd good" }));
  assertEquals(entry, {
    fullUrl: `urn:uuid:${RECORD.id}`,
    resource: {
      resourceType: "DocumentReference",
      id: RECORD.id,
      status: "current",
      type: {
        coding: [
          { system: "http://loinc.org", code: "18748-4", display: "Diagnostic imaging study" },
          { system: "urn:beautiful-life:record-type", code: "imaging" },
        ],
        text: "Imaging",
      },
      subject: { reference: TARGET.patientUrl },
      date: "2026-02-01T10:20:30.456Z",
      description: "CT of the chest",
      content: [
        {
          attachment: {
            contentType: "text/plain; charset=utf-8",
            data: "Q2xlYXIsIMO8bmQgZ29vZA==",
          },
        },
        {
          attachment: {
            extension: [{ url: "urn:beautiful-life:file-sha256", valueString: "a".repeat(64) }],
            contentType: "application/pdf",
            size: 1234,
            title: "scan.pdf",
          },
        },
      ],
      context: { period: { start: "2026-01-31" } },
    },
  });
  assertEquals(faultOf(entry.resource), null);
});

const anyText = (maxLength: number) =>
  fc.string({ unit: "binary", minLength: 1, maxLength }).filter((text) => !text.includes("\0"));
const anyRecord = fc.record({
  title: anyText(300),
  record_type: fc.constantFrom(
    ...["condition", "observation", "procedure", "medication", "immunization"],
    ...["diagnostic_report", "encounter", "care_plan", "imaging", "lab_result", "pathology"],
    ...["prescription", "discharge_summary", "insurance", "other"],
  ),
  record_date: fc.option(
    fc.date({ min: new Date("1880-01-01"), max: new Date("2199-12-31"), noInvalidDate: true })
      .map((date) => date.toISOString().slice(0, 10)),
  ),
  sensitivity: fc.constantFrom("normal", "sensitive"),
  file: fc.option(fc.record({
    file_name: anyText(255),
    file_type: fc.constantFrom("application/pdf", "text/plain"),
    file_size: fc.integer({ min: 1, max: 52_428_800 }),
    file_sha256: fc.constant("0".repeat(64)),
  })),
  description: fc.option(fc.string({ unit: "binary", maxLength: 2_000 })),
});

Deno.test("a record without a resource is a valid one, and the same record where it is imported", () => {
  fc.assert(
    fc.property(anyRecord, ({ file, description, ...record }) => {
      const resource = resourceOf({ ...record, ...file }, { description });
      assertEquals(faultOf(resource), null);
      const plan = planImport(readBundle(bundleOf(resource)), { today: "2026-03-01" });
      const [row] = plan.rows;
      assertEquals([row?.record_type, row?.sensitivity], [record.record_type, record.sensitivity]);
      if (record.record_date !== null) assertEquals(row?.record_date, record.record_date);
    }),
    { numRuns: 500 },
  );
});

Deno.test("a stored resource goes out letter by letter, numbers as they are written", () => {
  const contents = stored(', "valueQuantity": {"value": 1.10, "unit": "g/dL"}');
  assertEquals(
    entryOf(IMPORTED, contents),
    `{"fullUrl":"${IMPORTED.source_url}","resource":${contents.fhir}}`,
  );
  // Also where the resource has to be changed.
  const changed = entryOf({ ...IMPORTED, sensitivity: "sensitive" }, contents);
  assert(changed.includes('"value":1.10'));
});

Deno.test("whoever is the subject is meant by the same reference everywhere in the resource", () => {
  const resource = resourceOf(
    IMPORTED,
    stored(
      ', "performer": [{"reference": "urn:uuid:p-there"}, {"reference": "urn:uuid:p-there2"}], ' +
        '"encounter": {"reference": "urn:uuid:e1"}, ' +
        '"note": [{"text": "\\"reference\\": \\"urn:uuid:p-there\\""}]',
    ),
  );
  assertEquals(resource.performer, [
    { reference: TARGET.patientUrl },
    { reference: "urn:uuid:p-there2" },
  ]);
  assertEquals(resource.encounter, { reference: "urn:uuid:e1" });
  assertEquals(resource.note, [{ text: '"reference": "urn:uuid:p-there"' }]);
});

Deno.test("a text that looks like a reference stays a text, whatever it is", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), fc.string(), (name, around) => {
    const subject = JSON.stringify(name);
    const text = `${around}"reference": ${subject}${around}`;
    const resource = resourceOf(
      IMPORTED,
      stored(`, "note": [{"text": ${JSON.stringify(text)}}]`, subject),
    );
    assertEquals(resource.note[0].text, text);
  }));
});

Deno.test("an entry keeps the address that others call it by, and never that of another", () => {
  const urlOf = (changes: Partial<ExportRecord>) =>
    JSON.parse(entryOf({ ...IMPORTED, ...changes }, stored(""))).fullUrl;
  const own = `urn:uuid:${RECORD.id}`;
  assertEquals(urlOf({}), IMPORTED.source_url);
  assertEquals(urlOf({ url_copy: 2 }), own);
  assertEquals(urlOf({ id_copy: 2 }), own);
  assertEquals(
    urlOf({ source_url: null }),
    "https://project.example/fhir/https%3A%2F%2Fh.example%2Ffhir/Observation/o1",
  );
  assertEquals(urlOf({ source_url: null, id_copy: 2 }), own);
  assertEquals(urlOf({ source_url: null, source_id: "urn:uuid:x" }), "urn:uuid:x");
  assertEquals(urlOf({ source_url: null, source_id: "Observation/sha256:00" }), own);
});

Deno.test("of two resources with one id the second gets one of its own", () => {
  assertEquals(resourceOf({ ...IMPORTED, id_copy: 2 }, stored("")).id, RECORD.id);
  assertEquals(resourceOf(IMPORTED, stored("")).id, "o1");
});

Deno.test("the patient's mark goes along, once, beside the labels that are there", () => {
  const labelsOf = (sensitivity: "normal" | "sensitive", more = "") =>
    resourceOf({ ...IMPORTED, sensitivity }, stored(more)).meta?.security?.map((
      { code }: Fhir,
    ) => code);
  const other = ', "meta": {"security": [{"code": "NOAUTH"}], "versionId": "1"}';
  assertEquals(labelsOf("normal"), undefined);
  assertEquals(labelsOf("sensitive"), ["R"]);
  assertEquals(labelsOf("sensitive", other), ["NOAUTH", "R"]);
  assertEquals(labelsOf("sensitive", ', "meta": {"security": [{"code": "PSY"}]}'), ["PSY"]);
  const marked = resourceOf({ ...IMPORTED, sensitivity: "sensitive" }, stored(other));
  assertEquals(marked.meta.versionId, "1");
  assertEquals(sensitivityOf(valid(marked)), "sensitive");
});

Deno.test("only our own code says which record type a document had", () => {
  const typeOf = (system: string, code: string) =>
    recordTypeOf(valid({
      resourceType: "DocumentReference",
      status: "current",
      type: { coding: [{ system, code }] },
      content: [{ attachment: { title: "x" } }],
    }));
  assertEquals(typeOf("urn:beautiful-life:record-type", "insurance"), "insurance");
  assertEquals(typeOf("urn:beautiful-life:record-type", "constructor"), "other");
  assertEquals(typeOf("urn:other", "insurance"), "other");
});

const EMPTY = {
  first_name: null,
  last_name: null,
  date_of_birth: null,
  gender: null,
  city: null,
  state: null,
  postal_code: null,
  country: null,
};
const written = (...parts: Parameters<typeof toPatient>): Fhir =>
  JSON.parse(JSON.stringify(toPatient(...parts)));

Deno.test("toPatient builds a valid Patient of what there is, without an id", () => {
  assertEquals(written(EMPTY, []), { resourceType: "Patient" });
  const full = written(
    {
      first_name: "Asha",
      last_name: "Rao",
      date_of_birth: "1979-08-23",
      gender: "female",
      city: "Pune",
      state: "MH",
      postal_code: "411001",
      country: "IN",
    },
    [{ system: "https://h.example", value: "7" }],
    { phone: "+91 20 1234", address: "14, 3rd Cross" },
  );
  assertEquals(full, {
    resourceType: "Patient",
    identifier: [{ system: "https://h.example", value: "7" }],
    name: [{ family: "Rao", given: ["Asha"] }],
    telecom: [{ system: "phone", value: "+91 20 1234" }],
    gender: "female",
    birthDate: "1979-08-23",
    address: [{
      line: ["14, 3rd Cross"],
      city: "Pune",
      state: "MH",
      postalCode: "411001",
      country: "IN",
    }],
  });
  assertEquals(faultOf(full), null);
});

Deno.test("toPatient is valid whatever the registry holds", () => {
  const name = fc.option(anyText(100));
  const row = fc.record({
    first_name: name,
    last_name: name,
    date_of_birth: fc.constantFrom(null, "1979-08-23"),
    gender: fc.constantFrom(null, "male" as const, "unknown" as const),
    city: name,
    state: name,
    postal_code: name,
    country: name,
  });
  fc.assert(fc.property(row, name, (registry, address) => {
    assertEquals(faultOf(written(registry, [], { address: address ?? undefined })), null);
  }));
});

Deno.test("toPatient gives no number of a system that nobody named", () => {
  const identifiers = [{ system: DEFAULT_SOURCE_SYSTEM, value: "p1" }];
  assertEquals(written(EMPTY, identifiers), { resourceType: "Patient" });
});
