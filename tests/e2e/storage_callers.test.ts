// Who counts as whom: API keys, access tokens, and every token that must not count.

import { assertEquals } from "@std/assert";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { publicKey } from "../../supabase/local/functions.ts";
import { type LocalStorage, withLocalStorage } from "../support/local_storage.ts";
import { onEmbeddedStack } from "../support/storage_scratch.ts";

function localTest(name: string, fn: (storage: LocalStorage) => Promise<void>) {
  Deno.test({ name, ignore: !onEmbeddedStack, fn: () => withLocalStorage(fn) });
}

async function outcome(response: Response): Promise<[number, string]> {
  const text = await response.text();
  return [response.status, response.ok ? text : JSON.parse(text).code];
}

/** Lets everybody read the bucket while `work` runs, and keeps what policies saw of the request. */
async function withOpenPolicy(storage: LocalStorage, work: () => Promise<void>) {
  const { sql, bucket } = storage;
  await sql.unsafe(`
    create table public."seen ${bucket}" (role text, uid uuid, jwt jsonb, operation text);
    create function public."see ${bucket}"() returns boolean language plpgsql security definer as $$
    begin
      insert into public."seen ${bucket}" values (
        current_setting('role'), auth.uid(), auth.jwt(), storage.operation());
      return true;
    end $$;
    create policy "${bucket}" on storage.objects for select to anon, authenticated
      using (bucket_id = '${bucket}' and public."see ${bucket}"())`);
  try {
    await work();
  } finally {
    await sql.unsafe(`
      drop policy "${bucket}" on storage.objects;
      drop function public."see ${bucket}"();
      drop table public."seen ${bucket}"`);
  }
}

localTest("policies see the role, the claims and the operation of the request", async (storage) => {
  const { asService, send, sql, bucket, context, token } = storage;
  await asService(`object/${bucket}/file`, { method: "POST", body: "x" });
  const sub = crypto.randomUUID();
  const bearer = await token({ sub, aal: "aal2", session_id: "s" });
  const { publishable, secret } = context.keys;

  await withOpenPolicy(storage, async () => {
    const read = async (headers: Record<string, string>, path = `object/${bucket}/file`) =>
      await outcome(await send(path, { headers }));
    assertEquals(await read({ apikey: publishable }), [200, "x"]);
    assertEquals(await read({ authorization: `Bearer ${publishable}` }), [200, "x"]);
    assertEquals(await read({ apikey: publishable, authorization: `Bearer ${bearer}` }), [
      200,
      "x",
    ]);
    assertEquals(await read({ apikey: secret, authorization: `Bearer ${bearer}` }), [200, "x"]);
    assertEquals(await read({ apikey: secret }), [200, "x"]); // past RLS: no policy sees it
    await read({ authorization: `Bearer ${bearer}` }, `object/info/${bucket}/file`);

    const seen = await sql.unsafe(`select role, uid, jwt, operation from public."seen ${bucket}"`);
    const get = "storage.object.get_authenticated";
    const info = "storage.object.get_authenticated_info";
    assertEquals(seen.map(({ role, uid, operation }) => [role, uid, operation]), [
      ["anon", null, get],
      ["anon", null, get],
      ["authenticated", sub, get],
      ["authenticated", sub, get],
      ["authenticated", sub, info],
    ]);
    assertEquals(seen[0]?.jwt, { role: "anon" });
    assertEquals([seen[2]?.jwt.aal, seen[2]?.jwt.session_id, seen[2]?.jwt.role], [
      ...["aal2", "s", "authenticated"],
    ]);
  });
});

