// Sign-up, sign-in and one's own account, with the unmodified client.

import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import postgres from "postgres";
import {
  claimsOf,
  newEmail,
  newPerson,
  PASSWORD,
  postAuth,
  present,
  rawAuth,
  signInAgain,
  tokenOf,
} from "../support/auth.ts";
import { newClient, testEnv } from "../support/env.ts";

const env = testEnv();
const needsDatabase = { ignore: !env.dbUrl };

/** Runs `work` on a connection as the role `postgres`. */
async function withDatabase<T>(work: (db: postgres.Sql) => Promise<T>): Promise<T> {
  const db = postgres(env.dbUrl ?? "", { max: 1, onnotice: () => {} });
  try {
    return await work(db);
  } finally {
    await db.end();
  }
}

Deno.test("signUp answers a session whose token has every claim of a hosted one", async () => {
  const before = Math.floor(Date.now() / 1000);
  const { client, email, id, session } = await newPerson({ first_name: "Ada" });
  const claims = await claimsOf(client);
  const { exp, iat, session_id, amr, user_metadata, ...rest } = claims;

  assertEquals(rest, {
    iss: `${env.url}/auth/v1`,
    sub: id,
    aud: "authenticated",
    email,
    phone: "",
    app_metadata: { provider: "email", providers: ["email"] },
    role: "authenticated",
    aal: "aal1",
    is_anonymous: false,
  });
  assertEquals((user_metadata as Record<string, unknown>).first_name, "Ada");
  assertMatch(String(session_id), /^[0-9a-f-]{36}$/);
  assert(present(iat) >= before);
  assertEquals(present(exp) - present(iat), session.expires_in);
  assertEquals(session.expires_at, exp);
  const [method] = amr as { method: string; timestamp: number }[];
  assertEquals(method?.method, "password");
  assert(Number(method?.timestamp) >= before);
});

Deno.test("an access token of this project lives 900 seconds", async () => {
  const { session } = await newPerson();

  assertEquals(session.expires_in, 900);
});

Deno.test("getUser answers identities, and times in RFC 3339 with Z", async () => {
  const { client, email, id } = await newPerson();
  const { data, error } = await client.auth.getUser();

  assertEquals(error, null);
  const user = present(data.user);
  assertEquals(user.is_anonymous, false);
  assertEquals("factors" in user, false);
  const [identity] = user.identities ?? [];
  assertEquals([identity?.provider, identity?.id, identity?.user_id], ["email", id, id]);
  assertEquals(identity?.identity_data?.email, email);
  const times = [user.created_at, user.updated_at, user.email_confirmed_at, user.last_sign_in_at];
  for (const time of [...times, identity?.created_at]) {
    assertMatch(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
  }
});

Deno.test({
  name: "a trigger on auth.users reads what sign-up said (needs SUPABASE_DB_URL)",
  ...needsDatabase,
  fn: () =>
    withDatabase(async (db) => {
      await db.unsafe(`
        create schema if not exists probe_auth;
        create table probe_auth.seen (id uuid primary key, first_name text, provider text);
        create function probe_auth.see() returns trigger language plpgsql security definer
          set search_path = '' as $$
        begin
          insert into probe_auth.seen values
            (new.id, new.raw_user_meta_data ->> 'first_name', new.raw_app_meta_data ->> 'provider');
          return new;
        end $$;
        create trigger probe_see after insert on auth.users
          for each row execute function probe_auth.see();`);
      try {
        const { id } = await newPerson({ first_name: "Grace" });
        const seen = await db`select first_name, provider from probe_auth.seen where id = ${id}`;

        assertEquals([...seen], [{ first_name: "Grace", provider: "email" }]);
      } finally {
        // The trigger first: it stands in the way of sign-ups that other tests make meanwhile.
        await db.unsafe("drop function probe_auth.see() cascade");
        await db.unsafe("drop schema probe_auth cascade");
      }
    }),
});

Deno.test({
  name: "a trigger that raises stops the sign-up and leaves nothing (needs SUPABASE_DB_URL)",
  ...needsDatabase,
  fn: () =>
    withDatabase(async (db) => {
      const email = newEmail("refused");
      await db.unsafe(`
        create schema if not exists probe_auth;
        create function probe_auth.refuse() returns trigger language plpgsql set search_path = ''
          as $$ begin
            if new.email like 'refused-%' then raise exception 'no'; end if;
            return new;
          end $$;
        create trigger probe_refuse before insert on auth.users
          for each row execute function probe_auth.refuse();`);
      try {
        const { error } = await newClient().auth.signUp({ email, password: PASSWORD });

        assertEquals([error?.status, error?.name], [500, "AuthRetryableFetchError"]);
        assertEquals(error?.message, "Database error saving new user");
        assertEquals([...await db`select 1 from auth.users where email = ${email}`], []);
      } finally {
        await db.unsafe("drop function probe_auth.refuse() cascade");
        await db.unsafe("drop schema probe_auth cascade");
      }
    }),
});

Deno.test("signUp refuses a taken address, whatever its letter case", async () => {
  const { email, id } = await newPerson();
  const { error } = await newClient().auth.signUp({
    email: email.toUpperCase(),
    password: "another password",
  });

  assertEquals([error?.status, error?.code], [422, "user_already_exists"]);
  const { data } = await newClient().auth.signInWithPassword({ email, password: PASSWORD });
  assertEquals(data.user?.id, id);
});

Deno.test("ten parallel sign-ups with one address make one account", async () => {
  const email = newEmail();
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => newClient().auth.signUp({ email, password: PASSWORD })),
  );

  assertEquals(answers.filter(({ data }) => data.session).length, 1);
  const codes = answers.flatMap(({ error }) => error ? [error.code] : []);
  assertEquals(codes, Array(9).fill("user_already_exists"));
});

