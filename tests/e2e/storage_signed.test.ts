// Signed URLs: what they open, for how long, and that nothing else opens it.

import { assert, assertEquals } from "@std/assert";
import { SignJWT } from "jose";
import { newClient, testEnv } from "../support/env.ts";
import { type LocalStorage, withLocalStorage } from "../support/local_storage.ts";
import {
  createScratch,
  onEmbeddedStack,
  refusal,
  type Scratch,
} from "../support/storage_scratch.ts";

let scratch: Scratch;

function test(name: string, fn: () => Promise<void>) {
  Deno.test({ name, ignore: !onEmbeddedStack, fn });
}

/** A test against a Storage in this process, whose clock and keys are the test's. */
function localTest(name: string, fn: (storage: LocalStorage) => Promise<void>) {
  test(name, () => withLocalStorage(fn));
}

Deno.test.beforeAll(async () => {
  if (onEmbeddedStack) scratch = await createScratch();
});
Deno.test.afterAll(async () => await scratch?.close());

async function outcome(response: Response): Promise<[number, string]> {
  const text = await response.text();
  return [response.status, response.ok ? text : JSON.parse(text).code];
}

test("a signed URL opens one object to anybody, as a download if so wished", async () => {
  const { alice } = scratch;
  await alice.files.upload(alice.own("signed ü.txt"), "open", { cacheControl: "9999" });

  const signed = await alice.files.createSignedUrl(alice.own("signed ü.txt"), 60, {
    download: "scan.txt",
  });
  const response = await fetch(signed.data!.signedUrl);

  assertEquals(await response.text(), "open");
  const { headers } = response;
  assertEquals(headers.get("cache-control"), "private");
  const seconds = (Date.parse(headers.get("expires")!) - Date.now()) / 1000;
  assert(seconds > 50 && seconds <= 60);
  assertEquals(
    headers.get("content-disposition"),
    "attachment; filename=scan.txt; filename*=UTF-8''scan.txt;",
  );
  const part = await fetch(signed.data!.signedUrl, { headers: { range: "bytes=1-2" } });
  assertEquals([part.status, await part.text()], [206, "pe"]);
});

test("a batch of signed URLs says which objects are not there for the caller", async () => {
  const { alice, bob } = scratch;
  await alice.files.upload(alice.own("batch"), "alice");
  await bob.files.upload(bob.own("batch"), "bob");
  const paths = [alice.own("batch"), bob.own("batch"), alice.own("absent"), "a\0b"];

  const { data } = await alice.files.createSignedUrls(paths, 60);

  const refused = "Either the object does not exist or you do not have access to it";
  assertEquals(data?.map(({ path, error }) => [path, error]), [
    [paths[0], null],
    ...paths.slice(1).map((path) => [path, refused]),
  ]);
  assertEquals(await (await fetch(data![0]!.signedUrl!)).text(), "alice");
  assertEquals(data?.slice(1).map(({ signedUrl }) => signedUrl), [null, null, null]);
});

test("a signed upload URL stores the bytes for its owner, without a key of theirs", async () => {
  const { alice, sql } = scratch;
  const stranger = newClient().storage.from(scratch.bucket);
  for (const [name, body] of [["raw", "bytes"], ["form", new Blob(["bytes"])]] as const) {
    const path = alice.own(`upload ${name}`);
    const { data } = await alice.files.createSignedUploadUrl(path);
    const { token } = data!;

    const stored = await stranger.uploadToSignedUrl(path, token, body, { metadata: { by: "url" } });

    assertEquals(stored.data, { path, fullPath: `${scratch.bucket}/${path}` });
    assertEquals(await (await alice.files.download(path)).data?.text(), "bytes");
    const [row] = await sql`
      select owner_id, user_metadata from storage.objects
      where bucket_id = ${scratch.bucket} and name = ${path}`;
    assertEquals({ ...row }, { owner_id: alice.id, user_metadata: { by: "url" } });
    const again = await stranger.uploadToSignedUrl(path, token, "other", { upsert: true });
    assertEquals(refusal(again.error).code, "KeyAlreadyExists");
    assertEquals(await (await alice.files.download(path)).data?.text(), "bytes");
  }
});

test("a signed upload URL replaces only when it was signed for that", async () => {
  const { alice } = scratch;
  const path = alice.own("replaced by url");
  await alice.files.upload(path, "first");

  const plain = await alice.files.createSignedUploadUrl(path);
  assertEquals(refusal(plain.error).code, "KeyAlreadyExists");
  const { data } = await alice.files.createSignedUploadUrl(path, { upsert: true });
  assertEquals((await alice.files.uploadToSignedUrl(path, data!.token, "second")).error, null);

  assertEquals(await (await alice.files.download(path)).data?.text(), "second");
});

test("nobody can sign for an upload that they could not make", async () => {
  const { alice, bob, bucket } = scratch;
  const path = alice.own("signed by bob");
  for (const files of [bob.files, newClient().storage.from(bucket)]) {
    const refused = refusal((await files.createSignedUploadUrl(path)).error);
    assertEquals([refused.statusCode, refused.code], ["403", "AccessDenied"]);
  }
  const missing = await alice.client.storage.from("no-such-bucket").createSignedUploadUrl("x");
  assertEquals(refusal(missing.error).code, "NoSuchBucket");
});

