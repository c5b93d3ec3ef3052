// Administration of users with the secret key: who may, and what each call does.

import { assertEquals, assertMatch } from "@std/assert";
import {
  claimsOf,
  latestMail,
  newEmail,
  newPerson,
  PASSWORD,
  present,
  rawAuth,
  signInAgain,
  tokenOf,
  totpCode,
} from "../support/auth.ts";
import { newClient, testEnv } from "../support/env.ts";

const env = testEnv();
const { admin } = newClient(env.secretKey).auth;

/** bcrypt of "imported password" with cost 4. */
const IMPORTED_HASH = "$2b$04$eOCVKYHeqvJ55ic3zl8c5uUqV5IXR1R.0mpW7PNi7XOkXDwfMEgFC";

const ADMIN_PATHS: [method: string, path: string][] = [
  ["GET", "/admin/users"],
  ["POST", "/admin/users"],
  ["GET", "/admin/users/00000000-0000-4000-8000-000000000000"],
  ["PUT", "/admin/users/00000000-0000-4000-8000-000000000000"],
  ["DELETE", "/admin/users/00000000-0000-4000-8000-000000000000"],
  ["GET", "/admin/users/00000000-0000-4000-8000-000000000000/factors"],
  ["POST", "/admin/generate_link"],
  ["POST", "/invite"],
];

Deno.test("administration refuses the publishable key and every user", async () => {
  const { session } = await newPerson();
  for (const [method, path] of ADMIN_PATHS) {
    const body = method === "POST" || method === "PUT" ? "{}" : undefined;
    const anonymous = await rawAuth(path, { method, body });
    const user = await rawAuth(path, {
      method,
      body,
      headers: { authorization: `Bearer ${session.access_token}` },
    });
    const userWithSecret = await rawAuth(path, {
      method,
      body,
      headers: { authorization: `Bearer ${session.access_token}`, apikey: env.secretKey },
    });

    assertEquals([anonymous.status, (await anonymous.json()).code], [401, "no_authorization"]);
    assertEquals([user.status, (await user.json()).code], [403, "not_admin"]);
    assertEquals([userWithSecret.status, (await userWithSecret.json()).code], [403, "not_admin"]);
  }
});

Deno.test("createUser makes a user who can sign in", async () => {
  const email = newEmail();
  const { data, error } = await admin.createUser({
    email: email.toUpperCase(),
    password: PASSWORD,
    email_confirm: true,
    user_metadata: { first_name: "Mo" },
    app_metadata: { clinic: 7 },
  });

  assertEquals(error, null);
  const user = present(data.user);
  assertEquals(user.email, email);
  assertMatch(String(user.email_confirmed_at), /Z$/);
  assertEquals(user.user_metadata, { first_name: "Mo", email_verified: true });
  assertEquals(user.app_metadata, { provider: "email", providers: ["email"], clinic: 7 });
  assertEquals(user.identities?.length, 1);
  const signIn = await newClient().auth.signInWithPassword({ email, password: PASSWORD });
  assertEquals([signIn.error, signIn.data.user?.id], [null, user.id]);
});

Deno.test("createUser keeps a password hash of another system, and an id", async () => {
  const email = newEmail();
  const id = crypto.randomUUID();
  const { error } = await admin.createUser({
    id,
    email,
    email_confirm: true,
    password_hash: "not a hash",
  });
  assertEquals(error?.code, "validation_failed");
  const { data } = await admin.createUser({
    id,
    email,
    email_confirm: true,
    password_hash: IMPORTED_HASH,
  });

  assertEquals(data.user?.id, id);
  const password = "imported password";
  const signIn = await newClient().auth.signInWithPassword({ email, password });
  assertEquals(signIn.data.user?.id, id);
});

