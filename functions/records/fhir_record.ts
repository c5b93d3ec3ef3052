// From a valid FHIR resource to the title, type and date under which a patient finds it.

import type { CodeableConcept, Reference } from "@medplum/fhirtypes";
import { type RecordType, recordTypeOf, sensitivityOf } from "./fhir_record_type.ts";
import type { ClinicalResource } from "./fhir_types.ts";

/** What a record's list entry says of a resource. */
export interface RecordEntry {
  record_type: RecordType;
  /** 1 to 300 characters, on one line. */
  title: string;
  /** `YYYY-MM-DD` where the care took place; null when the resource gives no date. */
  record_date: string | null;
  sensitivity: "normal" | "sensitive";
}

const MAX_TITLE_LENGTH = 300;
/** Days that the database takes for a record. */
const [FIRST_DAY, LAST_DAY] = ["1880-01-01", "2200-01-01"];

/** Finds the name of what a reference points to, within the same bundle. */
export type NameOf = (reference: string) => string | undefined;

/** Maps a resource to its list entry. */
export function toRecordEntry(resource: ClinicalResource, nameOf: NameOf): RecordEntry {
  return {
    record_type: recordTypeOf(resource),
    title: toTitle(titleOf(resource, nameOf)) ?? spaced(resource.resourceType),
    record_date: toDay(dateOf(resource)),
    sensitivity: sensitivityOf(resource),
  };
}

function titleOf(resource: ClinicalResource, nameOf: NameOf): string | undefined {
  switch (resource.resourceType) {
    case "AllergyIntolerance": {
      const substance = conceptText(resource.code) ??
        conceptText(resource.reaction?.find(({ substance }) => substance)?.substance);
      return substance && `Allergy: ${substance}`;
    }
    case "CarePlan":
      // The first category is often only "assess-plan"; the last one says what is planned.
      return resource.title ?? resource.description ??
        resource.category?.map(conceptText).findLast(Boolean);
    case "DocumentReference":
      return resource.description ?? conceptText(resource.type) ??
        resource.content.find(({ attachment }) => attachment.title)?.attachment.title;
    case "Encounter":
      return resource.type?.map(conceptText).find(Boolean) ??
        conceptText(resource.reasonCode?.[0]) ??
        conceptText(resource.serviceType) ?? resource.class.display ?? resource.class.code;
    case "Immunization":
      return conceptText(resource.vaccineCode);
    case "MedicationRequest":
    case "MedicationStatement":
      return conceptText(resource.medicationCodeableConcept) ??
        medicationName(resource, resource.medicationReference, nameOf);
    case "Condition":
    case "DiagnosticReport":
    case "Observation":
    case "Procedure":
      return conceptText(resource.code);
  }
}

/** The medicine that a reference names, contains, or points to in the bundle. */
function medicationName(
  { contained = [] }: ClinicalResource,
  { display, reference }: Reference = {},
  nameOf: NameOf,
): string | undefined {
  if (display || !reference) return display;
  if (!reference.startsWith("#")) return nameOf(reference);
  const medication = contained.find(({ id }) => id === reference.slice(1));
  return medication?.resourceType === "Medication" ? conceptText(medication.code) : undefined;
}

/** Words for a coded concept: its own text, else the first coding that has some. */
export function conceptText(concept: CodeableConcept | undefined): string | undefined {
  const coding = concept?.coding ?? [];
  return concept?.text ?? coding.find(({ display }) => display)?.display ??
    coding.find(({ code }) => code)?.code;
}

/**
 * The date that matters to a reader of the history: when it began or was done, before when it was
 * written down. FHIR's partial dates come back as they are.
 */
function dateOf(resource: ClinicalResource): string | undefined {
  switch (resource.resourceType) {
    case "AllergyIntolerance":
      return resource.onsetDateTime ?? resource.onsetPeriod?.start ?? resource.recordedDate ??
        resource.lastOccurrence;
    case "CarePlan":
      return resource.period?.start ?? resource.created ?? resource.period?.end;
    case "Condition":
      return resource.onsetDateTime ?? resource.onsetPeriod?.start ?? resource.recordedDate;
    case "DiagnosticReport":
      return resource.effectiveDateTime ?? resource.effectivePeriod?.start ?? resource.issued;
    case "DocumentReference":
      return resource.context?.period?.start ?? resource.date ??
        resource.content.find(({ attachment }) => attachment.creation)?.attachment.creation;
    case "Encounter":
      return resource.period?.start ?? resource.period?.end;
    case "Immunization":
      return resource.occurrenceDateTime ?? resource.recorded;
    case "MedicationRequest":
      return resource.authoredOn;
    case "MedicationStatement":
      return resource.effectiveDateTime ?? resource.effectivePeriod?.start ?? resource.dateAsserted;
    case "Observation":
      return resource.effectiveDateTime ?? resource.effectivePeriod?.start ??
        resource.effectiveInstant ?? resource.effectiveTiming?.event?.[0] ?? resource.issued;
    case "Procedure":
      return resource.performedDateTime ?? resource.performedPeriod?.start;
  }
}

/**
 * The day of a FHIR date or dateTime, as written, whatever its offset. A month or a year counts as
 * its first day, which is where FHIR sorts it.
 */
export function toDay(date: string | undefined): string | null {
  const [, year, month = "01", day = "01"] = /^(\d{4})(?:-(\d\d))?(?:-(\d\d))?/.exec(date ?? "") ??
    [];
  const written = `${year}-${month}-${day}`;
  return year && FIRST_DAY! <= written && written < LAST_DAY! ? written : null;
}

/** One line of at most 300 characters; undefined when nothing is left. */
function toTitle(text: string | undefined): string | undefined {
  const line = text?.replace(/[\s\p{Cc}]+/gu, " ").trim();
  if (!line) return undefined;
  const characters = [...line];
  if (characters.length <= MAX_TITLE_LENGTH) return line;
  return `${characters.slice(0, MAX_TITLE_LENGTH - 1).join("").trimEnd()}…`;
}

/** `DocumentReference` as words: `Document reference`. */
function spaced(type: string): string {
  return type.replace(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
