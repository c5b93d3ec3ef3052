// From a record to the entry of an exported bundle: a stored resource goes out as it is, but for whom
// it is about; a record without one becomes a DocumentReference.

import { encodeBase64 } from "@std/encoding";
import type { Attachment, Coding, DocumentReference } from "@medplum/fhirtypes";
import { parseExactly } from "../_shared/json.ts";
import { text } from "./export_patient.ts";
import { isSensitiveLabel, RECORD_TYPE_SYSTEM } from "./fhir_record_type.ts";
import { isObject, type JsonObject } from "./fhir_types.ts";

/** A record as its list says, and its place among those that go by the same name. */
export interface ExportRecord {
  id: string;
  title: string;
  record_type: string;
  /** `YYYY-MM-DD`. */
  record_date: string | null;
  source_system: string | null;
  source_id: string | null;
  source_url: string | null;
  sensitivity: "normal" | "sensitive";
  file_name: string | null;
  file_type: string | null;
  file_size: number | null;
  file_sha256: string | null;
  created_at: Date;
  /** 1 for the first of the patient's records with this source_id, whatever system it is from. */
  id_copy: number;
  /** 1 for the first with this source_url. */
  url_copy: number;
}

/** What a record says. */
export interface ExportContents {
  /** In plain text. */
  description: string | null;
  /** The stored resource as PostgreSQL writes jsonb, its subject set to the bundle's patient. */
  fhir: string | null;
  /** How the stored resource refers to its subject, as a JSON text; null when it does not. */
  subject_reference: string | null;
}

/** The bundle that entries are for. */
export interface ExportTarget {
  /** `fullUrl` of the patient. */
  patientUrl: string;
  /** Begins the addresses of resources that came without one. */
  publicUrl: string;
}

/** Builds the entry of a record, as JSON text. */
export function toEntry(
  record: ExportRecord,
  contents: ExportContents,
  target: ExportTarget,
): string {
  const resource = contents.fhir === null
    ? JSON.stringify(toDocumentReference(record, contents.description, target.patientUrl))
    : toStoredResource(record, contents.fhir, contents.subject_reference, target.patientUrl);
  return `{"fullUrl":${JSON.stringify(fullUrlOf(record, target))},"resource":${resource}}`;
}

/**
 * The address under which the bundle's resources refer to this one. That of the bundle it came with
 * stays, so that references hold as they are written; no two entries have the same.
 */
function fullUrlOf(
  { id, source_system, source_id, source_url, id_copy, url_copy }: ExportRecord,
  { publicUrl }: ExportTarget,
): string {
  const own = `urn:uuid:${id}`;
  if (source_system === null || source_id === null || id_copy > 1) return own;
  if (source_url !== null) return url_copy === 1 ? source_url : own;
  if (source_id.startsWith("urn:uuid:")) return source_id;
  // Beside each other, as they were: `Encounter/1` means the one from the same place.
  return /^[A-Za-z]+\/[A-Za-z0-9.-]{1,64}$/.test(source_id)
    ? `${publicUrl}/fhir/${encodeURIComponent(source_system)}/${source_id}`
    : own;
}

function toStoredResource(
  record: ExportRecord,
  fhir: string,
  subjectReference: string | null,
  patientUrl: string,
): string {
  // The patient may also be the performer, the author … of a resource. Replacing text is safe here:
  // PostgreSQL writes every member alike, and within a text a quotation mark has a backslash before it.
  const written = subjectReference === null
    ? fhir
    : fhir.replaceAll(`"reference": ${subjectReference}`, () =>
      `"reference": ${JSON.stringify(patientUrl)}`);
  const is_copy = record.id_copy > 1;
  if (!is_copy && record.sensitivity === "normal") return written;
  const resource = parseExactly(written);
  if (!isObject(resource)) throw new Error("A stored resource is no object");
  // Two systems may give the same id to different things; within a bundle it must name one.
  if (is_copy && "id" in resource) resource.id = record.id;
  if (record.sensitivity === "sensitive") addSensitiveLabel(resource);
  return JSON.stringify(resource);
}

/** How FHIR says that a resource needs more protection than others. */
const RESTRICTED: Coding = {
  system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
  code: "R",
  display: "restricted",
};

/** The patient's mark goes along, so that an import elsewhere does not lose it. */
function addSensitiveLabel(resource: JsonObject): void {
  const meta = isObject(resource.meta) ? resource.meta : {};
  const labels = Array.isArray(meta.security) ? meta.security : [];
  if (labels.some((label) => isObject(label) && isSensitiveLabel(label.code))) return;
  resource.meta = { ...meta, security: [...labels, RESTRICTED] };
}

/** LOINC's codes for kinds of documents, by record type; an import reads the same. */
const DOCUMENT_CODES: Readonly<Record<string, Coding>> = {
  discharge_summary: { code: "18842-5", display: "Discharge summary" },
  pathology: { code: "11526-1", display: "Pathology study" },
  imaging: { code: "18748-4", display: "Diagnostic imaging study" },
  lab_result: { code: "11502-2", display: "Laboratory report" },
  prescription: { code: "57833-6", display: "Prescription for medication" },
};

/** Says which SHA-256 a file has: `Attachment.hash` is for SHA-1. */
const SHA256_EXTENSION = "urn:beautiful-life:file-sha256";

/**
 * Builds the resource of a record that has none, an upload, or a doctor's note. It is a document
 * whatever its type, because more would be invented: a procedure has a status, a prescription an
 * intent, and nobody has said which.
 */
export function toDocumentReference(
  record: ExportRecord,
  description: string | null,
  patientUrl: string,
): DocumentReference {
  const title = text(record.title);
  const attachments: Attachment[] = [];
  if (description !== null && description !== "") {
    attachments.push({
      contentType: "text/plain; charset=utf-8",
      data: encodeBase64(new TextEncoder().encode(description)),
    });
  }
  if (record.file_name !== null) attachments.push(toAttachment(record));
  if (attachments.length === 0) attachments.push({ title: title ?? wordsOf(record.record_type) });
  return {
    resourceType: "DocumentReference",
    id: record.id,
    meta: record.sensitivity === "sensitive" ? { security: [RESTRICTED] } : undefined,
    status: "current",
    type: { coding: codingsOf(record.record_type), text: wordsOf(record.record_type) },
    subject: { reference: patientUrl },
    date: record.created_at.toISOString(),
    description: title,
    content: attachments.map((attachment) => ({ attachment })),
    context: record.record_date === null ? undefined : { period: { start: record.record_date } },
  };
}

/** What is known of a file. Where it is, is for those who ask for it with an access token. */
function toAttachment({ file_name, file_type, file_size, file_sha256 }: ExportRecord): Attachment {
  return {
    extension: file_sha256 === null
      ? undefined
      : [{ url: SHA256_EXTENSION, valueString: file_sha256 }],
    contentType: file_type ?? undefined,
    size: file_size ?? undefined,
    title: text(file_name),
  };
}

function codingsOf(recordType: string): Coding[] {
  const known = Object.hasOwn(DOCUMENT_CODES, recordType) ? DOCUMENT_CODES[recordType] : undefined;
  return [
    ...known ? [{ system: "http://loinc.org", ...known }] : [],
    { system: RECORD_TYPE_SYSTEM, code: recordType },
  ];
}

/** `lab_result` as words: `Lab result`. */
function wordsOf(recordType: string): string {
  const words = recordType.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
