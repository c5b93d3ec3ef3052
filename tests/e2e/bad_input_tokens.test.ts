// Tokens that must not count: with each of them every part of the stack refuses to read and to
// write, and the person in whose name it was made has lost nothing.

import { assert, assertEquals } from "@std/assert";
import { decodeJwt, decodeProtectedHeader, exportSPKI, generateKeyPair, importJWK } from "jose";
import { type JWK, type JWTPayload, SignJWT } from "jose";
import { dirname } from "@std/path";
import postgres from "postgres";
import { sampleFile } from "../fixtures/files.ts";
import { loadKeys } from "../../supabase/local/keys.ts";
import { type Person, present, signInAgain, tokenOf } from "../support/auth.ts";
import { assertUnchanged } from "../support/digest.ts";
import { testEnv } from "../support/env.ts";
import { databaseTest, must, newPatient } from "../support/people.ts";
import { newRecord } from "../support/records.ts";
import { type Answer, refusalOf, send } from "../support/requests.ts";

const encode = (value: unknown) =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value))
    .toBase64({ alphabet: "base64url", omitPadding: true });

/** A patient with a record, and every way in which a token could be used on them. */
async function newTarget() {
  const patient = await newPatient();
  const record = await newRecord(patient, patient.id);
  await must(patient.client.from("medical_record_contents").insert({ record_id: record }));
  const { announced } = await sampleFile("text/plain");
  const post = (path: string, token: string, body: unknown) =>
    send(path, { method: "POST", token, body: JSON.stringify(body) });
  const requests: Record<string, (token: string) => Promise<Answer>> = {
    "a select": (token) => send("/rest/v1/medical_records?select=*", { token }),
    "an embedded select": (token) =>
      send("/rest/v1/medical_records?select=id,medical_record_contents(*)", { token }),
    "an insert": (token) =>
      post("/rest/v1/medical_records", token, {
        ...{ patient_id: patient.id, title: "Forged", record_type: "other" },
      }),
    "an update": (token) =>
      send("/rest/v1/patients?id=not.is.null", {
        ...{ method: "PATCH", token, body: JSON.stringify({ last_name: "Forged" }) },
      }),
    "rpc that reads": (token) =>
      post("/rest/v1/rpc/open_medical_record", token, { p_record_id: record }),
    "a function": (token) => post(`/functions/v1/records/${record}/upload-url`, token, announced),
    "a file of the bucket avatars": (token) =>
      send(`/storage/v1/object/avatars/${patient.id}/face`, {
        ...{ method: "POST", token, body: "x", headers: { "content-type": "image/png" } },
      }),
    "a list of the bucket avatars": (token) =>
      post("/storage/v1/object/list/avatars", token, { prefix: "" }),
    "rpc that writes": (token) =>
      post("/rest/v1/rpc/delete_medical_record", token, { p_id: record }),
    "the account": (token) => send("/auth/v1/user", { token }),
  };
  return { patient, requests, token: await tokenOf(patient.client) };
}

type Target = Awaited<ReturnType<typeof newTarget>>;

/** What each request answers to a token that is none. */
function assertRefused(what: string, { status, body }: Answer, label: string) {
  const expected = /avatars/.test(what) ? [400, 401, 403] : what === "the account" ? [403] : [401];
  assert(expected.includes(status), `${label}, ${what}: ${status}`);
  assertEquals(JSON.stringify(body).includes("Chest CT"), false, `${label}, ${what}`);
}

async function assertAllRefused({ patient, requests }: Target, tokens: Record<string, string>) {
  await assertUnchanged([patient.id], async () => {
    for (const [label, token] of Object.entries(tokens)) {
      for (const [what, request] of Object.entries(requests)) {
        assertRefused(what, await request(token), label);
      }
    }
  });
}

/** Public key that the stack's tokens are verified by. */
async function publicJwk(): Promise<JWK> {
  const { url, publishableKey } = testEnv();
  const answer = await fetch(`${url}/auth/v1/.well-known/jwks.json`, {
    headers: { apikey: publishableKey },
  });
  const { keys: [key] } = await answer.json();
  return present(key);
}

databaseTest("the token that forgeries are made of is good", async () => {
  const { requests, token } = await newTarget();
  for (const [what, request] of Object.entries(requests)) {
    const { status } = await request(token);
    assert([200, 201, 204].includes(status), `${what}: ${status}`);
  }
});

