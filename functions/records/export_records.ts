// The export of a patient's records as a FHIR bundle: decided and logged first, then read as the
// caller in one snapshot and written while it is read, in as much memory as a page takes.

import { type Refusal, throwRefusal } from "../_shared/database_errors.ts";
import { asCaller, type Caller, type Query } from "../_shared/db.ts";
import { AppError } from "../_shared/errors.ts";
import type { FieldDeps } from "../_shared/field_deps.ts";
import type { FieldVault, StoredKey } from "../_shared/fields.ts";
import { describeFault } from "../_shared/log.ts";
import { type RegistryRow, type SourceIdentifier, toPatient } from "./export_patient.ts";
import {
  type ExportContents,
  type ExportRecord,
  type ExportTarget,
  toEntry,
} from "./export_resource.ts";
import { streamOf } from "./export_stream.ts";
import { SUBJECT_ELEMENTS } from "./fhir_types.ts";

/** Resource types that an export may hold. */
export const EXPORT_TYPES = ["Patient", ...Object.keys(SUBJECT_ELEMENTS)];

/** What is asked for. */
export interface ExportQuery {
  /** The caller when left out. */
  patient_id?: string;
  /** FHIR instant: records that changed at it or after it. */
  _since?: string;
  /** All types when left out. */
  _type?: string[];
}

/** Most rows and, but for a row that is larger, bytes of contents that are in memory at a time. */
const GROUP_ROWS = 200;
const GROUP_BYTES = 256 * 1024;
/** How long a reader may take for a piece, and an export altogether. */
const STALL_MS = 60_000;
const EXPORT_MS = 10 * 60_000;

/** Exports under way in an instance of the function. Each keeps a connection. */
export class RunningExports {
  readonly #callers = new Set<string>();
  readonly #most: number;

  constructor(most = 3) {
    this.#most = most;
  }

  /**
   * Takes the caller's place, of which there is one.
   *
   * @returns What gives it back.
   * @throws {AppError} `unavailable` when the caller has it already, or all are taken.
   */
  enter(callerId: string): () => void {
    if (this.#callers.has(callerId) || this.#callers.size >= this.#most) {
      throw new AppError("unavailable", "Too many exports are under way", {
        retryAfterSeconds: 5,
      });
    }
    this.#callers.add(callerId);
    return () => this.#callers.delete(callerId);
  }
}

/** What opens the patient's encrypted fields. */
interface Fields {
  vault: FieldVault;
  patientId: string;
  /** Every key that the patient has or had at a moment after the snapshot's. */
  keys: StoredKey[];
}

/** What the database has decided on, and logged. */
interface Grant {
  patientId: string;
  /** By what the caller may; blanks between. */
  grounds: string;
  identifiers: SourceIdentifier[];
}

/**
 * Exports what the caller may see of a patient as a FHIR R4 Bundle of type `collection`.
 *
 * @returns The bundle's text, once its first page has been read.
 * @throws {AppError} `not_found` when the caller has no right on the patient, and `unavailable`.
 */
export async function exportRecords(
  deps: FieldDeps,
  running: RunningExports,
  caller: Caller,
  query: ExportQuery,
  stallMs = STALL_MS,
): Promise<ReadableStream<Uint8Array>> {
  const leave = running.enter(caller.id);
  let grant: Grant;
  try {
    // In a transaction of its own: it is in the log before a byte goes out, whatever comes after.
    grant = await authorize(deps, caller, query);
  } catch (thrown) {
    leave();
    throw thrown;
  }
  return await streamOf(
    (write) => writeBundle(deps, caller, grant, query, write).finally(leave),
    {
      stallMs,
      onFailure: (thrown) =>
        deps.log({
          timestamp: new Date(deps.now()).toISOString(),
          level: "error",
          request_id: caller.request_id,
          function: "records",
          fault: describeFault(thrown),
        }),
    },
  );
}

async function authorize(deps: FieldDeps, caller: Caller, query: ExportQuery): Promise<Grant> {
  const patientId = query.patient_id ?? caller.id;
  const [row] = await asCaller(
    deps.sql,
    caller,
    (tx) =>
      tx<{ grounds: string; identifiers: SourceIdentifier[] } & Refusal>`
      select array_to_string(grounds, ' ') as grounds, identifiers, code, message, details
      from private.authorize_export(
        ${patientId}::uuid, ${query._since ?? null}::text::timestamptz,
        string_to_array(${query._type?.join(",") ?? null}, ',')
      )`,
  );
  if (!row) throw new Error("private.authorize_export gave no row");
  const { grounds, identifiers, ...refusal } = row;
  throwRefusal(refusal);
  return { patientId, grounds, identifiers };
}

