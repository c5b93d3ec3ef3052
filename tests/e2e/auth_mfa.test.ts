// Multi-factor authentication with an authenticator app, with the unmodified client.

import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import type { SupabaseClient } from "@supabase/supabase-js";
import type { JWTPayload } from "jose";
import {
  claimsOf,
  newPerson,
  PASSWORD,
  type Person,
  present,
  rawAuth,
  signInAgain,
  tokenOf,
  totpCode,
} from "../support/auth.ts";
import { newClient, testEnv } from "../support/env.ts";
import { canOwnAuth, withOwnAuth } from "../support/own_auth.ts";

/** Enrolls a factor and answers its id and secret. */
async function enroll(client: SupabaseClient, friendlyName = "phone") {
  const { data, error } = await client.auth.mfa.enroll({ factorType: "totp", friendlyName });
  if (error) throw error;
  return { factorId: data.id, secret: data.totp.secret };
}

/** A person with a verified factor, signed in at `aal2`. */
async function newPersonWithFactor(): Promise<Person & { factorId: string; secret: string }> {
  const person = await newPerson();
  const factor = await enroll(person.client);
  const { error } = await person.client.auth.mfa.challengeAndVerify({
    factorId: factor.factorId,
    code: totpCode(factor.secret),
  });
  if (error) throw error;
  return { ...person, ...factor };
}

/** Methods of the claim `amr`, newest first. */
const methodsOf = ({ amr }: JWTPayload) => (amr as { method: string }[]).map((one) => one.method);

const wrongCode = (secret: string) => {
  const near = [-60_000, -30_000, 0, 30_000, 60_000].map((ms) => totpCode(secret, Date.now() + ms));
  return ["000000", "111111", "222222"].find((code) => !near.includes(code)) ?? "333333";
};

Deno.test("enroll answers secret, address and picture, and never shows the secret again", async () => {
  const { client, email } = await newPerson();
  const { data, error } = await client.auth.mfa.enroll({
    factorType: "totp",
    friendlyName: "my phone",
    issuer: "Beautiful Life",
  });

  assertEquals(error, null);
  const { id, type, friendly_name, totp } = present(data);
  assertEquals([type, friendly_name], ["totp", "my phone"]);
  assertMatch(totp.secret, /^[A-Z2-7]{32}$/);
  assertMatch(totp.qr_code, /^data:image\/svg\+xml;utf-8,<svg /);
  const uri = new URL(totp.uri);
  assertEquals(uri.protocol, "otpauth:");
  assertEquals([uri.host, decodeURIComponent(uri.pathname)], ["totp", `/Beautiful Life:${email}`]);
  const { issuer, digits, period, algorithm, secret } = Object.fromEntries(uri.searchParams);
  assertEquals(
    [issuer, digits, period, algorithm, secret],
    ["Beautiful Life", "6", "30", "SHA1", totp.secret],
  );
  const user = await client.auth.getUser();
  assertEquals(user.data.user?.factors?.map(({ id, status }) => [id, status]), [[
    id,
    "unverified",
  ]]);
  assertEquals(JSON.stringify(user.data).includes(totp.secret), false);
});

Deno.test("a wrong code leaves the session at aal1, the right one raises it", async () => {
  const { client } = await newPerson();
  const { factorId, secret } = await enroll(client);
  const level = () => client.auth.mfa.getAuthenticatorAssuranceLevel();
  const { data: challenge } = await client.auth.mfa.challenge({ factorId });
  const challengeId = present(challenge).id;
  const wrong = await client.auth.mfa.verify({ factorId, challengeId, code: wrongCode(secret) });

  assertEquals([wrong.error?.status, wrong.error?.code], [422, "mfa_verification_failed"]);
  assertEquals((await level()).data?.currentLevel, "aal1");
  const before = await tokenOf(client);
  const right = await client.auth.mfa.verify({ factorId, challengeId, code: totpCode(secret) });
  assertEquals(right.error, null);
  assertNotEquals(await tokenOf(client), before);
  const { data } = await level();
  assertEquals([data?.currentLevel, data?.nextLevel], ["aal2", "aal2"]);
  assertEquals(methodsOf(await claimsOf(client)), ["totp", "password"]);
});

Deno.test("a session stays at aal2 through a refresh, and a new one starts at aal1", async () => {
  const person = await newPersonWithFactor();
  assertEquals((await person.client.auth.refreshSession()).error, null);
  assertEquals((await claimsOf(person.client)).aal, "aal2");

  const fresh = await signInAgain(person);
  const { data } = await fresh.auth.mfa.getAuthenticatorAssuranceLevel();
  assertEquals([data?.currentLevel, data?.nextLevel], ["aal1", "aal2"]);
});

