// Crypto-shredding, byte by byte: a canary in a file is nowhere on the disks of Storage and database,
// in any form; once its key is erased, the wrapped key leaves the live data files, and what the log of
// the database still holds of it opens nothing after the next rotation.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import postgres from "postgres";
import { createClient } from "@supabase/supabase-js";
import { downloadRecordFile, eraseRecordFile, uploadRecordFile } from "../../clients/records.ts";
import { dataKeyContext } from "../../functions/_shared/data_keys.ts";
import { openKeyRing, readKeyVersions } from "../../functions/_shared/key_ring.ts";
import { databaseUrl, SUPERUSER } from "../../supabase/local/postgres.ts";
import { Site } from "../support/stack_process.ts";

const CANARY = "CANARY-7f3a9c51-thyroid-carcinoma";

/** Where some bytes were found, by part of the data folder: `db/base`, `db/pg_wal`, `storage` … */
type Found = Record<string, number>;

/** Every file below a folder. */
async function* filesIn(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory, isFile } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) yield* filesIn(path);
    else if (isFile) yield path;
  }
}

/** Counts the places where one of several byte strings begins, in every file of the data folder. */
async function scan(dataDir: string, needles: Uint8Array[]): Promise<Found> {
  const found: Found = {};
  for await (const path of filesIn(dataDir)) {
    // A file may go while we look: the database tidies up.
    const bytes = await Deno.readFile(path).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return new Uint8Array();
      throw error;
    });
    const part = path.slice(dataDir.length + 1).split("/").slice(0, 2).join("/");
    const content = new TextDecoder("latin1").decode(bytes);
    for (const needle of needles) {
      const count = content.split(new TextDecoder("latin1").decode(needle)).length - 1;
      if (count > 0) found[part] = (found[part] ?? 0) + count;
    }
  }
  return found;
}

/** The forms in which text may lie somewhere: as it is, in UTF-16, hexadecimal, and base64. */
function formsOf(text: string): Uint8Array[] {
  const bytes = new TextEncoder().encode(text);
  const base64 = [0, 1, 2].map((shift) => {
    const whole = new Uint8Array(shift + bytes.length);
    whole.set(bytes, shift);
    // Letters that depend on what stands around the text are left out.
    return whole.toBase64().slice(4, -4);
  });
  const texts = [bytes.toHex(), bytes.toHex().toUpperCase(), ...base64];
  const utf16 = Uint8Array.from([...bytes].flatMap((byte) => [byte, 0]));
  return [bytes, utf16, ...texts.map((form) => new TextEncoder().encode(form))];
}

/** A patient with a record whose file holds the canary many times. */
async function plantCanary(site: Site) {
  const { text: env } = await site.run("status", "-o", "env");
  const valueOf = (name: string) => RegExp(`^${name}="?([^"\n]+)"?$`, "m").exec(env)?.[1] ?? "";
  const client = createClient(valueOf("API_URL"), valueOf("PUBLISHABLE_KEY"), {
    auth: { autoRefreshToken: false, persistSession: false },
  });
  const { data, error } = await client.auth.signUp({
    email: "shred@example.org",
    password: crypto.randomUUID(),
  });
  if (error) throw error;
  const { data: record } = await client.from("medical_records")
    .insert({ patient_id: data.user!.id, title: "Letter", record_type: "other" })
    .select("id").single();
  const lines = Array.from({ length: 5_000 }, (_, at) => `${at} ${CANARY}\n`);
  await uploadRecordFile(client, record!.id, new File(lines, "letter.txt", { type: "text/plain" }));
  return { client, record: record!.id as string, text: lines.join("") };
}