test("a token opens nothing but what it was signed for", async () => {
  const { alice, bucket } = scratch;
  await alice.files.upload(alice.own("one"), "1");
  await alice.files.upload(alice.own("two"), "2");
  const api = `${testEnv().url}/storage/v1/object`;
  const one = `${bucket}/${alice.own("one")}`;
  const two = `${bucket}/${alice.own("two")}`;
  const free = `${bucket}/${alice.own("free")}`;
  const url = (await alice.files.createSignedUrl(alice.own("one"), 60)).data!.signedUrl;
  const read = new URL(url).searchParams.get("token")!;
  const write = (await alice.files.createSignedUploadUrl(alice.own("free"))).data!.token;
  const get = async (path: string, token: string) =>
    await outcome(await fetch(`${api}/sign/${path}?token=${token}`));
  const put = async (path: string, token: string) =>
    await outcome(
      await fetch(`${api}/upload/sign/${path}?token=${token}`, {
        method: "PUT",
        body: "x",
      }),
    );

  assertEquals(await get(one, read), [200, "1"]);
  assertEquals(await get(two, read), [400, "InvalidSignature"]);
  const rewrite = await alice.files.createSignedUploadUrl(alice.own("one"), { upsert: true });
  assertEquals(await get(one, rewrite.data!.token), [400, "InvalidSignature"]);
  assertEquals(await put(one, read), [400, "InvalidSignature"]);
  assertEquals(await put(two, write), [400, "InvalidSignature"]);
  assertEquals(await get(one, alice.token), [400, "InvalidJWT"]);
  assertEquals(await put(free, alice.token), [400, "InvalidJWT"]);
  assertEquals(await get(one, ""), [400, "InvalidRequest"]);
  for (const tampered of tamper(read)) assertEquals(await get(one, tampered), [400, "InvalidJWT"]);
  for (const tampered of tamper(write)) {
    assertEquals(await put(free, tampered), [400, "InvalidJWT"]);
  }

  // Nor does it sign anybody in.
  for (const token of [read, write]) {
    const headers = { authorization: `Bearer ${token}`, apikey: testEnv().publishableKey };
    assertEquals(await outcome(await fetch(`${api}/${one}`, { headers })), [400, "AccessDenied"]);
  }
  assertEquals((await alice.files.exists(alice.own("free"))).data, false);
});

/** The token with another payload, another signature, none, and the algorithm `none`. */
function tamper(token: string): string[] {
  const [header, payload, signature] = token.split(".") as [string, string, string];
  const text = new TextDecoder();
  const claims = JSON.parse(
    text.decode(Uint8Array.fromBase64(payload, { alphabet: "base64url" })),
  );
  const encode = (value: unknown) =>
    new TextEncoder().encode(JSON.stringify(value))
      .toBase64({ alphabet: "base64url", omitPadding: true });
  const longer = encode({ ...claims, exp: claims.exp + 3600 });
  return [
    `${header}.${longer}.${signature}`,
    `${header}.${payload}.${signature.slice(0, -4)}AAAA`,
    `${header}.${payload}.`,
    `${encode({ alg: "none" })}.${longer}.`,
    "no token",
  ];
}

localTest("a signed URL works until its second and not a second longer", async (storage) => {
  const { asService, send, bucket, setNow } = storage;
  const start = 1_900_000_000_000;
  setNow(start);
  await asService(`object/${bucket}/file`, { method: "POST", body: "x" });
  const signing = await asService(`object/sign/${bucket}/file`, {
    method: "POST",
    body: JSON.stringify({ expiresIn: 60 }),
  });
  const { signedURL } = await signing.json();

  for (
    const [passed, expected] of [
      [59_999, [200, "x"]],
      [60_000, [400, "InvalidJWT"]],
      [3_600_000, [400, "InvalidJWT"]],
    ] as const
  ) {
    setNow(start + passed);
    assertEquals(await outcome(await send(signedURL.slice(1))), expected);
  }
});

localTest(
  "a signed upload URL works for two hours, or for less when so wished",
  async (storage) => {
    const { asService, send, bucket, setNow, files } = storage;
    const start = 1_900_000_000_000;
    for (const [body, seconds] of [[{}, 7200], [{ expiresIn: 600 }, 600]] as const) {
      setNow(start);
      const sign = async (name: string) => {
        const response = await asService(`object/upload/sign/${bucket}/${name}`, {
          method: "POST",
          body: JSON.stringify(body),
        });
        return (await response.json()).url.slice(1) as string;
      };
      const [inTime, late] = [await sign(`in time ${seconds}`), await sign(`late ${seconds}`)];
      const put = async (url: string) =>
        await outcome(await send(url, { method: "PUT", body: "x" }));

      setNow(start + seconds * 1000 - 1);
      assertEquals((await put(inTime))[0], 200);
      setNow(start + seconds * 1000);
      assertEquals(await put(late), [400, "InvalidJWT"]);
    }
    assertEquals((await files()).length, 2);
    const longer = await asService(`object/upload/sign/${bucket}/longer`, {
      method: "POST",
      body: JSON.stringify({ expiresIn: 7201 }),
    });
    assertEquals(await outcome(longer), [400, "InvalidRequest"]);
  },
);

localTest("a URL signed with the stack's internal secret itself is refused", async (storage) => {
  const { asService, send, bucket, context } = storage;
  await asService(`object/${bucket}/file`, { method: "POST", body: "x" });
  const token = await new SignJWT({ url: `${bucket}/file`, scope: "download" })
    .setProtectedHeader({ alg: "HS256" }).setExpirationTime("1h")
    .sign(new TextEncoder().encode(context.keys.internal));

  const response = await send(`object/sign/${bucket}/file?token=${token}`);

  assertEquals(await outcome(response), [400, "InvalidJWT"]);
});
