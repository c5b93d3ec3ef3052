// The environment: what is needed, what is left out, and the one sentence when it is wrong.

import { assertEquals, assertThrows } from "@std/assert";
import { readEnv } from "../../functions/_shared/env.ts";
import { productionDeps } from "../../functions/_shared/deps.ts";
import { publicJwk } from "./support.ts";

const GOOD = {
  SUPABASE_URL: "https://ref.supabase.co",
  SUPABASE_DB_URL: "postgresql://postgres:secret@db.ref.supabase.co:5432/postgres",
  SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_x"}',
  SUPABASE_SECRET_KEYS: '{"default":"sb_secret_x"}',
  KEY_ENCRYPTION_KEYS: `main.v1=${new Uint8Array(32).toBase64()}`,
  BLIND_INDEX_KEY: new Uint8Array(32).toBase64(),
  SUPABASE_JWKS: JSON.stringify({ keys: [publicJwk] }),
};

function messageOf(variables: Record<string, string>): string {
  return assertThrows(() => readEnv(variables), Error).message;
}

Deno.test("readEnv reads what hosted Supabase sets", () => {
  const env = readEnv({ ...GOOD, PATH: "/usr/bin" });
  assertEquals(env.SUPABASE_SECRET_KEYS.default, "sb_secret_x");
  assertEquals(env.SUPABASE_JWKS?.keys.length, 1);
  assertEquals(env.ALLOWED_ORIGINS, []);
  assertEquals(env.LOG_LEVEL, undefined);
});

Deno.test("readEnv takes a bare list of keys and origins by comma", () => {
  const env = readEnv({
    ...GOOD,
    SUPABASE_JWKS: JSON.stringify([publicJwk]),
    ALLOWED_ORIGINS: "https://a.example, https://b.example,",
  });
  assertEquals(env.SUPABASE_JWKS?.keys.length, 1);
  assertEquals(env.ALLOWED_ORIGINS, ["https://a.example", "https://b.example"]);
});

Deno.test("readEnv names a variable that is missing, in one sentence", () => {
  for (const name of ["SUPABASE_URL", "SUPABASE_DB_URL", "SUPABASE_SECRET_KEYS"] as const) {
    const { [name]: _, ...rest } = GOOD;
    assertEquals(
      messageOf(rest),
      `Cannot start as the environment is not complete: ${name} is not set`,
    );
  }
});

Deno.test("readEnv names all that is wrong and repeats no value", () => {
  const message = messageOf({
    SUPABASE_URL: "no address s3cret",
    SUPABASE_DB_URL: "mysql://s3cret@host/db",
    SUPABASE_SECRET_KEYS: "s3cret",
    LOG_LEVEL: "s3cret",
    UPSTASH_REDIS_REST_URL: "https://redis.example",
  });
  for (const name of ["SUPABASE_URL", "SUPABASE_DB_URL", "SUPABASE_SECRET_KEYS", "LOG_LEVEL"]) {
    assertEquals(message.includes(`${name} is wrong`), true, `${name} in ${message}`);
  }
  assertEquals(message.includes("s3cret"), false);
});

Deno.test("readEnv wants a secret key named default", () => {
  const keys = '{"other":"sb_secret_x"}';
  assertEquals(
    messageOf({ ...GOOD, SUPABASE_SECRET_KEYS: keys }).includes("SUPABASE_SECRET_KEYS"),
    true,
  );
});

Deno.test("readEnv wants address and token of Redis together", () => {
  const url = { UPSTASH_REDIS_REST_URL: "https://redis.example" };
  const token = { UPSTASH_REDIS_REST_TOKEN: "t" };
  readEnv({ ...GOOD, ...url, ...token });
  for (const half of [url, token]) {
    assertEquals(messageOf({ ...GOOD, ...half }).includes("UPSTASH_REDIS_REST_TOKEN"), true);
  }
});

Deno.test("readEnv wants both keys of the queue, and a private key that signs heads", () => {
  const signing = { kty: "OKP", crv: "Ed25519", x: "eA", d: "ZA" };
  const env = readEnv({
    ...GOOD,
    QSTASH_CURRENT_SIGNING_KEY: "sig_a",
    QSTASH_NEXT_SIGNING_KEY: "sig_b",
    AUDIT_SIGNING_KEY: JSON.stringify(signing),
  });
  assertEquals(env.AUDIT_SIGNING_KEY, signing);
  const message = messageOf({ ...GOOD, QSTASH_CURRENT_SIGNING_KEY: "s3cret" });
  assertEquals(message.includes("QSTASH_NEXT_SIGNING_KEY is not set"), true, message);
  for (const wrong of ["s3cret", "{}", JSON.stringify({ ...signing, d: undefined })]) {
    const message = messageOf({ ...GOOD, AUDIT_SIGNING_KEY: wrong });
    assertEquals(message.includes("AUDIT_SIGNING_KEY is wrong"), true, message);
    assertEquals(message.includes("s3cret"), false);
  }
});

Deno.test("readEnv counts a variable that is set to nothing as not set", () => {
  const env = readEnv({ ...GOOD, SUPABASE_JWKS: "", PUBLIC_URL: "", UPSTASH_REDIS_REST_URL: "" });
  assertEquals([env.SUPABASE_JWKS, env.PUBLIC_URL], [undefined, undefined]);
});

Deno.test("productionDeps takes tokens and signs addresses by the public address", () => {
  assertEquals(productionDeps(GOOD).auth.issuer, "https://ref.supabase.co/auth/v1");
  const inside = productionDeps({ ...GOOD, PUBLIC_URL: "https://api.example/" });
  assertEquals(inside.auth.issuer, "https://api.example/auth/v1");
  assertEquals(inside.publicUrl, "https://api.example");
  assertEquals(inside.auth.env.url, "https://ref.supabase.co");
});

Deno.test("productionDeps fetches the keys from Auth when none are given", () => {
  const { SUPABASE_JWKS: _, ...rest } = GOOD;
  const { jwks } = productionDeps(rest).auth.env;
  assertEquals(
    jwks instanceof URL && jwks.href,
    "https://ref.supabase.co/auth/v1/.well-known/jwks.json",
  );
});
