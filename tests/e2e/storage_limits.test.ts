// What Storage refuses to take: sizes, types, names and forms; and that a refusal leaves nothing,
// neither a row nor a file.

import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { isValidKey } from "../../supabase/local/storage/limits.ts";
import { type LocalStorage, withLocalStorage } from "../support/local_storage.ts";
import { onEmbeddedStack, randomBytes } from "../support/storage_scratch.ts";

function localTest(name: string, fn: (storage: LocalStorage) => Promise<void>) {
  Deno.test({ name, ignore: !onEmbeddedStack, fn: () => withLocalStorage(fn) });
}

/** Status and code of an answer. */
async function outcome(response: Response) {
  const body = await response.json();
  return [response.status, body.statusCode, body.code];
}

const TOO_LARGE = [400, "413", "EntityTooLarge"];
const WRONG_TYPE = [400, "415", "InvalidMimeType"];
const BAD_REQUEST = [400, "400", "InvalidRequest"];

async function assertNothingLeft({ sql, bucket, files }: LocalStorage) {
  assertEquals(await files(), []);
  assertEquals([...await sql`select name from storage.objects where bucket_id = ${bucket}`], []);
}

function form(parts: [string, string | Blob][]): FormData {
  const data = new FormData();
  for (const [name, value] of parts) data.append(name, value);
  return data;
}

/** A body that counts the bytes that were asked of it. */
function countedStream(size: number) {
  const counted = { bytes: 0 };
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      const chunk = new Uint8Array(Math.min(65_536, size - counted.bytes));
      if (chunk.length === 0) return controller.close();
      counted.bytes += chunk.length;
      controller.enqueue(chunk);
    },
  }, { highWaterMark: 0 });
  return { stream, counted };
}

localTest("an upload over the bucket's limit is refused while it streams", async (storage) => {
  const { asService, sql, bucket } = storage;
  await sql`update storage.buckets set file_size_limit = 100000 where id = ${bucket}`;

  const { stream, counted } = countedStream(50_000_000);
  const raw = await asService(`object/${bucket}/raw`, { method: "POST", body: stream });
  assertEquals(await outcome(raw), TOO_LARGE);
  assert(counted.bytes < 1_000_000, `read ${counted.bytes} bytes`);

  const body = form([["cacheControl", "1"], ["", new Blob([randomBytes(100_001)])]]);
  const inForm = await asService(`object/${bucket}/form`, { method: "POST", body });
  assertEquals(await outcome(inForm), TOO_LARGE);
  await assertNothingLeft(storage);

  for (const fitting of [randomBytes(100_000), form([["", new Blob([randomBytes(100_000)])]])]) {
    const stored = await asService(`object/${bucket}/fits`, { method: "PUT", body: fitting });
    assertEquals(stored.status, 200);
    await stored.body?.cancel();
  }
});

localTest("an upload that announces too much is refused before it is read", async (storage) => {
  const { asService, bucket } = storage;
  const limit = 50 * 1024 * 1024;
  const announcing = async (size: number, headers: Record<string, string> = {}) => {
    const { stream, counted } = countedStream(10);
    const response = await asService(`object/${bucket}/announced`, {
      ...{ method: "POST", body: stream },
      headers: { "content-length": String(size), ...headers },
    });
    return { answer: await outcome(response), bytes: counted.bytes };
  };

  assertEquals(await announcing(limit + 1), { answer: TOO_LARGE, bytes: 0 });
  // What fits is read; that it ends too early is another matter.
  assertEquals(await announcing(limit), { answer: BAD_REQUEST, bytes: 10 });
  await assertNothingLeft(storage);
});

