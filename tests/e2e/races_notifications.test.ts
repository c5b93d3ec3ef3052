// Races around the outbox: many workers, many causes, many devices at the same moment, and a receipt
// that arrives while the worker has not yet said that it has sent.

import { assertEquals } from "@std/assert";
import type postgres from "postgres";
import { present } from "../support/auth.ts";
import {
  as,
  inOrder,
  people,
  race,
  type Racer,
  raceTest,
  type Runner,
  RUNNERS,
  tally,
  type Work,
} from "../support/races.ts";

raceTest("many causes of one unread notification make one, with one delivery", async (db) => {
  const [patient] = await people(db, "patient");
  await confirm(db, patient);
  await db`
    insert into public.notification_preferences (user_id, kind, channel)
    values (${patient.id}, 'new_message', 'email')`;

  const outcomes = await race(db, () => causes(patient, "new_message"));

  assertEquals(tally(outcomes), { "ok": RUNNERS });
  const [count] = await db`
    select
      (select count(*)::integer from public.notifications where user_id = ${patient.id}) as rows,
      (select count(*)::integer from public.notification_deliveries where user_id = ${patient.id})
        as deliveries`;
  assertEquals({ ...count }, { rows: 1, deliveries: 1 });
});

raceTest("no two workers claim the same delivery", async (db) => {
  const [patient] = await people(db, "patient");
  const made = 3 * RUNNERS;
  await deliveries(db, patient, made);
  const claimed: string[] = [];

  const outcomes = await race(
    db,
    () => worker(async (tx) => void claimed.push(...await claim(tx, patient, 5))),
  );

  assertEquals(tally(outcomes), { "ok": RUNNERS });
  assertEquals(claimed.length, new Set(claimed).size);
  // What one worker passed over because another was just claiming it is due as before.
  await race(
    db,
    () => worker(async (tx) => void claimed.push(...await claim(tx, patient, 1000))),
    1,
  );
  assertEquals(claimed.length, made);
  assertEquals(new Set(claimed).size, made);
});

raceTest("of many workers that find a lease over one gets the delivery", async (db) => {
  const [patient] = await people(db, "patient");
  await deliveries(db, patient, 1);
  await race(db, () => worker(async (tx) => void await claim(tx, patient, 1000)), 1);
  await db`
    update public.notification_deliveries set next_attempt_at = now() - interval '1 second'
    where user_id = ${patient.id}`;
  const claimed: string[] = [];

  await race(
    db,
    () => worker(async (tx) => void claimed.push(...await claim(tx, patient, 1000))),
  );

  assertEquals(claimed.length, 1);
  const [row] = await db`
    select status, attempts from public.notification_deliveries where user_id = ${patient.id}`;
  assertEquals({ ...row }, { status: "sending", attempts: 2 });
});

raceTest("a device that many accounts register at once is one account's", async (db) => {
  const accounts = await people(db, ...Array(RUNNERS).fill("patient"));
  const token = crypto.randomUUID();

  const outcomes = await race(
    db,
    (n) =>
      as(accounts[n]!, async (tx) => {
        await tx`select public.register_device_token('fcm', ${token})`;
      }),
  );

  assertEquals(tally(outcomes), { "ok": RUNNERS });
  const rows = await db`select user_id from public.device_tokens where token = ${token}`;
  assertEquals(rows.length, 1);
});

raceTest("a receipt that comes while its sending is being recorded is not lost", async (db) => {
  for (const receiptFirst of [false, true]) {
    const [patient] = await people(db, "patient");
    await deliveries(db, patient, 1);
    const [own] = await hold(db, patient);
    const message = crypto.randomUUID();
    const sent = worker(async (tx) => {
      await tx`
        select private.finish_deliveries(${
        tx.json([{
          ...present(own),
          outcome: "sent",
          provider: "resend",
          provider_message_id: message,
        }])
      })`;
    });
    const bounced = worker(async (tx) => {
      await tx`
        select private.record_receipt(
          'resend', ${crypto.randomUUID()}, ${message}, 'bounced', 'mailbox_not_found')`;
    });

    const outcomes = receiptFirst
      ? await inOrder(db, bounced, sent)
      : await inOrder(db, sent, bounced);

    assertEquals(outcomes, ["ok", "ok"]);
    const [row] = await db`
      select d.status, d.last_error,
        exists (select 1 from private.retired_addresses as r where r.user_id = d.user_id) as retired
      from public.notification_deliveries as d where d.user_id = ${patient.id}`;
    assertEquals({ ...row }, { status: "failed", last_error: "mailbox_not_found", retired: true });
  }
});

raceTest("a notification is deleted while its deliveries are being finished", async (db) => {
  const [patient] = await people(db, "patient");
  await deliveries(db, patient, 2);
  const held = await hold(db, patient);
  const [notification] = await db`
    select id from public.notifications where user_id = ${patient.id} limit 1`;

  const outcomes = await inOrder(
    db,
    worker(async (tx) => {
      await tx`
        select private.finish_deliveries(${
        tx.json(held.map((own) => ({ ...own, outcome: "retry", error_code: "500" })))
      })`;
    }),
    as(patient, async (tx) => {
      await tx`select public.delete_notification(${present(notification).id})`;
    }),
  );

  assertEquals(outcomes, ["ok", "ok"]);
  const rows = await db`
    select status, last_error from public.notification_deliveries
    where user_id = ${patient.id} order by status`;
  assertEquals(rows.map((row) => ({ ...row })), [
    { status: "pending", last_error: "500" },
    { status: "suppressed", last_error: "deleted" },
  ]);
});

/** Somebody's notification, made as definer functions make it. */
function causes(person: Racer, kind: string): Runner {
  return {
    claims: {},
    role: "postgres",
    work: async (tx) => {
      await tx`select private.notify(${person.id}, ${kind}, '{"conversation_id": "one"}')`;
    },
  };
}

function worker(work: Work<void>): Runner {
  return { claims: {}, role: "notification_worker", work };
}

/** Ids of this person's deliveries among those that a claim brings. */
async function claim(
  tx: postgres.TransactionSql,
  person: Racer,
  limit: number,
): Promise<string[]> {
  const rows = await tx`
    select id from private.claim_deliveries(${limit}, 60)
    where address ->> 'email' = ${`${person.id}@example.org`}`;
  return rows.map((row) => row.id);
}

/** Claims what this person has; answers ids and tokens. */
async function hold(
  db: postgres.Sql,
  person: Racer,
): Promise<{ id: string; claim_token: string }[]> {
  const held: { id: string; claim_token: string }[] = [];
  await race(
    db,
    () =>
      worker(async (tx) => {
        held.push(
          ...await tx<{ id: string; claim_token: string }[]>`
            select id, claim_token from private.claim_deliveries(1000, 60)
            where address ->> 'email' = ${`${person.id}@example.org`}`,
        );
      }),
    1,
  );
  return held;
}

async function confirm(db: postgres.Sql, person: Racer): Promise<void> {
  await db`update auth.users set email_confirmed_at = now() where id = ${person.id}`;
}

/** Makes that many e-mails to somebody that are due, each of a notification of its own. */
async function deliveries(db: postgres.Sql, person: Racer, count: number): Promise<void> {
  await confirm(db, person);
  await db`
    select private.notify(${person.id}, 'care_ended', '{}') from generate_series(1, ${count}::integer)`;
}