localTest("a token that does not hold is refused, and never counts as nobody", async (storage) => {
  const { asService, send, sql, bucket, context, token, files } = storage;
  await asService(`object/${bucket}/file`, { method: "POST", body: "x" });
  const now = Math.floor(context.now() / 1000);
  const claims = {
    ...{ aud: "authenticated", role: "authenticated", sub: crypto.randomUUID() },
    ...{ iss: `${context.apiUrl}/auth/v1`, exp: now + 900 },
  };
  const stranger = await generateKeyPair("ES256", { extractable: true });
  const secret = (text: string) => new TextEncoder().encode(text);
  const encode = (value: unknown) =>
    secret(JSON.stringify(value)).toBase64({ alphabet: "base64url", omitPadding: true });
  const good = await token();
  const sign = (alg: string, key: CryptoKey | Uint8Array, header = {}) =>
    new SignJWT(claims).setProtectedHeader({ alg, kid: context.keys.signing.kid, ...header }).sign(
      key,
    );
  const bad = {
    "expired": await token({ exp: now }),
    "without expiry": await token({ exp: undefined }),
    "not yet valid": await token({ nbf: now + 60 }),
    "of another audience": await token({ aud: "somebody" }),
    "of another issuer": await token({ iss: "https://elsewhere.example/auth/v1" }),
    "of a role that is none": await token({ role: "postgres" }),
    "without role": await token({ role: undefined }),
    "of another key": await sign("ES256", stranger.privateKey),
    "with its own key inside": await sign("ES256", stranger.privateKey, {
      jwk: await exportJWK(stranger.publicKey),
    }),
    "of the internal secret": await sign("HS256", secret(context.keys.internal)),
    "of the public key as secret": await sign("HS256", secret(JSON.stringify(publicKey(context)))),
    "of no algorithm": `${encode({ alg: "none" })}.${encode(claims)}.`,
    "cut short": good.slice(0, -2),
    "with other claims": good.replace(
      /\.[^.]+\./,
      `.${encode({ ...claims, role: "service_role" })}.`,
    ),
    "empty of sense": "nonsense",
  };
  const { publishable } = context.keys;

  await withOpenPolicy(storage, async () => {
    for (const [kind, bearer] of Object.entries(bad)) {
      const headers = { apikey: publishable, authorization: `Bearer ${bearer}` };
      const ask = async (path: string, init: RequestInit = {}) =>
        await outcome(await send(path, { ...init, headers }));
      const refused = [400, "AccessDenied"];
      const json = { method: "POST", body: JSON.stringify({ expiresIn: 9, prefix: "" }) };
      assertEquals(await ask(`object/${bucket}/file`), refused, kind);
      assertEquals(await ask(`object/authenticated/${bucket}/file`), refused, kind);
      assertEquals(await ask(`object/info/${bucket}/file`), refused, kind);
      assertEquals(await ask(`object/sign/${bucket}/file`, json), refused, kind);
      assertEquals(await ask(`object/list/${bucket}`, json), refused, kind);
      assertEquals(
        await ask(`object/${bucket}/new`, { method: "POST", body: "x" }),
        refused,
        kind,
      );
      assertEquals(await ask(`object/${bucket}/file`, { method: "DELETE" }), refused, kind);
      assertEquals(await ask("bucket"), refused, kind);
    }
    assertEquals([...await sql.unsafe(`select * from public."seen ${bucket}"`)], []);
  });
  assertEquals((await files()).length, 1);
});

localTest("a key that is none is refused, and no key at all is asked for one", async (storage) => {
  const { asService, send, bucket, context, token } = storage;
  await asService(`object/${bucket}/file`, { method: "POST", body: "x" });
  const read = async (headers: Record<string, string>) =>
    await outcome(await send(`object/${bucket}/file`, { headers }));

  assertEquals(await read({ apikey: "sb_publishable_wrong" }), [401, "InvalidApiKey"]);
  assertEquals(await read({ apikey: "" }), [401, "InvalidApiKey"]);
  assertEquals(await read({ authorization: "Bearer sb_secret_wrong" }), [401, "InvalidApiKey"]);
  assertEquals(
    await read({ apikey: "wrong", authorization: `Bearer ${await token()}` }),
    [401, "InvalidApiKey"],
  );
  assertEquals(await read({}), [400, "NoSuchBucket"]);
  assertEquals(await outcome(await send("bucket")), [400, "InvalidRequest"]);
  assertEquals(
    await read({ apikey: context.keys.secret, "user-agent": "Mozilla/5.0 (X11)" }),
    [401, "InvalidApiKey"],
  );
});

