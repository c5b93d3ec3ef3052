// The key under which a patient's fields are sealed: made when the first field is.

import { asCaller, asWorker, type Caller, type Sql } from "./db.ts";
import { keyContext, type StoredKey } from "./fields.ts";
import { type KeyRing, newDataKey } from "./key_ring.ts";

/** A key that there is, and whose it is. */
export interface PatientKey extends StoredKey {
  patient_id: string;
}

/** What the caller is going to write: fields of a patient's registry row, or of a record. */
export type WriteTarget = { patient_id: string } | { record_id: string };

interface KeyDeps {
  sql: Sql;
  keyRing: KeyRing;
}

type FoundKey = { patient_id: string } & { [K in keyof StoredKey]: StoredKey[K] | null };

/**
 * Gives the key for what the caller is going to write, and makes it when there is none. Of two that
 * are made at once the database keeps one, and both callers get that.
 *
 * @throws {AppError} `not_found` when the caller has no right to write there.
 */
export async function keyForWriting(
  { sql, keyRing }: KeyDeps,
  caller: Caller,
  target: WriteTarget,
): Promise<PatientKey> {
  const [found] = await asCaller(
    sql,
    caller,
    (tx) =>
      "record_id" in target
        ? tx<FoundKey>`
          select patient_id, data_key_id, key_id, key_version, wrapped_key
          from private.field_key_for_record(${target.record_id}::uuid)`
        : tx<FoundKey>`
          select patient_id, data_key_id, key_id, key_version, wrapped_key
          from private.field_key_for_patient(${target.patient_id}::uuid)`,
  );
  if (!found) throw new Error("A database function gave no row");
  const { patient_id, data_key_id, key_id, key_version, wrapped_key } = found;
  if (data_key_id !== null && key_id !== null && key_version !== null) {
    return { patient_id, data_key_id, key_id, key_version, wrapped_key };
  }
  const id = crypto.randomUUID();
  const made = await keyRing.wrap(newDataKey(), keyContext(id, patient_id));
  const [kept] = await asWorker(
    sql,
    "identity_worker",
    caller,
    (tx) =>
      tx<StoredKey>`
      select data_key_id, key_id, key_version, wrapped_key
      from private.keep_patient_key(
        ${patient_id}::uuid, ${id}::uuid, ${made.key_id}, ${made.key_version},
        ${made.wrapped_key.toHex()}
      )`,
  );
  if (!kept) throw new Error("private.keep_patient_key gave no row");
  return { patient_id, ...kept };
}
