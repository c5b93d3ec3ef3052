// The people of the demo: they sign up, add an authenticator app, and one is made an administrator.

import { createClient } from "@supabase/supabase-js";
import { Secret, TOTP } from "otpauth";
import postgres from "postgres";
import type { Database } from "../../functions/_shared/database.types.ts";
import type { Client } from "./outcome.ts";
import type { RunningStack } from "./stack.ts";

/** Somebody with an account and a client that is signed in. */
export interface Person {
  name: string;
  id: string;
  email: string;
  client: Client;
}

/** A password that nobody will need after the demo. */
const password = crypto.randomUUID();

function newClient({ url, publishableKey }: RunningStack): Client {
  return createClient<Database>(url, publishableKey, {
    auth: { autoRefreshToken: false, persistSession: false },
  });
}

/** Signs somebody up under an address that is new at every run. */
export async function signUp(
  stack: RunningStack,
  name: string,
  role: "patient" | "caregiver" = "patient",
): Promise<Person> {
  const client = newClient(stack);
  const email = `demo-${crypto.randomUUID()}@example.org`;
  const { data, error } = await client.auth.signUp({
    email,
    password,
    options: { data: { display_name: name, role } },
  });
  if (error) throw error;
  if (!data.session) throw new Error("The sign-up gave no session: is confirmation by mail on?");
  return { name, id: data.session.user.id, email, client };
}

/** Signs a person in once more, with the password alone. */
export async function signInAgain(stack: RunningStack, person: Person): Promise<Person> {
  const client = newClient(stack);
  const { error } = await client.auth.signInWithPassword({ email: person.email, password });
  if (error) throw error;
  return { ...person, client };
}

/** Adds an authenticator app and signs in with its code, which raises the session to `aal2`. */
export async function useSecondFactor({ client }: Person): Promise<void> {
  const { data, error } = await client.auth.mfa.enroll({ factorType: "totp" });
  if (error) throw error;
  // What the app on the phone computes from the picture that it scanned.
  const code = new TOTP({ secret: Secret.fromBase32(data.totp.secret) }).generate();
  const verified = await client.auth.mfa.challengeAndVerify({ factorId: data.id, code });
  if (verified.error) throw verified.error;
}

/** Makes an administrator, as only a database administrator can. */
export async function makeAdministrator({ dbUrl }: RunningStack, { id }: Person): Promise<void> {
  const sql = postgres(dbUrl, { max: 1, onnotice: () => {} });
  try {
    await sql`update public.profiles set role = 'admin' where id = ${id}`;
  } finally {
    await sql.end();
  }
}