localTest("an upload of a type that the bucket does not take is refused", async (storage) => {
  const { asService, sql, bucket } = storage;
  const types = ["image/png", "text/*", "application/json; charset=utf-8"];
  await sql`update storage.buckets set allowed_mime_types = ${types} where id = ${bucket}`;
  const upload = async (type: string, inForm: boolean) => {
    const file = new Blob(["x"], { type });
    const body = inForm ? form([["", file]]) : await file.bytes();
    const headers: Record<string, string> = inForm ? {} : { "content-type": type };
    const response = await asService(`object/${bucket}/typed`, { method: "PUT", body, headers });
    return response.ok ? (await response.text(), "taken") : await outcome(response);
  };

  for (const inForm of [false, true]) {
    for (const type of ["application/pdf", "image/jpeg", "image", "textual/plain", ""]) {
      assertEquals(await upload(type, inForm), WRONG_TYPE, type);
    }
  }
  await assertNothingLeft(storage);
  for (const inForm of [false, true]) {
    for (const type of ["image/png", "IMAGE/PNG", "text/plain;charset=UTF-8", "application/json"]) {
      assertEquals(await upload(type, inForm), "taken", type);
    }
  }
});

localTest("a copy or a move into a bucket keeps to that bucket's limits", async (storage) => {
  const { asService, sql, bucket, files } = storage;
  const strict = `${bucket}-strict`;
  await sql`
    insert into storage.buckets (id, name, file_size_limit, allowed_mime_types)
    values (${strict}, ${strict}, 10, '{text/plain}')`;
  const upload = async (key: string, body: string, type: string) => {
    const init = { method: "POST", body, headers: { "content-type": type } };
    assertEquals((await asService(`object/${bucket}/${key}`, init)).status, 200);
  };
  await upload("large", "12345678901", "text/plain");
  await upload("typed", "1", "image/png");
  await upload("fits", "1234567890", "text/plain");
  const ask = async (action: string, key: string) => {
    const body = JSON.stringify({
      ...{ bucketId: bucket, sourceKey: key, destinationBucket: strict, destinationKey: action },
    });
    return await outcome(await asService(`object/${action}`, { method: "POST", body }));
  };
  try {
    for (const action of ["copy", "move"]) {
      assertEquals(await ask(action, "large"), TOO_LARGE);
      assertEquals(await ask(action, "typed"), WRONG_TYPE);
      assertEquals((await ask(action, "fits"))[0], 200);
    }
    const inStrict = (await files()).filter((file) => file.startsWith(`${strict}/`));
    assertEquals(inStrict.length, 2);
  } finally {
    await sql.begin(async (tx) => {
      await tx`select set_config('storage.allow_delete_query', 'true', true)`;
      await tx`delete from storage.objects where bucket_id = ${strict}`;
      await tx`delete from storage.buckets where id = ${strict}`;
    });
  }
});

localTest("an upload that breaks off leaves nothing", async (storage) => {
  const { asService, bucket } = storage;
  const broken = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(randomBytes(100_000)),
    pull: (controller) => controller.error(new Error("connection lost")),
  });
  const raw = await asService(`object/${bucket}/raw`, { method: "POST", body: broken });
  assertEquals(await outcome(raw), BAD_REQUEST);

  const whole = await new Response(form([["", new Blob([randomBytes(100_000)])]])).bytes();
  const boundary = new TextDecoder().decode(whole.subarray(2, whole.indexOf(13)));
  const headers = { "content-type": `multipart/form-data; boundary=${boundary}` };
  for (const cut of [0, 10, 60, 200, 50_000, whole.length - 20]) {
    const part = whole.slice(0, cut);
    const lost = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(part),
      pull: (controller) => controller.error(new Error("connection lost")),
    });
    for (const body of [part, lost]) {
      const half = await asService(`object/${bucket}/form`, { method: "POST", headers, body });
      assertEquals(await outcome(half), BAD_REQUEST, `cut at ${cut}`);
    }
  }
  await assertNothingLeft(storage);
  const complete = await asService(`object/${bucket}/form`, {
    method: "POST",
    headers,
    body: whole,
  });
  assertEquals(complete.status, 200);
  await complete.body?.cancel();
});

