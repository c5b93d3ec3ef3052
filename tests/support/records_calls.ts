// The function `records` as an HTTP client uses it, and what a story finds in records and Storage.

import { assertEquals } from "@std/assert";
import { sampleFile } from "../fixtures/files.ts";
import type { Fhir } from "../functions/bundles.ts";
import type { Person } from "./auth.ts";
import { testEnv } from "./env.ts";
import { must } from "./people.ts";
import { asUpload, seal } from "./sealed.ts";

/** Posts to the function; answers status, headers and the envelope's data or error. */
export async function call(
  person: Person | null,
  path: string,
  body?: object | string | Uint8Array<ArrayBuffer>,
) {
  const isRaw = typeof body === "string" || body instanceof Uint8Array;
  const response = await fetch(`${testEnv().url}/functions/v1/records/${path}`, {
    method: "POST",
    headers: {
      apikey: testEnv().publishableKey,
      "content-type": "application/json",
      ...person && { authorization: `Bearer ${person.session.access_token}` },
    },
    body: isRaw ? body : JSON.stringify(body ?? {}),
  });
  const { data, error } = await response.json();
  return { status: response.status, headers: response.headers, data, code: error?.code, error };
}

export async function newRecord(person: Person, patient_id = person.id): Promise<string> {
  const { id } = await must(
    person.client.from("medical_records")
      .insert({ patient_id, title: "CT of the chest", record_type: "imaging" }).select("id")
      .single(),
  );
  return id;
}

/**
 * Announces a file, seals bytes and uploads them to the signed address; answers where they lie, and the
 * body that completes the upload.
 */
export async function upload(
  person: Person,
  recordId: string,
  announced: object,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<{ path: string; done: { ciphertext_sha256: string } }> {
  const { status, data } = await call(person, `${recordId}/upload-url`, announced);
  assertEquals(status, 200);
  const sealed = await seal(bytes, data.encryption, recordId);
  const { error } = await person.client.storage.from("medical-records")
    .uploadToSignedUrl(data.path, data.token, asUpload(sealed));
  assertEquals(error, null);
  return { path: data.path, done: sealed.done };
}

/** A record of a person with its file. */
export async function newFile(person: Person): Promise<string> {
  const recordId = await newRecord(person);
  const { bytes, announced } = await sampleFile("application/pdf");
  const { done } = await upload(person, recordId, announced, bytes);
  assertEquals((await call(person, `${recordId}/complete`, done)).status, 200);
  return recordId;
}

/** What a patient's list holds, with contents, in an order of its own. */
export async function recordsOf(person: Person): Promise<Fhir[]> {
  return await must(
    person.client.from("medical_records")
      .select(
        "id, title, record_type, record_date, source, source_id, sensitivity, file_name, updated_at, medical_record_contents(fhir)",
      )
      .eq("patient_id", person.id).order("id"),
  );
}

export async function objectExists(path: string): Promise<boolean> {
  const { url, secretKey } = testEnv();
  const response = await fetch(`${url}/storage/v1/object/medical-records/${path}`, {
    headers: { apikey: secretKey, authorization: `Bearer ${secretKey}` },
  });
  await response.body?.cancel();
  return response.ok;
}

/** Calls the sweep until it has no more; answers how many files it swept. */
export async function sweepFiles(): Promise<number> {
  let total = 0;
  for (let round = 0; round < 50; round++) {
    const response = await fetch(`${testEnv().url}/functions/v1/records/sweep`, {
      method: "POST",
      headers: { apikey: testEnv().secretKey, authorization: `Bearer ${testEnv().secretKey}` },
    });
    assertEquals(response.status, 200);
    const { data } = await response.json();
    total += data.swept;
    if (!data.has_more) return total;
  }
  throw new Error("The sweep has more and more");
}
