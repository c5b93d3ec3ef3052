// Storage through the unmodified client: uploads in every form it can send, downloads, copies,
// moves and deletions, each as somebody who may and as somebody who may not.

import { assert, assertEquals } from "@std/assert";
import { newClient, testEnv } from "../support/env.ts";
import {
  createScratch,
  onEmbeddedStack,
  randomBytes,
  refusal,
  type Scratch,
  sha256,
} from "../support/storage_scratch.ts";

let scratch: Scratch;

function test(name: string, fn: () => Promise<void>) {
  Deno.test({ name, ignore: !onEmbeddedStack, fn });
}

Deno.test.beforeAll(async () => {
  if (onEmbeddedStack) scratch = await createScratch();
});
Deno.test.afterAll(async () => await scratch?.close());

const NOT_FOUND = {
  status: 400,
  statusCode: "404",
  code: "NoSuchKey",
  message: "Object not found",
};
const DENIED = {
  status: 400,
  statusCode: "403",
  code: "AccessDenied",
  message: "new row violates row-level security policy",
};
const DUPLICATE = {
  status: 400,
  statusCode: "409",
  code: "KeyAlreadyExists",
  message: "The resource already exists",
};

const bytes = new TextEncoder().encode("in bytes");
const streamed = () =>
  new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode("in a "));
      controller.enqueue(new TextEncoder().encode("stream"));
      controller.close();
    },
  });

const forms = {
  "a string": { body: () => "in a string", text: "in a string", type: "text/plain;charset=UTF-8" },
  "bytes": { body: () => bytes, text: "in bytes", type: "application/pdf" },
  "an ArrayBuffer": { body: () => bytes.buffer, text: "in bytes", type: "application/pdf" },
  "a stream": { body: streamed, text: "in a stream", type: "application/pdf" },
  "a Blob": {
    body: () => new Blob(["in a blob"], { type: "image/png" }),
    text: "in a blob",
    type: "image/png",
  },
  "a File": {
    body: () => new File(["in a file"], "ü.json", { type: "application/json" }),
    text: "in a file",
    type: "application/json",
  },
  "an empty Blob": {
    body: () => new Blob([], { type: "text/plain" }),
    text: "",
    type: "text/plain",
  },
};

for (const [form, { body, text, type }] of Object.entries(forms)) {
  test(`upload of ${form} stores the bytes, the type, cache control and metadata`, async () => {
    const { alice } = scratch;
    const path = alice.own(`forms/${form}`);
    const metadata = { origin: "a form with ü", page: 3 };

    const { data, error } = await alice.files.upload(path, body(), {
      ...(type.startsWith("text/plain;") ? {} : { contentType: type }),
      cacheControl: "60",
      metadata,
    });

    assertEquals(error, null);
    assertEquals(data?.path, path);
    assertEquals(data?.fullPath, `${scratch.bucket}/${path}`);
    const download = await alice.files.download(path);
    assertEquals(await download.data?.text(), text);
    const info = (await alice.files.info(path)).data;
    assertEquals(info?.id, data?.id);
    assertEquals(info?.size, new TextEncoder().encode(text).length);
    assertEquals(info?.contentType, type);
    assertEquals(info?.cacheControl, "max-age=60");
    assertEquals(info?.metadata, metadata as never);
  });
}

test("upload makes the caller the owner, and the secret key nobody", async () => {
  const { alice, service, bucket, sql } = scratch;
  await alice.files.upload(alice.own("owned"), "x");
  await service.storage.from(bucket).upload(alice.own("not owned"), "x");

  const owners = await sql`
    select owner::text, owner_id from storage.objects
    where bucket_id = ${bucket} and name in (${alice.own("owned")}, ${alice.own("not owned")})
    order by owner_id nulls last`;

  assertEquals([...owners], [
    { owner: alice.id, owner_id: alice.id },
    { owner: null, owner_id: null },
  ]);
});

test("upload over an object is refused without upsert and replaces it with upsert", async () => {
  const { alice } = scratch;
  const path = alice.own("twice");
  const first = await alice.files.upload(path, "first");

  const second = await alice.files.upload(path, "second");
  assertEquals(refusal(second.error), DUPLICATE);
  assertEquals(await (await alice.files.download(path)).data?.text(), "first");

  const third = await alice.files.upload(path, "third", { upsert: true });
  assertEquals(third.error, null);
  assertEquals(third.data?.id, first.data?.id);
  assertEquals(await (await alice.files.download(path)).data?.text(), "third");
});