const REFUSED_SIGN_UPS: [what: string, body: string, status: number, code: string][] = [
  ["a short password", `{"email":"$","password":"short"}`, 422, "weak_password"],
  ["a long password", `{"email":"$","password":"${"x".repeat(73)}"}`, 400, "validation_failed"],
  ["no password", `{"email":"$"}`, 400, "validation_failed"],
  ["a malformed address", `{"email":"nobody","password":"12345678"}`, 400, "validation_failed"],
  ["a phone", `{"phone":"+15550100","password":"12345678"}`, 400, "phone_provider_disabled"],
  ["an address that is no text", `{"email":{},"password":"12345678"}`, 400, "bad_json"],
  ["a list for data", `{"email":"$","password":"12345678","data":[]}`, 400, "bad_json"],
  ["NUL in data", `{"email":"$","password":"12345678","data":{"a":"\\u0000"}}`, 400, "bad_json"],
  ["half a pair", `{"email":"$","password":"12345678","data":{"a":"\\ud800"}}`, 400, "bad_json"],
  ["text that is no JSON", `{`, 400, "bad_json"],
  ["an empty body", ``, 400, "bad_json"],
];

for (const [what, body, status, code] of REFUSED_SIGN_UPS) {
  Deno.test(`POST /signup refuses ${what} and makes no account`, async () => {
    const email = newEmail();
    const answer = await postAuth("/signup", body.replace("$", email));

    assertEquals(answer.status, status);
    assertEquals(answer.headers.get("x-sb-error-code"), code);
    const error = await answer.json();
    assertEquals(error.code, code);
    assertEquals(typeof error.message, "string");
    const signIn = await newClient().auth.signInWithPassword({ email, password: "12345678" });
    assertEquals(signIn.error?.code, "invalid_credentials");
  });
}

Deno.test("a weak password names its reasons to the client", async () => {
  const { error } = await newClient().auth.signUp({ email: newEmail(), password: "short" });

  assertEquals(error?.name, "AuthWeakPasswordError");
  assertEquals((error as { reasons?: string[] } | null)?.reasons, ["length"]);
});

