// Rows and files agree after a crash at any point: each row's file is there and whole, and after
// the sweep of the next start no file is there without a row.

import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { createHash } from "node:crypto";
import type postgres from "postgres";
import { Blobs } from "../../supabase/local/storage/blobs.ts";
import { SERVICE } from "../../supabase/local/storage/caller.ts";
import { type Actor, Database } from "../../supabase/local/storage/database.ts";
import type { Incoming } from "../../supabase/local/storage/incoming.ts";
import { Objects } from "../../supabase/local/storage/objects.ts";
import { filesBelow, type LocalStorage, withLocalStorage } from "../support/local_storage.ts";
import { adminUrl, onEmbeddedStack } from "../support/storage_scratch.ts";

function localTest(name: string, fn: (storage: LocalStorage) => Promise<void>) {
  Deno.test({ name, ignore: !onEmbeddedStack, fn: () => withLocalStorage(fn) });
}

const actor: Actor = { caller: SERVICE, operation: "test", method: "", path: "" };

/** Where a process may die. */
const POINTS = [
  "before the file",
  "file written",
  "row written",
  "row committed",
  "old file forgotten",
] as const;
type Point = typeof POINTS[number];

class Died extends Error {}

/** The end of a process: from its point on, nothing that the process does has any effect. */
class Death {
  #dead = false;

  /** @param looks Transactions that only look, before the one that writes. */
  constructor(readonly point: Point | undefined, public looks: number) {}

  at(point: Point | "anywhere"): void {
    if (point === this.point) this.#dead = true;
    if (this.#dead) throw new Died();
  }
}

class DyingBlobs extends Blobs {
  constructor(root: string, readonly death: Death) {
    super(root);
  }

  override write(...args: Parameters<Blobs["write"]>) {
    return this.#make(() => super.write(...args));
  }

  override copy(...args: Parameters<Blobs["copy"]>) {
    return this.#make(() => super.copy(...args));
  }

  async #make<T>(make: () => Promise<T>): Promise<T> {
    this.death.at("before the file");
    const made = await make();
    this.death.at("file written");
    this.death.looks = 0;
    return made;
  }

  override async remove(...args: Parameters<Blobs["remove"]>) {
    this.death.at("anywhere");
    await super.remove(...args);
    this.death.at("old file forgotten");
  }
}

/** The pool, as a process sees it that may die in a transaction or right after one. */
function dyingPool(sql: postgres.Sql, death: Death): postgres.Sql {
  const begin = async (work: (tx: postgres.TransactionSql) => Promise<unknown>) => {
    death.at("anywhere");
    const looks = death.looks-- > 0;
    const result = await sql.begin(async (tx) => {
      const value = await work(tx);
      if (!looks) death.at("row written");
      return { value };
    });
    if (!looks) death.at("row committed");
    return result.value;
  };
  return new Proxy(sql, {
    get: (target, name) => name === "begin" ? begin : Reflect.get(target, name),
  });
}

function incoming(text: string): Promise<Incoming> {
  async function* body() {
    yield new TextEncoder().encode(text);
  }
  return Promise.resolve({
    mimeType: "text/plain",
    body: body(),
    describe: () => ({ cacheControl: "no-cache" }),
    [Symbol.dispose]: () => {},
  });
}

/** What is stored under each key, read through the rows; throws where row and file disagree. */
async function contents(objects: Objects, sql: postgres.Sql, bucket: string) {
  const rows = await sql<{ name: string }[]>`
    select name from storage.objects where bucket_id = ${bucket} order by name`;
  const found: Record<string, string> = {};
  for (const { name: key } of rows) {
    const { row, blob } = await objects.open(actor, { bucket, key });
    const bytes = await new Response(blob.file.readable).bytes();
    assertEquals(bytes.length, row.metadata?.size, `size of ${key}`);
    const md5 = createHash("md5").update(bytes).digest("hex");
    assertEquals(`"${md5}"`, row.metadata?.eTag, `bytes of ${key}`);
    found[key] = new TextDecoder().decode(bytes);
  }
  return found;
}

/** Versions that rows name, as the paths of their files, sorted. */
async function namedFiles(sql: postgres.Sql, buckets: string[]): Promise<string[]> {
  const rows = await sql<{ path: string }[]>`
    select bucket_id || '/' || version as path from storage.objects
    where bucket_id = any (${buckets})`;
  return rows.map(({ path }) => path).sort();
}

interface Case {
  /** What the process was doing when it died. */
  act: (objects: Objects, bucket: string, other: string) => Promise<unknown>;
  /** Objects of the bucket, and of the other, when it did not get as far as the commit. */
  before: [Record<string, string>, Record<string, string>];
  /** And when it did. */
  after: [Record<string, string>, Record<string, string>];
  /** If it makes no file: how many transactions look before one writes. */
  looks?: number;
}