localTest("a form without an end is refused, wherever it does not end", async (storage) => {
  const { asService, bucket } = storage;
  const headers = { "content-type": "multipart/form-data; boundary=b" };
  const part = (name: string, more = "") =>
    `--b\r\ncontent-disposition: form-data; name="${name}"${more}\r\n\r\n`;
  const file = `${part("", '; filename="f"')}bytes\r\n`;
  const endless = (start: string, repeated: string) => {
    const chunk = new TextEncoder().encode(repeated.repeat(Math.ceil(65_536 / repeated.length)));
    return new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode(start)),
      pull: (controller) => controller.enqueue(chunk),
    }, { highWaterMark: 0 });
  };
  const bodies = {
    "in a field": endless(part("metadata"), "x"),
    "in fields": endless("", `${part("metadata")}x\r\n`),
    "before the first part": endless("", "x"),
    "after the file": endless(file + part("metadata"), "x"),
    "in a second file": endless(file + part("", '; filename="g"'), "x"),
    "after the last part": endless(`${file}--b--\r\n`, "x"),
    "in the file": endless(part("", '; filename="f"'), "x"),
  };
  for (const [where, body] of Object.entries(bodies)) {
    const answer = await asService(`object/${bucket}/endless`, { method: "POST", headers, body });
    assertEquals(await outcome(answer), TOO_LARGE, where);
  }
  await assertNothingLeft(storage);
});

localTest("a form without a file, a boundary or sound fields is refused", async (storage) => {
  const { asService, bucket } = storage;
  const post = async (body: BodyInit, headers: Record<string, string> = {}) => {
    const response = await asService(`object/${bucket}/form`, { method: "POST", body, headers });
    return await outcome(response);
  };
  const file: [string, Blob] = ["", new Blob(["x"])];

  assertEquals(await post(form([["metadata", "{}"]])), BAD_REQUEST);
  assertEquals(await post("x", { "content-type": "multipart/form-data" }), BAD_REQUEST);
  assertEquals(await post("x", { "content-type": "multipart/form-data; boundary=y" }), BAD_REQUEST);
  assertEquals(await post(form([["cacheControl", "1\r\nset-cookie: a=b"], file])), BAD_REQUEST);
  assertEquals(await post(form([["contentType", "text/ü"], file])), BAD_REQUEST);
  const large = JSON.stringify({ text: "x".repeat(1024 * 1024) });
  assertEquals(await post(form([["metadata", large], file])), TOO_LARGE);
  for (const text of ['{"a":"\\u0000"}', '{"a":"\\ud800"}']) {
    const answer = await post(form([["metadata", text], file]));
    assertEquals(answer, [400, "400", "InvalidParameter"], text);
  }
  await assertNothingLeft(storage);
});

localTest("a name that could leave its bucket, or hide, names nothing", async (storage) => {
  const { asService, bucket, context } = storage;
  const outside = join(context.dataDir, "keys.json");
  const before = await Deno.readTextFile(outside);
  const names = {
    "up": "..%2f..%2fkeys.json",
    "up in the middle": "a/..%2f..%2f..%2fkeys.json",
    "here": "a/%2e%2fb",
    "a letter that is none": "a%00b",
    "a backslash": "..%5c..%5ckeys.json",
    "a line": "a%0ab",
    "hidden letters": "a%E2%80%AEb",
    "broken percent": "a%zzb",
    "broken UTF-8": "a%ffb",
    "too long": "x".repeat(1025),
  };
  for (const [kind, name] of Object.entries(names)) {
    for (const init of [{ method: "POST", body: "x" }, { method: "PUT", body: "x" }, {}]) {
      const answer = await outcome(await asService(`object/${bucket}/${name}`, init));
      assertEquals(answer, [400, "400", "InvalidKey"], kind);
    }
    const move = JSON.stringify({
      ...{ bucketId: bucket, sourceKey: "a", destinationKey: decodeLoosely(name) },
    });
    const moved = await asService("object/move", { method: "POST", body: move });
    assertEquals(await outcome(moved), [400, "400", "InvalidKey"], kind);
  }
  // The address itself has no dots: what a URL's path climbs over is another path.
  const climbed = await asService(`object/${bucket}/../../../../keys.json`);
  assertEquals([climbed.status, (await climbed.json()).statusCode], [404, "404"]);
  assertEquals(await Deno.readTextFile(outside), before);
  await assertNothingLeft(storage);
});

