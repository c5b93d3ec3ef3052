// Sealing while others write: late commits, sealers that meet, sealers that are killed, and a trail
// that was moved to another server. At the end every event is in one seal, and the check says so.

import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import { check, seal, seeded, withAuditLab, writeEvents } from "../support/audit_lab.ts";
import type { AuditLab } from "../support/audit_lab.ts";
import { present } from "../support/auth.ts";
import { until } from "../support/stack_process.ts";

const WRITERS = 20;
const TURNS = 30;
const SEALERS = 3;
const SEALING = `do $$ begin
  loop
    perform private.seal_audit(64, 64);
    commit;
  end loop;
end $$`;

/** Events and leaves, counted; equal when each event is in one seal and nothing else is. */
async function assertEachSealedOnce(sql: postgres.Sql, events: number) {
  const [row] = await sql`
    select
      (select count(*) from public.audit_events) as events,
      (select count(*) from private.audit_seal_leaves) as leaves,
      (select count(*) from public.audit_events as e join private.audit_seal_leaves as l
        on l.event_id = e.id and l.occurred_at = e.occurred_at and l.leaf_hash = e.leaf_hash
      ) as pairs,
      (select count(distinct id) from public.audit_events) as ids,
      (select max(id) = count(*) from public.audit_seals) as without_gaps`;
  assertEquals({ ...row }, {
    events,
    leaves: events,
    pairs: events,
    ids: events,
    without_gaps: true,
  });
  assertEquals(await check(sql), { ok: true, checked: events, first_bad_id: null, reason: null });
}

/** How many events the trail has. */
async function count(sql: postgres.Sql): Promise<number> {
  const [row] = await sql<{ n: number }[]>`select count(*) as n from public.audit_events`;
  return present(row).n;
}

async function lateCommits({ sql, connect }: AuditLab) {
  const early = await connect().reserve();
  const before = await count(sql);
  try {
    await early`begin`;
    const [lateId] = await writeEvents(early, 1);
    const [soonId] = await writeEvents(sql, 1);
    assertEquals(await seal(sql), { is_busy: false, seals: 1, events: 1 });
    assertEquals((await check(sql)).ok, true);
    await early`commit`;
    // It waits for the next seal, and that is no fault.
    assertEquals((await check(sql)).ok, true);
    assertEquals(await seal(sql), { is_busy: false, seals: 1, events: 1 });
    assert(present(lateId) < present(soonId));
    const seals = await sql`select from_id, to_id from public.audit_seals order by id desc limit 2`;
    assertEquals(seals.map((row) => ({ ...row })), [
      { from_id: lateId, to_id: lateId },
      { from_id: soonId, to_id: soonId },
    ]);
    // What is rolled back leaves a gap in the ids, and is in no seal.
    await early`begin`;
    await writeEvents(early, 1);
    await early`rollback`;
    assertEquals(await seal(sql), { is_busy: false, seals: 0, events: 0 });
    await assertEachSealedOnce(sql, before + 2);
  } finally {
    early.release();
  }
}

async function sealerOfAnUnfinishedTransaction({ sql, connect }: AuditLab) {
  const own = await connect().reserve();
  const before = await count(sql);
  try {
    // Its own events are not committed: it leaves them, and those that it writes after.
    await own`begin`;
    await writeEvents(own, 2);
    await writeEvents(sql, 3);
    assertEquals((await seal(own)).events, 3);
    await writeEvents(own, 2);
    await own`commit`;
    assertEquals((await check(sql)).ok, true);
    assertEquals((await seal(sql)).events, 4);
    await assertEachSealedOnce(sql, before + 7);
  } finally {
    own.release();
  }
}

/** Leaves a forged event behind, so it comes last. */
async function backdating({ sql }: AuditLab) {
  await writeEvents(sql, 1);
  await seal(sql);
  assertEquals((await check(sql)).ok, true);
  const [forged] = await sql<{ id: number }[]>`
    insert into public.audit_events (actor_role, action, resource_type, occurred_at)
    values ('doctor', 'open_record', 'medical_record', clock_timestamp() - interval '5 minutes')
    returning id`;
  assertEquals((await check(sql)).first_bad_id, forged?.id);
  // The forger waits until the product itself has sealed what was slipped in.
  assertEquals((await seal(sql)).events, 1);
  assertEquals((await check(sql)).first_bad_id, forged?.id);
}

async function deadSealer({ sql, connect }: AuditLab) {
  const before = await count(sql);
  const sealer = connect();
  const session = await sealer.reserve();
  const [backend] = await session<{ pid: number }[]>`select pg_backend_pid() as pid`;
  await writeEvents(sql, 100);
  await session`begin`;
  assertEquals((await seal(session, 16)).events, 100);
  // Another meanwhile finds it at work, does nothing and does not wait.
  assertEquals(await seal(sql), { is_busy: true, seals: 0, events: 0 });
  assertEquals((await writeEvents(sql, 1)).length, 1);
  await sql`select pg_terminate_backend(${present(backend).pid})`;
  await until(async () => !(await seal(sql)).is_busy);
  await assertEachSealedOnce(sql, before + 101);
}

/**
 * Seals over and over as the worker, a transaction each, until its connection is ended; then another
 * takes over, until all is over. One statement, so that an end never meets the driver in between.
 */