test("update replaces an object and keeps its metadata when it names none", async () => {
  const { alice } = scratch;
  const path = alice.own("updated");
  await alice.files.upload(path, "first", { metadata: { kept: true } });

  const { error } = await alice.files.update(path, new Blob(["second"], { type: "text/csv" }));

  assertEquals(error, null);
  const info = (await alice.files.info(path)).data;
  assertEquals(info?.contentType, "text/csv");
  assertEquals(info?.metadata, { kept: true } as never);
  assertEquals(await (await alice.files.download(path)).data?.text(), "second");
});

test("upload is refused where no policy allows it, and nothing is there then", async () => {
  const { alice, bob, service, bucket } = scratch;
  const path = alice.own("by bob");

  for (const body of ["x", new Blob(["x"])]) {
    assertEquals(refusal((await bob.files.upload(path, body)).error), DENIED);
    assertEquals(refusal((await bob.files.upload(path, body, { upsert: true })).error), DENIED);
    assertEquals(
      refusal((await newClient().storage.from(bucket).upload(path, body)).error),
      DENIED,
    );
  }

  assertEquals((await service.storage.from(bucket).exists(path)).data, false);
});

test("upsert over another person's object is refused and leaves it", async () => {
  const { alice, bob } = scratch;
  const path = alice.own("not bob's");
  await alice.files.upload(path, "alice");

  assertEquals(refusal((await bob.files.upload(path, "bob", { upsert: true })).error), DENIED);
  assertEquals(refusal((await bob.files.update(path, "bob")).error), DENIED);

  assertEquals(await (await alice.files.download(path)).data?.text(), "alice");
});

test("another person's object looks the same as one that is not there", async () => {
  const { alice, bob } = scratch;
  const [there, absent] = [alice.own("there"), alice.own("absent")];
  await alice.files.upload(there, "x");

  for (const path of [there, absent]) {
    assertEquals(refusal((await bob.files.download(path)).error), NOT_FOUND);
    assertEquals(refusal((await bob.files.info(path)).error), NOT_FOUND);
    assertEquals((await bob.files.exists(path)).data, false);
    assertEquals(refusal((await bob.files.createSignedUrl(path, 60)).error), NOT_FOUND);
    assertEquals(refusal((await bob.files.copy(path, bob.own("stolen"))).error), NOT_FOUND);
    assertEquals(refusal((await bob.files.move(path, bob.own("stolen"))).error), NOT_FOUND);
    assertEquals((await bob.files.remove([path])).data, []);
    assertEquals((await bob.files.list(alice.id)).data, []);
  }

  assertEquals((await alice.files.exists(there)).data, true);
  assertEquals((await bob.files.list(bob.id)).data, []);
});

test("twenty uploads of one name at once: one wins and its bytes are what is there", async () => {
  const { alice } = scratch;
  const path = alice.own("contested");
  const bodies = Array.from({ length: 20 }, () => randomBytes(200_000));

  const answers = await Promise.all(
    bodies.map((body, index) =>
      alice.files.upload(path, index % 2 ? body : new Blob([body], { type: "image/png" }))
    ),
  );

  const winners = answers.flatMap(({ error }, index) => error ? [] : [index]);
  assertEquals(winners.length, 1);
  for (const { error } of answers) if (error) assertEquals(refusal(error), DUPLICATE);
  const there = await (await alice.files.download(path)).data?.arrayBuffer();
  assertEquals(await sha256(there!), await sha256(bodies[winners[0]!]!));
});

test("twenty upserts of one name at once all succeed and one of them is whole", async () => {
  const { alice } = scratch;
  const path = alice.own("overwritten");
  const bodies = Array.from({ length: 20 }, () => randomBytes(100_000));
  const sums = await Promise.all(bodies.map(sha256));

  const answers = await Promise.all(
    bodies.map((body) => alice.files.upload(path, body, { upsert: true })),
  );

  assertEquals(answers.filter(({ error }) => error), []);
  const there = await (await alice.files.download(path)).data?.arrayBuffer();
  assert(sums.includes(await sha256(there!)));
});

