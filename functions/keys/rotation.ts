// Rotation of the key-encryption key: data keys that an older version wraps are wrapped under the
// current one, batch by batch. A run may die anywhere and several may run at once: a key is replaced
// only while it is as it was handed out, so at every moment each key has exactly one wrapped form,
// which a version at hand opens. Files and rows that the data keys have sealed are not touched.

import { dataKeyContext, type DataKeyPurpose } from "../_shared/data_keys.ts";
import { asWorker, type Caller, type RequestContext } from "../_shared/db.ts";
import type { Deps } from "../_shared/deps.ts";
import { AppError } from "../_shared/errors.ts";
import { describeFault } from "../_shared/log.ts";

/** Keys that are in hand at once. */
const BATCH_KEYS = 100;
/** Keys that one call wraps at most: about a second's work; the next call goes on. */
const MAX_KEYS_PER_CALL = 2_000;
/** Age at which a version is due to be replaced. */
export const ROTATION_DAYS = 90;

const DAY_MS = 86_400_000;

/** What one call has done. */
export interface RotationReport {
  /** Version that keys are now under. */
  current: { key_id: string; key_version: number };
  rewrapped: number;
  /** Keys that their version did not open, or whose version is not at hand; they stay as they are. */
  failed: number;
  /** Keys that are still under an older version. */
  remaining: number;
}

interface ClaimedKey {
  id: string;
  purpose: DataKeyPurpose;
  subject_id: string;
  key_id: string;
  key_version: number;
  /** Hexadecimal. */
  wrapped_key: string;
}

/** Wraps data keys of older versions under the current one, up to a number. */
export async function rotateKeys(
  deps: Deps,
  context: Caller | RequestContext,
): Promise<RotationReport> {
  const { current } = deps.keyRing;
  let [handled, rewrapped, failed] = [0, 0, 0];
  while (handled < MAX_KEYS_PER_CALL) {
    const claimed = await asWorker(deps.sql, "keys_worker", context, (tx) =>
      tx<ClaimedKey>`
        select id, purpose, subject_id, key_id, key_version, wrapped_key
        from private.claim_data_keys(${current.key_version}, ${BATCH_KEYS})`);
    if (claimed.length === 0) break;
    handled += claimed.length;
    const wrapped = await Promise.all(claimed.map((key) => rewrap(deps, context, key)));
    const keys = wrapped.filter((key) => key !== null);
    failed += claimed.length - keys.length;
    if (keys.length === 0) continue;
    const [stored] = await asWorker(deps.sql, "keys_worker", context, (tx) =>
      tx<{ count: number }>`
        select private.store_rewrapped_keys(
          ${current.key_id}, ${current.key_version}, ${JSON.stringify(keys)}::text::jsonb
        ) as count`);
    rewrapped += stored?.count ?? 0;
  }
  const { to_rewrap: remaining } = await readStatus(deps, context);
  return { current: { ...current }, rewrapped, failed, remaining };
}

/** Wraps one key anew; null when it cannot be opened, which is logged and holds up nobody else. */
async function rewrap(
  { keyRing, log, now }: Deps,
  { request_id }: RequestContext,
  key: ClaimedKey,
): Promise<{ id: string; was: string; wrapped_key: string } | null> {
  const { id, key_id, key_version, wrapped_key: was } = key;
  const context = dataKeyContext(key);
  try {
    const wrapped = { key_id, key_version, wrapped_key: Uint8Array.fromHex(was) };
    const dataKey = await keyRing.unwrap(wrapped, context);
    const { wrapped_key } = await keyRing.wrap(dataKey, context);
    dataKey.fill(0);
    return { id, was, wrapped_key: wrapped_key.toHex() };
  } catch (thrown) {
    const fault = describeFault(thrown instanceof AppError ? thrown.cause ?? thrown : thrown);
    const timestamp = new Date(now()).toISOString();
    log({ timestamp, level: "error", request_id, function: "keys", fault });
    return null;
  }
}

/** A version as `GET /keys/status` shows it. */
interface VersionStatus {
  key_id: string;
  key_version: number;
  first_used_at: string;
  age_days: number;
  is_current: boolean;
  /** Data keys that it wraps now. */
  data_keys: { record_file: number; patient_fields: number };
  /** Data keys that were erased while it wrapped them. */
  erased: number;
}

/** State of the key-encryption key, without any key. */
export interface KeyStatus {
  current: { key_id: string; key_version: number };
  /** Since when the current version is in use; null: it has wrapped nothing yet. */
  current_since: string | null;
  /** When the current version is due to be replaced; null: it has wrapped nothing yet. */
  due_at: string | null;
  /**
   * Whether a version older than 90 days is current, or still wraps a data key: a newer one is to be
   * set, or `POST /keys/rotate` to be called.
   */
  is_overdue: boolean;
  /** Data keys under an older version than the current one. */
  to_rewrap: number;
  versions: VersionStatus[];
}

interface VersionRow {
  key_id: string;
  key_version: number;
  first_used_at: Date;
  record_files: number;
  patient_fields: number;
  erased: number;
}

/** Reads which versions are in use, since when, and for how much. */
export async function readStatus(
  deps: Deps,
  context: Caller | RequestContext,
): Promise<KeyStatus> {
  const { current } = deps.keyRing;
  const rows = await asWorker(deps.sql, "keys_worker", context, (tx) =>
    tx<VersionRow>`
      select key_id, key_version, first_used_at, record_files, patient_fields, erased
      from private.key_status()`);
  const isCurrent = (row: VersionRow) =>
    row.key_id === current.key_id && row.key_version === current.key_version;
  const live = (row: VersionRow) => row.record_files + row.patient_fields;
  const ageMs = (row: VersionRow) => deps.now() - row.first_used_at.getTime();
  const since = rows.find(isCurrent)?.first_used_at ?? null;
  return {
    current: { ...current },
    current_since: since?.toISOString() ?? null,
    due_at: since && new Date(since.getTime() + ROTATION_DAYS * DAY_MS).toISOString(),
    is_overdue: rows.some((row) =>
      ageMs(row) > ROTATION_DAYS * DAY_MS && (isCurrent(row) || live(row) > 0)
    ),
    to_rewrap: rows.filter(({ key_version }) => key_version < current.key_version)
      .reduce((sum, row) => sum + live(row), 0),
    versions: rows.map((row) => ({
      key_id: row.key_id,
      key_version: row.key_version,
      first_used_at: row.first_used_at.toISOString(),
      age_days: Math.floor(ageMs(row) / DAY_MS),
      is_current: isCurrent(row),
      data_keys: { record_file: row.record_files, patient_fields: row.patient_fields },
      erased: row.erased,
    })),
  };
}
