// The encrypted fields of patients: written by their owner, read and searched by whoever may see the
// row. Only here, and after the database has decided and logged, are they plaintext.

import type { z } from "zod";
import type { BlindIndex, SearchKeys } from "../_shared/blind_index.ts";
import { asCaller, type Caller } from "../_shared/db.ts";
import type { FieldDeps } from "../_shared/field_deps.ts";
import type { StoredKey } from "../_shared/fields.ts";
import { keyForWriting } from "../_shared/patient_keys.ts";
import {
  FIELD_NAMES,
  type FoundPatient,
  type PatchPatientBody,
  type PatientFields,
  type SearchPatientsBody,
} from "./schemas.ts";

type FieldName = typeof FIELD_NAMES[number];
type Fields = z.infer<typeof PatientFields>;

/**
 * Writes fields of the caller's own registry row.
 *
 * @throws {AppError} `not_found` when the account is no patient's.
 */
export async function writeFields(
  deps: FieldDeps,
  caller: Caller,
  changes: z.infer<typeof PatchPatientBody>,
) {
  const patient_id = caller.id;
  const updated = FIELD_NAMES.filter((name) => changes[name] !== undefined);
  // Emptying needs no key.
  const key = updated.some((name) => changes[name] !== null)
    ? await keyForWriting(deps, caller, { patient_id })
    : null;
  const sealed = await Promise.all(updated.map(async (name) => {
    const text = changes[name] ?? null;
    const place = { column: `patients.${name}`, row_id: patient_id } as const;
    return [name, key && text && await deps.vault.seal(patient_id, key, place, text)];
  }));
  const fields = JSON.stringify(Object.fromEntries(sealed));
  const searchKeys = JSON.stringify(await changedSearchKeys(deps.blindIndex, changes));
  await asCaller(
    deps.sql,
    caller,
    (tx) =>
      tx`select private.write_patient_fields(${fields}::text::jsonb, ${searchKeys}::text::jsonb)`,
  );
  return { patient_id, updated };
}

/** Digests of what changes; null removes one. */
async function changedSearchKeys(
  index: BlindIndex,
  { phone, insurance_policy_number }: z.infer<typeof PatchPatientBody>,
): Promise<Partial<Record<keyof SearchKeys, string | null>>> {
  return {
    ...phone !== undefined && {
      phone: null,
      phone_national: null,
      ...phone !== null && await index.phone(phone),
    },
    ...insurance_policy_number !== undefined && {
      insurance_policy_number: null,
      ...insurance_policy_number !== null &&
        await index.insurancePolicyNumber(insurance_policy_number),
    },
  };
}

/**
 * Reads the fields of those of the patients whom the caller may see, in the order asked for. Each but
 * the caller gets a row in their access log.
 */
export async function readFields(
  deps: FieldDeps,
  caller: Caller,
  patientIds: string[],
): Promise<Fields[]> {
  const rows = await asCaller(
    deps.sql,
    caller,
    (tx) =>
      tx<Fields & { keys: StoredKey[] }>`
      select id, phone, address, insurance_policy_number, emergency_contact_phone, keys
      from private.read_patient_fields(${`{${patientIds.join(",")}}`}::uuid[])`,
  );
  // The transaction has ended, and with it the audit rows are there to stay: only now is anything
  // opened.
  const order = new Map(patientIds.map((id, index) => [id.toLowerCase(), index]));
  rows.sort((a, b) => (order.get(a.id) ?? 0) - (order.get(b.id) ?? 0));
  return await Promise.all(rows.map(async ({ id, keys, ...sealed }) => {
    const open = (name: FieldName) =>
      deps.vault.open(id, keys, { column: `patients.${name}`, row_id: id }, sealed[name]);
    const [phone, address, insurance_policy_number, emergency_contact_phone] = await Promise.all([
      open("phone"),
      open("address"),
      open("insurance_policy_number"),
      open("emergency_contact_phone"),
    ]);
    return { id, phone, address, insurance_policy_number, emergency_contact_phone };
  }));
}

/**
 * Finds patients by phone or policy number among those whom the caller may see. Whoever is found, but
 * the caller, gets a row in their access log.
 */
export async function findPatients(
  deps: FieldDeps,
  caller: Caller,
  { phone, insurance_policy_number = "" }: z.infer<typeof SearchPatientsBody>,
): Promise<z.infer<typeof FoundPatient>[]> {
  const searchKeys = JSON.stringify(
    phone === undefined
      ? await deps.blindIndex.insurancePolicyNumber(insurance_policy_number)
      : await deps.blindIndex.phone(phone),
  );
  return await asCaller(
    deps.sql,
    caller,
    (tx) =>
      tx`select id, first_name, last_name from private.find_patients(${searchKeys}::text::jsonb)`,
  );
}
