// Transactions of the functions on a real database: snapshots, and connections that are cut, which fail
// a transaction and nothing else.

import { assertEquals, assertRejects } from "@std/assert";
import { isServerError } from "../../functions/_shared/database_errors.ts";
import { openDatabase, type Query } from "../../functions/_shared/db.ts";
import { AppError } from "../../functions/_shared/errors.ts";
import { present } from "../support/auth.ts";
import { testEnv } from "../support/env.ts";
import { databaseTest, newPatient, withDatabase } from "../support/people.ts";

const pidOf = async (tx: Query) => {
  const [row] = await tx<{ pid: number }>`select pg_backend_pid() as pid`;
  return present(row).pid;
};
const cut = (pid: number) => withDatabase((sql) => sql`select pg_terminate_backend(${pid}, 5000)`);

databaseTest("a transaction that is cut in a statement fails, and the pool goes on", async () => {
  const pool = openDatabase(present(testEnv().dbUrl));
  const cutting = Promise.withResolvers<unknown>();
  await assertRejects(() =>
    pool.begin(async (tx) => {
      cutting.resolve(cut(await pidOf(tx)));
      await tx`select pg_sleep(30)`;
    })
  );
  await cutting.promise;
  assertEquals(await pool.begin((tx) => tx`select 1 as one`), [{ one: 1 }]);
});

databaseTest("a snapshot reads one moment, and writes nothing", async () => {
  const pool = openDatabase(present(testEnv().dbUrl));
  const isThere = async (tx: Query, id: string) =>
    (await tx`select from auth.users where id = ${id}::uuid`).length === 1;
  const [person, inSnapshot] = await pool.begin(async (tx) => {
    await tx`select`; // from here on nothing changes
    const made = await newPatient();
    return [made, await isThere(tx, made.id)] as const;
  }, "snapshot");
  assertEquals(inSnapshot, false);
  assertEquals(await pool.begin((tx) => isThere(tx, person.id)), true);
  const refused = await assertRejects(
    () => pool.begin((tx) => tx`create table private.made_in_a_snapshot ()`, "snapshot"),
  );
  assertEquals(isServerError(refused) && refused.code, "25006");
});

databaseTest("a transaction that is cut between statements runs none any more", async () => {
  const pool = openDatabase(present(testEnv().dbUrl));
  const later = Promise.withResolvers<void>();
  const attempt = Promise.withResolvers<unknown>();
  await assertRejects(() =>
    pool.begin(async (tx) => {
      await cut(await pidOf(tx));
      await later.promise;
      attempt.resolve(await tx`select 'outside of its transaction'`.catch((error) => error));
    })
  );
  // Another transaction has the driver's connection object by now.
  await pool.begin(async (tx) => {
    await tx`select 1`;
    later.resolve();
    const refused = await attempt.promise;
    assertEquals(refused instanceof AppError && refused.code, "unavailable");
    assertEquals(await tx`select 1 as one`, [{ one: 1 }]);
  });
});
