// Rotation against a database of its own: keys are wrapped anew by several runs at once, runs die at any
// point, and at every moment each key opens to what it always was.

import { assert, assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import type { Deps } from "../../functions/_shared/deps.ts";
import { dataKeyContext } from "../../functions/_shared/data_keys.ts";
import { openDatabase, type Sql } from "../../functions/_shared/db.ts";
import { type KeyRing, newDataKey, openKeyRing } from "../../functions/_shared/key_ring.ts";
import { readStatus, rotateKeys } from "../../functions/keys/rotation.ts";
import { asAdmin } from "../../supabase/local/database.ts";
import { databaseUrl } from "../../supabase/local/postgres.ts";
import { createMigrated } from "../../tools/schema.ts";
import { withCluster } from "../../tools/throwaway.ts";
import { fakeDeps } from "../functions/support.ts";

const VERSIONS = [1, 2, 3].map((key_version) => ({
  key_id: "test",
  key_version,
  key: crypto.getRandomValues(new Uint8Array(32)),
}));
const ringOf = (...versions: number[]) =>
  openKeyRing(VERSIONS.filter(({ key_version }) => versions.includes(key_version)));

const CONTEXT = { request_id: "rotation", ip: null, user_agent: null };

interface Kept {
  id: string;
  purpose: "record_file" | "patient_fields";
  subject_id: string;
  dataKey: Uint8Array<ArrayBuffer>;
}

/** The function's dependencies, as far as a rotation has any. */
function depsWith(sql: Sql, keyRing: KeyRing, now = Date.now()): Deps {
  return { ...fakeDeps(), sql, keyRing, now: () => now };
}

interface Scene {
  /** The superuser's connection. */
  db: postgres.Sql;
  /** As the functions connect. */
  sql: Sql;
  kept: Kept[];
}

let databases = 0;

/** Runs `work` on a database with data keys under version 1. */
async function withKeys(
  port: number,
  count: number,
  work: (scene: Scene) => Promise<void>,
): Promise<void> {
  const name = `rotation_${databases++}`;
  await createMigrated(port, name);
  await asAdmin(port, name, async (db) => {
    const ring = ringOf(1);
    const kept = Array.from({ length: count }, (_, at): Kept => ({
      id: crypto.randomUUID(),
      purpose: at % 3 === 0 ? "patient_fields" : "record_file",
      subject_id: crypto.randomUUID(),
      dataKey: newDataKey(),
    }));
    const rows = await Promise.all(kept.map(async ({ dataKey, ...about }) => ({
      ...about,
      ...await ring.wrap(dataKey, dataKeyContext(about)),
    })));
    await db`insert into private.data_keys ${db(rows)}`;
    await work({ db, sql: openDatabase(databaseUrl(port, "postgres", name)), kept });
  });
}

/** Opens every key that is kept, and fails unless each is what it was. */
async function assertAllOpen(db: postgres.Sql, kept: Kept[], ring: KeyRing): Promise<void> {
  const rows = await db`select id, key_id, key_version, wrapped_key from private.data_keys`;
  const byId = new Map(rows.map((row) => [row.id, row]));
  assertEquals(byId.size, kept.length);
  for (const about of kept) {
    const { key_id, key_version, wrapped_key } = byId.get(about.id)!;
    const wrapped = { key_id, key_version, wrapped_key: new Uint8Array(wrapped_key) };
    assertEquals(await ring.unwrap(wrapped, dataKeyContext(about)), about.dataKey);
  }
}

const countUnder = async (db: postgres.Sql, version: number) =>
  Number(
    (await db`select count(*) from private.data_keys where key_version = ${version}`)[0]!.count,
  );

/** A pool that loses its connection at one of the transactions to come. */
function dying(sql: Sql, atTransaction: number): Sql {
  let count = 0;
  return {
    async begin(work) {
      if (++count === atTransaction) throw new Error("The process died");
      return await sql.begin(work);
    },
  };
}

Deno.test("a rotation", (t) =>
  withCluster(async (port) => {
    await t.step(
      "rotations at once wrap each key once, and every key opens all the while",
      async () => {
        await withKeys(port, 650, async ({ db, sql, kept }) => {
          const both = ringOf(1, 2);
          const deps = depsWith(sql, both);
          let is_done = false;
          const watching = (async () => {
            let looks = 0;
            for (; !is_done; looks++) await assertAllOpen(db, kept, both);
            return looks;
          })();
          const reports = await Promise.all(
            Array.from({ length: 5 }, () => rotateKeys(deps, CONTEXT)),
          ).finally(() => is_done = true);
          assert(await watching > 0);

          assertEquals(reports.reduce((sum, { rewrapped }) => sum + rewrapped, 0), kept.length);
          assert(
            reports.filter(({ rewrapped }) => rewrapped > 0).length > 1,
            "they shared the work",
          );
          assertEquals(reports.map(({ failed }) => failed), [0, 0, 0, 0, 0]);
          assertEquals([await countUnder(db, 1), await countUnder(db, 2)], [0, kept.length]);
          // The new version alone is enough from now on.
          await assertAllOpen(db, kept, ringOf(2));
          const again = await rotateKeys(deps, CONTEXT);
          assertEquals([again.rewrapped, again.remaining], [0, 0]);

          const audited = await db`
      select sum((new_values ->> 'data_keys')::int)::int as keys, string_agg(a::text, '') as text
      from public.audit_events as a where action = 'rotate_keys'`;
          assertEquals(audited[0]?.keys, kept.length);
          for (const { dataKey } of kept) assert(!audited[0]?.text.includes(dataKey.toHex()));
        });
      },
    );

    await t.step(
      "a rotation that dies anywhere is taken up by the next, and loses nothing",
      async () => {
        await withKeys(port, 250, async ({ db, sql, kept }) => {
          const both = ringOf(1, 2);
          // Each batch is two transactions; the first takes 100 keys.
          for (const at of [1, 2, 3, 4]) {
            const deps = depsWith(dying(sql, at), both);
            await assertRejects(() => rotateKeys(deps, CONTEXT), Error, "The process died");
            await assertAllOpen(db, kept, both);
            // Nobody else gets what the dead run had in hand, until its claim has ended.
            await db`update private.data_keys set claimed_until = now() where claimed_until > now()`;
          }
          const deps = depsWith(sql, both);
          const { remaining } = await rotateKeys(deps, CONTEXT);
          assertEquals([remaining, await countUnder(db, 2)], [0, kept.length]);
          await assertAllOpen(db, kept, ringOf(2));
        });
      },
    );

    await t.step("a run does not wait for what another has in hand, nor takes it", async () => {
      await withKeys(port, 30, async ({ db, sql, kept }) => {
        await db`update private.data_keys set claimed_until = now() + interval '1 minute'
             where id = any (${kept.slice(0, 10).map(({ id }) => id)}::uuid[])`;
        const deps = depsWith(sql, ringOf(1, 2));
        // Ten more are locked, as by somebody who erases them at this moment.
        await db.begin(async (tx) => {
          await tx`select 1 from private.data_keys
               where id = any (${kept.slice(10, 20).map(({ id }) => id)}::uuid[]) for update`;
          const report = await rotateKeys(deps, CONTEXT);
          assertEquals([report.rewrapped, report.remaining], [10, 20]);
        });
      });
    });

    await t.step("a key that is erased while it is in hand stays erased", async () => {
      await withKeys(port, 20, async ({ db, sql, kept }) => {
        const erased = kept.filter(({ purpose }) => purpose === "record_file").slice(0, 5);
        const ring = ringOf(1, 2);
        let is_first = true;
        const keyRing: KeyRing = {
          ...ring,
          async unwrap(wrapped, context) {
            if (is_first) {
              is_first = false;
              for (const { subject_id } of erased) {
                await db`select private.erase_data_keys('record_file', ${subject_id})`;
              }
            }
            return await ring.unwrap(wrapped, context);
          },
        };
        const deps = depsWith(sql, keyRing);
        assertEquals((await rotateKeys(deps, CONTEXT)).rewrapped, 15);
        const left = await db`select id from private.data_keys where wrapped_key is null`;
        assertEquals(left.map(({ id }) => id).toSorted(), erased.map(({ id }) => id).toSorted());
      });
    });

    await t.step(
      "a key whose version is lost holds up nobody, and is done once the version is back",
      async () => {
        await withKeys(port, 12, async ({ db, sql, kept }) => {
          const lost = depsWith(sql, ringOf(2));
          const first = await rotateKeys(lost, CONTEXT);
          assertEquals([first.rewrapped, first.failed, first.remaining], [0, 12, 12]);
          await db`update private.data_keys set claimed_until = now() where claimed_until > now()`;
          const found = depsWith(sql, ringOf(1, 2, 3));
          const second = await rotateKeys(found, CONTEXT);
          assertEquals([second.rewrapped, second.remaining], [12, 0]);
          await assertAllOpen(db, kept, ringOf(3));
        });
      },
    );

    await t.step("the status follows a rotation from overdue to done", async () => {
      await withKeys(port, 9, async ({ db, sql }) => {
        await db`update private.key_versions set first_used_at = now() - interval '91 days'`;
        const deps = (...versions: number[]) => depsWith(sql, ringOf(...versions));
        const overdue = await readStatus(deps(1), CONTEXT);
        assertEquals([overdue.is_overdue, overdue.to_rewrap, overdue.versions[0]?.age_days], [
          true,
          0,
          91,
        ]);
        assertEquals(overdue.versions[0]?.data_keys, { record_file: 6, patient_fields: 3 });
        const prepared = await readStatus(deps(1, 2), CONTEXT);
        assertEquals([prepared.is_overdue, prepared.to_rewrap, prepared.current_since], [
          true,
          9,
          null,
        ]);
        await rotateKeys(deps(1, 2), CONTEXT);
        const done = await readStatus(deps(2), CONTEXT);
        assertEquals([done.is_overdue, done.to_rewrap, done.current.key_version], [false, 0, 2]);
        assertEquals(done.versions.map(({ data_keys }) => data_keys.record_file), [0, 6]);
      });
    });
  }));
