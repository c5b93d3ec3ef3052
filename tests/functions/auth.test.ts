// Which tokens are taken: each way in which a token can be wrong, by itself.

import { assertEquals } from "@std/assert";
import { exportSPKI, generateKeyPair, importJWK, type JWTPayload } from "jose";
import { newApp } from "../../functions/_shared/app.ts";
import { ok } from "../../functions/_shared/envelope.ts";
import {
  assertFailure,
  assertSuccess,
  CALLER_ID,
  fakeDeps,
  goodClaims,
  ISSUER,
  publicJwk,
  sign,
} from "./support.ts";

const KEY = { alg: "ES256", kid: publicJwk.kid };
const now = () => Math.floor(Date.now() / 1000);
const encoder = new TextEncoder();

function base64url(value: object | string): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return encoder.encode(text).toBase64({ alphabet: "base64url", omitPadding: true });
}

/** Asks who the caller is, with a raw Authorization header. */
async function whoAmI(authorization: string | undefined): Promise<Response> {
  const deps = fakeDeps();
  const app = newApp(deps, { name: "test", publicPaths: ["/test/open"] });
  app.get("/test/me", (c) => ok(c, { id: c.var.caller.id, aal: c.var.caller.claims.aal }));
  app.get("/test/open", (c) => ok(c, { is_signed_in: c.var.caller !== undefined }));
  return await app.request("/test/me", { headers: authorization ? { authorization } : {} });
}

async function assertRefused(token: string) {
  const response = await whoAmI(`Bearer ${token}`);
  await assertFailure(response, 401, "unauthenticated");
  assertEquals(response.headers.get("www-authenticate"), "Bearer");
}

Deno.test("verifyCaller takes a token of the project and gives its claims", async () => {
  const data = await assertSuccess(await whoAmI(`Bearer ${await sign()}`));
  assertEquals(data, { id: CALLER_ID, aal: "aal1" });
});

Deno.test("verifyCaller refuses a request without a token", async () => {
  const error = await assertFailure(await whoAmI(undefined), 401, "unauthenticated");
  assertEquals(error.message, "The access token is missing");
});

Deno.test("verifyCaller refuses an Authorization header of another form", async () => {
  const token = await sign();
  for (const header of ["Bearer", "Bearer ", token, `Basic ${token}`, `Bearer ${token} x`]) {
    await assertFailure(await whoAmI(header), 401, "unauthenticated");
  }
});

Deno.test("verifyCaller refuses API keys in place of a token", async () => {
  for (const key of ["sb_publishable_abcdefghijkl", "sb_secret_abcdefghijkl"]) {
    await assertRefused(key);
  }
});

Deno.test("verifyCaller refuses tokens whose claims are wrong", async () => {
  const wrong: Record<string, JWTPayload> = {
    expired: { exp: now() - 1 },
    "not valid yet": { nbf: now() + 600 },
    "never expiring": { exp: undefined },
    "of another audience": { aud: "anon" },
    "without audience": { aud: undefined },
    "of another project": { iss: "https://other.example/auth/v1" },
    "of an issuer that begins alike": { iss: `${ISSUER}/` },
    "without issuer": { iss: undefined },
    "of the service role": { role: "service_role" },
    "of the anonymous role": { role: "anon" },
    "without role": { role: undefined },
    "without subject": { sub: undefined },
    "whose subject is no id": { sub: "admin" },
    "without session": { session_id: undefined },
    "whose session is no id": { session_id: "1" },
  };
  for (const change of Object.values(wrong)) {
    await assertRefused(await sign({ ...goodClaims(), ...change }));
  }
});

Deno.test("verifyCaller refuses tokens that another key has signed", async () => {
  const other = await generateKeyPair("ES256");
  await assertRefused(await sign(goodClaims(), other.privateKey));
  await assertRefused(await sign(goodClaims(), other.privateKey, { alg: "ES256", kid: "other" }));
});

Deno.test("verifyCaller refuses a token without a key id", async () => {
  await assertRefused(await sign(goodClaims(), undefined, { alg: "ES256" }));
});

Deno.test("verifyCaller refuses alg=none in every spelling", async () => {
  const body = base64url(goodClaims());
  for (const alg of ["none", "None", "NONE", "nOnE", ""]) {
    const header = base64url({ ...KEY, alg });
    await assertRefused(`${header}.${body}.`);
    const [, , signature] = (await sign()).split(".");
    await assertRefused(`${header}.${body}.${signature}`);
  }
});

Deno.test("verifyCaller refuses HS256 tokens that the public key has signed", async () => {
  const key = await importJWK(publicJwk, "ES256", { extractable: true });
  const spki = key instanceof CryptoKey ? await exportSPKI(key) : "";
  for (const secret of [spki, JSON.stringify(publicJwk), publicJwk.x ?? ""]) {
    const hs256 = { alg: "HS256", kid: publicJwk.kid };
    await assertRefused(await sign(goodClaims(), encoder.encode(secret.padEnd(32)), hs256));
  }
});

Deno.test("verifyCaller refuses a token whose claims were changed after signing", async () => {
  const [header, , signature] = (await sign()).split(".");
  const other = base64url({ ...goodClaims(), sub: "a1b2c3d4-0000-4000-8000-000000000009" });
  await assertRefused(`${header}.${other}.${signature}`);
});

Deno.test("verifyCaller refuses what only looks like a token", async () => {
  const [header = "", body = "", signature = ""] = (await sign()).split(".");
  for (
    const token of [
      `${header}.${body}`,
      `${header}.${body}.`,
      `${header}..${signature}`,
      `.${body}.${signature}`,
      `${header}.${body}.${signature}.${signature}`,
      `${header}.${body}.${signature.slice(0, -4)}`,
      "a".repeat(10_000),
      "..",
    ]
  ) {
    await assertRefused(token);
  }
});

Deno.test("verifyCaller answers 503 when the project's keys cannot be fetched", async () => {
  const deps = fakeDeps();
  // A port that nobody listens on: the connection is refused at once.
  const jwks = new URL("http://127.0.0.1:9/auth/v1/.well-known/jwks.json");
  const auth = { ...deps.auth, env: { ...deps.auth.env, jwks } };
  const app = newApp({ ...deps, auth }, { name: "test" });
  app.get("/test/me", (c) => ok(c, {}));
  const headers = { authorization: `Bearer ${await sign()}` };
  const response = await app.request("/test/me", { headers });
  await assertFailure(response, 503, "unavailable");
  assertEquals(response.headers.get("retry-after"), "5");
});

Deno.test("a public path is answered without a token, and nobody is the caller", async () => {
  const app = newApp(fakeDeps(), { name: "test", publicPaths: ["/test/open"] });
  app.get("/test/open", (c) => ok(c, { is_signed_in: c.var.caller !== undefined }));
  assertEquals(await assertSuccess(await app.request("/test/open")), { is_signed_in: false });
  await assertFailure(await app.request("/test/open/more"), 401, "unauthenticated");
});
