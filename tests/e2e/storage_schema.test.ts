// The schema `storage` itself, in SQL: what policies and migrations of the product find there.

import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import { adminPool, onEmbeddedStack } from "../support/storage_scratch.ts";

/** A test in a transaction that is taken back. */
function sqlTest(name: string, fn: (tx: postgres.TransactionSql) => Promise<void>) {
  Deno.test({
    name,
    ignore: !onEmbeddedStack,
    async fn() {
      const sql = adminPool();
      const undo = new Error("undo");
      try {
        await sql.begin(async (tx) => {
          await fn(tx);
          throw undo;
        });
      } catch (error) {
        if (error !== undo) throw error;
      } finally {
        await sql.end();
      }
    },
  });
}

/** SQLSTATE of a statement's refusal, which leaves the transaction usable. */
async function refusedWith(tx: postgres.TransactionSql, statement: string): Promise<unknown> {
  try {
    await tx.savepoint((inner) => inner.unsafe(statement));
    return "not refused";
  } catch (error) {
    return error instanceof Error && "code" in error ? error.code : error;
  }
}

sqlTest("rows are deleted in plain SQL only when the transaction says so", async (tx) => {
  await tx`insert into storage.buckets (id, name) values ('guarded', 'guarded')`;
  await tx`insert into storage.objects (bucket_id, name) values ('guarded', 'a')`;

  for (const role of ["postgres", "service_role", "authenticated"]) {
    await tx.unsafe(`set local role ${role}`);
    for (const table of ["objects", "buckets"]) {
      assertEquals(await refusedWith(tx, `delete from storage.${table}`), "42501", role);
    }
  }
  await tx`set local role postgres`;
  assertEquals((await tx`select name from storage.objects where bucket_id = 'guarded'`).length, 1);
  await tx`select set_config('storage.allow_delete_query', 'true', true)`;
  assertEquals((await tx`delete from storage.objects where bucket_id = 'guarded'`).count, 1);
  assertEquals((await tx`delete from storage.buckets where id = 'guarded'`).count, 1);
});

sqlTest("tables have RLS and no policy of the platform's, and belong to Storage", async (tx) => {
  const tables = await tx`
    select c.relname, c.relrowsecurity, c.relowner::regrole::text as owner
    from pg_class as c
    where c.relnamespace = 'storage'::regnamespace and c.relkind = 'r' order by 1`;
  const owner = "supabase_storage_admin";
  assertEquals([...tables], [
    { relname: "buckets", relrowsecurity: true, owner },
    { relname: "objects", relrowsecurity: true, owner },
  ]);
  await tx`insert into storage.buckets (id, name) values ('unseen', 'unseen')`;
  await tx`insert into storage.objects (bucket_id, name) values ('unseen', 'a')`;
  for (const role of ["anon", "authenticated"]) {
    await tx.unsafe(`set local role ${role}`);
    assertEquals((await tx`select 1 from storage.objects where bucket_id = 'unseen'`).length, 0);
    assertEquals(
      await refusedWith(tx, "insert into storage.objects (bucket_id, name) values ('unseen', 'b')"),
      "42501",
    );
  }
  await tx`set local role postgres`; // who writes the product's migrations
  await tx`create policy "from a migration" on storage.objects for select to anon using (true)`;
});

sqlTest("helpers take names apart and know the operation", async (tx) => {
  const [parts] = await tx`
    select storage.foldername('a/b/c.tar.gz') as folder, storage.filename('a/b/c.tar.gz') as file,
           storage.extension('a/b/c.tar.gz') as extension, storage.foldername('c') as none`;
  assertEquals({ ...parts }, {
    ...{ folder: ["a", "b"], file: "c.tar.gz", extension: "gz", none: [] },
  });

  const allowed = async () => {
    const [row] = await tx`
      select storage.operation() as operation,
             storage.allow_only_operation('object.list') as only,
             storage.allow_only_operation('storage.object.list') as only_long,
             storage.allow_any_operation(array['object.get', null, '', 'object.list']) as any_of,
             storage.allow_any_operation(array['object.get']) as other`;
    return Object.values(row ?? {});
  };
  assertEquals(await allowed(), [null, false, false, false, false]);
  for (const operation of ["storage.object.list", "object.list"]) {
    await tx`select set_config('storage.operation', ${operation}, true)`;
    assertEquals(await allowed(), [operation, true, true, true, false]);
  }
});

sqlTest("buckets with a name over 100 letters are refused, and updates are dated", async (tx) => {
  const long = "x".repeat(101);
  assertEquals(
    await refusedWith(tx, `insert into storage.buckets (id, name) values ('long', '${long}')`),
    "P0001",
  );
  await tx`insert into storage.buckets (id, name) values ('dated', 'dated')`;
  const [before] = await tx`
    insert into storage.objects (bucket_id, name, updated_at) values ('dated', 'a', '2020-01-01')
    returning updated_at`;
  const [after] = await tx`
    update storage.objects set metadata = '{}' where bucket_id = 'dated' returning updated_at`;
  assert(after?.updated_at > before?.updated_at);
});

sqlTest("a search by prefix is served by the index on lower-case names", async (tx) => {
  await tx`insert into storage.buckets (id, name) values ('many', 'many')`;
  await tx`
    insert into storage.objects (bucket_id, name)
    select 'many', 'folder-' || n || '/file' from generate_series(1, 5000) as n`;
  await tx.unsafe("analyze storage.objects");
  const plan = await tx`explain (format text)
    select * from storage.search('folder-77/', 'many', 100, 2, 0, '', 'name', 'asc')`;
  const text = plan.map((row) => Object.values(row)[0]).join("\n");
  assert(text.includes("idx_objects_bucket_id_name_lower"), text);
});
