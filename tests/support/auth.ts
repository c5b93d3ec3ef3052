// What the tests of Auth share: people who sign up, their mails, what their tokens say, and requests
// as no client would send them.

import { createClient, type Session, type SupabaseClient } from "@supabase/supabase-js";
import { decodeJwt, type JWTPayload } from "jose";
import { Secret, TOTP } from "otpauth";
import { newClient, testEnv } from "./env.ts";

/** A password that meets the rules. */
export const PASSWORD = "correct horse battery";

/** `value`, which the test needs to go on. */
export function present<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error("A value that must be there is not");
  return value;
}

/** An address that nobody else has. */
export function newEmail(name = "person"): string {
  return `${name}-${crypto.randomUUID()}@example.org`;
}

/** A person with an account and a session. */
export interface Person {
  client: SupabaseClient;
  email: string;
  id: string;
  session: Session;
}

/** Signs somebody up by address and password. */
export async function newPerson(data: Record<string, unknown> = {}): Promise<Person> {
  const client = newClient();
  const email = newEmail();
  const answer = await client.auth.signUp({ email, password: PASSWORD, options: { data } });
  if (answer.error) throw answer.error;
  const session = present(answer.data.session);
  return { client, email, id: session.user.id, session };
}

/** A second session of a person. */
export async function signInAgain({ email }: Person): Promise<SupabaseClient> {
  const client = newClient();
  const { error } = await client.auth.signInWithPassword({ email, password: PASSWORD });
  if (error) throw error;
  return client;
}

/** The access token that a client holds. */
export async function tokenOf(client: SupabaseClient): Promise<string> {
  const { data } = await client.auth.getSession();
  return present(data.session).access_token;
}

/** Claims of the access token that a client holds. */
export async function claimsOf(client: SupabaseClient): Promise<JWTPayload> {
  return decodeJwt(await tokenOf(client));
}

/** A mail with a code. */
export interface CodeMail {
  /** The digits. */
  otp: string;
  /** The link, and the hash in it. */
  link: string;
  hash: string;
}

/** The newest mail to an address; only the embedded stack keeps what it would send. */
export async function latestMail(email: string): Promise<CodeMail> {
  const answer = await fetch(`${testEnv().url}/_local/outbox?to=${encodeURIComponent(email)}`);
  const mails: { text: string }[] = await answer.json();
  return parseMail(mails.at(-1)?.text ?? "");
}

/** The code and the link in the text of a mail; empty where there is none. */
export function parseMail(text: string): CodeMail {
  const otp = /\b\d{6}\b/.exec(text)?.[0] ?? "";
  const link = /https?:\S+/.exec(text)?.[0] ?? "";
  return { otp, link, hash: (link && new URL(link).searchParams.get("token")) ?? "" };
}

/** The code that an authenticator app with this secret shows, now or at another time. */
export function totpCode(secret: string, timestamp = Date.now()): string {
  return new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp });
}

/** A client whose requests a handler answers in this process. */
export function clientOf(
  url: string,
  key: string,
  answer?: (request: Request) => Response | Promise<Response>,
): SupabaseClient {
  const fetchIt: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    return await (answer ? answer(request) : fetch(request));
  };
  return createClient(url, key, {
    auth: { autoRefreshToken: false, persistSession: false, detectSessionInUrl: false },
    global: { fetch: fetchIt },
  });
}

/** A request to `/auth/v1` with the publishable key, in the newer shape of errors. */
export async function rawAuth(path: string, init: RequestInit = {}): Promise<Response> {
  const { url, publishableKey } = testEnv();
  const headers = new Headers(init.headers);
  if (!headers.has("apikey")) headers.set("apikey", publishableKey);
  if (!headers.has("x-supabase-api-version")) headers.set("x-supabase-api-version", "2024-01-01");
  return await fetch(`${url}/auth/v1${path}`, { ...init, headers, redirect: "manual" });
}

/** Posts JSON text to `/auth/v1`. */
export async function postAuth(path: string, body: string): Promise<Response> {
  return await rawAuth(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
}
