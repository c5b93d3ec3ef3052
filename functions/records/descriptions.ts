// The description of a record, which is encrypted: written by whoever may change the record, read by
// whoever may read its contents, and logged where that is not the patient.

import { asCaller, type Caller } from "../_shared/db.ts";
import type { FieldDeps } from "../_shared/field_deps.ts";
import type { StoredKey } from "../_shared/fields.ts";
import { keyForWriting } from "../_shared/patient_keys.ts";

const COLUMN = "medical_record_contents.description";

interface DescriptionRow {
  record_id: string;
  patient_id: string;
  description: string | null;
  keys: StoredKey[];
}

/**
 * Writes the description of a record; null empties it.
 *
 * @throws {AppError} `not_found` for a record that the caller may not change.
 */
export async function writeDescription(
  deps: FieldDeps,
  caller: Caller,
  recordId: string,
  description: string | null,
) {
  const record_id = recordId.toLowerCase();
  const sealed = description === null
    ? null
    : await sealDescription(deps, caller, record_id, description);
  await asCaller(
    deps.sql,
    caller,
    (tx) => tx`select private.write_record_description(${record_id}::uuid, ${sealed})`,
  );
  return { record_id };
}

async function sealDescription(
  deps: FieldDeps,
  caller: Caller,
  record_id: string,
  description: string,
): Promise<string> {
  const key = await keyForWriting(deps, caller, { record_id });
  const place = { column: COLUMN, row_id: record_id } as const;
  return await deps.vault.seal(key.patient_id, key, place, description);
}

/**
 * Reads the descriptions of those of the records whose contents the caller may see, in the order asked
 * for. A record of somebody else gets a row in that patient's access log.
 */
export async function readDescriptions(
  deps: FieldDeps,
  caller: Caller,
  recordIds: string[],
) {
  const rows = await asCaller(
    deps.sql,
    caller,
    (tx) =>
      tx<DescriptionRow>`
      select record_id, patient_id, description, keys
      from private.read_record_descriptions(${`{${recordIds.join(",")}}`}::uuid[])`,
  );
  // The transaction has ended, and with it the audit rows are there to stay: only now is anything
  // opened.
  const order = new Map(recordIds.map((id, index) => [id.toLowerCase(), index]));
  rows.sort((a, b) => (order.get(a.record_id) ?? 0) - (order.get(b.record_id) ?? 0));
  return await Promise.all(
    rows.map(async ({ record_id, patient_id, description, keys }) => ({
      record_id,
      description: await deps.vault.open(
        patient_id,
        keys,
        { column: COLUMN, row_id: record_id },
        description,
      ),
    })),
  );
}