Deno.test("raising one session ends the others that are lower, and no higher ones", async () => {
  const person = await newPerson();
  const { factorId, secret } = await enroll(person.client);
  const [low, second] = [await signInAgain(person), await signInAgain(person)];
  const raise = (client: SupabaseClient) =>
    client.auth.mfa.challengeAndVerify({ factorId, code: totpCode(secret) });
  assertEquals((await raise(person.client)).error, null);
  for (const ended of [low, second]) {
    const { error } = await ended.auth.getUser(await tokenOf(ended));
    assertEquals(error?.name, "AuthSessionMissingError");
  }

  const third = await signInAgain(person);
  assertEquals((await raise(third)).error, null);
  assertEquals((await person.client.auth.getUser()).error, null);
  assertEquals((await third.auth.getUser()).error, null);
});

Deno.test("a raised session's old refresh token no longer gives an aal1 session", async () => {
  const person = await newPerson();
  const old = person.session.refresh_token;
  const { factorId, secret } = await enroll(person.client);
  await person.client.auth.mfa.challengeAndVerify({ factorId, code: totpCode(secret) });
  const { data } = await newClient().auth.refreshSession({ refresh_token: old });

  // Within its ten seconds the old token still answers, with what the session now is.
  const { data: claims } = await newClient().auth.getClaims(present(data.session).access_token);
  assertEquals(claims?.claims.aal, "aal2");
});

Deno.test("a challenge is good once, and for its own factor and owner", async () => {
  const person = await newPerson();
  const { factorId, secret } = await enroll(person.client);
  const { data: challenge } = await person.client.auth.mfa.challenge({ factorId });
  const challengeId = present(challenge).id;
  const stranger = await newPerson();
  const own = await enroll(stranger.client);
  const code = totpCode(secret);

  const foreign = await stranger.client.auth.mfa.verify({ factorId, challengeId, code });
  assertEquals([foreign.error?.status, foreign.error?.code], [404, "mfa_factor_not_found"]);
  const crossed = await stranger.client.auth.mfa.verify({
    factorId: own.factorId,
    challengeId,
    code: totpCode(own.secret),
  });
  assertEquals([crossed.error?.status, crossed.error?.code], [422, "mfa_factor_not_found"]);
  const challenged = await stranger.client.auth.mfa.challenge({ factorId });
  assertEquals(challenged.error?.code, "mfa_factor_not_found");

  // Requests of their own: those of one client take turns.
  const answers = await Promise.all(
    Array.from({ length: 4 }, () =>
      rawAuth(`/factors/${factorId}/verify`, {
        method: "POST",
        headers: { authorization: `Bearer ${person.session.access_token}` },
        body: JSON.stringify({ challenge_id: challengeId, code }),
      })),
  );
  const codes = await Promise.all(answers.map(async (answer) => (await answer.json()).code));
  assertEquals(answers.filter(({ status }) => status === 200).length, 1);
  assertEquals(codes.filter((one) => one === "mfa_ip_address_mismatch").length, 3);
  assertEquals((await stranger.client.auth.getUser()).data.user?.factors?.length, 1);
});

Deno.test("two sessions of one person may be raised at the same time", async () => {
  const person = await newPerson();
  const { factorId, secret } = await enroll(person.client);
  const clients = [person.client, ...await Promise.all([1, 2, 3].map(() => signInAgain(person)))];
  const answers = await Promise.all(
    clients.map((client) =>
      client.auth.mfa.challengeAndVerify({ factorId, code: totpCode(secret) })
    ),
  );

  // The first ends the lower ones; whoever comes later finds the session gone, and nothing breaks.
  const codes = answers.map(({ error }) => error?.name ?? "raised");
  assertEquals(codes.filter((name) => name === "raised").length >= 1, true);
  const statuses = answers.map(({ error }) => error?.status ?? 200);
  assertEquals(statuses.every((status) => status < 500), true);
});

Deno.test("a second factor needs aal2, and its name must be free", async () => {
  const person = await newPersonWithFactor();
  const low = await signInAgain(person);
  const refused = await low.auth.mfa.enroll({ factorType: "totp", friendlyName: "tablet" });
  assertEquals([refused.error?.status, refused.error?.code], [403, "insufficient_aal"]);

  const { mfa } = person.client.auth;
  const same = await mfa.enroll({ factorType: "totp", friendlyName: "phone" });
  assertEquals([same.error?.status, same.error?.code], [422, "mfa_factor_name_conflict"]);
  const other = await mfa.enroll({ factorType: "totp", friendlyName: "tablet" });
  assertEquals(other.error, null);
});

