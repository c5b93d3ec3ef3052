// The data key of a record's file: made when an upload is allowed, kept wrapped, and unwrapped for
// those whom the database has let through. In the clear it is in memory and in answers, nowhere else.

import { asWorker, type Caller } from "../_shared/db.ts";
import { dataKeyContext } from "../_shared/data_keys.ts";
import type { Deps } from "../_shared/deps.ts";
import { AppError } from "../_shared/errors.ts";
import { newDataKey } from "../_shared/key_ring.ts";

/** What a client needs to seal or open a file. */
export interface FileEncryption {
  /** docs/file-encryption.md. */
  format: "blf1";
  /** The data key, 32 bytes in base64. */
  key: string;
  /** `private.data_keys.id`. */
  key_id: string;
}

/** Makes the key of an announced file and keeps it, wrapped. */
export async function createFileKey(
  deps: Deps,
  caller: Caller,
  recordId: string,
  upload: { upload_id: string; data_key_id: string },
): Promise<FileEncryption> {
  const { upload_id, data_key_id: id } = upload;
  const dataKey = newDataKey();
  const wrapped = await deps.keyRing.wrap(
    dataKey,
    dataKeyContext({ id, purpose: "record_file", subject_id: recordId }),
  );
  await asWorker(deps.sql, "records_worker", caller, (tx) =>
    tx`
      select private.add_record_file_key(
        ${upload_id}::uuid, ${wrapped.key_id}, ${wrapped.key_version},
        ${wrapped.wrapped_key.toHex()}
      )`);
  return toEncryption(id, dataKey);
}

/**
 * Unwraps the key of an object of a record. Whether the caller may have it was decided, and logged,
 * before.
 *
 * @returns Null when the key was erased.
 */
export async function openFileKey(
  deps: Deps,
  caller: Caller,
  recordId: string,
  storagePath: string,
): Promise<FileEncryption | null> {
  const [row] = await asWorker(
    deps.sql,
    "records_worker",
    caller,
    (tx) =>
      tx<{ data_key_id: string; key_id: string; key_version: number; wrapped_key: string }>`
      select data_key_id, key_id, key_version, wrapped_key
      from private.record_file_key(${recordId}::uuid, ${storagePath})`,
  );
  if (!row) return null;
  const { data_key_id: id, key_id, key_version, wrapped_key } = row;
  const context = dataKeyContext({ id, purpose: "record_file", subject_id: recordId });
  const wrapped = { key_id, key_version, wrapped_key: Uint8Array.fromHex(wrapped_key) };
  return toEncryption(id, await deps.keyRing.unwrap(wrapped, context));
}

/** The failure of a file whose key was erased between the decision and the look for the key. */
export function erased(): AppError {
  return new AppError("not_found", "The record has no file");
}

function toEncryption(key_id: string, dataKey: Uint8Array<ArrayBuffer>): FileEncryption {
  const encryption = { format: "blf1", key: dataKey.toBase64(), key_id } as const;
  dataKey.fill(0);
  return encryption;
}