/** Runs `work` while the bucket has one policy; `rule` begins with its command. */
async function withPolicy({ sql, bucket }: LocalStorage, rule: string, work: () => Promise<void>) {
  await sql.unsafe(`create policy "${bucket}" on storage.objects for ${rule}`);
  try {
    await work();
  } finally {
    await sql.unsafe(`drop policy if exists "${bucket}" on storage.objects`);
  }
}

localTest("the right to upload needs no right to read, and gives none", async (storage) => {
  const { send, bucket, token, files } = storage;
  const headers = { authorization: `Bearer ${await token()}` };
  const ask = async (method: string, extra: Record<string, string> = {}) => {
    const init = { method, headers: { ...headers, ...extra }, body: method === "GET" ? null : "x" };
    return await outcome(await send(`object/${bucket}/dropped`, init));
  };
  const rule = `insert to authenticated with check (bucket_id = '${bucket}')`;

  await withPolicy(storage, rule, async () => {
    assertEquals((await ask("POST"))[0], 200);
    assertEquals(await ask("POST"), [400, "KeyAlreadyExists"]);
    assertEquals(await ask("POST", { "x-upsert": "true" }), [400, "AccessDenied"]);
    assertEquals(await ask("PUT"), [400, "AccessDenied"]);
    assertEquals(await ask("GET"), [400, "NoSuchKey"]);
    assertEquals(await ask("DELETE"), [400, "NoSuchKey"]);
  });
  assertEquals((await files()).length, 1);
});

localTest("an upload without a right is refused before a byte is read", async (storage) => {
  const { send, bucket, token } = storage;
  const headers = { authorization: `Bearer ${await token()}` };
  let asked = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      asked++;
      controller.enqueue(new Uint8Array(1000));
    },
  }, { highWaterMark: 0 });

  const answer = await send(`object/${bucket}/none`, { method: "POST", headers, body });

  assertEquals(await outcome(answer), [400, "AccessDenied"]);
  assertEquals(asked, 0);
});

localTest("a right that ends while the bytes arrive ends the upload", async (storage) => {
  const { send, sql, bucket, token, files } = storage;
  const headers = { authorization: `Bearer ${await token()}` };
  let asked = 0;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (asked++ > 3) return controller.close();
      if (asked === 2) await sql.unsafe(`drop policy "${bucket}" on storage.objects`);
      controller.enqueue(new Uint8Array(1000));
    },
  }, { highWaterMark: 0 });
  const rule = `insert to authenticated with check (bucket_id = '${bucket}')`;

  await withPolicy(storage, rule, async () => {
    const answer = await send(`object/${bucket}/late`, { method: "POST", headers, body });
    assertEquals(await outcome(answer), [400, "AccessDenied"]);
  });
  assertEquals(asked, 5);
  assertEquals(await files(), []);
});

localTest("policies that differ by operation tell a download from a list", async (storage) => {
  const { asService, send, bucket, token } = storage;
  await asService(`object/${bucket}/file`, { method: "POST", body: "x" });
  const headers = { authorization: `Bearer ${await token()}` };
  const rule = `select to authenticated using (
    bucket_id = '${bucket}' and storage.allow_only_operation('object.get_authenticated'))`;

  await withPolicy(storage, rule, async () => {
    assertEquals(await outcome(await send(`object/${bucket}/file`, { headers })), [200, "x"]);
    const list = { method: "POST", headers, body: JSON.stringify({ prefix: "" }) };
    assertEquals(await outcome(await send(`object/list/${bucket}`, list)), [200, "[]"]);
    const sign = { method: "POST", headers, body: JSON.stringify({ expiresIn: 9 }) };
    assertEquals(
      await outcome(await send(`object/sign/${bucket}/file`, sign)),
      [400, "NoSuchKey"],
    );
  });
});
