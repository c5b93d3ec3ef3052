// The registry fields of a bundle's Patient, made ready for the database: phone and address sealed,
// the phone with the digests by which it is found.

import type { SearchKeys } from "../_shared/blind_index.ts";
import type { Caller } from "../_shared/db.ts";
import type { FieldDeps } from "../_shared/field_deps.ts";
import { keyForWriting } from "../_shared/patient_keys.ts";
import type { PatientFields } from "./fhir_patient.ts";

/** Fields as `private.import_records` takes them. */
interface SealedPatient extends PatientFields {
  search_keys?: SearchKeys;
}

/**
 * Seals what the registry holds sealed, under the patient's key.
 *
 * @throws {AppError} `not_found` for a patient whom the caller has no right to write for.
 */
export async function sealPatient(
  deps: FieldDeps,
  caller: Caller,
  patient_id: string,
  { phone, address, ...fields }: PatientFields,
): Promise<SealedPatient> {
  if (phone === undefined && address === undefined) return fields;
  const key = await keyForWriting(deps, caller, { patient_id });
  const seal = (name: "phone" | "address", text: string) =>
    deps.vault.seal(
      key.patient_id,
      key,
      { column: `patients.${name}`, row_id: key.patient_id },
      text,
    );
  return {
    ...fields,
    ...phone !== undefined && {
      phone: await seal("phone", phone),
      search_keys: await deps.blindIndex.phone(phone),
    },
    ...address !== undefined && { address: await seal("address", address) },
  };
}