async function sealUntil(connect: AuditLab["connect"], isOver: () => boolean): Promise<number> {
  let killed = 0;
  while (!isOver()) {
    const sql = connect("postgres");
    await sql.unsafe("set role audit_worker");
    await sql.unsafe(SEALING).catch((error) => {
      if (!["57P01", "CONNECTION_CLOSED"].includes(error.code)) throw error;
      killed++;
    });
  }
  return killed;
}

async function everybodyAtOnce({ sql, connect }: AuditLab) {
  const before = await count(sql);
  const random = seeded(1);
  let writing = WRITERS;
  const writers = Array.from({ length: WRITERS }, async () => {
    const own = connect();
    for (let turn = 0; turn < TURNS; turn++) {
      const size = 1 + random.below(9);
      if (turn % 5 === 4) {
        // One in five is rolled back.
        await own.begin(async (tx) => {
          await writeEvents(tx, size);
          throw new Error("undo");
        }).catch(() => {});
      } else {
        await own.begin(async (tx) => {
          for (let i = 0; i < 3; i++) await writeEvents(tx, size);
        });
      }
    }
    writing--;
  });
  const kill = async (own: postgres.Sql, most: number) => {
    const killed = await own`
      select pg_terminate_backend(pid) from pg_stat_activity
      where query = ${SEALING} and state = 'active'
      order by random() limit ${most}`;
    return killed.length;
  };
  const killer = (async () => {
    const own = connect();
    let kills = 0;
    while (writing > 0) {
      kills += await kill(own, 1);
      // Most calls are to come through.
      for (let i = 0; i < 50 && writing > 0; i++) await own`select 1`;
    }
    return kills;
  })();
  const sealers = Array.from({ length: SEALERS }, () => sealUntil(connect, () => writing === 0));
  const [kills] = await Promise.all([killer, ...writers]);
  const sealing = Promise.all(sealers);
  let isOver = false;
  sealing.finally(() => isOver = true).catch(() => {});
  await until(async () => {
    await kill(sql, SEALERS);
    return isOver;
  });
  const killed = (await sealing).reduce((sum, one) => sum + one, 0);
  const [{ seals }] = await sql<[{ seals: number }]>`
    select count(*) as seals from public.audit_seals`;
  assert(kills > 0 && killed > SEALERS && seals > SEALERS, `${kills} kills, ${seals} seals`);
  await until(async () => !(await seal(sql, 64)).is_busy);
  assert(await count(sql) > before + WRITERS * TURNS * 2);
  await assertEachSealedOnce(sql, await count(sql));
}

async function movedTrail(from: AuditLab) {
  // Numbers of its transactions are far ahead of those of a new server.
  const left = await writeEvents(from.sql, 3);
  await withAuditLab(async ({ sql }) => {
    await copyTrail(from.sql, sql);
    assertEquals((await check(sql)).ok, true);
    const own = await writeEvents(sql, 4);
    assertEquals((await check(sql)).ok, true);
    // What the old server had not sealed and what the new one wrote go into the first seal here.
    assertEquals((await seal(sql)).events, left.length + own.length);
    await writeEvents(sql, 5);
    assertEquals((await seal(sql)).events, 5);
    assertEquals(await seal(sql), { is_busy: false, seals: 0, events: 0 });
    const restarts = await sql`select id from public.audit_seals where is_restart`;
    assertEquals(restarts.length, 1);
    await assertEachSealedOnce(sql, await count(sql));
    const [forged] = await sql`
      insert into public.audit_events (actor_role, action, resource_type, transaction_id)
      values ('doctor', 'open_record', 'medical_record', '5') returning id`;
    assertEquals((await check(sql)).first_bad_id, forged?.id);
  });
}

/** Copies events and seals, row by row, as a dump and its restore would. */
async function copyTrail(from: postgres.Sql, to: postgres.Sql) {
  const tables = {
    "public.audit_events":
      `id, occurred_at, actor_id, actor_role, session_id, action, resource_type,
      resource_id, patient_id, purpose, old_values, new_values, ip_address, user_agent, request_id,
      transaction_id`,
    "public.audit_seals": `id, from_id, to_id, leaf_count, merkle_root, previous_hash, snapshot,
      is_drained, is_restart, sealed_at`,
    "private.audit_seal_leaves": "seal_id, position, event_id, occurred_at, leaf_hash",
  };
  for (const [table, columns] of Object.entries(tables)) {
    const [row] = await from.unsafe<{ rows: string }[]>(
      `select coalesce(json_agg(t order by 1), '[]')::text as rows
       from (select ${columns} from ${table}) as t`,
    );
    await to.unsafe(
      `insert into ${table} (${columns}) overriding system value
       select ${columns} from json_populate_recordset(null::${table}, $1::text::json)`,
      [present(row).rows],
    );
  }
  await to`select setval('public.audit_events_id_seq', (select max(id) from public.audit_events))`;
}

Deno.test("sealing, while others write", async (t) => {
  await withAuditLab(async (lab) => {
    await t.step("an event that is committed late is in the next seal", () => lateCommits(lab));
    await t.step(
      "a sealer leaves the events of its own transaction",
      () => sealerOfAnUnfinishedTransaction(lab),
    );
    await t.step(
      "a sealer that dies has sealed nothing; nobody waited for it",
      () => deadSealer(lab),
    );
    await t.step(
      `${WRITERS} writers and ${SEALERS} sealers that are killed lose and double nothing`,
      () => everybodyAtOnce(lab),
    );
    await t.step("a trail goes on in another server", () => movedTrail(lab));
    await t.step("an event that is dated back is found, sealed or not", () => backdating(lab));
  });
});