Deno.test("an error has the older shape for a client that names no version", async () => {
  const answer = await rawAuth("/user", { headers: { "x-supabase-api-version": "" } });

  assertEquals(answer.status, 401);
  assertEquals(answer.headers.get("x-supabase-api-version"), null);
  assertEquals(await answer.json(), {
    code: 401,
    error_code: "no_authorization",
    msg: "This endpoint requires a valid Bearer token",
  });
});

Deno.test("a path that is not there answers JSON", async () => {
  const answer = await rawAuth("/nothing/here");

  assertEquals(answer.status, 404);
  assertEquals((await answer.json()).code, "not_found");
});

Deno.test("signInWithPassword refuses a wrong password and an unknown address alike", async () => {
  const { email } = await newPerson();
  const wrong = await newClient().auth.signInWithPassword({ email, password: "not the one" });
  const unknown = await newClient().auth.signInWithPassword({
    email: newEmail(),
    password: PASSWORD,
  });

  for (const { data, error } of [wrong, unknown]) {
    assertEquals([error?.status, error?.code], [400, "invalid_credentials"]);
    assertEquals(error?.message, "Invalid login credentials");
    assertEquals(data.session, null);
  }
});

Deno.test({
  name: "a session keeps address, client and an end after seven days (needs SUPABASE_DB_URL)",
  ...needsDatabase,
  fn: () =>
    withDatabase(async (db) => {
      const { client } = await newPerson();
      const { session_id } = await claimsOf(client);
      const [row] = await db`
        select host(ip) as ip, user_agent, aal,
               extract(epoch from not_after - created_at)::integer as life_seconds
        from auth.sessions where id = ${String(session_id)}`;

      assertMatch(String(row?.ip), /^[0-9a-f.:]+$/);
      assertMatch(String(row?.user_agent), /\S/);
      assertEquals([row?.aal, row?.life_seconds], ["aal1", 7 * 24 * 3600]);
    }),
});

Deno.test("signInAnonymously answers a session that says so, and refreshes", async () => {
  const client = newClient();
  const { data, error } = await client.auth.signInAnonymously({ options: { data: { shy: true } } });

  assertEquals(error, null);
  const user = present(data.user);
  assertEquals([user.email, user.phone, user.role], ["", "", "authenticated"]);
  assertEquals([user.app_metadata, user.user_metadata], [{}, { shy: true }]);
  assertEquals([user.identities, user.is_anonymous], [[], true]);
  const claims = await claimsOf(client);
  assertEquals([claims.is_anonymous, claims.aal, claims.email], [true, "aal1", ""]);
  assertEquals((claims.amr as { method: string }[])[0]?.method, "anonymous");

  assertEquals((await client.auth.refreshSession()).error, null);
  const refreshed = await claimsOf(client);
  assertEquals([refreshed.is_anonymous, refreshed.sub], [true, user.id]);
});

Deno.test("an anonymous user may not enroll a factor, nor set a password without an address", async () => {
  const client = newClient();
  await client.auth.signInAnonymously();
  const factor = await client.auth.mfa.enroll({ factorType: "totp" });
  const password = await client.auth.updateUser({ password: PASSWORD });

  assertEquals([factor.error?.status, factor.error?.code], [403, "no_authorization"]);
  assertEquals([password.error?.status, password.error?.code], [422, "validation_failed"]);
  const { data } = await client.auth.getUser();
  assertEquals(data.user?.is_anonymous, true);
});

Deno.test("an anonymous user who gives address and password keeps the id", async () => {
  const client = newClient();
  const { data } = await client.auth.signInAnonymously();
  const email = newEmail();
  const upgraded = await client.auth.updateUser({ email, password: PASSWORD });

  assertEquals(upgraded.error, null);
  assertEquals([upgraded.data.user?.email, upgraded.data.user?.is_anonymous], [email, false]);
  assertEquals(upgraded.data.user?.identities?.[0]?.provider, "email");
  const again = await newClient().auth.signInWithPassword({ email, password: PASSWORD });
  assertEquals(again.data.user?.id, data.user?.id);
  await client.auth.refreshSession();
  assertEquals((await claimsOf(client)).is_anonymous, false);
});

