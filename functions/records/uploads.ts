// The file of a record: announced, encrypted by the client with the key that it gets, uploaded to a
// signed address, and taken over once it has been read and found to be what was announced. The
// database decides on each step, whatever has changed since the one before. Every step may be repeated
// after a crash.

import { importKey } from "../../clients/blf1.ts";
import { type Refusal, throwRefusal } from "../_shared/database_errors.ts";
import { asCaller, asWorker, type Caller } from "../_shared/db.ts";
import type { Deps } from "../_shared/deps.ts";
import { AppError, type ProblemDetail } from "../_shared/errors.ts";
import {
  type DeclaredFile,
  differencesOfObject,
  type FileDifference,
  findDifferences,
} from "./file_check.ts";
import { createFileKey, openFileKey } from "./file_keys.ts";
import type { FileType } from "./file_type.ts";

/** What the client says of a file, all of it before encryption. */
export interface AnnouncedFile {
  file_name: string;
  file_type: FileType;
  /** Bytes. */
  file_size: number;
  /** 64 lower-case hexadecimal digits. */
  file_sha256: string;
}

/** Announces a file for a record, makes its key, and signs the address that it may be uploaded to. */
export async function startUpload(
  deps: Deps,
  caller: Caller,
  recordId: string,
  file: AnnouncedFile,
) {
  const upload = await asCaller(deps.sql, caller, async (tx) => {
    const [row] = await tx<
      Refusal & { upload_id: string; storage_path: string; expires_at: Date; data_key_id: string }
    >`
      select upload_id, storage_path, expires_at, data_key_id, code, message, details
      from private.begin_record_upload(
        ${recordId}::uuid, ${file.file_name}, ${file.file_type}, ${file.file_size}::bigint,
        ${file.file_sha256}
      )`;
    return requireRow(row);
  });
  throwRefusal(upload);
  const encryption = await createFileKey(deps, caller, recordId, upload);
  const { url, token } = await deps.recordFiles.signUpload(upload.storage_path);
  return {
    upload_id: upload.upload_id,
    url,
    token,
    path: upload.storage_path,
    expires_at: upload.expires_at.toISOString(),
    encryption,
  };
}

/** What the client says that it has uploaded. */
export interface UploadedFile {
  /** Of the ciphertext; 64 lower-case hexadecimal digits. */
  ciphertext_sha256: string;
  /** Which announcement it is; else the record's newest. */
  upload_id?: string;
}

interface PendingUpload extends AnnouncedFile {
  upload_id: string;
  storage_path: string;
  /** Set with `completed_at`. */
  ciphertext_sha256: string | null;
  /** Set when the record has this file already. */
  completed_at: Date | null;
  /** What Storage has there, changed by every upload; null when nothing arrived in time. */
  object_version: string | null;
  /** Content-Type and Content-Encoding that it was uploaded with. */
  content_type: string | null;
  content_encoding: string | null;
}

/**
 * Takes over an uploaded file, or removes it when it is not the announced one. Answers the same for
 * a file that was taken over before.
 *
 * @throws {AppError} `upload_missing`, `already_uploaded` when the record has a file of another digest,
 * and `file_mismatch` with a detail for each difference.
 */
export async function finishUpload(
  deps: Deps,
  caller: Caller,
  recordId: string,
  { ciphertext_sha256, upload_id: wanted }: UploadedFile,
) {
  const upload = await asCaller(deps.sql, caller, async (tx) => {
    const [row] = await tx<PendingUpload & Refusal>`
      select
        upload_id, storage_path, file_name, file_type, file_size, file_sha256, ciphertext_sha256,
        completed_at, object_version, content_type, content_encoding, code, message, details
      from private.pending_record_upload(${recordId}::uuid, ${wanted ?? null}::uuid)`;
    return requireRow(row);
  });
  throwRefusal(upload);
  const { file_name, file_type, file_size, file_sha256 } = upload;
  if (upload.completed_at === null) {
    const declared = { file_type, file_size, file_sha256, ciphertext_sha256 };
    const differences = await readUpload(deps, caller, recordId, upload, declared);
    if (differences.length > 0) {
      await rejectUpload(deps, caller, upload);
      throw new AppError("file_mismatch", "The uploaded file is not the one that was announced", {
        details: differences.map(toDetail),
      });
    }
    // A version is never given twice: what has it before and after was read in between.
    const [refusal] = await asWorker(deps.sql, "records_worker", caller, (tx) =>
      tx<Refusal>`
        select code, message, details
        from jsonb_to_record(private.complete_record_upload(
          ${upload.upload_id}::uuid, ${upload.object_version}, ${ciphertext_sha256}
        )) as refusal (code text, message text, details text)`);
    throwRefusal(requireRow(refusal));
  } else if (upload.ciphertext_sha256 !== ciphertext_sha256) throw otherFile();
  return { record_id: recordId, file_name, file_type, file_size, file_sha256 };
}