test("an object of 50 MiB comes back as it went, one byte more is refused", async () => {
  const { alice } = scratch;
  const body = randomBytes(50 * 1024 * 1024);
  const asStream = () => new Blob([body]).stream();
  const more = new Uint8Array(body.length + 1);
  const tooLarge = {
    status: 400,
    statusCode: "413",
    code: "EntityTooLarge",
    message: "The object exceeded the maximum allowed size",
  };

  for (const form of [asStream(), new Blob([body], { type: "image/png" })]) {
    const { error } = await alice.files.upload(alice.own("large"), form, { upsert: true });
    assertEquals(error, null);
    const there = await (await alice.files.download(alice.own("large"))).data?.arrayBuffer();
    assertEquals(await sha256(there!), await sha256(body));
  }
  for (const form of [more, new Blob([more]).stream(), new Blob([more], { type: "image/png" })]) {
    const { error } = await alice.files.upload(alice.own("larger"), form);
    assertEquals(refusal(error), tooLarge);
  }
  assertEquals((await alice.files.exists(alice.own("larger"))).data, false);
});

test("download answers ranges, conditions and HEAD with the headers of the object", async () => {
  const { alice, bucket } = scratch;
  const path = alice.own("ranged.txt");
  await alice.files.upload(path, "0123456789", { contentType: "text/plain", cacheControl: "90" });
  const url = `${testEnv().url}/storage/v1/object/authenticated/${bucket}/${path}`;
  const get = async (headers: Record<string, string>, method = "GET") => {
    const response = await fetch(url, {
      method,
      headers: {
        authorization: `Bearer ${alice.token}`,
        apikey: testEnv().publishableKey,
        ...headers,
      },
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };

  const whole = await get({});
  assertEquals([whole.status, whole.text], [200, "0123456789"]);
  const { headers } = whole;
  assertEquals(headers.get("content-length"), "10");
  assertEquals(headers.get("content-type"), "text/plain");
  assertEquals(headers.get("etag"), '"781e5e245d69b566979b86e28d23f2c7"');
  assertEquals(headers.get("cache-control"), "private, max-age=90");
  assertEquals(headers.get("x-content-type-options"), "nosniff");
  assertEquals(headers.get("accept-ranges"), "bytes");
  assert(Math.abs(Date.parse(headers.get("last-modified")!) - Date.now()) < 60_000);

  const ranges: [string, number, string, string | null][] = [
    ["bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["bytes=7-", 206, "789", "bytes 7-9/10"],
    ["bytes=-3", 206, "789", "bytes 7-9/10"],
    ["bytes=8-99", 206, "89", "bytes 8-9/10"],
    ["bytes=0-0,2-3", 200, "0123456789", null],
    ["lines=1-2", 200, "0123456789", null],
  ];
  for (const [range, status, text, contentRange] of ranges) {
    const part = await get({ range });
    assertEquals([part.status, part.text], [status, text], range);
    assertEquals(part.headers.get("content-range"), contentRange);
    assertEquals(part.headers.get("content-length"), String(text.length));
  }
  const beyond = await get({ range: "bytes=10-" });
  assertEquals([beyond.status, JSON.parse(beyond.text).code], [416, "InvalidRange"]);
  const changed = await get({ range: "bytes=2-4", "if-range": '"another"' });
  assertEquals([changed.status, changed.text], [200, "0123456789"]);

  const known = await get({ "if-none-match": headers.get("etag")! });
  assertEquals([known.status, known.text], [304, ""]);
  const recent = await get({ "if-modified-since": headers.get("last-modified")! });
  assertEquals([recent.status, recent.text], [304, ""]);

  const head = await get({}, "HEAD");
  assertEquals([head.status, head.text], [200, ""]);
  assertEquals(head.headers.get("content-length"), "10");
  assertEquals(head.headers.get("etag"), headers.get("etag"));
});

test("download of a page gives text, and `download` names the file", async () => {
  const { alice, bucket } = scratch;
  const path = alice.own("page.html");
  await alice.files.upload(path, "<script>1</script>", { contentType: "text/html" });

  const response = await fetch(
    `${testEnv().url}/storage/v1/object/${bucket}/${path}?download=a"b.txt`,
    { headers: { authorization: `Bearer ${alice.token}`, apikey: testEnv().publishableKey } },
  );
  await response.body?.cancel();

  assertEquals(response.headers.get("content-type"), "text/plain");
  assertEquals(
    response.headers.get("content-disposition"),
    "attachment; filename=a%22b.txt; filename*=UTF-8''a%22b.txt;",
  );
});

test("download in a stream gives the bytes", async () => {
  const { alice } = scratch;
  const body = randomBytes(700_001);
  await alice.files.upload(alice.own("streamed"), body);

  const { data } = await alice.files.download(alice.own("streamed")).asStream();

  const there = await new Response(data).arrayBuffer();
  assertEquals(await sha256(there), await sha256(body));
});

test("copy keeps the bytes and the metadata, and the copy has a life of its own", async () => {
  const { alice } = scratch;
  const [from, to] = [alice.own("original"), alice.own("copy")];
  await alice.files.upload(from, "first", { contentType: "text/csv", metadata: { a: 1 } });

  const { data, error } = await alice.files.copy(from, to);
  assertEquals([data, error], [{ path: `${scratch.bucket}/${to}` }, null]);
  await alice.files.update(from, "second");

  assertEquals(await (await alice.files.download(to)).data?.text(), "first");
  const info = (await alice.files.info(to)).data;
  assertEquals(info?.contentType, "text/csv");
  assertEquals(info?.metadata, { a: 1 } as never);
  assertEquals(refusal((await alice.files.copy(from, to)).error), DUPLICATE);
});

test("copy and move to where the caller may not write are refused and change nothing", async () => {
  const { alice, bob } = scratch;
  const from = alice.own("stays");
  await alice.files.upload(from, "x");

  assertEquals(refusal((await alice.files.copy(from, bob.own("gift"))).error), DENIED);
  assertEquals(refusal((await alice.files.move(from, bob.own("gift"))).error), DENIED);

  assertEquals((await bob.files.list(bob.id)).data, []);
  assertEquals(await (await alice.files.download(from)).data?.text(), "x");
});

test("move gives an object another name, and none that is taken", async () => {
  const { alice } = scratch;
  const [from, to, taken] = [alice.own("before"), alice.own("after"), alice.own("taken")];
  await alice.files.upload(from, "x");
  await alice.files.upload(taken, "y");

  assertEquals(refusal((await alice.files.move(from, taken)).error), DUPLICATE);
  assertEquals((await alice.files.move(from, to)).data?.message, "Successfully moved");

  assertEquals(await (await alice.files.download(to)).data?.text(), "x");
  assertEquals(await (await alice.files.download(taken)).data?.text(), "y");
  assertEquals((await alice.files.exists(from)).data, false);
});

test("copy and move take the bytes into another bucket", async () => {
  const { service, bucket, alice, addBucket } = scratch;
  const other = await addBucket();
  const [here, there] = [service.storage.from(bucket), service.storage.from(other)];
  await here.upload(alice.own("wanders"), "x");

  const copied = await here.copy(alice.own("wanders"), "copied", { destinationBucket: other });
  assertEquals(copied.data, { path: `${other}/copied` });
  const moved = await here.move(alice.own("wanders"), "moved", { destinationBucket: other });
  assertEquals(moved.error, null);

  assertEquals(await (await there.download("copied")).data?.text(), "x");
  assertEquals(await (await there.download("moved")).data?.text(), "x");
  assertEquals((await here.exists(alice.own("wanders"))).data, false);
});

test("remove deletes what the caller may delete and says what that was", async () => {
  const { alice, bob } = scratch;
  await alice.files.upload(alice.own("gone 1"), "x");
  await alice.files.upload(alice.own("gone 2"), "x");
  await bob.files.upload(bob.own("kept"), "x");

  const { data } = await alice.files.remove(
    [alice.own("gone 1"), alice.own("gone 2"), alice.own("never there"), bob.own("kept"), "a\0b"],
  );

  assertEquals(data?.map(({ name }) => name).sort(), [alice.own("gone 1"), alice.own("gone 2")]);
  assertEquals((await alice.files.exists(alice.own("gone 1"))).data, false);
  assertEquals((await bob.files.exists(bob.own("kept"))).data, true);
  await bob.files.remove([bob.own("kept")]);
});

test("a public bucket's objects need no key to read, a private one's are not there", async () => {
  const { service, bucket, alice, addBucket } = scratch;
  const open = await addBucket({ public: true });
  await service.storage.from(open).upload("logo ü.txt", "logo", { cacheControl: "3600" });
  await alice.files.upload(alice.own("private"), "x");

  const publicUrl = service.storage.from(open).getPublicUrl("logo ü.txt").data.publicUrl;
  const shown = await fetch(publicUrl);
  assertEquals([shown.status, await shown.text()], [200, "logo"]);
  assertEquals(shown.headers.get("cache-control"), "max-age=3600");

  for (const kind of ["public/", "authenticated/", ""]) {
    const path = `${bucket}/${alice.own("private")}`;
    const hidden = await fetch(`${testEnv().url}/storage/v1/object/${kind}${path}`);
    assertEquals([hidden.status, (await hidden.json()).code], [400, "NoSuchBucket"], kind);
  }
  const written = await newClient().storage.from(open).upload("logo 2", "x");
  assertEquals(refusal(written.error), DENIED);
});
