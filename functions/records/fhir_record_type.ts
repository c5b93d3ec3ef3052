// Which record type and sensitivity a FHIR resource gets: the whole decision, in tables.

import type { CodeableConcept, Coding } from "@medplum/fhirtypes";
import type { ClinicalResource, ClinicalType } from "./fhir_types.ts";

const RECORD_TYPES = [
  "condition",
  "observation",
  "procedure",
  "medication",
  "immunization",
  "diagnostic_report",
  "encounter",
  "care_plan",
  "imaging",
  "lab_result",
  "pathology",
  "prescription",
  "discharge_summary",
  "insurance",
  "other",
] as const;
export type RecordType = typeof RECORD_TYPES[number];

/** System of the codes by which an exported document says which record type it was. */
export const RECORD_TYPE_SYSTEM = "urn:beautiful-life:record-type";

/** What a resource becomes unless one of the finer tables below says better. */
const BY_RESOURCE: Readonly<Record<ClinicalType, RecordType>> = {
  // There is no type of its own for allergies; the title says that it is one.
  AllergyIntolerance: "condition",
  CarePlan: "care_plan",
  Condition: "condition",
  DiagnosticReport: "diagnostic_report",
  DocumentReference: "other",
  Encounter: "encounter",
  Immunization: "immunization",
  // Somebody ordered it. A proposal or a plan is not an order: see BY_INTENT.
  MedicationRequest: "prescription",
  // Somebody says that the patient takes it.
  MedicationStatement: "medication",
  Observation: "observation",
  Procedure: "procedure",
};

/** `MedicationRequest.intent` that is not an order. */
const BY_INTENT: Readonly<Record<string, RecordType>> = {
  proposal: "medication",
  plan: "medication",
  option: "medication",
};

/** `Observation.category` and `DiagnosticReport.category`, whatever system the code is from. */
const BY_CATEGORY: Readonly<Record<string, RecordType>> = {
  // http://terminology.hl7.org/CodeSystem/observation-category
  laboratory: "lab_result",
  imaging: "imaging",
  // http://terminology.hl7.org/CodeSystem/v2-0074, diagnostic service sections: laboratories
  LAB: "lab_result",
  BG: "lab_result", // blood gases
  BLB: "lab_result", // blood bank
  CG: "lab_result", // cytogenetics
  CH: "lab_result", // chemistry
  GE: "lab_result", // genetics
  HM: "lab_result", // haematology
  IMM: "lab_result", // immunology
  MB: "lab_result", // microbiology
  MCB: "lab_result", // mycobacteriology
  MYC: "lab_result", // mycology
  OSL: "lab_result", // outside laboratory
  PAR: "lab_result", // parasitology
  SR: "lab_result", // serology
  TX: "lab_result", // toxicology
  VR: "lab_result", // virology
  // … pathology
  PAT: "pathology",
  SP: "pathology", // surgical pathology
  CP: "pathology", // cytopathology
  // … imaging
  CT: "imaging",
  CUS: "imaging", // cardiac ultrasound
  IMG: "imaging",
  NMR: "imaging",
  NMS: "imaging", // nuclear medicine
  OUS: "imaging", // obstetric ultrasound
  RAD: "imaging",
  RUS: "imaging", // radiology ultrasound
  RX: "imaging", // radiograph
  VUS: "imaging", // vascular ultrasound
  XRC: "imaging", // cineradiograph
  // LOINC, categories of reports
  "LP29684-5": "imaging", // radiology
  "LP7839-6": "pathology",
};

/** `DocumentReference.type`, LOINC. */
const BY_DOCUMENT: Readonly<Record<string, RecordType>> = {
  "18842-5": "discharge_summary",
  "11490-0": "discharge_summary", // by a physician
  "11526-1": "pathology", // pathology study
  "60568-3": "pathology", // pathology synoptic report
  "22637-3": "pathology", // pathology report final diagnosis
  "18748-4": "imaging", // diagnostic imaging study
  "11502-2": "lab_result", // laboratory report
  "57833-6": "prescription", // prescription for medication
};

/** Says which record type a resource becomes. */
export function recordTypeOf(resource: ClinicalResource): RecordType {
  const usual = BY_RESOURCE[resource.resourceType];
  switch (resource.resourceType) {
    case "MedicationRequest":
      return find(BY_INTENT, [resource.intent]) ?? usual;
    case "Observation":
    case "DiagnosticReport":
      return find(BY_CATEGORY, codesOf(resource.category)) ?? usual;
    case "DocumentReference":
      return exportedTypeOf(resource.type) ??
        find(BY_DOCUMENT, codesOf(resource.type && [resource.type])) ?? usual;
    default:
      return usual;
  }
}

function codesOf(concepts: CodeableConcept[] = []): string[] {
  return concepts.flatMap(({ coding = [] }) => coding.map(({ code = "" }) => code));
}

/** The record type that a document had where it was exported. */
function exportedTypeOf({ coding = [] }: CodeableConcept = {}): RecordType | undefined {
  const own = coding.find(({ system }) => system === RECORD_TYPE_SYSTEM);
  return RECORD_TYPES.find((type) => type === own?.code);
}

/** Entry of the first code that the table has; codes are from outside, `constructor` among them. */
function find(
  table: Readonly<Record<string, RecordType>>,
  codes: string[],
): RecordType | undefined {
  const known = codes.find((code) => Object.hasOwn(table, code));
  return known === undefined ? undefined : table[known];
}

/**
 * Security labels that make a record sensitive, whatever system they are from: a label of a system
 * that we do not know hides too much rather than too little.
 */
const SENSITIVE_LABELS = new Set([
  // v3-Confidentiality: restricted, very restricted
  "R",
  "V",
  // v3-ActCode, sensitivity policies
  "BH", // behavioural health
  "ETH", // substance abuse
  "ETHUD", // alcohol use
  "GDIS", // genetic disease
  "HIV",
  "MH", // mental health
  "OPIOIDUD", // opioid use
  "PSY", // psychiatry
  "PSYTHPN", // psychotherapy notes
  "SCA", // sickle cell
  "SDV", // sexual assault, abuse or domestic violence
  "SEX", // sexuality and reproductive health
  "STD",
  "SUD", // substance use
  "TBOO", // taboo
]);

/** Whether the code of a security label makes a record sensitive. */
export function isSensitiveLabel(code: unknown): boolean {
  return typeof code === "string" && SENSITIVE_LABELS.has(code);
}

/** Says whether a resource is labelled as one that needs more protection than others. */
export function sensitivityOf({ meta }: ClinicalResource): "normal" | "sensitive" {
  const labels: Coding[] = meta?.security ?? [];
  return labels.some(({ code }) => isSensitiveLabel(code)) ? "sensitive" : "normal";
}