/**
 * Closes an upload, then removes its object. The other way round, a right file could be put in the
 * place of the wrong one and be completed before the upload is closed, and would then be removed.
 */
async function rejectUpload(deps: Deps, caller: Caller, upload: PendingUpload): Promise<void> {
  const { is_rejected } = await asWorker(deps.sql, "records_worker", caller, async (tx) => {
    const [row] = await tx<{ is_rejected: boolean }>`
      select private.reject_record_upload(${upload.upload_id}::uuid) as is_rejected`;
    return requireRow(row);
  });
  if (!is_rejected) return;
  try {
    await deps.recordFiles.remove([upload.storage_path]);
  } catch {
    // Nobody can take it over or read it, for its key is gone, and the sweep removes it: the client had
    // better hear what differs.
  }
}

function otherFile(): AppError {
  return new AppError("already_uploaded", "The record has its file already, and it is another one");
}

async function readUpload(
  deps: Deps,
  caller: Caller,
  recordId: string,
  upload: PendingUpload,
  declared: DeclaredFile,
): Promise<FileDifference[]> {
  const missing = () =>
    new AppError("upload_missing", "The announced file has not been uploaded, or not in time");
  if (upload.object_version === null) throw missing();
  const differences = differencesOfObject(upload);
  if (differences.length > 0) return differences;
  const encryption = await openFileKey(deps, caller, recordId, upload.storage_path);
  if (!encryption) throw missing();
  const key = await importKey(Uint8Array.fromBase64(encryption.key));
  const file = await deps.recordFiles.open(upload.storage_path);
  if (!file) throw missing();
  try {
    return await findDifferences(file, declared, key, recordId);
  } catch (cause) {
    throw new AppError("unavailable", "The uploaded file cannot be read now", {
      cause,
      retryAfterSeconds: 5,
    });
  }
}

/**
 * Erases the file of a record for ever: first its key, after which nobody can read it, then its object.
 * Repeating it removes what an earlier attempt has left in Storage.
 */
export async function eraseFile(deps: Deps, caller: Caller, recordId: string) {
  const rows = await asCaller(
    deps.sql,
    caller,
    (tx) =>
      tx<Refusal & { erased_at: Date; storage_path: string | null }>`
      select erased_at, storage_path, code, message, details
      from private.erase_record_file(${recordId}::uuid)`,
  );
  const [first] = rows;
  throwRefusal(requireRow(first));
  const paths = rows.flatMap(({ storage_path }) => storage_path ?? []);
  if (paths.length > 0) await deps.recordFiles.remove(paths);
  return { record_id: recordId, erased_at: requireRow(first).erased_at.toISOString() };
}

const DIFFERENCES: Readonly<Record<FileDifference, string>> = {
  file_size: "Size differs from the announced one",
  ciphertext_sha256: "SHA-256 of what was uploaded differs from the given one",
  encryption: "Content cannot be opened with the key of the file",
  file_sha256: "SHA-256 differs from the announced one",
  file_type: "Content is not of the announced type",
  content_type: "Content-Type of the upload is not application/octet-stream",
  content_encoding: "The upload has a Content-Encoding",
};

function toDetail(difference: FileDifference): ProblemDetail {
  return { path: difference, message: DIFFERENCES[difference] };
}

/** A function that returns a table gives a row or raises. */
function requireRow<Row>(row: Row | undefined): Row {
  if (row === undefined) throw new Error("A database function gave no row");
  return row;
}
