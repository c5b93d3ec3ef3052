// Handing out the file of a record: the database decides and logs, refusals too, then an address is
// signed that works for a minute.

import { type Refusal, throwRefusal } from "../_shared/database_errors.ts";
import { asCaller, type Caller } from "../_shared/db.ts";
import type { Deps } from "../_shared/deps.ts";
import { type AnnouncedFile } from "./uploads.ts";
import { FILE_TYPES } from "./file_type.ts";

const VALID_SECONDS = 60;

/**
 * Signs an address from which the caller may download a record's file.
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
  const expires_at = new Date(deps.now() + VALID_SECONDS * 1000).toISOString();
  // The name under which the patient knows the file may speak of an illness, and addresses end up in
  // logs: the browser gets a plain one.
  const name = `record-${recordId}.${FILE_TYPES[file.file_type]}`;
  const url = await deps.recordFiles.signDownload(storage_path, name, VALID_SECONDS);
  return { url, expires_at, ...file };
}
