// One-time codes: every type that verifyOtp knows, links as a browser follows them, PKCE, and the
// change of an address. Codes are read from the outbox, which only the embedded stack keeps.

import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import type { EmailOtpType } from "@supabase/supabase-js";
import {
  claimsOf,
  latestMail,
  newEmail,
  newPerson,
  PASSWORD,
  postAuth,
  present,
  rawAuth,
} from "../support/auth.ts";
import { parseAuthSettings } from "../../supabase/local/auth/settings.ts";
import { newClient, testEnv } from "../support/env.ts";
import { canOwnAuth, withOwnAuth } from "../support/own_auth.ts";

const env = testEnv();
const DEFAULTS = parseAuthSettings("");

/** A test that reads mail. */
function mailTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `${name} (needs the embedded stack)`, ignore: !env.adminUrl, fn });
}

const WRONG = "000000";

/** A code that is not `otp`. */
const otherThan = (otp: string) => otp === WRONG ? "111111" : WRONG;

mailTest("signInWithOtp makes an account with its data, and its code signs in once", async () => {
  const client = newClient();
  const email = newEmail();
  const asked = await client.auth.signInWithOtp({
    email,
    options: { data: { first_name: "Lin" } },
  });
  assertEquals(asked.error, null);
  const { otp } = await latestMail(email);
  const wrong = await client.auth.verifyOtp({ email, token: otherThan(otp), type: "email" });
  assertEquals([wrong.error?.status, wrong.error?.code], [403, "otp_expired"]);

  const good = await client.auth.verifyOtp({ email, token: otp, type: "email" });
  assertEquals(good.error, null);
  assertEquals(good.data.user?.user_metadata.first_name, "Lin");
  const { amr, iat } = await claimsOf(client);
  const [entry] = amr as { method: string; timestamp: number }[];
  assertEquals([entry?.method, present(entry).timestamp <= present(iat)], ["otp", true]);
  const again = await newClient().auth.verifyOtp({ email, token: otp, type: "email" });
  assertEquals(again.error?.code, "otp_expired");
});

mailTest("signInWithOtp makes no account when told not to", async () => {
  const email = newEmail();
  const { error } = await newClient().auth.signInWithOtp({
    email,
    options: { shouldCreateUser: false },
  });

  assertEquals([error?.status, error?.code], [422, "otp_disabled"]);
  assertEquals((await latestMail(email)).otp, "");
});

for (const type of ["magiclink", "email"] satisfies EmailOtpType[]) {
  mailTest(`verifyOtp takes the hash of a link of type ${type}, once`, async () => {
    const { email, id } = await newPerson();
    await newClient().auth.signInWithOtp({ email });
    const { hash } = await latestMail(email);
    const good = await newClient().auth.verifyOtp({ token_hash: hash, type });
    const again = await newClient().auth.verifyOtp({ token_hash: hash, type });

    assertEquals([good.error, good.data.user?.id], [null, id]);
    assertEquals([again.error?.status, again.error?.code], [403, "otp_expired"]);
  });
}

mailTest("two parallel uses of one code give one session", async () => {
  const { email } = await newPerson();
  await newClient().auth.signInWithOtp({ email });
  const { otp } = await latestMail(email);
  const answers = await Promise.all(
    Array.from(
      { length: 8 },
      () => newClient().auth.verifyOtp({ email, token: otp, type: "email" }),
    ),
  );

  assertEquals(answers.filter(({ data }) => data.session).length, 1);
  assertEquals(
    new Set(answers.flatMap(({ error }) => error?.code ?? [])),
    new Set(["otp_expired"]),
  );
});

