// Handing out the file of a record: the database decides and logs, refusals too, then the key is
// unwrapped and an address is signed that works for a minute.

import { type Refusal, throwRefusal } from "../_shared/database_errors.ts";
import { asCaller, type Caller } from "../_shared/db.ts";
import type { Deps } from "../_shared/deps.ts";
import { erased, openFileKey } from "./file_keys.ts";
import type { AnnouncedFile } from "./uploads.ts";

const VALID_SECONDS = 60;

/**
 * Gives the key of a record's file, and an address from which its ciphertext may be downloaded.
 *
 * @throws {AppError} `not_found`, and `forbidden` for a record that is shared for viewing only.
 */
export async function signDownload(deps: Deps, caller: Caller, recordId: string) {
  const [found] = await asCaller(
    deps.sql,
    caller,
    (tx) =>
      tx<AnnouncedFile & Refusal & { storage_path: string }>`
      select storage_path, file_name, file_type, file_size, file_sha256, code, message, details
      from private.authorize_record_download(${recordId}::uuid)`,
  );
  if (!found) throw new Error("private.authorize_record_download gave no row");
  const { storage_path, code, message, details, ...file } = found;
  throwRefusal({ code, message, details });
  const encryption = await openFileKey(deps, caller, recordId, storage_path);
  if (!encryption) throw erased();
  const expires_at = new Date(deps.now() + VALID_SECONDS * 1000).toISOString();
  // The name under which the patient knows the file may speak of an illness, and addresses end up in
  // logs: the browser gets a plain one. What it gets is ciphertext anyway.
  const name = `record-${recordId}.blf1`;
  const url = await deps.recordFiles.signDownload(storage_path, name, VALID_SECONDS);
  return { url, expires_at, ...file, encryption };
}
