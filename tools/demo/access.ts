// Who can see what: asks as a person, right now, and writes down a row of the table.

import { downloadRecordFile, RecordFileError } from "../../clients/records.ts";
import { type Client, granted, type Outcome, outcome } from "./outcome.ts";

/** What the demo looks at, again and again, as different people. */
export interface Target {
  patientId: string;
  /** Client of the patient, who may ask why somebody can see. */
  patientClient: Client;
  /** Record that is shared, which has a file. */
  sharedId: string;
  /** A record that is not shared. */
  otherId: string;
  /** Number of records that the patient has. */
  total: number;
}

/** What somebody got. */
export interface Access {
  /** Number of records in the list. */
  listed: number;
  shared: boolean;
  other: boolean;
  file: boolean;
}

/** A row of the table. */
export interface AccessRow {
  who: string;
  access: Access;
  expected: Access;
  /** The rules that the database names, `owner`, or `none`. */
  rules: string;
}

export const NOTHING: Access = { listed: 0, shared: false, other: false, file: false };
export const HEAD = ["who", "list", "shared record", "other records", "its file", "rule"];

/** Opens a record and reads what it says, as a client that follows the API does. */
export async function readRecord(client: Client, recordId: string): Promise<Outcome<string>> {
  const opened = await outcome(client.rpc("open_medical_record", { p_record_id: recordId }));
  if (opened.refusal) return { ...opened, data: null };
  const contents = await outcome(
    client.from("medical_record_contents").select().eq("record_id", recordId).maybeSingle(),
  );
  return { ...contents, data: contents.data?.record_id ?? null };
}

/** Tries everything on the target as a person. */
export async function look(
  who: string,
  { id, client }: { id: string; client: Client },
  expected: Access,
  target: Target,
): Promise<AccessRow> {
  const { patientId, patientClient, sharedId, otherId } = target;
  const { count } = await client.from("medical_records")
    .select("id", { count: "exact", head: true }).eq("patient_id", patientId);
  const shared = await readRecord(client, sharedId);
  const other = await readRecord(client, otherId);
  const file = await downloadRecordFile(client, sharedId).catch((refused) => {
    if (refused instanceof RecordFileError) return null;
    throw refused;
  });
  const rules = id === patientId ? [{ rule: "owner" }] : await granted(
    patientClient.rpc("why_can_see", { p_viewer_id: id, p_patient_id: patientId }),
  );
  return {
    who,
    access: {
      listed: count ?? 0,
      shared: shared.data !== null,
      other: other.data !== null,
      file: file ? (await new Response(file.stream).bytes()).length === file.file_size : false,
    },
    expected,
    rules: rules.map(({ rule }) => rule).join(", ") || "none",
  };
}

/** Whether somebody got exactly what they must. */
export function isAsExpected({ access, expected }: AccessRow): boolean {
  return JSON.stringify(access) === JSON.stringify(expected);
}

/** The cells of a row. */
export function toCells({ who, access, rules }: AccessRow, total: number): string[] {
  const yes = (allowed: boolean) => allowed ? "yes" : "no";
  const { listed, shared, other, file } = access;
  const list = listed === 0 ? "no" : `yes: ${listed} of ${total}`;
  return [who, list, yes(shared), yes(other), yes(file), rules];
}
