// Races around reminders: with an account that closes, and with a medicine that is deleted.

import { assertEquals } from "@std/assert";
import type postgres from "postgres";
import { present } from "../support/auth.ts";
import { as, inOrder, people, race, type Racer, raceTest, runAs } from "../support/races.ts";
import { until } from "../support/stack_process.ts";

for (const is_new of [true, false]) {
  const what = is_new ? "planned" : "resumed";
  raceTest(`nothing is ${what} in an account that is closing`, async (db) => {
    const [patient] = await people(db, "patient");
    const id = is_new ? null : await plan(db, patient, null);
    if (id) await change(db, patient, id, null, false);

    const outcomes = await inOrder(
      db,
      as(patient, async (tx) => {
        await tx`select public.close_account()`;
      }),
      as(patient, async (tx) => {
        if (id) await resume(tx, id, null, true);
        else await create(tx, null);
      }),
    );

    assertEquals(outcomes, ["ok", "PT401 unauthenticated"]);
    const active = await db`
      select 1 from public.reminders where user_id = ${patient.id} and is_active`;
    assertEquals(active.length, 0);
  });
}

raceTest(
  "a medicine that is deleted and its plan that changes never wait in a ring",
  async (db) => {
    const [patient] = await people(db, "patient");
    const medicine = await newMedicine(db, patient);
    const id = await plan(db, patient, medicine);
    let deleted: Promise<string[]> = Promise.resolve([]);

    // Whoever holds the medicine lets the deletion go first when both wait.
    const [held, changed] = await inOrder(
      db,
      as(patient, async (tx) => {
        const [row] = await tx`
        select pg_backend_pid() as pid from public.medications where id = ${medicine} for update`;
        deleted = race(db, () =>
          as(patient, async (tx) => {
            await tx`delete from public.medications where id = ${medicine}`;
          }), 1);
        await until(async () =>
          present(
            (await db`
            select exists (
              select from pg_stat_activity where ${present(row).pid} = any(pg_blocking_pids(pid))
            ) as waits`)[0],
          ).waits
        );
      }),
      as(patient, async (tx) => {
        await resume(tx, id, medicine, true);
      }),
    );

    assertEquals([held, ...await deleted, changed], ["ok", "ok", "PT404 not_found"]);
  },
);

async function create(
  tx: postgres.TransactionSql,
  medicine: string | null,
): Promise<string> {
  const [row] = await tx`
    select public.create_reminder(
      'Pill', 'medication', '2030-01-01 08:00', 'UTC', p_medication_id => ${medicine}::uuid,
      p_upcoming => '{2030-01-01 08:00Z}', p_is_complete => true) as id`;
  return present(row).id;
}

async function resume(
  tx: postgres.TransactionSql,
  id: string,
  medicine: string | null,
  is_active: boolean,
): Promise<void> {
  await tx`
    select public.update_reminder(
      ${id}, 'Pill', 'medication', '2030-01-01 08:00', 'UTC', p_medication_id => ${medicine}::uuid,
      p_is_active => ${is_active}, p_upcoming => '{2030-01-01 08:00Z}', p_is_complete => true)`;
}

const plan = (db: postgres.Sql, patient: Racer, medicine: string | null) =>
  runAs(db, patient, (tx) => create(tx, medicine));

const change = (
  db: postgres.Sql,
  patient: Racer,
  id: string,
  medicine: string | null,
  is_active: boolean,
) => runAs(db, patient, (tx) => resume(tx, id, medicine, is_active));

async function newMedicine(db: postgres.Sql, patient: Racer): Promise<string> {
  const rows = await runAs(db, patient, (tx) =>
    tx`
      insert into public.medications (user_id, name) values (${patient.id}, 'Tamoxifen')
      returning id`);
  return present(rows[0]).id;
}