const old = { kept: "kept", target: "old" };

const CASES: Record<string, Case> = {
  "an upload": {
    act: (objects, bucket) =>
      objects.upload(actor, { bucket, key: "new" }, () => incoming("new"), { upsert: false }),
    before: [old, {}],
    after: [{ ...old, new: "new" }, {}],
  },
  "an overwriting upload": {
    act: (objects, bucket) =>
      objects.upload(actor, { bucket, key: "target" }, () => incoming("new"), { upsert: true }),
    before: [old, {}],
    after: [{ ...old, target: "new" }, {}],
  },
  "a copy over another object": {
    act: (objects, bucket) =>
      objects.copy(actor, { bucket, key: "kept" }, { bucket, key: "target" }, {
        ...{ upsert: true, copyMetadata: true },
      }),
    before: [old, {}],
    after: [{ kept: "kept", target: "kept" }, {}],
  },
  "a move to another bucket": {
    act: (objects, bucket, other) =>
      objects.move(actor, { bucket, key: "target" }, { bucket: other, key: "moved" }),
    before: [old, {}],
    after: [{ kept: "kept" }, { moved: "old" }],
  },
  "a move within the bucket": {
    act: (objects, bucket) =>
      objects.move(actor, { bucket, key: "target" }, { bucket, key: "moved" }),
    before: [old, {}],
    after: [{ kept: "kept", moved: "old" }, {}],
    looks: 1,
  },
  "a removal": {
    act: (objects, bucket) => objects.remove(actor, bucket, ["target"]),
    before: [old, {}],
    after: [{ kept: "kept" }, {}],
    looks: 0,
  },
};

for (const [what, { act, before, after, looks }] of Object.entries(CASES)) {
  localTest(
    `${what} that dies at any point is done or undone, and leaves no file`,
    async (storage) => {
      const { sql, bucket, context } = storage;
      const root = join(context.dataDir, "storage");
      const other = `${bucket}-2`;
      const reached: Point[] = [];
      for (const point of [...POINTS, undefined]) {
        await sql`insert into storage.buckets (id, name) values (${other}, ${other})`;
        const objects = new Objects(new Database(sql), new Blobs(root), Date.now);
        for (const [key, text] of Object.entries(old)) {
          await objects.upload(actor, { bucket, key }, () => incoming(text), { upsert: true });
        }

        const death = new Death(point, looks ?? Infinity);
        const dying = new Objects(
          new Database(dyingPool(sql, death)),
          new DyingBlobs(root, death),
          Date.now,
        );
        const died = await act(dying, bucket, other).then(() => false, (error) => {
          if (!(error instanceof Died)) throw error;
          return true;
        });
        if (died && point) reached.push(point);

        const restarted = new Objects(new Database(sql), new Blobs(root), Date.now);
        const orphans = await restarted.sweep();
        const found = [
          await contents(restarted, sql, bucket),
          await contents(restarted, sql, other),
        ];
        const committed = !died || POINTS.indexOf(point!) >= POINTS.indexOf("row committed");
        assertEquals(found, committed ? after : before, `${what}, ${point}`);
        assertEquals(await filesBelow(root), await namedFiles(sql, [bucket, other]), `${point}`);
        if (!died) assertEquals(orphans, 0);
        await emptyBuckets(storage, [bucket, other], other);
        await restarted.sweep();
        assertEquals(await filesBelow(root), []);
      }
      assert(reached.includes("row written") && reached.includes("row committed"));
      if (looks === undefined) {
        assert(reached.includes("before the file") && reached.includes("file written"));
      }
    },
  );
}

async function emptyBuckets({ sql }: LocalStorage, buckets: string[], drop: string) {
  await sql.begin(async (tx) => {
    await tx`select set_config('storage.allow_delete_query', 'true', true)`;
    await tx`delete from storage.objects where bucket_id = any (${buckets})`;
    await tx`delete from storage.buckets where id = ${drop}`;
  });
}

localTest("a sweep leaves what rows name and removes the rest", async (storage) => {
  const { asService, bucket, sql, context, files } = storage;
  await asService(`object/${bucket}/kept`, { method: "POST", body: "kept" });
  const [kept] = await files();
  const root = join(context.dataDir, "storage");
  const stray = crypto.randomUUID();
  await Deno.mkdir(join(root, "a-bucket-that-is-gone"));
  for (const folder of [bucket, ".incoming", "a-bucket-that-is-gone"]) {
    await Deno.writeTextFile(join(root, folder, stray), "stray");
  }
  const objects = new Objects(new Database(sql), new Blobs(root), Date.now);

  assertEquals(await objects.sweep(), 3);

  assertEquals(await files(), [kept!]);
  assertEquals(await (await asService(`object/${bucket}/kept`)).text(), "kept");
});

