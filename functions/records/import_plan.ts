// What an import will write, worked out from the bundle alone: rows, registry fields, what is
// skipped, and what is wrong with the rest. No network, no clock, no database.

import { conceptText, type NameOf, type RecordEntry, toRecordEntry } from "./fhir_record.ts";
import type { BundleEntry, ReadBundle } from "./fhir_bundle.ts";
import {
  type PatientFields,
  type PatientReference,
  toPatientFields,
  toPatientReference,
} from "./fhir_patient.ts";
import { sourceIdOf } from "./fhir_source.ts";
import { checkSubjects } from "./fhir_subject.ts";
import {
  type ClinicalResource,
  type ClinicalType,
  isClinical,
  isClinicalType,
  isObject,
  type UncheckedResource,
} from "./fhir_types.ts";
import { isResourceType, validateResource } from "./fhir_validate.ts";

/** A resource that becomes a record. */
export interface PlannedRow extends RecordEntry {
  /** Place of the resource in `Bundle.entry`. */
  index: number;
  source_id: string;
  resource_type: ClinicalType;
}

/** A resource that is left out because something is wrong with it. Holds nothing of its content. */
export interface ImportError {
  index: number;
  /** Null when the entry has no resource of a type that FHIR R4 knows. */
  resource_type: string | null;
  path: string;
  message: string;
}

export interface ImportPlan {
  source_system: string;
  /** What the bundle's Patient says for the registry; null when it has none. */
  patient: PatientFields | null;
  /** Whom a bundle without a Patient is about in the source system, as far as it says so. */
  subject: PatientReference | null;
  rows: PlannedRow[];
  /** Number of resources that no record is made of, by type. */
  skipped: Record<string, number>;
  errors: ImportError[];
}

interface PlanOptions {
  /** Source system that the caller names; else the bundle is asked. */
  sourceSystem?: string;
  /** `YYYY-MM-DD`. */
  today: string;
}

const DEFAULT_SOURCE_SYSTEM = "urn:beautiful-life:fhir-import";
/** What may name a source system: a URI, that is no blanks, of a length that the column takes. */
export const SOURCE_SYSTEM = /^[^\s\p{Cc}\p{Cs}]{1,500}$/u;

/**
 * Plans the import of a bundle.
 *
 * @throws {AppError} `wrong_patient` when the bundle is not about one person.
 */
export function planImport(bundle: ReadBundle, { sourceSystem, today }: PlanOptions): ImportPlan {
  const { patient, subject, nameless } = checkSubjects(bundle.entries);
  const source_system = sourceSystem ?? sourceSystemOf(patient?.resource, bundle);
  const namelessPaths = new Map(nameless.map(({ index, path }) => [index, path]));
  const nameOf = medicationNames(bundle.entries);

  const rows = new Map<string, PlannedRow>();
  const skipped: Record<string, number> = {};
  const errors: ImportError[] = [];
  for (const entry of bundle.entries) {
    const found = readEntry(entry, namelessPaths.get(entry.index), nameOf);
    if ("error" in found) errors.push(found.error);
    if ("skipped" in found) skipped[found.skipped] = (skipped[found.skipped] ?? 0) + 1;
    if (!("row" in found)) continue;
    const earlier = rows.get(found.row.source_id);
    if (earlier) errors.push(superseded(earlier));
    rows.set(found.row.source_id, found.row);
  }
  return {
    source_system,
    patient: patient && toPatientFields(patient.resource, source_system, today),
    subject: subject && toPatientReference(subject, source_system),
    rows: [...rows.values()],
    skipped,
    errors: errors.toSorted((a, b) => a.index - b.index),
  };
}

/** What an entry comes to; a Patient that is valid comes to nothing here. */
type EntryOutcome =
  | { row: PlannedRow }
  | { skipped: string }
  | { error: ImportError }
  | Record<string, never>;

function readEntry(
  { index, fullUrl, resource }: BundleEntry,
  namelessPath: string | undefined,
  nameOf: NameOf,
): EntryOutcome {
  if (!resource || !isResourceType(resource.resourceType)) {
    const message = "Is not a resource of a type that FHIR R4 knows";
    return { error: { index, resource_type: null, path: "resource", message } };
  }
  const { resourceType: type } = resource;
  if (!isClinicalType(type) && type !== "Patient") return { skipped: type };
  const error = { index, resource_type: type };
  if (namelessPath !== undefined) {
    return { error: { ...error, path: namelessPath, message: "Does not say whom it is about" } };
  }
  const validation = validateResource(resource);
  if ("fault" in validation) return { error: { ...error, ...validation.fault } };
  if (!isClinical(validation.resource)) return {};
  return { row: toRow(index, validation.resource, fullUrl, nameOf) };
}

/** Of two resources with one id the later is taken: bundles list versions in that order. */
function superseded({ index, resource_type }: PlannedRow): ImportError {
  return {
    index,
    resource_type,
    path: `${resource_type}.id`,
    message: "Has the same id as a later entry, which was taken instead",
  };
}

function toRow(
  index: number,
  resource: ClinicalResource,
  fullUrl: string | null,
  nameOf: NameOf,
): PlannedRow {
  return {
    index,
    source_id: sourceIdOf(resource, fullUrl),
    resource_type: resource.resourceType,
    ...toRecordEntry(resource, nameOf),
  };
}

function sourceSystemOf(patient: UncheckedResource | undefined, bundle: ReadBundle): string {
  const [identifier] = Array.isArray(patient?.identifier) ? patient.identifier : [];
  const candidates = [
    isObject(identifier) ? identifier.system : undefined,
    bundle.identifierSystem,
  ];
  return candidates.find((system): system is string =>
    typeof system === "string" && SOURCE_SYSTEM.test(system)
  ) ?? DEFAULT_SOURCE_SYSTEM;
}

/** Names of the bundle's Medications, under the references by which orders point to them. */
function medicationNames(entries: BundleEntry[]): NameOf {
  const names = new Map<string, string>();
  for (const { fullUrl, resource } of entries) {
    if (resource?.resourceType !== "Medication") continue;
    const validation = validateResource(resource);
    if ("fault" in validation || validation.resource.resourceType !== "Medication") continue;
    const name = conceptText(validation.resource.code);
    if (name === undefined) continue;
    if (fullUrl !== null) names.set(fullUrl, name);
    if (validation.resource.id) names.set(`Medication/${validation.resource.id}`, name);
  }
  return (reference) => names.get(reference);
}