mailTest("a code is good for its own address and type only", async () => {
  const [one, other] = [await newPerson(), await newPerson()];
  await newClient().auth.signInWithOtp({ email: one.email });
  const { otp } = await latestMail(one.email);
  const attempts: { email: string; type: EmailOtpType }[] = [
    { email: other.email, type: "email" },
    { email: one.email, type: "signup" },
    { email: one.email, type: "email_change" },
  ];
  for (const { email, type } of attempts) {
    const { error } = await newClient().auth.verifyOtp({ email, token: otp, type });
    assertEquals(error?.code, "otp_expired");
  }
  const good = await newClient().auth.verifyOtp({ email: one.email, token: otp, type: "email" });
  assertEquals(good.data.user?.id, one.id);
});

mailTest("recovery lets a person set a new password", async () => {
  const { email } = await newPerson();
  const client = newClient();
  assertEquals((await client.auth.resetPasswordForEmail(email)).error, null);
  const { otp } = await latestMail(email);
  const good = await client.auth.verifyOtp({ email, token: otp, type: "recovery" });
  assertEquals(good.error, null);

  assertEquals((await client.auth.updateUser({ password: "a new password" })).error, null);
  const signIn = await newClient().auth.signInWithPassword({ email, password: "a new password" });
  assertEquals(signIn.error, null);
});

mailTest("recovery does not tell whether an address has an account", async () => {
  const email = newEmail();
  const { error } = await newClient().auth.resetPasswordForEmail(email);

  assertEquals(error, null);
  assertEquals((await latestMail(email)).otp, "");
});

for (
  const [what, body, status] of [
    ["no type", { token_hash: "x" }, 400],
    ["an unknown type", { type: "toString", token_hash: "x" }, 400],
    ["no code", { type: "email", email: "a@example.org" }, 400],
    ["no address", { type: "email", token: "123456" }, 400],
    ["a hash with an address", { type: "email", token_hash: "x", email: "a@example.org" }, 400],
    ["a hash that is none", { type: "email", token_hash: "x" }, 403],
  ] as const
) {
  Deno.test(`POST /verify refuses ${what}`, async () => {
    const answer = await postAuth("/verify", JSON.stringify(body));

    assertEquals(answer.status, status);
    const code = status === 403 ? "otp_expired" : "validation_failed";
    assertEquals((await answer.json()).code, code);
  });
}

mailTest("the link of a mail points to the API and ends at the site with tokens", async () => {
  const { email, id } = await newPerson();
  await newClient().auth.signInWithOtp({
    email,
    options: { emailRedirectTo: "http://127.0.0.1:3000/welcome?from=mail" },
  });
  const { link } = await latestMail(email);
  assertEquals(new URL(link).origin, env.url);

  const answer = await fetch(link, { redirect: "manual" });
  assertEquals(answer.status, 303);
  const target = new URL(present(answer.headers.get("location")));
  assertEquals(target.href.split("#")[0], "http://127.0.0.1:3000/welcome?from=mail");
  const tokens = new URLSearchParams(target.hash.slice(1));
  assertEquals([tokens.get("type"), tokens.get("token_type")], ["magiclink", "bearer"]);
  const client = newClient();
  const { data, error } = await client.auth.setSession({
    access_token: present(tokens.get("access_token")),
    refresh_token: present(tokens.get("refresh_token")),
  });
  assertEquals([error, data.user?.id], [null, id]);
  const claims = await claimsOf(client);
  assertEquals([claims.aal, claims.iss], ["aal1", `${env.url}/auth/v1`]);

  const again = await fetch(link, { redirect: "manual" });
  assertEquals(again.status, 303);
  assertEquals(
    new URL(present(again.headers.get("location"))).hash,
    "#error=access_denied&error_code=otp_expired&error_description=" +
      "Email+link+is+invalid+or+has+expired",
  );
});