/** Writes the bundle. Its last bracket comes after the transaction has ended well. */
async function writeBundle(
  deps: FieldDeps,
  caller: Caller,
  grant: Grant,
  query: ExportQuery,
  write: (text: string) => Promise<void>,
): Promise<void> {
  const ends_at = deps.now() + EXPORT_MS;
  const target = {
    patientUrl: `urn:uuid:${grant.patientId.toLowerCase()}`,
    publicUrl: deps.publicUrl,
  };
  let has_entries = false;
  let head = "";
  await asCaller(deps.sql, caller, async (tx) => {
    const snapshot = await readPatient(tx, grant, query);
    head =
      `{"resourceType":"Bundle","type":"collection","timestamp":"${snapshot.taken_at.toISOString()}"`;
    const writeEntries = async (entries: string[]) => {
      await write(`${head}${has_entries ? "," : ',"entry":['}${entries.join(",")}`);
      head = "";
      has_entries = true;
    };
    await openCursor(tx, grant, query);
    let { registry } = snapshot;
    const patientEntries = async (fields: Fields) => {
      if (registry === null) return [];
      const patient = JSON.stringify(await openPatient(registry, grant, fields));
      registry = null;
      return [`{"fullUrl":${JSON.stringify(target.patientUrl)},"resource":${patient}}`];
    };
    for await (const group of readGroups(tx)) {
      // The snapshot does not know when a right ends; what is not written by then is not.
      const [sealed, fields] = await Promise.all([
        readContents(tx, group, target),
        askAgain(deps, caller, grant),
      ]);
      if (deps.now() > ends_at) {
        throw new AppError("unavailable", "The export takes too long");
      }
      const before = await patientEntries(fields);
      const contents = await openContents(sealed, fields);
      await writeEntries([...before, ...toEntries(group, contents, target)]);
    }
    if (registry) await writeEntries(await patientEntries(await askAgain(deps, caller, grant)));
  }, "snapshot");
  await write(`${head}${has_entries ? "]" : ""}}`);
}

/** The registry's row, phone and address sealed. */
type SealedRegistryRow = RegistryRow & { phone: string | null; address: string | null };

/** The moment that the export shows, and the registry's row, if it is asked for and seen. */
async function readPatient(tx: Query, { patientId }: Grant, { _type }: ExportQuery) {
  const [row] = await tx<SealedRegistryRow & { taken_at: Date; is_seen: boolean }>`
    select
      now() as taken_at, p.id is not null as is_seen, p.first_name, p.last_name,
      p.date_of_birth::text as date_of_birth, p.gender, p.city, p.state, p.postal_code, p.country,
      p.phone, p.address
    from (select 1) as one
    left join public.patients as p on p.id = ${patientId}::uuid`;
  if (!row) throw new Error("A left join gave no row");
  const is_wanted = row.is_seen && (_type?.includes("Patient") ?? true);
  return { taken_at: row.taken_at, registry: is_wanted ? row : null };
}

async function openPatient(
  row: SealedRegistryRow,
  { identifiers }: Grant,
  { vault, patientId, keys }: Fields,
) {
  const open = async (name: "phone" | "address") => {
    const place = { column: `patients.${name}`, row_id: patientId } as const;
    return await vault.open(patientId, keys, place, row[name]) ?? undefined;
  };
  const [phone, address] = await Promise.all([open("phone"), open("address")]);
  return toPatient(row, identifiers, { phone, address });
}

/** A record of the cursor. */
interface CursorRow extends ExportRecord {
  /** Rough size of its contents, in bytes. */
  size: number;
}

/**
 * Opens the cursor over the list: what the caller may see, newest first, without deleted records.
 *
 * A record by share counts once it has been opened, which is when its contents can be read; one that
 * has none is listed for whoever sees it on other grounds.
 */
