// The file of a record: announced, uploaded by the client to a signed address, and taken over once
// it has been read and found to be what was announced. Every step may be repeated after a crash.

import { asCaller, asWorker, type Caller } from "../_shared/db.ts";
import type { Deps } from "../_shared/deps.ts";
import { AppError, type ProblemDetail } from "../_shared/errors.ts";
import { type FileDifference, findDifferences } from "./file_check.ts";
import type { FileType } from "./file_type.ts";

/** What the client says of a file. */
export interface AnnouncedFile {
  file_name: string;
  file_type: FileType;
  /** Bytes. */
  file_size: number;
  /** 64 lower-case hexadecimal digits. */
  file_sha256: string;
}

/** Announces a file for a record and signs the address that it may be uploaded to. */
export async function startUpload(
  deps: Deps,
  caller: Caller,
  recordId: string,
  file: AnnouncedFile,
) {
  const upload = await asCaller(deps.sql, caller, async (tx) => {
    const [row] = await tx<{ upload_id: string; storage_path: string; expires_at: Date }>`
      select upload_id, storage_path, expires_at from private.begin_record_upload(
        ${recordId}::uuid, ${file.file_name}, ${file.file_type}, ${file.file_size}::bigint,
        ${file.file_sha256}
      )`;
    return requireRow(row);
  });
  const { url, token } = await deps.recordFiles.signUpload(upload.storage_path);
  return {
    upload_id: upload.upload_id,
    url,
    token,
    path: upload.storage_path,
    expires_at: upload.expires_at.toISOString(),
  };
}

interface PendingUpload extends AnnouncedFile {
  upload_id: string;
  storage_path: string;
  /** Set when the record has this file already. */
  completed_at: Date | null;
}

/**
 * Takes over an uploaded file, or removes it when it is not the announced one. Answers the same for
 * a file that was taken over before.
 *
 * @throws {AppError} `upload_missing`, and `file_mismatch` with a detail for each difference.
 */
export async function finishUpload(deps: Deps, caller: Caller, recordId: string) {
  const upload = await asCaller(deps.sql, caller, async (tx) => {
    const [row] = await tx<PendingUpload>`
      select upload_id, storage_path, file_name, file_type, file_size, file_sha256, completed_at
      from private.pending_record_upload(${recordId}::uuid)`;
    return requireRow(row);
  });
  const { upload_id, storage_path, completed_at, ...file } = upload;
  if (completed_at === null) {
    const differences = await readUpload(deps, upload);
    if (differences.length > 0) {
      // The object first: were it the other way round, a crash between would leave it for ever.
      await deps.recordFiles.remove(storage_path);
      await asWorker(
        deps.sql,
        "records_worker",
        caller,
        (tx) => tx`select private.reject_record_upload(${upload_id}::uuid)`,
      );
      throw new AppError("file_mismatch", "The uploaded file is not the one that was announced", {
        details: differences.map(toDetail),
      });
    }
    await asWorker(
      deps.sql,
      "records_worker",
      caller,
      (tx) => tx`select private.complete_record_upload(${upload_id}::uuid)`,
    );
  }
  return { record_id: recordId, ...file };
}

async function readUpload(deps: Deps, upload: PendingUpload): Promise<FileDifference[]> {
  const file = await deps.recordFiles.open(upload.storage_path);
  if (!file) throw new AppError("upload_missing", "The announced file has not been uploaded");
  try {
    return await findDifferences(file, upload);
  } catch (cause) {
    throw new AppError("unavailable", "The uploaded file cannot be read now", {
      cause,
      retryAfterSeconds: 5,
    });
  }
}

const DIFFERENCES: Readonly<Record<FileDifference, string>> = {
  file_size: "Size differs from the announced one",
  file_sha256: "SHA-256 differs from the announced one",
  file_type: "Content is not of the announced type",
};

function toDetail(difference: FileDifference): ProblemDetail {
  return { path: difference, message: DIFFERENCES[difference] };
}

/** A function that returns a table gives a row or raises. */
function requireRow<Row>(row: Row | undefined): Row {
  if (row === undefined) throw new Error("A database function gave no row");
  return row;
}