Deno.test("unenroll needs aal2 for a verified factor, and lowers what it had raised", async () => {
  const person = await newPersonWithFactor();
  const { factorId } = person;
  const low = await signInAgain(person);
  const refused = await low.auth.mfa.unenroll({ factorId });
  assertEquals([refused.error?.status, refused.error?.code], [422, "insufficient_aal"]);
  const stranger = await newPerson();
  const foreign = await stranger.client.auth.mfa.unenroll({ factorId });
  assertEquals([foreign.error?.status, foreign.error?.code], [404, "mfa_factor_not_found"]);

  assertEquals((await person.client.auth.mfa.unenroll({ factorId })).data, { id: factorId });
  assertEquals((await claimsOf(person.client)).aal, "aal2");
  await person.client.auth.refreshSession();
  const claims = await claimsOf(person.client);
  assertEquals(claims.aal, "aal1");
  assertEquals(methodsOf(claims), ["password"]);
});

Deno.test("at aal1 a person with a factor changes neither password nor address", async () => {
  const person = await newPersonWithFactor();
  const low = await signInAgain(person);
  for (const change of [{ password: "stolen password" }, { email: "thief@example.org" }]) {
    const { error } = await low.auth.updateUser(change);
    assertEquals([error?.status, error?.code], [401, "insufficient_aal"]);
  }
  assertEquals((await low.auth.updateUser({ data: { nick: "A" } })).error, null);
  const changed = await person.client.auth.updateUser({ password: "a new password" });
  assertEquals(changed.error, null);
  const { email } = person;
  const old = await newClient().auth.signInWithPassword({ email, password: PASSWORD });
  assertEquals(old.error?.code, "invalid_credentials");
});

Deno.test("a code of a minute ago or to come is refused, one of the next step is not", async () => {
  const { client } = await newPerson();
  const { factorId, secret } = await enroll(client);
  const attempt = (offsetMs: number) =>
    client.auth.mfa.challengeAndVerify({ factorId, code: totpCode(secret, Date.now() + offsetMs) });

  assertEquals((await attempt(-90_000)).error?.code, "mfa_verification_failed");
  assertEquals((await attempt(90_000)).error?.code, "mfa_verification_failed");
  assertEquals((await attempt(30_000)).error, null);
});

for (
  const [type, status, code] of [
    ["phone", 422, "mfa_phone_enroll_not_enabled"],
    ["webauthn", 422, "mfa_webauthn_enroll_not_enabled"],
    ["sms", 400, "validation_failed"],
  ] as const
) {
  Deno.test(`a factor of type ${type} is refused`, async () => {
    const { session, client } = await newPerson();
    const answer = await rawAuth("/factors", {
      method: "POST",
      headers: { authorization: `Bearer ${session.access_token}` },
      body: JSON.stringify({ factor_type: type, phone: "+15550100" }),
    });

    assertEquals([answer.status, (await answer.json()).code], [status, code]);
    assertEquals((await client.auth.getUser()).data.user?.factors, undefined);
  });
}

Deno.test("the factor routes need a session", async () => {
  for (const path of ["/factors", "/factors/x/challenge", "/factors/x/verify"]) {
    const answer = await rawAuth(path, { method: "POST", body: "{}" });
    assertEquals([answer.status, (await answer.json()).code], [401, "no_authorization"]);
  }
  const secret = await rawAuth("/factors", {
    method: "POST",
    body: "{}",
    headers: { apikey: testEnv().secretKey },
  });
  assertEquals([secret.status, (await secret.json()).code], [401, "no_authorization"]);
});

Deno.test({
  name: "verify refuses a challenge that was made from another address (needs the embedded stack)",
  ignore: !canOwnAuth,
  fn: () =>
    withOwnAuth(async ({ context, newClient, send }) => {
      const client = newClient();
      const { data } = await client.auth.signUp({
        email: `${crypto.randomUUID()}@example.org`,
        password: PASSWORD,
      });
      const { factorId, secret } = await enroll(client);
      const { data: challenge } = await client.auth.mfa.challenge({ factorId });
      const verify = async (address: string) => {
        const request = new Request(`${context.apiUrl}/auth/v1/factors/${factorId}/verify`, {
          method: "POST",
          headers: {
            apikey: context.keys.publishable,
            authorization: `Bearer ${data.session?.access_token}`,
            "x-supabase-api-version": "2024-01-01",
          },
          body: JSON.stringify({ challenge_id: challenge?.id, code: totpCode(secret) }),
        });
        const answer = await send(request, { address });
        return [answer.status, (await answer.json()).code];
      };

      assertEquals(await verify("192.0.2.7"), [422, "mfa_ip_address_mismatch"]);
      assertEquals(await verify("127.0.0.1"), [200, undefined]);
    }),
});
