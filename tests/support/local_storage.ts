// Storage in the test's own process, on the database of the stack under test: its keys, its clock
// and its files are the test's: tokens can be forged, time can be moved, and the folder can be read.

import { join } from "@std/path";
import type postgres from "postgres";
import { tokensOf } from "../../supabase/local/auth/tokens.ts";
import type { StackContext } from "../../supabase/local/context.ts";
import { loadKeys } from "../../supabase/local/keys.ts";
import { Outbox } from "../../supabase/local/outbox.ts";
import { createStorage } from "../../supabase/local/storage/storage.ts";
import { adminPool } from "./storage_scratch.ts";

/** Storage of a test. */
export interface LocalStorage {
  context: StackContext;
  sql: postgres.Sql;
  /** A private bucket without policies. */
  bucket: string;
  /** Moves the clock, in milliseconds since the epoch. */
  setNow: (now: number) => void;
  /** Sends a request to a path below `/storage/v1/`. */
  send: (path: string, init?: RequestInit) => Promise<Response>;
  /** As {@link send}, with the secret key. */
  asService: (path: string, init?: RequestInit) => Promise<Response>;
  /** An access token with these claims over the usual ones. */
  token: (claims?: Record<string, unknown>) => Promise<string>;
  /** Every file, below the folder of all of them. */
  files: () => Promise<string[]>;
}

/** Runs `work` with a Storage of its own and takes everything away again. */
export async function withLocalStorage(work: (storage: LocalStorage) => Promise<void>) {
  const dataDir = await Deno.makeTempDir({ prefix: "storage-test-" });
  const sql = adminPool();
  let now = Date.now();
  const bucket = `local-${crypto.randomUUID()}`;
  try {
    const context: StackContext = {
      apiUrl: "http://127.0.0.1:1",
      dbUrl: "",
      adminUrl: "",
      admin: sql,
      keys: await loadKeys(dataDir),
      dataDir,
      outbox: new Outbox(),
      now: () => now,
    };
    await sql`insert into storage.buckets (id, name) values (${bucket}, ${bucket})`;
    const part = createStorage(context);
    const send = async (path: string, init?: RequestInit) =>
      await part(new Request(`${context.apiUrl}/storage/v1/${path}`, init), {
        address: "127.0.0.1",
      });
    await work({
      context,
      sql,
      bucket,
      setNow: (value) => now = value,
      send,
      asService: (path, init) => {
        const headers = new Headers(init?.headers);
        headers.set("apikey", context.keys.secret);
        return send(path, { ...init, headers });
      },
      token: (claims) => accessToken(context, claims),
      files: () => filesBelow(join(dataDir, "storage")),
    });
  } finally {
    await sql.begin(async (tx) => {
      await tx`select set_config('storage.allow_delete_query', 'true', true)`;
      await tx`delete from storage.objects where bucket_id = ${bucket}`;
      await tx`delete from storage.buckets where id = ${bucket}`;
    });
    await sql.end();
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function accessToken(context: StackContext, claims: Record<string, unknown> = {}) {
  const seconds = Math.floor(context.now() / 1000);
  return await tokensOf(context).sign({
    ...{ aud: "authenticated", role: "authenticated", sub: crypto.randomUUID() },
    ...{ iss: `${context.apiUrl}/auth/v1`, iat: seconds, exp: seconds + 900 },
    ...claims,
  });
}

/** Paths of all files below a folder, relative to it, sorted. */
export async function filesBelow(folder: string, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const entry of Deno.readDir(folder)) {
      const path = `${prefix}${entry.name}`;
      if (entry.isDirectory) found.push(...await filesBelow(join(folder, entry.name), `${path}/`));
      else found.push(path);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort();
}