function decodeLoosely(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

localTest("a name in any script is taken, and no file bears it", async (storage) => {
  const { asService, bucket, files } = storage;
  const names = [
    "ordner/Röntgen ü.png",
    "档案/扫描.pdf",
    "👩‍⚕️ (1).txt",
    "…",
    "a b+c&d=e,f;g@h!.txt",
  ];
  for (const name of names) {
    const path = `object/${bucket}/${name.split("/").map(encodeURIComponent).join("/")}`;
    const stored = await asService(path, { method: "POST", body: name });
    assertEquals((await stored.json()).Key, `${bucket}/${name}`);
    assertEquals(await (await asService(path)).text(), name);
  }
  const version = /^[^/]+\/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
  const stored = await files();
  assertEquals(stored.filter((file) => !version.test(file)), []);
  assertEquals(stored.length, names.length);
});

Deno.test("isValidKey takes what S3 can hold and people can see", () => {
  for (const key of ["a", "a/b", "/a", "a//b", "...", "a/.b", "\u{1F468}\u200D\u{1F469}"]) {
    assert(isValidKey(key), JSON.stringify(key));
  }
  const refused = ["", ".", "..", "a/..", "../a", "a/./b", "a\u0000", "a\u007f", "a\u0085", "a#b"];
  for (const key of [...refused, "a%b", "a\\b", "a\u202eb", "\ufeffa", "a\u2028b", "\ud800"]) {
    assertEquals(isValidKey(key), false, JSON.stringify(key));
  }
  assert(isValidKey("ü".repeat(512)));
  assertEquals(isValidKey("ü".repeat(513)), false);
});

localTest("a bucket with an odd name keeps its files in a folder of its own", async (storage) => {
  const { sql, asService, files, bucket } = storage;
  const odd = ["..", "Scans of 2026!", "CON", `-${bucket}`];
  try {
    for (const id of odd) {
      await sql`insert into storage.buckets (id, name) values (${id}, ${id})`;
      const path = `object/${encodeURIComponent(id).replaceAll(".", "%2E")}/file`;
      // A path segment of dots cannot be written in a URL, so that bucket is filled by a copy.
      if (id === "..") {
        await asService(`object/${bucket}/file`, { method: "POST", body: id });
        const body = JSON.stringify({
          ...{ bucketId: bucket, sourceKey: "file", destinationBucket: id, destinationKey: "file" },
        });
        assertEquals((await asService("object/copy", { method: "POST", body })).status, 200);
        continue;
      }
      assertEquals((await asService(path, { method: "POST", body: id })).status, 200);
      assertEquals(await (await asService(path)).text(), id);
    }
    const folders = (await files()).map((file) => file.split("/")[0]!);
    assertEquals(new Set(folders).size, odd.length + 1);
    for (const folder of folders) assert(/^(=[0-9a-f]{64}|local-[0-9a-f-]+)$/.test(folder), folder);
  } finally {
    await sql.begin(async (tx) => {
      await tx`select set_config('storage.allow_delete_query', 'true', true)`;
      await tx`delete from storage.objects where bucket_id = any (${odd})`;
      await tx`delete from storage.buckets where id = any (${odd})`;
    });
  }
});

localTest("a body that is no JSON, too large or of the wrong shape is refused", async (storage) => {
  const { asService, bucket } = storage;
  const post = async (path: string, body: string) =>
    await outcome(await asService(path, { method: "POST", body }));

  for (const body of ["{", "[]", "null", '"x"', '{"expiresIn":0}', '{"expiresIn":1.5}', "{}"]) {
    assertEquals(await post(`object/sign/${bucket}/x`, body), BAD_REQUEST, body);
  }
  assertEquals(await post(`object/sign/${bucket}`, '{"expiresIn":1,"paths":[]}'), BAD_REQUEST);
  const many = JSON.stringify({ expiresIn: 1, paths: Array(1001).fill("x") });
  assertEquals(await post(`object/sign/${bucket}`, many), BAD_REQUEST);
  const large = JSON.stringify({ prefix: "x".repeat(1024 * 1024) });
  assertEquals(await post(`object/list/${bucket}`, large), TOO_LARGE);
  assertEquals(await post(`object/list/${bucket}`, '{"prefix":"","limit":0}'), BAD_REQUEST);
  const unknown = await asService("nowhere");
  assertEquals([unknown.status, (await unknown.json()).message], [
    ...[404, "Route GET:/storage/v1/nowhere not found"],
  ]);
});
