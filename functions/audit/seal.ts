// Sealing: closes the audit rows since the last seal, then publishes the newest one. Every step may be
// repeated, and one that a crash left out is made up by the next call.

import { asWorker, type RequestContext } from "../_shared/db.ts";
import { AppError } from "../_shared/errors.ts";
import type { AuditDeps } from "./deps.ts";
import { type Head, type HeadStatus, logConflict, publishHead } from "./heads.ts";

/** Seals of one call: a third of a million events, within the time that a function has. */
const MAX_SEALS = 20;

/** What a call has done. */
export interface SealReport {
  /** Whether another call was sealing; then this one did not. */
  is_busy: boolean;
  seals: number;
  events: number;
  /** Whether nothing was left over for the next call. */
  is_drained: boolean;
  /** The newest seal and whether it is published; null before the first. */
  head: { seal_id: number; hash: string; status: HeadStatus } | null;
}

/**
 * Seals and publishes.
 *
 * @throws {AppError} `unavailable`, `head_conflict` when a head published earlier contradicts the seals.
 */
export async function sealAudit(
  deps: AuditDeps,
  context: RequestContext,
): Promise<SealReport> {
  // Before, and apart: the sealer takes up what was committed by then.
  await asWorker(
    deps.sql,
    "audit_worker",
    context,
    (tx) => tx`select private.list_refusals()`,
  );
  const report = await asWorker(deps.sql, "audit_worker", context, async (tx) => {
    const [row] = await tx<Omit<SealReport, "head">>`
      select is_busy, seals, events, is_drained from private.seal_audit(${MAX_SEALS})`;
    if (!row) throw new Error("private.seal_audit gave no row");
    return row;
  });
  const head = await readHead(deps, context);
  if (!head) return { ...report, head: null };
  const status = await publishHead(deps, head);
  if (status === "conflicting") {
    logConflict(deps.log, deps.now(), context.request_id);
    throw new AppError(
      "head_conflict",
      `Cannot publish seal ${head.seal_id} as its published head has another hash`,
    );
  }
  return { ...report, head: { seal_id: head.seal_id, hash: head.hash, status } };
}

/** The newest seal that is committed, whoever made it. */
async function readHead(deps: AuditDeps, context: RequestContext): Promise<Head | undefined> {
  const [head] = await asWorker(deps.sql, "audit_worker", context, (tx) =>
    tx<Head>`
      select seal_id, hash, merkle_root, canonical,
        to_char(sealed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as sealed_at
      from private.audit_head()`);
  return head;
}
