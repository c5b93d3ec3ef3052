// The FHIR R4 resource types that an import knows, and how their text reads as a FHIR object.

import type {
  AllergyIntolerance,
  CarePlan,
  Condition,
  DiagnosticReport,
  DocumentReference,
  Encounter,
  Immunization,
  Medication,
  MedicationRequest,
  MedicationStatement,
  Observation,
  Patient,
  Procedure,
} from "@medplum/fhirtypes";

/** A resource that becomes a record. */
export type ClinicalResource =
  | AllergyIntolerance
  | CarePlan
  | Condition
  | DiagnosticReport
  | DocumentReference
  | Encounter
  | Immunization
  | MedicationRequest
  | MedicationStatement
  | Observation
  | Procedure;

export type ClinicalType = ClinicalResource["resourceType"];

/** Each clinical type with the element that says whom it is about. */
export const SUBJECT_ELEMENTS: Readonly<Record<ClinicalType, "subject" | "patient">> = {
  AllergyIntolerance: "patient",
  CarePlan: "subject",
  Condition: "subject",
  DiagnosticReport: "subject",
  DocumentReference: "subject",
  Encounter: "subject",
  Immunization: "patient",
  MedicationRequest: "subject",
  MedicationStatement: "subject",
  Observation: "subject",
  Procedure: "subject",
};

/** A resource that an import reads: beside clinical ones, those that say who and what with. */
export type KnownResource = ClinicalResource | Patient | Medication;

/** A JSON object from outside, not validated yet. */
export type JsonObject = Record<string, unknown>;

/** A JSON object that says which resource it is. */
export type UncheckedResource = JsonObject & { resourceType: string };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isUncheckedResource(value: unknown): value is UncheckedResource {
  return isObject(value) && typeof value.resourceType === "string";
}

export function isClinicalType(type: string): type is ClinicalType {
  return Object.hasOwn(SUBJECT_ELEMENTS, type);
}

/** What is wrong with a resource, and where. Neither repeats anything of its content. */
export interface FhirFault {
  /** Path of elements that FHIR defines, for example `Observation.category[0].coding`. */
  path: string;
  message: string;
}

export function isClinical(resource: KnownResource): resource is ClinicalResource {
  return isClinicalType(resource.resourceType);
}