localTest("a row that names no file of ours shows nothing", async (storage) => {
  const { asService, bucket, sql, context } = storage;
  const versions = ["../../keys.json", "keys.json", "", crypto.randomUUID(), null];
  for (const [index, version] of versions.entries()) {
    const key = `row ${index}`;
    await sql`
      insert into storage.objects (bucket_id, name, version)
      values (${bucket}, ${key}, ${version})`;
    const response = await asService(`object/${bucket}/${key}`);
    assertEquals([response.status, (await response.json()).code], [400, "NoSuchKey"], `${version}`);
    const body = JSON.stringify({ prefixes: [key] });
    const removed = await asService(`object/${bucket}`, { method: "DELETE", body });
    assertEquals((await removed.json()).length, 1);
  }
  assert((await Deno.stat(join(context.dataDir, "keys.json"))).isFile);
});

localTest("a download finds an object that is overwritten at the same moment", async (storage) => {
  const { sql, bucket, context } = storage;
  const root = join(context.dataDir, "storage");
  const name = { bucket, key: "busy" };
  const writer = new Objects(new Database(sql), new Blobs(root), Date.now);
  const overwrite = (text: string) =>
    writer.upload(actor, name, () => incoming(text), { upsert: true });
  await overwrite("first");
  class SlowBlobs extends Blobs {
    opened = 0;
    override async open(...args: Parameters<Blobs["open"]>) {
      // The row has been read already.
      if (this.opened++ < 2) await overwrite(`overwritten ${this.opened}`);
      return await super.open(...args);
    }
  }

  const reader = new Objects(new Database(sql), new SlowBlobs(root), Date.now);
  const { blob } = await reader.open(actor, name);

  assertEquals(await new Response(blob.file.readable).text(), "overwritten 2");
});

localTest("actions at the same time leave each row its file and no other file", async (storage) => {
  const { sql, bucket, context } = storage;
  const root = join(context.dataDir, "storage");
  const objects = new Objects(new Database(sql), new Blobs(root), Date.now);
  const name = (index: number) => ({ bucket, key: `object ${index % 3}` });
  const actions = [
    (index: number) =>
      objects.upload(actor, name(index), () => incoming(`text ${index}`), { upsert: true }),
    (index: number) =>
      objects.copy(actor, name(index), name(index + 1), { upsert: true, copyMetadata: true }),
    (index: number) => objects.move(actor, name(index), name(index + 1)),
    (index: number) => objects.remove(actor, bucket, [name(index).key]),
  ];

  const outcomes = await Promise.allSettled(
    Array.from({ length: 200 }, (_, index) => actions[(index * 7 + (index >> 3)) % 4]!(index)),
  );

  const reasons = outcomes.flatMap((one) => one.status === "rejected" ? [one.reason.code] : []);
  assertEquals(reasons.filter((code) => !["NoSuchKey", "KeyAlreadyExists"].includes(code)), []);
  assert(reasons.length < 150);
  assertEquals(await filesBelow(root), await namedFiles(sql, [bucket]));
  await contents(objects, sql, bucket);
});

localTest(
  "a killed process leaves no row without its file, and the next start no file without a row",
  async (storage) => {
    const { sql, bucket, context } = storage;
    const root = join(context.dataDir, "storage");
    let orphans = 0;
    for (let round = 1; round <= 6; round++) {
      const application = `victim-${crypto.randomUUID()}`;
      const victim = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", VICTIM, root, bucket, application],
        env: { BL_LOCAL_ADMIN_URL: adminUrl() },
        stdout: "piped",
        stdin: "null",
      }).spawn();
      await readLines(victim.stdout, 150 + round * 17);
      victim.kill("SIGKILL");
      await victim.status;
      await untilGone(sql, application);

      const objects = new Objects(new Database(sql), new Blobs(root), Date.now);
      await contents(objects, sql, bucket);
      orphans += await objects.sweep();
      assertEquals(await filesBelow(root), await namedFiles(sql, [bucket]), `round ${round}`);
      await contents(objects, sql, bucket);
    }
    assert(orphans > 0, "no kill came at a moment that leaves anything: the test proves nothing");
  },
);

const VICTIM = new URL("../support/storage_victim.ts", import.meta.url).pathname;

/** Reads a number of lines and leaves the rest. */
async function readLines(stream: ReadableStream<Uint8Array>, wanted: number): Promise<void> {
  let seen = 0;
  for await (const chunk of stream) {
    for (const byte of chunk) if (byte === 10) seen++;
    if (seen >= wanted) return;
  }
  throw new Error(`The process ended after ${seen} lines`);
}

/** Waits until the server has taken back what a killed process had not committed. */
async function untilGone(sql: postgres.Sql, application: string): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline) {
    const [row] = await sql`
      select count(*)::integer as open from pg_stat_activity
      where application_name = ${application}`;
    if (row?.open === 0) return;
  }
  throw new Error("The killed process is still connected");
}
