// Races of chat, straight on the database: what many write, join and leave at once has one order, and
// nobody gains or loses a message by it.

import { assertEquals } from "@std/assert";
import type postgres from "postgres";
import { present } from "../support/auth.ts";
import { as, inOrder, people, race, type Racer, raceTest, runAs, tally } from "../support/races.ts";

/** Accounts whose public face all may see. */
async function talkers(db: postgres.Sql, count: number): Promise<Racer[]> {
  const made = await people(db, ...Array.from({ length: count }, () => "patient" as const));
  await db`update public.profiles set is_public = true where id = any (${
    made.map(({ id }) => id)
  })`;
  return made;
}

/** Starts a conversation; answers its id. */
async function start(
  db: postgres.Sql,
  by: Racer,
  others: Racer[],
  kind = "group",
): Promise<string> {
  const rows = await runAs(
    db,
    by,
    (tx) =>
      tx`select (public.start_conversation(${others.map(({ id }) => id)}::uuid[], ${kind})).id`,
  );
  return present(rows[0]).id;
}

const say = (tx: postgres.TransactionSql, id: string, content: string, client_id: string) =>
  tx`select public.send_message(${id}, ${content}, ${client_id})`;

raceTest("of twenty starts of one pair exactly one makes it", async (db) => {
  const [ana, ben] = await talkers(db, 2) as [Racer, Racer];
  const ids = new Set<string>();

  const outcomes = await race(db, (n) => {
    const [by, other] = n % 2 ? [ana, ben] : [ben, ana];
    return as(by, async (tx) => {
      const [row] = await tx`
        select (public.start_conversation(array[${other.id}::uuid])).id`;
      ids.add(present(row).id);
    });
  });

  assertEquals([tally(outcomes), ids.size], [{ "ok": 20 }, 1]);
  const rows = await db`
    select 1 from public.conversation_participants where conversation_id = ${[...ids][0]!}`;
  assertEquals(rows.length, 2);
});

raceTest("twenty times the same message is one, and two under one id are refused", async (db) => {
  const [ana, ben] = await talkers(db, 2) as [Racer, Racer];
  const [here, there] = [await start(db, ana, [ben]), await start(db, ana, [ben])];

  const same = await race(db, () =>
    as(ana, async (tx) => {
      await say(tx, here, "Once", "one");
    }));
  assertEquals(tally(same), { "ok": 20 });

  // Under one id in two conversations, whose locks are two.
  const crossed = await race(db, (n) =>
    as(ana, async (tx) => {
      await say(tx, n % 2 ? here : there, "Twice", "two");
    }));
  assertEquals(tally(crossed), { "ok": 10, "PT409 client_id_reused": 10 });
  const rows = await db`
    select content from public.messages where conversation_id in (${here}, ${there}) order by 1`;
  assertEquals(rows.map(({ content }) => content), ["Once", "Twice"]);
});

raceTest("twenty senders at once write in the order of ids, numbers and commits", async (db) => {
  const all = await talkers(db, 20);
  const id = await start(db, all[0]!, all.slice(1));

  const outcomes = await race(db, (n) =>
    as(all[n]!, async (tx) => {
      for (const part of ["a", "b"]) await say(tx, id, `${n}${part}`, part);
    }));

  assertEquals(tally(outcomes), { "ok": 20 });
  const rows = await db`
    select seq, sender_id from public.messages where conversation_id = ${id} order by id`;
  assertEquals(rows.map(({ seq }) => Number(seq)), Array.from({ length: 40 }, (_, n) => n + 1));
  // Whoever holds the lock commits before the next writes: the two of each stand together.
  for (let n = 0; n < 40; n += 2) assertEquals(rows[n]!.sender_id, rows[n + 1]!.sender_id);
  const times = await db`
    select bool_and(created_at >= before) as grow from (
      select created_at, lag(created_at) over (order by seq) as before
      from public.messages where conversation_id = ${id}
    ) as t where before is not null`;
  assertEquals(times[0]!.grow, true);
});

raceTest(
  "who leaves and comes back amid twenty messages reads exactly what was between",
  async (db) => {
    const [owner, goer, ...rest] = await talkers(db, 12) as [Racer, Racer, ...Racer[]];
    const id = await start(db, owner, [goer, ...rest]);
    // What they could read at each moment is what had been committed while they took part.
    const outcomes = await race(db, (n) => {
      if (n === 0) {
        return as(owner, async (tx) => {
          await tx`select public.remove_participant(${id}, ${goer.id})`;
        });
      }
      const sender = rest[n % rest.length]!;
      return as(sender, async (tx) => {
        await say(tx, id, `${n}`, `${n}`);
      });
    });
    assertEquals(tally(outcomes), { "ok": 20 });
    await race(db, (n) =>
      n === 0
        ? as(owner, async (tx) => {
          await tx`select public.add_participant(${id}, ${goer.id})`;
        })
        : as(rest[n % rest.length]!, async (tx) => {
          await say(tx, id, `again ${n}`, `again ${n}`);
        }));

    const stretches = await db`
    select joined_seq, left_seq, joined_at, left_at from public.conversation_participants
    where conversation_id = ${id} and user_id = ${goer.id} order by joined_seq`;
    assertEquals(stretches.length, 2);
    const read = await runAs(
      db,
      goer,
      (tx) => tx`select seq from public.list_messages(${id}, 100) order by seq`,
    );
    const expected = await db`
    select seq from public.messages where conversation_id = ${id} and (
      seq <= ${stretches[0]!.left_seq} or seq > ${stretches[1]!.joined_seq}
    ) order by seq`;
    assertEquals(
      read.map(({ seq }) => seq),
      expected.map(({ seq }) => seq),
    );
    // Times and numbers draw the same line, by which lists leave whole months out.
    const [crossing] = await db`
    select count(*) from public.messages where conversation_id = ${id} and (
      (seq <= ${stretches[0]!.left_seq}) <> (created_at <= ${stretches[0]!.left_at})
      and seq <= ${stretches[1]!.joined_seq}
      or (seq > ${stretches[1]!.joined_seq}) <> (created_at > ${stretches[1]!.joined_at})
      and seq > ${stretches[0]!.left_seq}
    )`;
    assertEquals(Number(crossing!.count), 0);
  },
);

