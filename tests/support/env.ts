// Which stack the end-to-end tests talk to. Any Supabase project will do: the embedded one, one that
// `supabase start` runs, or a hosted one; what only the embedded stack has is undefined elsewhere.

import { createClient, type SupabaseClient } from "@supabase/supabase-js";

/** Addresses and keys of the stack under test. */
export interface TestEnv {
  url: string;
  publishableKey: string;
  secretKey: string;
  /** Connection URL of the role `postgres`. */
  dbUrl?: string;
  /** Connection URL of the superuser; only the embedded stack gives it away. */
  adminUrl?: string;
  /** `KEY_ENCRYPTION_KEYS` of the functions; only the embedded stack gives them away. */
  encryptionKeys?: string;
}

/** Reads the environment that `tools/with_stack.ts`, or the person testing, has set. */
export function testEnv(): TestEnv {
  return {
    url: required("SUPABASE_URL"),
    publishableKey: required("SUPABASE_PUBLISHABLE_KEY"),
    secretKey: required("SUPABASE_SECRET_KEY"),
    dbUrl: Deno.env.get("SUPABASE_DB_URL"),
    adminUrl: Deno.env.get("BL_LOCAL_ADMIN_URL"),
    encryptionKeys: Deno.env.get("BL_LOCAL_ENCRYPTION_KEYS"),
  };
}

function required(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`${name} is not set; run \`deno task test:e2e\``);
  return value;
}

/** A supabase-js client as an application would make it, without timers that outlive a test. */
export function newClient(key?: string): SupabaseClient {
  const env = testEnv();
  return createClient(env.url, key ?? env.publishableKey, {
    auth: { autoRefreshToken: false, persistSession: false, detectSessionInUrl: false },
  });
}
