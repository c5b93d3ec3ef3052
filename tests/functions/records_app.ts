// The app `records` with a file that lies in Storage, sealed, and a database that lets everything pass.

import { dataKeyContext } from "../../functions/_shared/data_keys.ts";
import type { Deps } from "../../functions/_shared/deps.ts";
import { newDataKey, openKeyRing } from "../../functions/_shared/key_ring.ts";
import { createApp } from "../../functions/records/routes.ts";
import { SAMPLES, sha256 } from "../fixtures/files.ts";
import { seal } from "../support/sealed.ts";
import { FieldStore } from "./field_store.ts";
import { type Answer, CALLER_ID, fakeDeps, KEY_VERSIONS, NOW_MS, type Subject } from "./support.ts";

export const RECORD_ID = "b1b2c3d4-0000-4000-8000-000000000002";
export const UPLOAD_ID = "c1b2c3d4-0000-4000-8000-000000000003";
export const STORAGE_PATH = `${CALLER_ID}/${RECORD_ID}/d1b2c3d4-0000-4000-8000-000000000004`;
export const PATH = `/records/${RECORD_ID}`;

export const TEXT = SAMPLES["text/plain"];
export const ANNOUNCED = {
  file_name: "note.txt",
  file_type: "text/plain",
  file_size: TEXT.length,
  file_sha256: await sha256(TEXT),
};
export const PENDING = {
  upload_id: UPLOAD_ID,
  storage_path: STORAGE_PATH,
  ...ANNOUNCED,
  ciphertext_sha256: null,
  completed_at: null,
  object_version: "v1",
  content_type: "application/octet-stream",
  content_encoding: null,
};

/** The key of the file, and its row as the database has it. */
export const DATA_KEY = newDataKey();
export const ENCRYPTION = {
  format: "blf1",
  key: DATA_KEY.toBase64(),
  key_id: "e1b2c3d4-0000-4000-8000-000000000005",
};
export const CONTEXT = dataKeyContext({
  id: ENCRYPTION.key_id,
  purpose: "record_file",
  subject_id: RECORD_ID,
});
export const KEY_RING = openKeyRing(KEY_VERSIONS);
export const WRAPPED = await KEY_RING.wrap(DATA_KEY, CONTEXT);
export const KEY_ROW = {
  data_key_id: ENCRYPTION.key_id,
  key_id: WRAPPED.key_id,
  key_version: WRAPPED.key_version,
  wrapped_key: WRAPPED.wrapped_key.toHex(),
};
export const SEALED = await seal(TEXT, ENCRYPTION, RECORD_ID);

/** Answers with which every route succeeds. */
export const ANSWERS: Record<string, Answer> = {
  begin_record_upload: [{
    upload_id: UPLOAD_ID,
    storage_path: STORAGE_PATH,
    expires_at: new Date(NOW_MS + 600_000),
    data_key_id: ENCRYPTION.key_id,
  }],
  add_record_file_key: [{}],
  record_file_key: [KEY_ROW],
  pending_record_upload: [PENDING],
  complete_record_upload: [{}],
  reject_record_upload: [{ is_rejected: true }],
  ended_record_uploads: [{ upload_id: UPLOAD_ID, storage_path: STORAGE_PATH }],
  note_uploads_swept: [{}],
  unused_attachments: [{ path: "conversation/file" }],
  erase_record_file: [{ erased_at: new Date(NOW_MS), storage_path: STORAGE_PATH }],
  authorize_record_download: [{
    storage_path: STORAGE_PATH,
    ...ANNOUNCED,
    code: null,
    message: null,
    details: null,
  }],
  import_records: [],
  ...new FieldStore(CALLER_ID).answers,
};

/** An app whose file has been uploaded; `answers` replace some of the database's. */
export function build(changes: Partial<Deps> = {}, answers: Record<string, Answer> = {}): Subject {
  const deps = fakeDeps({ ...ANSWERS, ...answers }, changes);
  deps.recordFiles.objects.set(STORAGE_PATH, SEALED.bytes);
  return { app: createApp(deps), deps };
}