Deno.test("createUser refuses a taken address, a weak password, and nobody at all", async () => {
  const { email, id } = await newPerson();
  const taken = await admin.createUser({ email, password: "another password" });
  const weak = await admin.createUser({ email: newEmail(), password: "short" });
  const nobody = await admin.createUser({ password: PASSWORD });

  assertEquals([taken.error?.status, taken.error?.code], [422, "email_exists"]);
  assertEquals([weak.error?.status, weak.error?.code], [422, "weak_password"]);
  assertEquals([nobody.error?.status, nobody.error?.code], [400, "validation_failed"]);
  const signIn = await newClient().auth.signInWithPassword({ email, password: PASSWORD });
  assertEquals(signIn.data.user?.id, id);
});

Deno.test("getUserById answers the user, or says why not", async () => {
  const { id, email } = await newPerson();
  const found = await admin.getUserById(id);
  const absent = await admin.getUserById(crypto.randomUUID());
  const malformed = await rawAuth("/admin/users/7", { headers: { apikey: env.secretKey } });

  assertEquals([found.error, found.data.user?.email], [null, email]);
  assertEquals([absent.error?.status, absent.error?.code], [404, "user_not_found"]);
  assertEquals([malformed.status, (await malformed.json()).code], [404, "validation_failed"]);
});

Deno.test("listUsers answers pages from the newest on, with total and links", async () => {
  const people = [await newPerson(), await newPerson(), await newPerson()];
  const all = await admin.listUsers({ page: 1, perPage: 1000 });
  const small = await admin.listUsers({ page: 1, perPage: 2 });

  assertEquals([all.error, small.error, small.data.users.length], [null, null, 2]);
  // Other tests sign people up meanwhile; only our own have an order that is known.
  const ids = people.map(({ id }) => id);
  const listed = all.data.users.map(({ id }) => id).filter((id) => ids.includes(id));
  assertEquals(listed, [...ids].reverse());
  const answer = await rawAuth("/admin/users?page=2&per_page=1", {
    headers: { apikey: env.secretKey },
  });
  const { users, aud } = await answer.json();
  const total = Number(answer.headers.get("x-total-count"));
  assertEquals([users.length, aud, total >= 3], [1, "authenticated", true]);
  const link = (page: number, rel: string) =>
    `</admin/users?page=${page}&per_page=1>; rel="${rel}"`;
  assertEquals(answer.headers.get("link"), `${link(3, "next")}, ${link(total, "last")}`);
  const beyond = await rawAuth(`/admin/users?page=${total + 1000}&per_page=1`, {
    headers: { apikey: env.secretKey },
  });
  assertEquals((await beyond.json()).users, []);
  const bad = await rawAuth("/admin/users?page=x", { headers: { apikey: env.secretKey } });
  assertEquals([bad.status, (await bad.json()).code], [400, "validation_failed"]);
});

Deno.test("updateUserById merges metadata, changes address and role, and confirms", async () => {
  const { id, client } = await newPerson({ first_name: "Ada", nick: "A" });
  const email = newEmail("moved");
  const { data, error } = await admin.updateUserById(id, {
    email,
    email_confirm: true,
    user_metadata: { nick: null, color: "green" },
    app_metadata: { clinic: 7 },
  });

  assertEquals(error, null);
  const user = present(data.user);
  assertEquals([user.email, user.user_metadata.color, user.app_metadata.clinic], [
    email,
    "green",
    7,
  ]);
  assertEquals(user.user_metadata.first_name, "Ada");
  assertEquals("nick" in user.user_metadata, false);
  assertEquals(user.identities?.[0]?.identity_data?.email, email);
  await client.auth.refreshSession();
  assertEquals((await claimsOf(client)).app_metadata, {
    provider: "email",
    providers: ["email"],
    clinic: 7,
  });
  const other = await newPerson();
  const taken = await admin.updateUserById(id, { email: other.email });
  assertEquals([taken.error?.status, taken.error?.code], [422, "email_exists"]);
});

