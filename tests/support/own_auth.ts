// Auth and the data API in the test's own process, on the database of the stack under test: keys,
// clock, settings and outbox are the test's, so tokens can be signed that must be refused, time can
// be moved, and hooks can be configured.

import type { SupabaseClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { createAuth } from "../../supabase/local/auth/auth.ts";
import { type AuthSettings, readAuthSettings } from "../../supabase/local/auth/settings.ts";
import type { Peer, StackContext } from "../../supabase/local/context.ts";
import { loadKeys } from "../../supabase/local/keys.ts";
import { createLite } from "../../supabase/local/lite.ts";
import { Outbox } from "../../supabase/local/outbox.ts";
import { createRest } from "../../supabase/local/rest.ts";
import { clientOf, type CodeMail, parseMail, present } from "./auth.ts";
import { testEnv } from "./env.ts";

/** Auth of one test. */
export interface OwnAuth {
  context: StackContext;
  /** Answers a request as the gateway would. */
  send: (request: Request, peer?: Peer) => Promise<Response>;
  newClient: (key?: string) => SupabaseClient;
  /** Moves the clock of Auth forward. PostgreSQL's own stays. */
  advance: (seconds: number) => void;
  /** The newest mail to an address. */
  latestMail: (email: string) => CodeMail;
}

/** Whether the stack under test lets a test do this. */
export const canOwnAuth = testEnv().adminUrl !== undefined;

/** Runs `work` with an Auth of its own; `settings` go over those of the project. */
export async function withOwnAuth(
  work: (auth: OwnAuth) => Promise<void>,
  settings: Partial<AuthSettings> = {},
): Promise<void> {
  const adminUrl = present(testEnv().adminUrl);
  const dataDir = await Deno.makeTempDir({ prefix: "auth-test-" });
  const admin = postgres(adminUrl, { max: 10, onnotice: () => {} });
  let ahead = 0;
  const context: StackContext = {
    apiUrl: "http://127.0.0.1:1",
    dbUrl: "",
    adminUrl,
    admin,
    keys: await loadKeys(dataDir),
    dataDir,
    outbox: new Outbox(),
    now: () => Date.now() + ahead * 1000,
  };
  const all = { ...readAuthSettings(), ...settings };
  const lite = createLite(context, all);
  const parts = { auth: createAuth(context, lite, all), rest: createRest(context, lite) };
  const send = async (request: Request, peer: Peer = { address: "127.0.0.1" }) => {
    const name = new URL(request.url).pathname.startsWith("/auth/") ? "auth" : "rest";
    return await parts[name](request, peer);
  };
  try {
    await work({
      context,
      send,
      newClient: (key) => clientOf(context.apiUrl, key ?? context.keys.publishable, send),
      advance: (seconds) => ahead += seconds,
      latestMail: (email) => parseMail(context.outbox.list(email).at(-1)?.text ?? ""),
    });
  } finally {
    await lite.close();
    await admin.end();
    await Deno.remove(dataDir, { recursive: true });
  }
}
