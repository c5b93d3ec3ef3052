// Buckets and lists of objects, through the unmodified client.

import { assert, assertEquals } from "@std/assert";
import { newClient } from "../support/env.ts";
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

Deno.test.beforeAll(async () => {
  if (!onEmbeddedStack) return;
  scratch = await createScratch();
  const { alice } = scratch;
  for (const name of TREE) await alice.files.upload(alice.own(`tree/${name}`), name);
});
Deno.test.afterAll(async () => await scratch?.close());

const TREE = [
  "b.txt",
  "B_.txt",
  "a/1.txt",
  "a/2/deep.txt",
  "c/1.txt",
  "ä.txt",
];

const names = (entries: { name: string }[] | null | undefined) => entries?.map(({ name }) => name);

const refusedWith = (error: unknown) => refusal(error).code;

test("list shows one level, folders without id, in the order of names", async () => {
  const { alice } = scratch;

  const { data } = await alice.files.list(alice.own("tree"));

  assertEquals(names(data), ["a", "b.txt", "B_.txt", "c", "ä.txt"]);
  assertEquals(data?.map(({ id }) => id !== null), [false, true, true, false, true]);
  assertEquals(data?.[1]?.metadata?.size, 5);
  assertEquals(names((await alice.files.list(alice.own("tree/a"))).data), ["1.txt", "2"]);
});

test("list pages, searches without regard to case, and sorts both ways", async () => {
  const { alice } = scratch;
  const list = async (options: Parameters<typeof alice.files.list>[1]) =>
    names((await alice.files.list(alice.own("tree"), options)).data);

  assertEquals(await list({ limit: 2 }), ["a", "b.txt"]);
  assertEquals(await list({ limit: 2, offset: 2 }), ["B_.txt", "c"]);
  assertEquals(await list({ search: "b" }), ["b.txt", "B_.txt"]);
  assertEquals(await list({ search: "b_" }), ["B_.txt"]); // no wildcard
  assertEquals(await list({ search: "%" }), []);
  assertEquals(
    await list({ sortBy: { column: "name", order: "desc" } }),
    ["ä.txt", "c", "B_.txt", "b.txt", "a"],
  );
  assertEquals(
    await list({ sortBy: { column: "created_at", order: "desc" } }),
    ["c", "a", "ä.txt", "B_.txt", "b.txt"],
  );
});

test("list shows nobody what they may not see", async () => {
  const { alice, bob, bucket } = scratch;

  assertEquals((await bob.files.list(alice.own("tree"))).data, []);
  assertEquals((await bob.files.list()).data, []);
  assertEquals((await newClient().storage.from(bucket).list()).data, []);
  assertEquals(names((await alice.files.list()).data), [alice.id]);
});

test("listV2 walks the whole tree in pages, each object once", async () => {
  const { alice } = scratch;
  const prefix = alice.own("tree/");
  for (const column of ["name", "created_at"] as const) {
    for (const order of ["asc", "desc"] as const) {
      const seen: string[] = [];
      let cursor: string | undefined;
      for (let page = 0; page === 0 || cursor; page++) {
        assert(page < 10);
        const { data } = await alice.files.listV2({
          ...{ prefix, limit: 2, cursor, sortBy: { column, order } },
        });
        if (!data) throw new Error("listV2 gave nothing");
        assert(data.objects.length <= 2);
        assertEquals(data.hasNext, data.nextCursor !== undefined);
        seen.push(...data.objects.map(({ name }) => name.slice(prefix.length)));
        cursor = data.nextCursor;
      }
      const expected = column === "created_at" ? [...TREE] : TREE.toSorted();
      assertEquals(seen, order === "asc" ? expected : expected.toReversed(), `${column} ${order}`);
    }
  }
});

test("listV2 with a delimiter puts folders in place of what is in them", async () => {
  const { alice, bob } = scratch;
  const prefix = alice.own("tree/");

  const { data } = await alice.files.listV2({ prefix, with_delimiter: true });
  assertEquals(names(data?.folders), [`${prefix}a/`, `${prefix}c/`]);
  assertEquals(names(data?.objects), ["B_.txt", "b.txt", "ä.txt"].map((name) => prefix + name));
  assertEquals(data?.hasNext, false);

  const first = (await alice.files.listV2({ prefix, with_delimiter: true, limit: 2 })).data;
  const rest = (await alice.files.listV2({
    ...{ prefix, with_delimiter: true, limit: 9, cursor: first?.nextCursor },
  })).data;
  assertEquals(
    [first?.folders.length, first?.objects.length, rest?.folders.length, rest?.objects.length],
    [1, 1, 1, 2],
  );
  assertEquals((await bob.files.listV2({ prefix, with_delimiter: true })).data?.folders, []);
  const broken = await alice.files.listV2({ cursor: "bm90IGEgY3Vyc29y" });
  assertEquals(refusedWith(broken.error), "InvalidRequest");
});

