// Validation of FHIR resources: what is taken, what is refused and where, and that nothing of a
// resource is ever repeated.

import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { toRecordEntry } from "../../functions/records/fhir_record.ts";
import { sourceIdOf } from "../../functions/records/fhir_source.ts";
import { isClinical } from "../../functions/records/fhir_types.ts";
import { isResourceType, validateResource } from "../../functions/records/fhir_validate.ts";
import { condition, type Fhir, observation, ownBundle, SUBJECT } from "./bundles.ts";
import { anyJson, faultOf, fhirJson, fhirWord, unchecked } from "./fhir_samples.ts";

Deno.test("validateResource takes every clinical resource of the project's own bundle", async () => {
  const { entry } = await ownBundle();
  const kept = entry.map(({ resource }: Fhir) => resource).filter(({ resourceType }: Fhir) =>
    !["Claim", "Coverage", "Organization", "Practitioner"].includes(resourceType)
  );
  assertEquals(kept.length, 25);
  for (const resource of kept) assertEquals(faultOf(resource), null);
});

Deno.test("validateResource says where a resource is wrong and which rule it breaks", () => {
  const cases: [Fhir, string, RegExp][] = [
    [condition({ subject: undefined }), "Condition.subject", /Missing required property/],
    [observation({ status: undefined }), "Observation.status", /Missing required property/],
    [observation({ code: "x" }), "Observation.code", /./],
    [observation({ effectiveDateTime: "yesterday" }), "Observation.effective", /dateTime/],
    [observation({ effectiveDateTime: "2023-02-30" }), "Observation.effective", /dateTime/],
    [condition({ code: { coding: { code: "x" } } }), "Condition.code.coding", /array/],
    [condition({ code: [{ text: "x" }] }), "Condition.code", /single/],
    [condition({ id: "not an id" }), "Condition.id", /id/],
    [condition({ note: [{ text: 7 }] }), "Condition.note[0].text", /string/],
    [condition({ note: [] }), "Condition.note", /empty/],
    [condition({ code: { text: "" } }), "Condition.code.text", /empty/],
    [condition({ note: [null] }), "Condition.note[0]", /expected object/],
    [
      observation({ valueQuantity: { value: 1 }, dataAbsentReason: { text: "x" } }),
      "Observation",
      /obs-6/,
    ],
    [condition({ code: { text: {} } }), "Condition.code.text", /expected string/],
    [condition({ note: [[{ text: "x" }]] }), "Condition.note[0]", /object/],
    [condition({ code: { text: { id: "x" } } }), "Condition.code.text", /expected string/],
    [condition({ code: { text: false } }), "Condition.code.text", /expected string/],
    [condition({ _code: { id: "x" } }), "Condition", /not define/],
    [condition({ resourceType2: "x" }), "Condition", /not define/],
    [observation({ valueBoolean: 0 }), "Observation.valueBoolean", /expected boolean/],
    [condition({ onsetDateTime: { id: "x" } }), "Condition.onsetDateTime", /expected string/],
    [condition({ onsetDateTime: "2020", onsetString: "x" }), "Condition", /two values/],
    [condition({ stage: [{}] }), "Condition.stage[0]", /empty/],
  ];
  for (const [resource, path, message] of cases) {
    const fault = faultOf(resource);
    assert(fault?.path.startsWith(path), `${fault?.path} for ${path}`);
    assertMatch(fault?.message, message);
  }
});

Deno.test("validateResource quotes nothing of a resource", () => {
  const canary = "AnanyaHasCancer";
  const cases = [
    condition({ [canary]: 1 }),
    condition({ code: { [canary]: 1 } }),
    condition({ code: { text: 1, [canary]: { [canary]: canary } } }),
    condition({ id: canary.repeat(9) }),
    condition({ recordedDate: canary }),
    condition({ [`${canary}\u0000`]: 1 }),
    condition({ code: { text: `${canary}\u0000` } }),
    condition({ [canary]: { text: `${canary}\ud800` } }),
    condition({ contained: [{ resourceType: canary }] }),
    condition({ contained: [{ resourceType: "Observation", [canary]: canary }] }),
    condition({ subject: { reference: canary, [canary]: 1 } }),
    condition({ [`"${canary}"`]: 1 }),
    condition({ extension: [{ url: canary, valueString: canary, valueCode: 1 }] }),
  ];
  for (const resource of cases) {
    const fault = faultOf(resource);
    if (!fault) throw new Error(`Was taken: ${JSON.stringify(resource).slice(0, 200)}`);
    assert(!JSON.stringify(fault).includes("Ananya"), JSON.stringify(fault));
    assertMatch(fault.message, /^[A-Z]/);
  }
});