Deno.test("a password that an administrator sets ends every session", async () => {
  const person = await newPerson();
  const second = await signInAgain(person);
  const { error } = await admin.updateUserById(person.id, { password: "set by an admin" });

  assertEquals(error, null);
  for (const client of [person.client, second]) {
    const ended = await client.auth.getUser(await tokenOf(client));
    assertEquals(ended.error?.name, "AuthSessionMissingError");
  }
  const { email } = person;
  const signIn = await newClient().auth.signInWithPassword({ email, password: "set by an admin" });
  assertEquals(signIn.error, null);
});

Deno.test("a ban ends every session and refuses new ones, until it is lifted", async () => {
  const person = await newPerson();
  const { id, email, client, session } = person;
  const banned = await admin.updateUserById(id, { ban_duration: "24h" });
  assertMatch(String(banned.data.user?.banned_until), /Z$/);

  const signIn = await newClient().auth.signInWithPassword({ email, password: PASSWORD });
  assertEquals([signIn.error?.status, signIn.error?.code], [400, "user_banned"]);
  const user = await client.auth.getUser();
  assertEquals([user.data.user, user.error?.name], [null, "AuthSessionMissingError"]);
  const { refresh_token } = session;
  const refresh = await newClient().auth.refreshSession({ refresh_token });
  assertEquals([refresh.error?.status, refresh.data.session], [400, null]);
  const bad = await admin.updateUserById(id, { ban_duration: "soon" });
  assertEquals(bad.error?.code, "validation_failed");

  assertEquals((await admin.updateUserById(id, { ban_duration: "none" })).error, null);
  const again = await signInAgain(person);
  assertEquals((await again.auth.getUser()).data.user?.id, id);
});

Deno.test("deleteUser removes the user and ends the sessions", async () => {
  const { id, email, client } = await newPerson();
  assertEquals((await admin.deleteUser(id)).error, null);

  const token = await tokenOf(client);
  const user = await rawAuth("/user", { headers: { authorization: `Bearer ${token}` } });
  assertEquals([user.status, (await user.json()).code], [403, "user_not_found"]);
  assertEquals((await admin.getUserById(id)).error?.code, "user_not_found");
  assertEquals((await admin.deleteUser(id)).error?.code, "user_not_found");
  const again = await newClient().auth.signUp({ email, password: PASSWORD });
  assertEquals(again.error, null);
});

Deno.test("a soft delete keeps the row, without anything that tells whose it was", async () => {
  const { id, email, client } = await newPerson({ first_name: "Ada" });
  assertEquals((await admin.deleteUser(id, true)).error, null);

  const { data } = await admin.getUserById(id);
  const user = present(data.user);
  assertMatch(String((user as { deleted_at?: string }).deleted_at), /Z$/);
  assertEquals([user.user_metadata, user.app_metadata, user.identities], [{}, {}, []]);
  assertEquals(JSON.stringify(user).includes(email), false);
  assertEquals(JSON.stringify(user).includes("Ada"), false);
  assertEquals((await client.auth.getUser()).error?.name, "AuthSessionMissingError");
  const signIn = await newClient().auth.signInWithPassword({ email, password: PASSWORD });
  assertEquals(signIn.error?.code, "invalid_credentials");
});

Deno.test("an administrator lists and removes the factors of somebody who lost the device", async () => {
  const { id, client } = await newPerson();
  const { data } = await client.auth.mfa.enroll({ factorType: "totp", friendlyName: "phone" });
  const { id: factorId, totp } = present(data);
  await client.auth.mfa.challengeAndVerify({ factorId, code: totpCode(totp.secret) });

  const list = await admin.mfa.listFactors({ userId: id });
  assertEquals(list.data?.factors.map(({ id, status }) => [id, status]), [[factorId, "verified"]]);
  assertEquals(JSON.stringify(list.data).includes(totp.secret), false);
  const stranger = await newPerson();
  const foreign = await admin.mfa.deleteFactor({ userId: stranger.id, id: factorId });
  assertEquals(foreign.error?.code, "mfa_factor_not_found");
  assertEquals((await admin.mfa.deleteFactor({ userId: id, id: factorId })).error, null);
  await client.auth.refreshSession();
  assertEquals((await claimsOf(client)).aal, "aal1");
});

