// Hooks: functions of the database that Auth asks. Each test makes its own functions and an Auth that
// is configured with them.

import { assertEquals } from "@std/assert";
import type postgres from "postgres";
import { parseAuthSettings } from "../../supabase/local/auth/settings.ts";
import { claimsOf, newEmail, PASSWORD, present, totpCode } from "../support/auth.ts";
import { canOwnAuth, type OwnAuth, withOwnAuth } from "../support/own_auth.ts";

/** Names of the hooks, as in config.toml. */
type Hook =
  | "before_user_created"
  | "custom_access_token"
  | "mfa_verification_attempt"
  | "password_verification_attempt";

/**
 * Runs `work` with an Auth whose `hook` is a function with this body. The function may note what it
 * was told in the table `seen` of its schema, which `work` gets the name of.
 */
async function withHook(
  hook: Hook,
  body: (schema: string) => string,
  work: (auth: OwnAuth, schema: string) => Promise<void>,
): Promise<void> {
  const schema = `probe_hook_${crypto.randomUUID().replaceAll("-", "")}`;
  const uri = `pg-functions://postgres/${schema}/hook`;
  const settings = parseAuthSettings(`
    [auth]
    enable_anonymous_sign_ins = true
    [auth.mfa.totp]
    enroll_enabled = true
    verify_enabled = true
    [auth.hook.${hook}]
    enabled = true
    uri = "${uri}"`);
  await withOwnAuth(async (auth) => {
    const { admin } = auth.context;
    await admin.unsafe(`
      create schema ${schema};
      create table ${schema}.seen (event jsonb);
      create function ${schema}.hook(event jsonb) returns jsonb language plpgsql
        set search_path = '' as $hook$ ${body(schema)} $hook$;
      grant usage on schema ${schema} to supabase_auth_admin;
      grant insert, select on ${schema}.seen to supabase_auth_admin;
      revoke execute on function ${schema}.hook(jsonb) from public;
      grant execute on function ${schema}.hook(jsonb) to supabase_auth_admin`);
    try {
      await work(auth, schema);
    } finally {
      await admin.unsafe(`drop schema ${schema} cascade`);
    }
  }, settings);
}

async function seen(sql: postgres.Sql, schema: string): Promise<Record<string, unknown>[]> {
  const rows = await sql`select event from ${sql(schema)}.seen`;
  return rows.map(({ event }) => event);
}

function hookTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `${name} (needs the embedded stack)`, ignore: !canOwnAuth, fn });
}

hookTest(
  "the access-token hook adds a claim to every token, and knows why it is made",
  () =>
    withHook(
      "custom_access_token",
      () =>
        `begin
      return jsonb_set(event, '{claims,why}', event -> 'authentication_method');
    end`,
      async ({ newClient }) => {
        const client = newClient();
        const email = newEmail();
        const why = async () => (await claimsOf(client)).why;
        await client.auth.signUp({ email, password: PASSWORD });
        assertEquals(await why(), "password");
        await client.auth.refreshSession();
        assertEquals(await why(), "token_refresh");
        const { data } = await client.auth.mfa.enroll({ factorType: "totp" });
        const { id, totp } = present(data);
        await client.auth.mfa.challengeAndVerify({ factorId: id, code: totpCode(totp.secret) });
        const claims = await claimsOf(client);
        assertEquals([claims.why, claims.aal, claims.email], ["totp", "aal2", email]);

        const anonymous = newClient();
        await anonymous.auth.signInAnonymously();
        assertEquals((await claimsOf(anonymous)).why, "anonymous");
      },
    ),
);

for (
  const [what, body, status, message] of [
    [
      "an error",
      `begin return '{"error": {"http_code": 403, "message": "Not today"}}'; end`,
      403,
      "Not today",
    ],
    ["no claims", `begin return '{}'; end`, 500, "output claims field is missing"],
    ["an exception", `begin raise exception 'with % inside', event; end`, 500, undefined],
    ["no end", `begin perform pg_sleep(3); return event; end`, 422, undefined],
  ] as const
) {
  hookTest(
    `an access-token hook that answers ${what} lets no token and no session out`,
    () =>
      withHook("custom_access_token", () => body, async ({ newClient, context: { admin } }) => {
        const client = newClient();
        const email = newEmail();
        const { data, error } = await client.auth.signUp({ email, password: PASSWORD });

        assertEquals([error?.status, data.session], [status, null]);
        if (message) assertEquals(error?.message, message);
        assertEquals(JSON.stringify(error).includes(email), false);
        const rows = await admin`
        select 1 from auth.sessions as s join auth.users as u on u.id = s.user_id
        where u.email = ${email}`;
        assertEquals(rows.length, 0);
      }),
  );
}