async function openCursor(
  tx: Query,
  { patientId, grounds }: Grant,
  { _since, _type }: ExportQuery,
): Promise<void> {
  await tx`
    declare exported no scroll cursor for
    with seen as (
      select
        r.id, r.title, r.record_type, r.record_date, r.source_system, r.source_id, r.source_url,
        r.sensitivity, r.file_name, r.file_type, r.file_size, r.file_sha256, r.created_at,
        r.updated_at,
        row_number() over (partition by r.source_id order by r.source_system, r.id) as id_copy,
        row_number() over (partition by r.source_url order by r.source_system, r.id) as url_copy
      from public.medical_records as r
      where r.patient_id = ${patientId}::uuid and r.deleted_at is null
    ), granted as materialized (
      select string_to_array(${grounds}, ' ') as grounds
    )
    select
      s.id, s.title, s.record_type, s.record_date::text as record_date, s.source_system,
      s.source_id, s.source_url, s.sensitivity, s.file_name, s.file_type, s.file_size,
      s.file_sha256, s.created_at, s.id_copy, s.url_copy,
      -- Measuring the text means writing it, which only large values are worth: compressed, a small
      -- one grows at most ninetyfold.
      case
        when pg_column_size(c.fhir) > 8000 then octet_length(c.fhir::text)
        else coalesce(pg_column_size(c.fhir), 0)
      end + coalesce(octet_length(c.description), 0) as size
    from seen as s
    cross join granted as g
    left join public.medical_record_contents as c
      on c.record_id = s.id and c.patient_id = ${patientId}::uuid
    where (
        c.record_id is not null
        or 'owner' = any (g.grounds)
        or 'chart' = any (g.grounds)
          and (s.sensitivity = 'normal' or 'sensitive' = any (g.grounds))
      )
      and (
        -- As text, because the driver would cut a time to milliseconds.
        ${_since ?? null}::text is null
        or greatest(s.updated_at, c.updated_at) >= ${_since ?? null}::text::timestamptz
      )
      and (
        ${_type?.join(",") ?? null}::text is null
        or coalesce(c.fhir ->> 'resourceType', 'DocumentReference')
          = any (string_to_array(${_type?.join(",") ?? null}::text, ','))
      )
    order by s.record_date desc nulls last, s.id desc`;
}

/** Reads the cursor to its end, in groups whose contents fit into memory. */
async function* readGroups(tx: Query): AsyncGenerator<CursorRow[]> {
  for (;;) {
    const rows = await tx<CursorRow>`fetch 500 from exported`;
    if (rows.length === 0) return;
    let group: CursorRow[] = [];
    let size = 0;
    for (const row of rows) {
      if (group.length === GROUP_ROWS || (group.length > 0 && size + row.size > GROUP_BYTES)) {
        yield group;
        [group, size] = [[], 0];
      }
      group.push(row);
      size += row.size;
    }
    yield group;
  }
}

interface ContentsRow extends ExportContents {
  record_id: string;
}

/** Reads what records say, descriptions sealed; stored resources come about the bundle's patient. */
async function readContents(
  tx: Query,
  group: CursorRow[],
  { patientUrl }: ExportTarget,
): Promise<ContentsRow[]> {
  return await tx<ContentsRow>`
    select
      c.record_id,
      c.description,
      (c.fhir #> array[e.subject, 'reference'])::text as subject_reference,
      case
        when c.fhir ? e.subject
          then jsonb_set(c.fhir, array[e.subject, 'reference'], to_jsonb(${patientUrl}::text))
        else c.fhir
      end::text as fhir
    from public.medical_record_contents as c
    cross join lateral (
      select case when c.fhir ? 'subject' then 'subject' else 'patient' end as subject
    ) as e
    where c.record_id = any (string_to_array(${group.map(({ id }) => id).join(",")}, ',')::uuid[])`;
}

/** Puts descriptions into plain text, those of a group at a time. */
async function openContents(
  rows: ContentsRow[],
  { vault, patientId, keys }: Fields,
): Promise<Map<string, ExportContents>> {
  return new Map(
    await Promise.all(rows.map(async (row) => {
      const place = {
        column: "medical_record_contents.description",
        row_id: row.record_id,
      } as const;
      const description = await vault.open(patientId, keys, place, row.description);
      return [row.record_id, { ...row, description }] as const;
    })),
  );
}

const NO_CONTENTS: ExportContents = { description: null, fhir: null, subject_reference: null };

function toEntries(
  group: CursorRow[],
  contents: Map<string, ExportContents>,
  target: ExportTarget,
): string[] {
  return group.map((row) => toEntry(row, contents.get(row.id) ?? NO_CONTENTS, target));
}

/**
 * Asks anew by what the caller may read, and for the keys to it: of this moment, so that what was
 * erased while the export runs stays closed.
 *
 * @throws {AppError} When that is no longer what the export began with, or the session has ended.
 */
async function askAgain(deps: FieldDeps, caller: Caller, grant: Grant): Promise<Fields> {
  const { patientId } = grant;
  const [row] = await asCaller(deps.sql, caller, (tx) =>
    tx<{ grounds: string; keys: StoredKey[] }>`
      select
        array_to_string(private.export_grounds(${patientId}::uuid), ' ') as grounds,
        private.export_keys(${patientId}::uuid) as keys`);
  if (row?.grounds !== grant.grounds) {
    throw new AppError("not_found", "The right to read the records has ended or changed");
  }
  return { vault: deps.vault, patientId: patientId.toLowerCase(), keys: row.keys };
}