Deno.test("an erased file is nowhere to be read, on no disk and by no key", async (t) => {
  await Site.usePrepared(async (site) => {
    const { dataDir } = site;
    const encryptionKeys = `test.v1=${crypto.getRandomValues(new Uint8Array(32)).toBase64()}`;
    const stack = site.start({ KEY_ENCRYPTION_KEYS: encryptionKeys });
    await stack.ready();
    const sql = postgres(databaseUrl(site.dbPort, SUPERUSER), { max: 1, onnotice: () => {} });
    /** Everything that is in memory goes to the files. */
    const flush = async () => {
      await sql`checkpoint`;
    };
    try {
      const { client, record, text } = await plantCanary(site);
      const download = async () =>
        await new Response((await downloadRecordFile(client, record)).stream).text();
      const [key] =
        await sql`select id, wrapped_key from private.data_keys where purpose = 'record_file'`;
      const wrapped = new Uint8Array(key!.wrapped_key);

      await t.step("the scan finds what is there", async () => {
        assertEquals(await download(), text);
        await flush();
        const found = await scan(dataDir, [wrapped]);
        assert((found["db/base"] ?? 0) > 0, JSON.stringify(found));
        await sql`create table public.planted as select ${CANARY}::text as line`;
        await flush();
        assert((await scan(dataDir, formsOf(CANARY)))["db/base"]! > 0);
        await sql`drop table public.planted`;
        await flush();
      });

      await t.step("the canary is in no file of Storage or database, and was in none", async () => {
        const { "db/pg_wal": planted = 0, ...elsewhere } = await scan(
          dataDir,
          formsOf(CANARY),
        );
        assertEquals(elsewhere, {});
        // What was planted above is in the write-ahead log as it was put there, and nothing more.
        assert(planted > 0 && planted <= 2, `${planted} in the write-ahead log`);
      });

      await t.step("nor is the key that opens it", async () => {
        const ring = openKeyRing(readKeyVersions(encryptionKeys)!);
        const about = { id: key!.id, purpose: "record_file" as const, subject_id: record };
        const [{ key_id, key_version }] = [ring.current];
        const dataKey = await ring.unwrap(
          { key_id, key_version, wrapped_key: wrapped },
          dataKeyContext(about),
        );
        const forms = [
          dataKey,
          ...[dataKey.toHex(), dataKey.toBase64()].map((form) => new TextEncoder().encode(form)),
        ];
        assertEquals(await scan(dataDir, forms), {});
      });

      const stored =
        await sql`select version from storage.objects where bucket_id = 'medical-records'`;
      const blob = await Array.fromAsync(filesIn(dataDir)).then((paths) =>
        paths.find((path) => path.endsWith(stored[0]!.version))!
      );
      // What a thief of the disk, or a backup of Storage, has kept.
      const ciphertext = await Deno.readFile(blob);

      await t.step("erasing removes the object, and the key from the live data files", async () => {
        await eraseRecordFile(client, record);
        await assertRejects(download);
        assertEquals(await Deno.stat(blob).catch((error) => error.name), "NotFound");
        await flush();
        const unswept = (await scan(dataDir, [wrapped]))["db/base"] ?? 0;
        // A plain vacuum frees the old row's place without writing over it; a full one writes the table
        // anew.
        await sql.unsafe("vacuum full private.data_keys");
        await flush();
        const { "db/pg_wal": inLog = 0, ...live } = await scan(dataDir, [wrapped]);
        assertEquals(live, {});
        console.log(
          `The wrapped key: ${unswept} times in data files before the table was written anew, ` +
            `${inLog} times in the write-ahead log after it`,
        );
      });

      await t.step("what the log has kept opens nothing once the version is gone", async () => {
        const about = { id: key!.id, purpose: "record_file" as const, subject_id: record };
        const [version] = readKeyVersions(encryptionKeys)!;
        const kept = { ...version!, wrapped_key: wrapped };
        // With the old version a thief of log and environment could still open it …
        const before = openKeyRing([version!]);
        assertEquals((await before.unwrap(kept, dataKeyContext(about))).length, 32);
        // … after the rotation it is taken out of the environment, and nobody can.
        const key_version = version!.key_version + 1;
        const next = { ...version!, key_version, key: crypto.getRandomValues(new Uint8Array(32)) };
        await assertRejects(() => openKeyRing([next]).unwrap(kept, dataKeyContext(about)));
        const forged = { ...kept, key_version };
        await assertRejects(() => openKeyRing([next]).unwrap(forged, dataKeyContext(about)));
        assert(!new TextDecoder("latin1").decode(ciphertext).includes("CANARY"));
      });

      await t.step("the log lets go of it when its segments are used again", async () => {
        // As a busy database does by itself: enough is written for every old segment to be reused.
        const segments = async () => (await scan(dataDir, [wrapped]))["db/pg_wal"] ?? 0;
        await sql`create table public.filler (line text)`;
        let switches = 0;
        for (; switches < 12 && await segments() > 0; switches++) {
          await sql`insert into public.filler
            select string_agg(md5(random()::text), '') from generate_series(1, 500000) group by random() < 0.0001`;
          await sql`select pg_switch_wal()`;
          await flush();
        }
        assertEquals(await segments(), 0);
        console.log(`${switches} segments of 16 MB later it is gone from there, too`);
      });
    } finally {
      await sql.end();
    }
  });
});