mailTest("a link never leads to an address that the settings do not list", async () => {
  for (
    const wanted of [
      "https://evil.example/",
      "http://127.0.0.1.evil.example:3000/",
      "http://10.0.0.1/",
      "javascript:alert(1)",
      "//evil.example",
    ]
  ) {
    const { email } = await newPerson();
    await newClient().auth.signInWithOtp({ email, options: { emailRedirectTo: wanted } });
    const { link } = await latestMail(email);
    const url = new URL(link);
    assertEquals(url.searchParams.get("redirect_to"), "http://127.0.0.1:3000");
    // Nor when somebody edits the link.
    url.searchParams.set("redirect_to", wanted);
    const answer = await fetch(url, { redirect: "manual" });
    assertMatch(present(answer.headers.get("location")), /^http:\/\/127\.0\.0\.1:3000\/?#access_/);
  }
});

mailTest("a change of address needs both the old and the new one", async () => {
  const { client, email, id } = await newPerson();
  const newAddress = newEmail("new");
  const asked = await client.auth.updateUser({ email: newAddress });
  assertEquals([asked.error, asked.data.user?.email], [null, email]);
  assertEquals(asked.data.user?.new_email, newAddress);

  const [toOld, toNew] = [await latestMail(email), await latestMail(newAddress)];
  const type = "email_change";
  const half = await newClient().auth.verifyOtp({ email: newAddress, token: toNew.otp, type });
  assertEquals([half.error, half.data.session], [null, null]);
  assertEquals((await client.auth.getUser()).data.user?.email, email);
  const repeated = await newClient().auth.verifyOtp({ email: newAddress, token: toNew.otp, type });
  assertEquals(repeated.error?.code, "otp_expired");

  const whole = await newClient().auth.verifyOtp({ email, token: toOld.otp, type });
  assertEquals([whole.error, whole.data.user?.id], [null, id]);
  assertEquals(whole.data.user?.email, newAddress);
  assertEquals(whole.data.user?.identities?.[0]?.identity_data?.email, newAddress);
  const old = await newClient().auth.signInWithPassword({ email, password: PASSWORD });
  assertEquals(old.error?.code, "invalid_credentials");
  const moved = await newClient().auth.signInWithPassword({
    email: newAddress,
    password: PASSWORD,
  });
  assertEquals(moved.data.user?.id, id);
});

mailTest("an invited person comes in with the code and sets a password", async () => {
  const admin = newClient(env.secretKey);
  const email = newEmail();
  const invited = await admin.auth.admin.inviteUserByEmail(email, { data: { first_name: "Kim" } });
  assertEquals(invited.error, null);
  assertMatch(String(invited.data.user?.invited_at), /Z$/);
  assertEquals(invited.data.user?.email_confirmed_at, undefined);

  const client = newClient();
  const { hash } = await latestMail(email);
  const good = await client.auth.verifyOtp({ token_hash: hash, type: "invite" });
  assertEquals(good.error, null);
  assertEquals(good.data.user?.user_metadata.first_name, "Kim");
  assertMatch(String(good.data.user?.email_confirmed_at), /Z$/);
  assertEquals((await client.auth.updateUser({ password: PASSWORD })).error, null);
  const again = await admin.auth.admin.inviteUserByEmail(email);
  assertEquals([again.error?.status, again.error?.code], [422, "email_exists"]);
});

mailTest(
  "a PKCE client gets a code by its link, good once and with its verifier only",
  async () => {
    const { email, id } = await newPerson();
    const verifier = "v".repeat(50);
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
    const code_challenge = new Uint8Array(digest).toBase64({
      alphabet: "base64url",
      omitPadding: true,
    });
    const asked = await postAuth(
      "/otp",
      JSON.stringify({ email, code_challenge, code_challenge_method: "s256" }),
    );
    assertEquals([asked.status, await asked.json()], [200, {}]);
    const { link, hash } = await latestMail(email);
    assertMatch(hash, /^pkce_/);
    const answer = await fetch(link, { redirect: "manual" });
    const target = new URL(present(answer.headers.get("location")));
    assertEquals([answer.status, target.hash], [303, ""]);
    const auth_code = present(target.searchParams.get("code"));

    const exchange = (code_verifier: string) =>
      postAuth("/token?grant_type=pkce", JSON.stringify({ auth_code, code_verifier }));
    const wrong = await exchange("w".repeat(50));
    assertEquals([wrong.status, (await wrong.json()).code], [400, "bad_code_verifier"]);
    const good = await exchange(verifier);
    assertEquals(good.status, 200);
    const session = await good.json();
    assertEquals(session.user.id, id);
    const again = await exchange(verifier);
    assertEquals([again.status, (await again.json()).code], [404, "flow_state_not_found"]);
  },
);

Deno.test({
  name:
    "with confirmations on, sign-up gives no session before its code (needs the embedded stack)",
  ignore: !canOwnAuth,
  fn: () =>
    withOwnAuth(async ({ newClient, latestMail, advance, context }) => {
      const email = newEmail();
      const client = newClient();
      const asked = await client.auth.signUp({ email, password: PASSWORD });
      assertEquals([asked.error, asked.data.session], [null, null]);
      const early = await newClient().auth.signInWithPassword({ email, password: PASSWORD });
      assertEquals([early.error?.status, early.error?.code], [400, "email_not_confirmed"]);

      const first = latestMail(email);
      const soon = await client.auth.resend({ type: "signup", email });
      assertEquals(soon.error?.code, "over_email_send_rate_limit");
      advance(61);
      assertEquals((await client.auth.resend({ type: "signup", email })).error, null);
      const second = latestMail(email);
      assertNotEquals(second.hash, first.hash);
      const old = await client.auth.verifyOtp({ token_hash: first.hash, type: "signup" });
      assertEquals(old.error?.code, "otp_expired");
      const good = await client.auth.verifyOtp({ email, token: second.otp, type: "signup" });
      assertEquals(good.error, null);
      assertEquals(good.data.user?.user_metadata.email_verified, true);

      // Signing up again with the address tells nothing of the account that has it.
      const probe = await newClient().auth.signUp({ email, password: "another password" });
      assertEquals([probe.error, probe.data.session, probe.data.user?.identities], [
        null,
        null,
        [],
      ]);
      assertNotEquals(probe.data.user?.id, good.data.user?.id);
      assertEquals(context.outbox.list(email).length, 2);
    }, { email: { ...DEFAULTS.email, enable_confirmations: true } }),
});

Deno.test({
  name: "an old session needs a code from a mail to change the password (needs the embedded stack)",
  ignore: !canOwnAuth,
  fn: () =>
    withOwnAuth(async ({ newClient, latestMail, advance }) => {
      const email = newEmail();
      const client = newClient();
      await client.auth.signUp({ email, password: PASSWORD });
      advance(25 * 3600);
      await client.auth.refreshSession();
      const bare = await client.auth.updateUser({ password: "a new password" });
      assertEquals([bare.error?.status, bare.error?.code], [400, "reauthentication_needed"]);

      assertEquals((await client.auth.reauthenticate()).error, null);
      const { otp, link } = latestMail(email);
      assertEquals(link, "");
      const wrong = await client.auth.updateUser({
        password: "a new password",
        nonce: otherThan(otp),
      });
      assertEquals(wrong.error?.code, "reauthentication_not_valid");
      const good = await client.auth.updateUser({ password: "a new password", nonce: otp });
      assertEquals(good.error, null);
      const signIn = await newClient().auth.signInWithPassword({
        email,
        password: "a new password",
      });
      assertEquals(signIn.error, null);
    }, { email: { ...DEFAULTS.email, secure_password_change: true } }),
});

Deno.test("GET /verify without a type or a token answers JSON", async () => {
  for (const query of ["", "?type=magiclink", "?token=x", "?type=nothing&token=x"]) {
    const answer = await rawAuth(`/verify${query}`);
    assertEquals([answer.status, (await answer.json()).code], [400, "validation_failed"]);
  }
});