Deno.test("admin.signOut ends what its scope says", async () => {
  const person = await newPerson();
  const other = await signInAgain(person);
  const token = await tokenOf(person.client);
  assertEquals((await admin.signOut(token, "others")).error, null);
  assertEquals((await other.auth.getUser(await tokenOf(other))).data.user, null);
  assertEquals((await person.client.auth.getUser()).error, null);

  assertEquals((await admin.signOut(token, "global")).error, null);
  assertEquals((await person.client.auth.getUser(token)).error?.name, "AuthSessionMissingError");
  const refresh = await newClient().auth.refreshSession({
    refresh_token: person.session.refresh_token,
  });
  assertEquals(refresh.error?.code, "refresh_token_not_found");
});

for (const type of ["signup", "invite", "magiclink", "recovery"] as const) {
  Deno.test(`generateLink makes a ${type} link that verifyOtp takes, and sends no mail`, async () => {
    const known = type === "magiclink" || type === "recovery";
    const email = known ? (await newPerson()).email : newEmail();
    const options = { redirectTo: "http://127.0.0.1:3000/next" };
    const { data, error } = type === "signup"
      ? await admin.generateLink({ type, email, password: PASSWORD, options })
      : await admin.generateLink({ type, email, options });

    assertEquals(error, null);
    const { user, properties } = data;
    assertEquals(user?.email, email);
    const properly = present(properties);
    assertMatch(properly.email_otp, /^\d{6}$/);
    assertEquals([properly.verification_type, properly.redirect_to], [type, options.redirectTo]);
    const link = new URL(properly.action_link);
    assertEquals(link.origin + link.pathname, `${env.url}/auth/v1/verify`);
    assertEquals(link.searchParams.get("token"), properly.hashed_token);
    assertEquals(link.searchParams.get("type"), type);
    if (env.adminUrl) assertEquals((await latestMail(email)).otp, "");

    const verified = await newClient().auth.verifyOtp({
      token_hash: properly.hashed_token,
      type,
    });
    assertEquals([verified.error, verified.data.user?.email], [null, email]);
  });
}

Deno.test("generateLink of both sides changes an address", async () => {
  const { email, id } = await newPerson();
  const newAddress = newEmail("new");
  const params = { email, newEmail: newAddress };
  const current = await admin.generateLink({ type: "email_change_current", ...params });
  const next = await admin.generateLink({ type: "email_change_new", ...params });
  const verify = (token_hash = "") =>
    newClient().auth.verifyOtp({ token_hash, type: "email_change" });

  const half = await verify(current.data.properties?.hashed_token);
  assertEquals([half.error, half.data.session], [null, null]);
  const whole = await verify(next.data.properties?.hashed_token);
  assertEquals([whole.error, whole.data.user?.email], [null, newAddress]);
  assertEquals(whole.data.user?.id, id);
});

Deno.test("generateLink makes the account for a magic link, and refuses what cannot be", async () => {
  const email = newEmail();
  const made = await admin.generateLink({ type: "magiclink", email });
  assertEquals(made.data.properties?.verification_type, "signup");
  const { email: taken } = await newPerson();
  const refused = [
    await admin.generateLink({ type: "recovery", email: newEmail() }),
    await admin.generateLink({ type: "signup", email: taken, password: PASSWORD }),
    await admin.generateLink({ type: "invite", email: taken }),
    await admin.generateLink({ type: "signup", email: newEmail(), password: "short" }),
  ];

  assertEquals(refused.map(({ error }) => error?.code), [
    "user_not_found",
    "email_exists",
    "email_exists",
    "weak_password",
  ]);
});