test("a bucket is created, read, changed and deleted with the secret key only", async () => {
  const { service, alice } = scratch;
  const id = `scratch-${crypto.randomUUID()}`;

  for (const { storage } of [alice.client, newClient()]) {
    assertEquals(refusedWith((await storage.createBucket(id)).error), "AccessDenied");
  }
  const created = await service.storage.createBucket(id, {
    ...{ public: false, fileSizeLimit: "2KB", allowedMimeTypes: ["image/*"] },
  });
  assertEquals(created.data, { name: id });
  assertEquals(
    refusedWith((await service.storage.createBucket(id)).error),
    "BucketAlreadyExists",
  );

  const { data } = await service.storage.getBucket(id);
  assertEquals([data?.public, data?.file_size_limit, data?.allowed_mime_types], [
    ...[false, 2000, ["image/*"]],
  ]);
  for (const { storage } of [alice.client, newClient()]) {
    assertEquals(refusedWith((await storage.getBucket(id)).error), "NoSuchBucket");
    assertEquals(
      refusedWith((await storage.updateBucket(id, { public: true })).error),
      "NoSuchBucket",
    );
    assertEquals(refusedWith((await storage.emptyBucket(id)).error), "NoSuchBucket");
    assertEquals(refusedWith((await storage.deleteBucket(id)).error), "NoSuchBucket");
    assertEquals((await storage.listBuckets()).data?.some((bucket) => bucket.id === id), false);
  }
  const listed = await service.storage.listBuckets({ search: id.toUpperCase(), limit: 1 });
  assertEquals(names(listed.data), [id]);

  const updated = await service.storage.updateBucket(id, { public: true, fileSizeLimit: null });
  assertEquals(updated.data, { message: "Successfully updated" });
  const after = (await service.storage.getBucket(id)).data;
  assertEquals([after?.public, after?.file_size_limit, after?.allowed_mime_types], [
    ...[true, null, ["image/*"]],
  ]);

  const file = new Blob(["x"], { type: "image/png" });
  await service.storage.from(id).upload("kept.png", file);
  assertEquals(refusedWith((await service.storage.deleteBucket(id)).error), "ResourceNotEmpty");
  assertEquals((await service.storage.from(id).exists("kept.png")).data, true);
  assertEquals((await service.storage.emptyBucket(id)).error, null);
  assertEquals((await service.storage.from(id).exists("kept.png")).data, false);
  assertEquals((await service.storage.deleteBucket(id)).error, null);
  assertEquals(refusedWith((await service.storage.getBucket(id)).error), "NoSuchBucket");
});

test("a bucket with a bad name, limit or type is refused", async () => {
  const { service } = scratch;
  const create = async (id: string, options?: Parameters<typeof service.storage.createBucket>[1]) =>
    refusedWith((await service.storage.createBucket(id, options)).error);

  assertEquals(await create("a/b"), "InvalidBucketName");
  assertEquals(await create("a\0b"), "InvalidBucketName");
  assertEquals(await create("x".repeat(101)), "InvalidBucketName");
  assertEquals(await create("big", { public: false, fileSizeLimit: "1GB" }), "EntityTooLarge");
  assertEquals(await create("odd", { public: false, fileSizeLimit: "much" }), "InvalidRequest");
  assertEquals(
    await create("odd", { public: false, allowedMimeTypes: ["no type"] }),
    "InvalidMimeType",
  );
  const { data } = await service.storage.listBuckets();
  assertEquals(data?.filter(({ id }) => ["a/b", "big", "odd"].includes(id)), []);
});

test("what the embedded Storage lacks says so", async () => {
  const { service, alice, bucket } = scratch;
  const path = alice.own("tree/b.txt");
  const { data, error } = await alice.files.download(path, { transform: { width: 10 } });
  assertEquals([data, refusedWith(error)], [null, "NotSupported"]);
  const signed = await alice.files.createSignedUrl(path, 60, { transform: { width: 10 } });
  assertEquals(refusedWith(signed.error), "InvalidRequest");
  assertEquals(
    refusedWith((await service.storage.getBucketLifecycle(bucket)).error),
    "NotSupported",
  );
  assertEquals(refusedWith((await alice.files.purgeCache(path)).error), "NotSupported");
  assertEquals(
    refusedWith((await alice.files.info(path, { versionId: "1" })).error),
    "NotSupported",
  );
});
