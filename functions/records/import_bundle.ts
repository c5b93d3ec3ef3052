// The import of a FHIR bundle: planned from its text, written in one transaction.

import { asCaller, type Caller, type Query } from "../_shared/db.ts";
import type { Deps } from "../_shared/deps.ts";
import { parseExactly, parseJson, type ReadJson } from "../_shared/json.ts";
import { readBundle } from "./fhir_bundle.ts";
import { type ImportError, type ImportPlan, planImport } from "./import_plan.ts";

/** Largest bundle, in bytes. */
export const MAX_BUNDLE_BYTES = 20 * 1024 * 1024;
/** Most JSON values in a bundle: what an instance of a function has the memory for. */
const MAX_BUNDLE_VALUES = 2_000_000;
/** Most rows that one statement writes. */
const ROWS_A_STATEMENT = 5_000;
/** Most errors that are listed one by one. */
export const MAX_LISTED_ERRORS = 1_000;

/** What an import did. */
export interface ImportSummary {
  patient_id: string;
  source_system: string;
  imported: number;
  updated: number;
  unchanged: number;
  /** Records that differ, and stay: others' than the doctor's who imports, or newer ones. */
  kept: number;
  /** Records of the bundle by resource type, whatever their outcome. */
  by_type: Record<string, number>;
  /** Resources that no record is made of, by type. */
  skipped: Record<string, number>;
  /** Whether the bundle's Patient filled empty fields of the registry. */
  patient: "absent" | "filled" | "unchanged";
  error_count: number;
  errors: ImportError[];
}

interface ImportQuery {
  /** The caller's own records when left out. */
  patient_id?: string;
  source_system?: string;
}

/**
 * Imports a FHIR R4 Bundle. Importing the same again adds nothing.
 *
 * @throws {AppError} `invalid_request`, `wrong_patient`, and `not_found` for a patient whom the
 * caller has no right to write for.
 */
export async function importBundle(
  deps: Deps,
  caller: Caller,
  body: Uint8Array,
  query: ImportQuery,
): Promise<ImportSummary> {
  const json = parseJson(body, MAX_BUNDLE_VALUES);
  const plan = planImport(readBundle(json.value), {
    sourceSystem: query.source_system,
    today: new Date(deps.now()).toISOString().slice(0, 10),
  });
  const batches = toBatches(plan, json);
  const patient_id = query.patient_id ?? caller.id;
  const { outcomes, is_filled } = await asCaller(
    deps.sql,
    caller,
    (tx) => writePlan(tx, patient_id, plan, batches),
  );
  const count = (outcome: Outcome["outcome"]) =>
    outcomes.filter((row) => row.outcome === outcome).length;
  return {
    patient_id,
    source_system: plan.source_system,
    imported: count("imported"),
    updated: count("updated"),
    unchanged: count("unchanged"),
    kept: count("kept"),
    by_type: countBy(plan.rows.map(({ resource_type }) => resource_type)),
    skipped: plan.skipped,
    patient: plan.patient === null ? "absent" : is_filled ? "filled" : "unchanged",
    error_count: plan.errors.length,
    errors: plan.errors.slice(0, MAX_LISTED_ERRORS),
  };
}

interface Outcome {
  source_id: string;
  outcome: "imported" | "updated" | "unchanged" | "kept";
}

/** Calls the database once a batch; the first call also compares and fills the registry. */
async function writePlan(tx: Query, patientId: string, plan: ImportPlan, batches: string[]) {
  const outcomes: Outcome[] = [];
  for (const [index, rows] of batches.entries()) {
    const person = index === 0 ? plan.patient ?? plan.subject : null;
    const patient = person && JSON.stringify(person);
    outcomes.push(
      ...await tx<Outcome>`
        select source_id, outcome from private.import_records(
          ${patientId}::uuid, ${plan.source_system}, ${patient}::text::jsonb, ${rows}::text::jsonb
        )`,
    );
  }
  if (!plan.patient) return { outcomes, is_filled: false };
  // The trigger stamps rows with the time of the transaction.
  const [registry] = await tx<{ is_filled: boolean }>`
    select p.updated_at = now() as is_filled from public.patients as p where p.id = ${patientId}`;
  return { outcomes, is_filled: registry?.is_filled ?? false };
}

/** The rows as JSON arrays, at least one, which may be empty: the caller's right is asked anyway. */
function toBatches(plan: ImportPlan, { value, text, shape }: ReadJson): string[] {
  // A laboratory's 1.10 is not 1.1, and FHIR asks to keep it.
  const { entries } = readBundle(shape.has_exact_numbers ? parseExactly(text) : value);
  const rows = plan.rows.map(({ index, ...row }) => ({ ...row, fhir: entries[index]?.resource }));
  const count = Math.max(1, Math.ceil(rows.length / ROWS_A_STATEMENT));
  return Array.from(
    { length: count },
    (_, batch) =>
      JSON.stringify(rows.slice(batch * ROWS_A_STATEMENT, (batch + 1) * ROWS_A_STATEMENT)),
  );
}

function countBy(names: string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
