// Uploads of which nothing came: their objects are removed, a batch at a time, for a job that calls
// until there are no more. What a crash interrupts is done again by the next call.

import { asWorker, type RequestContext } from "../_shared/db.ts";
import type { Deps } from "../_shared/deps.ts";

/** Uploads in one batch; Storage removes up to 1,000 objects at a time. */
export const SWEEP_BATCH = 200;

/** Removes what lies where uploads ended without being taken over. */
export async function sweepUploads(deps: Deps, context: RequestContext) {
  const ended = await asWorker(
    deps.sql,
    "records_worker",
    context,
    (tx) =>
      tx<{ upload_id: string; storage_path: string }>`
      select upload_id, storage_path from private.ended_record_uploads(${SWEEP_BATCH})`,
  );
  if (ended.length > 0) {
    // Noted only when they are gone: a crash between leaves them to the next call.
    await deps.recordFiles.remove(ended.map(({ storage_path }) => storage_path));
    const ids = `{${ended.map(({ upload_id }) => upload_id).join()}}`;
    await asWorker(
      deps.sql,
      "records_worker",
      context,
      (tx) => tx`select private.note_uploads_swept(${ids}::text::uuid[])`,
    );
  }
  return { swept: ended.length, has_more: ended.length === SWEEP_BATCH };
}
