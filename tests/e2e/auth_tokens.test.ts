// Access tokens from outside: the key set, getClaims, and every kind of token that must be refused.

import { assertEquals } from "@std/assert";
import {
  exportSPKI,
  generateKeyPair,
  importJWK,
  type JWTPayload,
  SignJWT,
  UnsecuredJWT,
} from "jose";
import { clientOf, newEmail, newPerson, PASSWORD, rawAuth, tokenOf } from "../support/auth.ts";
import { newClient, testEnv } from "../support/env.ts";
import { canOwnAuth, withOwnAuth } from "../support/own_auth.ts";

const env = testEnv();

interface KeySet {
  keys: (JsonWebKey & { kid: string })[];
}

async function keySet(): Promise<KeySet> {
  return await (await fetch(`${env.url}/auth/v1/.well-known/jwks.json`)).json();
}

Deno.test("the key set is public, may be cached, and holds no private part", async () => {
  const answer = await fetch(`${env.url}/auth/v1/.well-known/jwks.json`);

  assertEquals(answer.status, 200);
  assertEquals(answer.headers.get("cache-control"), "public, max-age=600");
  const { keys }: KeySet = await answer.json();
  const [key] = keys;
  assertEquals([key?.kty, key?.crv, key?.alg, key?.use], ["EC", "P-256", "ES256", "sig"]);
  assertEquals(keys.some((one) => "d" in one || "k" in one), false);
});

Deno.test("getClaims verifies by itself, with one request for the key set", async () => {
  const { session, email } = await newPerson();
  const paths: string[] = [];
  const client = clientOf(env.url, env.publishableKey, (request) => {
    paths.push(new URL(request.url).pathname);
    return fetch(request);
  });
  const first = await client.auth.getClaims(session.access_token);
  const second = await client.auth.getClaims(session.access_token);

  assertEquals([first.error, second.error], [null, null]);
  assertEquals(first.data?.header.alg, "ES256");
  assertEquals(first.data?.claims.email, email);
  assertEquals(paths, ["/auth/v1/.well-known/jwks.json"]);
});

Deno.test("getClaims refuses a token with an unknown key, after asking the server", async () => {
  const { session } = await newPerson();
  const { privateKey } = await generateKeyPair("ES256");
  const forged = await new SignJWT(await claimsOfToken(session.access_token))
    .setProtectedHeader({ alg: "ES256", kid: crypto.randomUUID(), typ: "JWT" }).sign(privateKey);
  const paths: string[] = [];
  const client = clientOf(env.url, env.publishableKey, (request) => {
    paths.push(new URL(request.url).pathname);
    return fetch(request);
  });
  const { data, error } = await client.auth.getClaims(forged);

  assertEquals([data, error?.status, error?.code], [null, 403, "bad_jwt"]);
  assertEquals(paths.at(-1), "/auth/v1/user");
});

async function claimsOfToken(token: string): Promise<JWTPayload> {
  const { data } = await newClient().auth.getClaims(token);
  return { ...data?.claims } as JWTPayload;
}

/** Tokens that anybody can make from a good one, without the private key. */
const FORGERIES: [what: string, forge: (token: string) => Promise<string> | string][] = [
  ["another's signature", async (token) => {
    const { privateKey } = await generateKeyPair("ES256");
    const { keys } = await keySet();
    return await new SignJWT(await claimsOfToken(token))
      .setProtectedHeader({ alg: "ES256", kid: keys[0]?.kid, typ: "JWT" }).sign(privateKey);
  }],
  ["changed claims", (token) => {
    const [header, payload = "", signature] = token.split(".");
    const claims = JSON.parse(new TextDecoder().decode(
      Uint8Array.fromBase64(payload, { alphabet: "base64url" }),
    ));
    const changed = new TextEncoder().encode(JSON.stringify({ ...claims, role: "service_role" }));
    return [header, changed.toBase64({ alphabet: "base64url", omitPadding: true }), signature]
      .join(".");
  }],
  ["alg none", async (token) => {
    return new UnsecuredJWT(await claimsOfToken(token)).encode();
  }],
  ["HS256 with the public key's JWK as secret", async (token) => {
    const { keys } = await keySet();
    return await signHs256(await claimsOfToken(token), JSON.stringify(keys[0]), keys[0]?.kid);
  }],
  ["HS256 with the public key's PEM as secret", async (token) => {
    const { keys: [key] } = await keySet();
    const pem = await exportSPKI(await importJWK({ ...key }, "ES256") as CryptoKey);
    return await signHs256(await claimsOfToken(token), pem, key?.kid);
  }],
  ["no signature", (token) => token.split(".").slice(0, 2).join(".") + "."],
  ["two parts", (token) => token.split(".").slice(0, 2).join(".")],
  ["text that is no token", () => "not-a-token"],
];

async function signHs256(claims: JWTPayload, secret: string, kid?: string): Promise<string> {
  return await new SignJWT(claims).setProtectedHeader({ alg: "HS256", kid, typ: "JWT" })
    .sign(new TextEncoder().encode(secret));
}