hookTest("an access-token hook may not leave out what every token has", () =>
  withHook(
    "custom_access_token",
    () => `begin return event #- '{claims,session_id}'; end`,
    async ({ newClient }) => {
      const { error } = await newClient().auth.signInAnonymously();

      assertEquals(error?.status, 500);
      assertEquals(/session_id/.test(error?.message ?? ""), true);
    },
  ));

hookTest("the hook before a user is created may refuse, and sees who it is", () =>
  withHook(
    "before_user_created",
    () =>
      `begin
      if event -> 'user' ->> 'email' like '%@example.org' then return '{}'; end if;
      return '{"error": {"http_code": 403, "message": "Only our own addresses"}}';
    end`,
    async ({ newClient, context }) => {
      const refused = "somebody@elsewhere.example";
      const attempts = [
        await newClient().auth.signUp({ email: refused, password: PASSWORD }),
        await newClient().auth.signInWithOtp({ email: refused }),
        await newClient().auth.signInAnonymously(),
        await newClient(context.keys.secret).auth.admin.inviteUserByEmail(refused),
      ];
      for (const { error } of attempts) {
        assertEquals([error?.status, error?.message], [403, "Only our own addresses"]);
      }
      const rows = await context.admin`select 1 from auth.users where email = ${refused}`;
      assertEquals(rows.length, 0);
      const own = await newClient().auth.signUp({ email: newEmail(), password: PASSWORD });
      assertEquals(own.error, null);
    },
  ));

hookTest(
  "the password hook hears every attempt, and its count outlives its refusal",
  () =>
    withHook(
      "password_verification_attempt",
      (schema) =>
        `declare
      v_failures integer;
    begin
      insert into ${schema}.seen values (event);
      select count(*) into v_failures from ${schema}.seen as s
      where not (s.event ->> 'valid')::boolean;
      if v_failures < 3 then return '{"decision": "continue"}'; end if;
      return '{"decision": "reject", "message": "Locked", "should_logout_user": true}';
    end`,
      async ({ newClient, context }, schema) => {
        const { admin } = context;
        const email = newEmail();
        const client = newClient();
        const { data } = await client.auth.signUp({ email, password: PASSWORD });
        const attempt = (password: string) =>
          newClient().auth.signInWithPassword({ email, password });
        assertEquals((await attempt(PASSWORD)).error, null);
        for (const _ of [1, 2]) {
          assertEquals((await attempt("wrong")).error?.message, "Invalid login credentials");
        }
        const third = await attempt("wrong");
        assertEquals([third.error?.code, third.error?.message], ["invalid_credentials", "Locked"]);
        const right = await attempt(PASSWORD);
        assertEquals([right.error?.message, right.data.session], ["Locked", null]);

        const events = await seen(admin, schema);
        assertEquals(events.map(({ valid }) => valid), [true, false, false, false, true]);
        assertEquals(events[0]?.user_id, data.user?.id);
        assertEquals((await client.auth.getUser()).error?.name, "AuthSessionMissingError");
      },
    ),
);

hookTest("the factor hook may reject a right code, and ends every session", () =>
  withHook(
    "mfa_verification_attempt",
    (schema) =>
      `begin
      insert into ${schema}.seen values (event);
      if (event ->> 'valid')::boolean then return '{"decision": "reject"}'; end if;
      return '{"decision": "continue"}';
    end`,
    async ({ newClient, context: { admin } }, schema) => {
      const client = newClient();
      await client.auth.signUp({ email: newEmail(), password: PASSWORD });
      const { data } = await client.auth.mfa.enroll({ factorType: "totp" });
      const { id, totp } = present(data);
      const wrong = await client.auth.mfa.challengeAndVerify({ factorId: id, code: "abcdef" });
      assertEquals(wrong.error?.code, "mfa_verification_failed");
      const right = await client.auth.mfa.challengeAndVerify({
        factorId: id,
        code: totpCode(totp.secret),
      });

      assertEquals([right.error?.status, right.error?.code], [403, "mfa_verification_rejected"]);
      assertEquals((await client.auth.getUser()).error?.name, "AuthSessionMissingError");
      const events = await seen(admin, schema);
      assertEquals(events.map(({ valid, factor_id }) => [valid, factor_id]), [
        [false, id],
        [true, id],
      ]);
    },
  ));
