// What the FHIR tests share: resources as they come from outside, and junk in FHIR's own words.

import fc from "fast-check";
import { toRecordEntry } from "../../functions/records/fhir_record.ts";
import {
  type ClinicalResource,
  isClinical,
  isUncheckedResource,
  type UncheckedResource,
} from "../../functions/records/fhir_types.ts";
import { validateResource } from "../../functions/records/fhir_validate.ts";
import type { Fhir } from "./bundles.ts";

/** A resource as it comes from outside. */
export function unchecked(resource: Fhir): UncheckedResource {
  const { fullUrl: _, ...rest } = resource;
  const read = JSON.parse(JSON.stringify(rest));
  if (!isUncheckedResource(read)) throw new Error("The test's resource has no type");
  return read;
}

/** A resource that must be valid. */
export function valid(resource: Fhir): ClinicalResource {
  const result = validateResource(unchecked(resource));
  if ("fault" in result) throw new Error(`${result.fault.path}: ${result.fault.message}`);
  if (!isClinical(result.resource)) throw new Error("The test's resource is not clinical");
  return result.resource;
}

export function entryOf(resource: Fhir) {
  return toRecordEntry(valid(resource), () => undefined);
}

export function faultOf(resource: Fhir) {
  const result = validateResource(unchecked(resource));
  return "fault" in result ? result.fault : null;
}

export const anyJson = fc.jsonValue({ maxDepth: 5 });
export const fhirWord = fc.constantFrom(
  "code",
  "coding",
  "text",
  "subject",
  "reference",
  "status",
  "category",
  "contained",
  "meta",
  "security",
  "extension",
  "url",
  "valueString",
  "period",
  "start",
  "resourceType",
  "Patient",
  "id",
  "onsetDateTime",
  "valueOf",
  "__proto__",
  "2020-01-01",
  "_status",
  "content",
  "attachment",
  "class",
);
export const fhirJson = fc.letrec((tie) => ({
  value: fc.oneof(
    fhirWord,
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fhirWord, tie("value"), { maxKeys: 6 }),
  ),
})).value;