for (const [what, forge] of FORGERIES) {
  Deno.test(`a token with ${what} is refused by Auth and by the data API`, async () => {
    const { session } = await newPerson();
    const forged = await forge(session.access_token);
    const headers = { apikey: env.publishableKey, authorization: `Bearer ${forged}` };
    const user = await rawAuth("/user", { headers });
    const rest = await fetch(`${env.url}/rest/v1/profiles?select=id`, { headers });

    assertEquals([user.status, (await user.json()).code], [403, "bad_jwt"]);
    assertEquals(rest.status, 401);
    assertEquals((await rest.json()).code, "PGRST301");
  });
}

Deno.test("a good token is accepted by Auth and by the data API", async () => {
  const { client, id } = await newPerson();
  const { data, status } = await client.from("profiles").select("id");

  assertEquals((await client.auth.getUser()).error, null);
  assertEquals([status, data], [200, [{ id }]]);
});

Deno.test("an authorization header that is no bearer token is never taken for none", async () => {
  const headers = { apikey: env.publishableKey, authorization: "Basic dXNlcjpwYXNz" };
  const rest = await fetch(`${env.url}/rest/v1/profiles?select=id`, { headers });
  const user = await rawAuth("/user", { headers });

  assertEquals([rest.status, (await rest.json()).code], [401, "PGRST301"]);
  assertEquals([user.status, (await user.json()).code], [401, "no_authorization"]);
});

Deno.test("after sign-out Auth refuses the token, while the data API accepts it until it ends", async () => {
  const { client, id } = await newPerson();
  const token = await tokenOf(client);
  await client.auth.signOut();
  const user = await rawAuth("/user", { headers: { authorization: `Bearer ${token}` } });
  const bare = clientOf(env.url, env.publishableKey, (request) => {
    const headers = new Headers(request.headers);
    headers.set("authorization", `Bearer ${token}`);
    return fetch(new Request(request, { headers }));
  });
  const claims = await bare.rpc("no_such_function");

  assertEquals([user.status, (await user.json()).code], [403, "session_not_found"]);
  // Not 401: the token passed, and the function is looked for.
  assertEquals([claims.status, typeof id], [404, "string"]);
});

Deno.test("requests need an API key, and the secret one is not for browsers", async () => {
  const get = (headers: HeadersInit) => fetch(`${env.url}/auth/v1/settings`, { headers });
  const none = await get({});
  const wrong = await get({ apikey: "sb_publishable_wrong" });
  const browser = await get({ apikey: env.secretKey, "user-agent": "Mozilla/5.0 (X11)" });
  const good = await get({ apikey: env.publishableKey });
  const statuses = [none, wrong, browser, good].map(({ status }) => status);
  for (const answer of [none, wrong, browser]) await answer.body?.cancel();

  assertEquals(statuses, [401, 401, 401, 200]);
  assertEquals((await good.json()).external.anonymous_users, true);
});

Deno.test({
  name:
    "a token of the right key is refused when expired, or for others (needs the embedded stack)",
  ignore: !canOwnAuth,
  fn: () =>
    withOwnAuth(async ({ context, send, newClient, advance }) => {
      const client = newClient();
      const { data } = await client.auth.signUp({
        email: newEmail(),
        password: PASSWORD,
      });
      const good = data.session?.access_token ?? "";
      const { data: verified } = await client.auth.getClaims(good);
      const key = await importJWK(context.keys.signing, "ES256");
      const sign = (changes: JWTPayload) =>
        new SignJWT({ ...verified?.claims, ...changes })
          .setProtectedHeader({ alg: "ES256", kid: context.keys.signing.kid, typ: "JWT" })
          .sign(key);
      const ask = async (token: string) => {
        const headers = {
          apikey: context.keys.publishable,
          authorization: `Bearer ${token}`,
          "x-supabase-api-version": "2024-01-01",
        };
        const user = await send(new Request(`${context.apiUrl}/auth/v1/user`, { headers }));
        const rest = await send(
          new Request(`${context.apiUrl}/rest/v1/profiles?select=id`, { headers }),
        );
        const [userBody, restBody] = [await user.json(), await rest.json()];
        return [user.status, userBody.code, rest.status, restBody.code, restBody.message];
      };
      const refusal = (message: string) => [403, "bad_jwt", 401, "PGRST303", message];
      const past = Math.floor(Date.now() / 1000) - 1;

      assertEquals((await ask(await sign({}))).slice(0, 3), [200, undefined, 200]);
      assertEquals(await ask(await sign({ exp: past })), refusal("JWT expired"));
      assertEquals(
        await ask(await sign({ aud: "somebody else" })),
        refusal("Claim aud is missing or not accepted"),
      );
      assertEquals(
        await ask(await sign({ iss: "http://elsewhere/auth/v1" })),
        refusal("Claim iss is missing or not accepted"),
      );
      assertEquals(
        await ask(await sign({ exp: undefined })),
        refusal("Claim exp is missing or not accepted"),
      );
      // The good one was verified before; being remembered does not prolong it.
      assertEquals((await ask(good)).slice(0, 3), [200, undefined, 200]);
      advance(901);
      assertEquals(await ask(good), refusal("JWT expired"));
    }),
});
