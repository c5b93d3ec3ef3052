// A bucket for storage tests with policies of its own: everybody may do anything below the folder
// that is named for them, and nothing elsewhere. Making policies needs the superuser, whom only the
// embedded stack gives away.

import type { SupabaseClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { newClient, testEnv } from "./env.ts";

/** A signed-up account. */
export interface ScratchUser {
  id: string;
  /** Access token. */
  token: string;
  client: SupabaseClient;
  files: ReturnType<SupabaseClient["storage"]["from"]>;
  /** Name of an object in the user's own folder. */
  own: (name: string) => string;
}

/** The bucket and those who use it. */
export interface Scratch {
  bucket: string;
  /** Superuser. */
  sql: postgres.Sql;
  /** Client with the secret key. */
  service: SupabaseClient;
  alice: ScratchUser;
  bob: ScratchUser;
  /** Makes another bucket, without policies; it goes with the rest. */
  addBucket: (
    options?: Parameters<SupabaseClient["storage"]["createBucket"]>[1],
  ) => Promise<string>;
  close: () => Promise<void>;
}

/** Whether the stack under test is the embedded one; says so once when it is not. */
export const onEmbeddedStack = testEnv().adminUrl !== undefined;
if (!onEmbeddedStack) {
  console.warn(
    "Storage tests are skipped: BL_LOCAL_ADMIN_URL is not set, so no policy can be made",
  );
}

/** Connection URL of the superuser. */
export function adminUrl(): string {
  const url = testEnv().adminUrl;
  if (!url) throw new Error("BL_LOCAL_ADMIN_URL is not set");
  return url;
}

/** Opens a pool of the superuser. */
export function adminPool(): postgres.Sql {
  return postgres(adminUrl(), { max: 10, onnotice: () => {} });
}

/** Makes the bucket, its policies and two accounts. */
export async function createScratch(): Promise<Scratch> {
  const sql = adminPool();
  const service = newClient(testEnv().secretKey);
  const buckets: string[] = [];
  const addBucket: Scratch["addBucket"] = async (options) => {
    const bucket = `scratch-${crypto.randomUUID()}`;
    const { error } = await service.storage.createBucket(bucket, options);
    if (error) throw error;
    buckets.push(bucket);
    return bucket;
  };
  const bucket = await addBucket();
  await sql.unsafe(policies(bucket));
  const close = async () => {
    for (const command of ["select", "insert", "update", "delete"]) {
      await sql.unsafe(`drop policy "${bucket} ${command}" on storage.objects`);
    }
    for (const made of buckets) {
      await service.storage.emptyBucket(made);
      await service.storage.deleteBucket(made);
    }
    await sql.end();
  };
  const [alice, bob] = [await signUp(bucket), await signUp(bucket)];
  return { bucket, sql, service, alice, bob, addBucket, close };
}

async function signUp(bucket: string): Promise<ScratchUser> {
  const client = newClient();
  const email = `storage-${crypto.randomUUID()}@example.org`;
  const { data, error } = await client.auth.signUp({ email, password: crypto.randomUUID() });
  if (error) throw error;
  const { user, session } = data;
  if (!user || !session) throw new Error("Sign-up gave no session");
  return {
    id: user.id,
    token: session.access_token,
    client,
    files: client.storage.from(bucket),
    own: (name) => `${user.id}/${name}`,
  };
}

function policies(bucket: string): string {
  const own =
    `bucket_id = '${bucket}' and (storage.foldername(name))[1] = (select auth.uid())::text`;
  return `
    create policy "${bucket} select" on storage.objects for select to authenticated using (${own});
    create policy "${bucket} insert" on storage.objects for insert to authenticated
      with check (${own});
    create policy "${bucket} update" on storage.objects for update to authenticated
      using (${own}) with check (${own});
    create policy "${bucket} delete" on storage.objects for delete to authenticated
      using (${own});`;
}

/** What a client sees of a refusal; throws when there was none. */
export function refusal(error: unknown) {
  if (!(error instanceof Error)) throw new Error("The request was not refused");
  const [status, statusCode, code] = ["status", "statusCode", "code"].map((name) =>
    Reflect.get(error, name)
  );
  return { status, statusCode, code, message: error.message };
}

/** Bytes that differ each time. */
export function randomBytes(size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 65536) {
    crypto.getRandomValues(bytes.subarray(at, Math.min(size, at + 65536)));
  }
  return bytes;
}

/** SHA-256 in hexadecimal. */
export async function sha256(bytes: BufferSource): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
