// Records in stories: made, imported from a bundle, given a file, shared.

import type { SupabaseClient } from "@supabase/supabase-js";
import type { sampleFile } from "../fixtures/files.ts";
import { type Person, tokenOf } from "./auth.ts";
import { must } from "./people.ts";
import { type Answer, refusalOf, send } from "./requests.ts";
import { asUpload, seal } from "./sealed.ts";

/** Bucket of the files of records. */
export const BUCKET = "medical-records";

/** Posts JSON to the function `records` as the person whose session the client holds. */
export async function postRecords(
  client: SupabaseClient,
  path: string,
  body: unknown = {},
): Promise<Answer> {
  return await send(`/functions/v1/records/${path}`, {
    method: "POST",
    token: await tokenOf(client),
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

/** As {@link postRecords}, for a request that must succeed; answers `data`. */
export async function mustPost(client: SupabaseClient, path: string, body?: unknown) {
  const answer = await postRecords(client, path, body);
  if (answer.status !== 200) throw new Error(`POST ${path}: ${refusalOf(answer).join(" ")}`);
  return answer.body.data;
}

/** Adds a record by hand; answers its id. */
export async function newRecord(
  { client }: Person,
  patientId: string,
  values: Record<string, unknown> = {},
): Promise<string> {
  const { id } = await must(
    client.from("medical_records")
      .insert({ patient_id: patientId, title: "Chest CT", record_type: "imaging", ...values })
      .select("id").single<{ id: string }>(),
  );
  return id;
}

/** Days from now, as the API takes them. */
export function inDays(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString();
}

/** Shares a record; answers the share's id. */
export async function share(
  patient: Person,
  recordId: string,
  recipient: Person,
  { level = "view", until = inDays(7) } = {},
): Promise<string> {
  return await must(patient.client.rpc("share_medical_record", {
    p_record_id: recordId,
    p_shared_with_id: recipient.id,
    p_access_level: level,
    p_expires_at: until,
  }));
}

type Sample = Awaited<ReturnType<typeof sampleFile>>;

/** Announces a file, uploads `bytes` sealed, and says so; answers what the last step answered. */
export async function upload(
  { client }: Person,
  recordId: string,
  { announced, bytes }: Sample,
): Promise<Answer> {
  const { path, token, encryption } = await mustPost(
    client,
    `${recordId}/upload-url`,
    announced,
  );
  const sealed = await seal(bytes, encryption, recordId);
  await must(client.storage.from(BUCKET).uploadToSignedUrl(path, token, asUpload(sealed)));
  return await postRecords(client, `${recordId}/complete`, sealed.done);
}

/** Status and code of a call by supabase-js that was refused. */
export function refusal(
  { status, error }: { status: number; error: { code: string; message: string } | null },
): [status: number, code: string] {
  return refusalOf({ status, body: error, headers: new Headers() });
}