Deno.test("validateResource refuses shapes that no real resource has", () => {
  const many = (count: number, item: unknown) => Array.from({ length: count }, () => item);
  const coding = { system: "urn:x", code: "y" };
  const cases: [Fhir, string, RegExp][] = [
    [condition({ code: { coding: many(101, coding) } }), "Condition.code.coding", /<= 100$/],
    [condition({ note: many(1001, { text: "x" }) }), "Condition.note", /<= 1000$/],
    [
      condition({ contained: many(101, { resourceType: "Medication" }) }),
      "Condition.contained",
      /<= 100/,
    ],
    [
      condition({ evidence: many(900, { code: many(12, { coding: [coding] }) }) }),
      "Condition",
      /<= 20000/,
    ],
    [condition({ ["A".repeat(1_000_000)]: 1 }), "Condition", /not define/],
    [condition({ implicitRules: "x".repeat(2_000_000) }), "Condition.implicitRules", /1 MB/],
    [
      { resourceType: "Patient", name: [{ given: ["x".repeat(20_000)] }] },
      "Patient.name[0].given[0]",
      /<= 10000/,
    ],
  ];
  for (const [resource, path, message] of cases) {
    const fault = faultOf(resource);
    assertEquals(fault?.path, path);
    assertMatch(fault?.message, message);
  }
});

Deno.test("validateResource is not led astray by names of JavaScript", () => {
  for (const key of ["__proto__", "constructor", "valueOf", "toString", "hasOwnProperty", "then"]) {
    const text = JSON.stringify(condition({ code: { text: "x" } }))
      .replace('"text"', `"${key}":{"a":1},"text"`);
    const result = validateResource(unchecked(JSON.parse(text)));
    if ("fault" in result) assertMatch(result.fault.path, /^Condition/);
    assertEquals(({} as Fhir).a, undefined);
  }
  assertEquals(isResourceType("constructor"), false);
  assertEquals(isResourceType("__proto__"), false);
});

Deno.test("validateResource knows contained resources of the types that are referred to", () => {
  const order = (contained: Fhir) => ({
    resourceType: "MedicationRequest",
    status: "active",
    intent: "order",
    subject: SUBJECT,
    medicationReference: { reference: "#m" },
    contained: [{ id: "m", ...contained }],
  });
  assertEquals(faultOf(order({ resourceType: "Medication", code: { text: "x" } })), null);
  assertMatch(faultOf(order({ resourceType: "Medication", code: "x" }))?.path, /contained\[0\]/);
  assertMatch(faultOf(order({ resourceType: "StructureMap" }))?.message, /contained/);
});

Deno.test("validateResource never throws, whatever a resource holds", () => {
  const types = fc.constantFrom(
    "Condition",
    "Observation",
    "Encounter",
    "CarePlan",
    "DocumentReference",
  );
  const parts = fc.oneof(fc.dictionary(fhirWord, fhirJson), fc.dictionary(fc.string(), anyJson));
  fc.assert(
    fc.property(types, parts, (resourceType, part) => {
      const result = validateResource({ ...part, resourceType });
      if ("fault" in result) {
        assertMatch(result.fault.path, /^([A-Za-z]+([.]_?[A-Za-z]+|\[(\d+|x)\])*)?$/);
      }
    }),
    { numRuns: 2_000 },
  );
});

/** Every path to a value below a resource. */
function pathsIn(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [path];
  const keys = Array.isArray(value) ? [...value.keys()] : Object.keys(value);
  return [path, ...keys.flatMap((key) => pathsIn((value as Fhir)[key], [...path, key]))];
}

function changed(value: Fhir, path: (string | number)[], part: unknown): Fhir {
  const copy = structuredClone(value);
  const last = path.at(-1);
  if (last === undefined) return copy;
  let at = copy;
  for (const key of path.slice(0, -1)) at = at[key];
  at[last] = part;
  return copy;
}

Deno.test("a resource that was damaged anywhere is refused or still makes a sound entry", async () => {
  const { entry } = await ownBundle();
  const resources: Fhir[] = entry.map(({ resource }: Fhir) => resource).filter((resource: Fhir) => {
    const result = validateResource(unchecked(resource));
    return "resource" in result && isClinical(result.resource);
  });
  const part = fc.oneof(anyJson, fhirJson, fc.string({ unit: "binary" }));
  fc.assert(
    fc.property(fc.nat(), fc.nat(), part, (which, where, replacement) => {
      const resource = resources[which % resources.length]!;
      const paths = pathsIn(resource).filter(([first]) =>
        first !== "resourceType" && first !== undefined
      );
      const damaged = changed(resource, paths[where % paths.length]!, replacement);
      const result = validateResource(unchecked(damaged));
      if ("fault" in result || !isClinical(result.resource)) return;
      const { title, record_date, record_type } = toRecordEntry(result.resource, () => undefined);
      assert(title === title.trim() && [...title].length >= 1 && [...title].length <= 300, title);
      assert(!/\p{Cc}/u.test(title) && title.isWellFormed());
      assert(record_date === null || !Number.isNaN(Date.parse(record_date)), String(record_date));
      assert(typeof record_type === "string");
      assert(sourceIdOf(result.resource, null).length <= 500);
    }),
    { numRuns: 3_000 },
  );
});