raceTest("a message that waits for a removal is refused, or was before it", async (db) => {
  const [owner, goer] = await talkers(db, 2) as [Racer, Racer];
  const id = await start(db, owner, [goer]);
  const remove = as(owner, async (tx) => {
    await tx`select public.remove_participant(${id}, ${goer.id})`;
  });
  const write = as(goer, async (tx) => {
    await say(tx, id, "Still here", "1");
  });
  assertEquals(await inOrder(db, remove, write), ["ok", "PT404 not_found"]);
  await runAs(db, owner, (tx) => tx`select public.add_participant(${id}, ${goer.id})`);
  assertEquals(await inOrder(db, write, remove), ["ok", "ok"]);
  const rows = await runAs(db, goer, (tx) => tx`select seq from public.list_messages(${id})`);
  assertEquals(rows.length, 1);
});

raceTest("a message that waits for a block is refused", async (db) => {
  const [ana, ben] = await talkers(db, 2) as [Racer, Racer];
  const id = await start(db, ana, [ben], "direct");
  const block = as(ana, async (tx) => {
    await tx`insert into public.blocks (blocked_id) values (${ben.id})`;
  });
  const write = as(ben, async (tx) => {
    await say(tx, id, "Hello", "1");
  });
  assertEquals(await inOrder(db, block, write), ["ok", "PT404 not_found"]);
});

raceTest("nobody joins a conversation about care that ends meanwhile", async (db) => {
  const [patient, doctor] = await people(db, "patient", "doctor");
  const [care] = await runAs(
    db,
    doctor,
    (tx) => tx`select public.request_care(${patient.id}, 'doctor') as id`,
  );
  await runAs(
    db,
    patient,
    (tx) => tx`select public.respond_care_request(${present(care).id}, true)`,
  );
  const end = as(patient, async (tx) => {
    await tx`select public.end_care(${present(care).id})`;
  });
  const begin = as(doctor, async (tx) => {
    await tx`select public.start_conversation(array[${patient.id}::uuid], 'care')`;
  });
  assertEquals(await inOrder(db, end, begin), ["ok", "PT404 not_found"]);

  const [again] = await runAs(
    db,
    doctor,
    (tx) => tx`select public.request_care(${patient.id}, 'doctor') as id`,
  );
  await runAs(
    db,
    patient,
    (tx) => tx`select public.respond_care_request(${present(again).id}, true)`,
  );
  const endAgain = as(patient, async (tx) => {
    await tx`select public.end_care(${present(again).id})`;
  });
  assertEquals(await inOrder(db, begin, endAgain), ["ok", "ok"]);
  const rows = await db`
    select 1 from public.conversation_participants where user_id = ${doctor.id} and left_at is null`;
  assertEquals(rows.length, 0);
});

raceTest("of twenty who are added to the last place exactly one comes in", async (db) => {
  const all = await talkers(db, 275);
  const id = await start(db, all[0]!, all.slice(1, 255));
  const outcomes = await race(db, (n) =>
    as(all[0]!, async (tx) => {
      await tx`select public.add_participant(${id}, ${all[255 + n]!.id})`;
    }));
  assertEquals(tally(outcomes), { "ok": 1, "PT409 conversation_full": 19 });
});

raceTest(
  "leaving, sending, locking and blocking at once never wait for each other crosswise",
  async (db) => {
    const all = await talkers(db, 6);
    const groups = await Promise.all(
      Array.from({ length: 4 }, (_, n) => start(db, all[n]!, all.filter((_, i) => i !== n))),
    );
    for (let round = 0; round < 3; round++) {
      const outcomes = await race(db, (n) => {
        const by = all[n % all.length]!;
        const id = groups[n % groups.length]!;
        if (n === 3) {
          return as(by, async (tx) => {
            await tx`select set_config('role', 'none', true)`;
            await tx`update public.profiles set is_active = not is_active where id = ${all[5]!.id}`;
          });
        }
        if (n === 4) {
          return as(by, async (tx) => {
            await tx`
            insert into public.blocks (blocked_id) values (${all[(n + 1) % 6]!.id})
            on conflict do nothing`;
          });
        }
        return as(by, async (tx) => {
          await say(tx, id, `${round} ${n}`, `${round} ${n}`);
        });
      });
      assertEquals(outcomes.filter((outcome) => outcome.startsWith("40P01")), []);
    }
  },
);
