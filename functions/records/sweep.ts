// Files that nothing refers to: uploads of which nothing came, and attachments of no message. Their
// objects are removed, a batch at a time, for a job that calls until there are no more. What a crash
// interrupts is done again by the next call.

import { asWorker, type RequestContext } from "../_shared/db.ts";
import type { Deps } from "../_shared/deps.ts";

/** Files of each kind in one batch; Storage removes up to 1,000 objects at a time. */
export const SWEEP_BATCH = 200;

/** Removes what lies where uploads ended without being taken over, and what no message has. */
export async function sweepFiles(deps: Deps, context: RequestContext) {
  const counts = [await sweepUploads(deps, context), await sweepAttachments(deps, context)];
  return {
    swept: counts.reduce((sum, count) => sum + count),
    has_more: counts.includes(SWEEP_BATCH),
  };
}

async function sweepUploads(deps: Deps, context: RequestContext): Promise<number> {
  const ended = await asWorker(
    deps.sql,
    "records_worker",
    context,
    (tx) =>
      tx<{ upload_id: string; storage_path: string }>`
      select upload_id, storage_path from private.ended_record_uploads(${SWEEP_BATCH})`,
  );
  if (ended.length === 0) return 0;
  // Noted only when they are gone: a crash between leaves them to the next call.
  await deps.recordFiles.remove(ended.map(({ storage_path }) => storage_path));
  const ids = `{${ended.map(({ upload_id }) => upload_id).join()}}`;
  await asWorker(
    deps.sql,
    "records_worker",
    context,
    (tx) => tx`select private.note_uploads_swept(${ids}::text::uuid[])`,
  );
  return ended.length;
}

async function sweepAttachments(deps: Deps, context: RequestContext): Promise<number> {
  const unused = await asWorker(
    deps.sql,
    "records_worker",
    context,
    (tx) =>
      tx<{ path: string }>`select path from private.unused_attachments(${SWEEP_BATCH}) as path`,
  );
  if (unused.length > 0) await deps.chatFiles.remove(unused.map(({ path }) => path));
  return unused.length;
}