Deno.test("an anonymous user may not take another's address", async () => {
  const { email, id } = await newPerson();
  const client = newClient();
  await client.auth.signInAnonymously();
  const { error } = await client.auth.updateUser({ email, password: "stolen password" });

  assertEquals([error?.status, error?.code], [422, "email_exists"]);
  const owner = await newClient().auth.signInWithPassword({ email, password: PASSWORD });
  assertEquals(owner.data.user?.id, id);
});

Deno.test("a new password ends the other sessions, and the old one is no longer good", async () => {
  const person = await newPerson();
  const other = await signInAgain(person);
  const same = await person.client.auth.updateUser({ password: PASSWORD });
  assertEquals([same.error?.status, same.error?.code], [422, "same_password"]);
  assertEquals((await other.auth.getUser()).error, null);

  const changed = await person.client.auth.updateUser({ password: "a better password" });
  assertEquals(changed.error, null);
  assertEquals((await person.client.auth.getUser()).error, null);
  const ended = await other.auth.getUser(await tokenOf(other));
  assertEquals(ended.error?.name, "AuthSessionMissingError");
  const { email } = person;
  const old = await newClient().auth.signInWithPassword({ email, password: PASSWORD });
  assertEquals(old.error?.code, "invalid_credentials");
  const fresh = await newClient().auth.signInWithPassword({ email, password: "a better password" });
  assertEquals(fresh.error, null);
});

Deno.test("updateUser merges metadata, and refuses app_metadata", async () => {
  const { client, session } = await newPerson({ first_name: "Ada", nick: "A" });
  const { data } = await client.auth.updateUser({ data: { nick: null, color: "green" } });

  assertEquals(data.user?.user_metadata.first_name, "Ada");
  assertEquals(data.user?.user_metadata.color, "green");
  assertEquals("nick" in (data.user?.user_metadata ?? {}), false);
  const answer = await rawAuth("/user", {
    method: "PUT",
    headers: { authorization: `Bearer ${session.access_token}` },
    body: JSON.stringify({ app_metadata: { role: "admin" } }),
  });
  assertEquals(answer.status, 403);
  assertEquals((await answer.json()).code, "not_admin");
  const { data: after } = await client.auth.getUser();
  assertEquals(after.user?.app_metadata, { provider: "email", providers: ["email"] });
});

Deno.test("signOut ends the sessions of its scope, and no others", async () => {
  const person = await newPerson();
  const [second, third] = [await signInAgain(person), await signInAgain(person)];
  const tokens = await Promise.all([person.client, second, third].map(tokenOf));
  const alive = async () => {
    const answers = await Promise.all(tokens.map((token) => newClient().auth.getUser(token)));
    return answers.map(({ error }) => error === null);
  };

  await third.auth.signOut({ scope: "local" });
  assertEquals(await alive(), [true, true, false]);
  await person.client.auth.signOut({ scope: "others" });
  assertEquals(await alive(), [true, false, false]);
  await person.client.auth.signOut();
  assertEquals(await alive(), [false, false, false]);
});

Deno.test("a refresh token gives new tokens, and is exchanged for another", async () => {
  const { client, session } = await newPerson();
  const { data, error } = await client.auth.refreshSession();

  assertEquals(error, null);
  assertNotEquals(data.session?.refresh_token, session.refresh_token);
  const [before, after] = [await claimsOf(client), data.session?.user.id];
  assertEquals(before.sub, after);
  const unknown = await newClient().auth.refreshSession({ refresh_token: "not-a-token" });
  assertEquals([unknown.error?.status, unknown.error?.code], [400, "refresh_token_not_found"]);
});