databaseTest("a token that another key or no key has signed is refused everywhere", async () => {
  const target = await newTarget();
  const { token } = target;
  const claims = decodeJwt(token);
  const header = decodeProtectedHeader(token);
  const [, payload = "", signature = ""] = token.split(".");
  const jwk = await publicJwk();
  const { privateKey } = await generateKeyPair("ES256");
  const sign = (alg: string, key: CryptoKey | Uint8Array, more = {}) =>
    new SignJWT(claims).setProtectedHeader({ ...header, ...more, alg }).sign(key);
  const secret = (text: string) => new TextEncoder().encode(text);
  const publicKey = await importJWK({ ...jwk, kty: "EC" as const }, "ES256", { extractable: true });
  const pem = await exportSPKI(publicKey);

  await assertAllRefused(target, {
    "signed by another key": await sign("ES256", privateKey),
    "with another key id": await sign("ES256", privateKey, { kid: crypto.randomUUID() }),
    "without key id": await sign("ES256", privateKey, { kid: undefined }),
    "HS256 by the public key as JWK": await sign("HS256", secret(JSON.stringify(jwk))),
    "HS256 by the public key as PEM": await sign("HS256", secret(pem)),
    "HS256 by the public key's x": await sign("HS256", secret(present(jwk.x))),
    "HS256 by the publishable key": await sign("HS256", secret(testEnv().publishableKey)),
    "alg=none": `${encode({ ...header, alg: "none" })}.${payload}.`,
    "alg=None with the old signature": `${
      encode({ ...header, alg: "None" })
    }.${payload}.${signature}`,
    "without alg": `${encode({ typ: "JWT" })}.${payload}.${signature}`,
    "without signature": `${encode(header)}.${payload}.`,
    "with other claims": `${encode(header)}.${
      encode({ ...claims, role: "service_role" })
    }.${signature}`,
    "cut short": token.slice(0, -4),
    "of two parts": `${encode(header)}.${payload}`,
    "no token": "nonsense",
  });
});

/** The key that signs the tokens of the embedded stack; null where it is not to be had. */
async function signingKey(): Promise<JWK & { kid: string } | null> {
  const { adminUrl } = testEnv();
  if (!adminUrl) return null;
  const sql = postgres(adminUrl, { max: 1, onnotice: () => {} });
  try {
    const [row] = await sql`select current_setting('data_directory') as db`;
    return (await loadKeys(dirname(row?.db))).signing;
  } finally {
    await sql.end();
  }
}

const key = await signingKey();
if (!key) {
  console.warn("Tokens that have expired are not tested: only the embedded stack shows its key");
}

Deno.test({
  name: "a token of the right key that has expired, or is meant for others, is refused everywhere",
  ignore: !key,
  fn: async () => {
    const target = await newTarget();
    const claims = decodeJwt(target.token);
    const { kid, ...jwk } = present(key);
    const sign = async (changes: JWTPayload) =>
      await new SignJWT({ ...claims, ...changes })
        .setProtectedHeader({ alg: "ES256", kid, typ: "JWT" })
        .sign(await importJWK(jwk, "ES256"));
    const now = Math.floor(Date.now() / 1000);
    // The same key makes a good one: what is refused below is refused for its claims.
    const good = await target.requests["a select"]?.(await sign({ exp: now + 60 }));
    assertEquals([good?.status, good?.body.length], [200, 1]);

    await assertAllRefused(target, {
      "expired": await sign({ exp: now - 1 }),
      "expired long ago": await sign({ iat: now - 90_000, exp: now - 86_400 }),
      "without expiry": await sign({ exp: undefined }),
      "not valid yet": await sign({ nbf: now + 600 }),
      "of another audience": await sign({ aud: "somebody" }),
      "without audience": await sign({ aud: undefined }),
      "of another issuer": await sign({ iss: "https://elsewhere.example/auth/v1" }),
    });
  },
});

/** A request with the token of a session that has ended. */
async function endedSession(): Promise<Target & { person: Person }> {
  const target = await newTarget();
  // The person goes on in another session, so only this one has ended.
  const { client } = target.patient;
  const other = await signInAgain(target.patient);
  const { error } = await client.auth.signOut({ scope: "local" });
  if (error) throw error;
  return { ...target, person: { ...target.patient, client: other } };
}

databaseTest("a token whose session was signed out reads and writes nothing clinical", async () => {
  const { patient, person, requests, token } = await endedSession();
  const ask = async (what: string) => await present(requests[what])(token);

  await assertUnchanged([patient.id], async () => {
    // The data API takes the token, which has not expired, and finds no row with it.
    for (const what of ["a select", "an embedded select"]) {
      const { status, body } = await ask(what);
      assertEquals([status, body], [200, []], what);
    }
    assertEquals(refusalOf(await ask("an insert")), [403, "42501"]);
    await ask("an update");
    for (const what of ["rpc that reads", "rpc that writes", "a function"]) {
      assertEquals(refusalOf(await ask(what)), [401, "unauthenticated"], what);
    }
    assertEquals((await ask("the account")).status, 403);
  });
  assertEquals((await must(person.client.from("medical_records").select("id"))).length, 1);
});
