// Tampering with the sealed audit trail, as a superuser who switches the triggers off: every change is
// found by the check inside the database; and who rewrites the whole trail and all its seals, so that
// it agrees with itself, is found by the head that was published before.

import { assert, assertEquals } from "@std/assert";
import { exportJWK, generateKeyPair } from "jose";
import type postgres from "postgres";
import { createHeadSigner, type Head } from "../../functions/audit/heads.ts";
import { exportLog } from "../../tools/audit_export.ts";
import { readHead, verifyLog } from "../../tools/verify_audit.ts";
import { ATTACKS, rehashSeal, type Target } from "../support/audit_attacks.ts";
import {
  type AuditLab,
  check,
  seal,
  seeded,
  withAuditLab,
  writeEvents,
} from "../support/audit_lab.ts";
import { present } from "../support/auth.ts";

const TIMES = 1_000;
const EVENTS = 96;

/** A trail of some seals, the last of which is not whole. */
async function sealedTrail(sql: postgres.Sql): Promise<Target> {
  while (true) {
    await writeEvents(sql, 24);
    await seal(sql, 16);
    const leaves = await sql<Target["leaves"]>`
      select event_id, seal_id, position from private.audit_seal_leaves order by seal_id, position`;
    if (leaves.length >= EVENTS) {
      return { leaves: [...leaves], lastSealId: present(leaves.at(-1)).seal_id };
    }
  }
}

async function disableTriggers(sql: postgres.Sql | postgres.TransactionSql) {
  for (const table of ["public.audit_events", "public.audit_seals", "private.audit_seal_leaves"]) {
    await sql.unsafe(`alter table ${table} disable trigger all`);
  }
  const months = await sql<{ name: string }[]>`
    select inhrelid::regclass::text as name from pg_inherits
    where inhparent = 'public.audit_events'::regclass`;
  for (const { name } of months) await sql.unsafe(`alter table ${name} disable trigger all`);
}

/** Undoes whatever `work` did. */
async function undone<T>(sql: postgres.Sql, work: (tx: postgres.TransactionSql) => Promise<T>) {
  const UNDO = new Error("undo");
  let result: { value: T } | undefined;
  await sql.begin(async (tx) => {
    result = { value: await work(tx) };
    throw UNDO;
  }).catch((error) => {
    if (error !== UNDO) throw error;
  });
  return present(result).value;
}

async function changesAreFound({ sql }: AuditLab) {
  const seed = Number(Deno.env.get("BL_AUDIT_SEED") ?? crypto.getRandomValues(new Uint32Array(1)));
  const random = seeded(seed);
  const names = Object.keys(ATTACKS);
  const found: Record<string, number> = {};
  const target = await sealedTrail(sql);
  assertEquals(await check(sql), {
    ok: true,
    checked: target.leaves.length,
    first_bad_id: null,
    reason: null,
  });

  await undone(sql, async (tx) => {
    await disableTriggers(tx);
    for (let turn = 0; turn < TIMES; turn++) {
      // Each kind in turn first, so that none is left out.
      const name = names[turn] ?? random.pick(names);
      await tx.unsafe("savepoint sound");
      const expected = await present(ATTACKS[name])(tx, target, random);
      const { ok, first_bad_id, reason } = await check(tx);
      const said = `BL_AUDIT_SEED=${seed}, turn ${turn}, ${name}: ${reason}, ${first_bad_id}`;
      assert(!ok && first_bad_id !== null, said);
      if (expected !== undefined) assertEquals(first_bad_id, expected, said);
      await tx.unsafe("rollback to savepoint sound");
      found[name] = (found[name] ?? 0) + 1;
    }
  });
  assertEquals((await check(sql)).ok, true);
  console.log(`found ${TIMES} of ${TIMES} (BL_AUDIT_SEED=${seed}): ${JSON.stringify(found)}`);
  assertEquals(Object.keys(found).length, names.length);
}

/** The newest seal as the worker reads it. */
async function headOf(sql: postgres.Sql | postgres.TransactionSql): Promise<Head> {
  const [row] = await sql<Head[]>`
    select seal_id, hash, merkle_root, canonical, sealed_at::text from private.audit_head()`;
  return present(row);
}

async function* of(lines: string[]) {
  yield* lines;
}

async function headsShowRewrites({ sql }: AuditLab, t: Deno.TestContext) {
  const { leaves } = await sealedTrail(sql);
  const pair = await generateKeyPair("EdDSA", { extractable: true, crv: "Ed25519" });
  const published = await createHeadSigner(await exportJWK(pair.privateKey))(await headOf(sql));
  const anchor = await readHead(published, await exportJWK(pair.publicKey));
  await writeEvents(sql, 5);
  await seal(sql);
  const lines = async (from: postgres.Sql | postgres.TransactionSql) =>
    await Array.fromAsync(exportLog(from as postgres.Sql));

  await t.step("as it was, it fits, with what came after", async () => {
    const verdict = await verifyLog(of(await lines(sql)), anchor);
    assertEquals(verdict, {
      ok: true,
      events: leaves.length + 5,
      seals: anchor.seal_id + 1,
      firstSeal: 1,
      anchor: anchor.seal_id,
      after: 1,
    });
  });

  const rewrite = async (tx: postgres.Sql | postgres.TransactionSql) => {
    const seals = await tx<{ id: number }[]>`select id from public.audit_seals order by id`;
    for (const { id } of seals) {
      await rehashSeal(tx, id);
      await tx`
          update public.audit_seals as s set previous_hash = p.hash
          from public.audit_seals as p where s.id = ${id} and p.id = s.id - 1`;
    }
  };
  const attacks: Record<string, (tx: postgres.Sql | postgres.TransactionSql) => Promise<unknown>> =
    {
      "an edited event": async (tx) => {
        const id = present(leaves[20]).event_id;
        await tx`update public.audit_events set actor_id = null where id = ${id}`;
        await tx`update private.audit_seal_leaves as l set leaf_hash = e.leaf_hash
          from public.audit_events as e where e.id = l.event_id and e.id = ${id}`;
        await rewrite(tx);
      },
      "a deleted event": async (tx) => {
        const { event_id, seal_id } = present(leaves[15]); // the last of its seal
        await tx`delete from public.audit_events where id = ${event_id}`;
        await tx`delete from private.audit_seal_leaves where event_id = ${event_id}`;
        await rehashSeal(tx, seal_id);
        await rewrite(tx);
      },
      "everything from some seal on deleted": async (tx) => {
        await tx`delete from public.audit_events as e using private.audit_seal_leaves as l
          where l.event_id = e.id and l.seal_id > 3`;
        await tx`delete from private.audit_seal_leaves where seal_id > 3`;
        await tx`delete from public.audit_seals where id > 3`;
      },
      "nothing left": async (tx) => {
        await tx`truncate public.audit_events, public.audit_seals, private.audit_seal_leaves`;
      },
    };
  for (const [name, attack] of Object.entries(attacks)) {
    await t.step(name, async () => {
      await undone(sql, async (tx) => {
        await disableTriggers(tx);
        await attack(tx);
        // Which is why heads are published.
        assertEquals((await check(tx)).ok, true);
        const verdict = await verifyLog(of(await lines(tx)), anchor);
        assert(!verdict.ok);
      });
    });
  }
}

async function badLinesAreNamed({ sql }: AuditLab, t: Deno.TestContext) {
  await sealedTrail(sql);
  const anchor = { hash: (await headOf(sql)).hash };
  const lines = await Array.fromAsync(exportLog(sql));
  assertEquals((await verifyLog(of(lines), anchor)).ok, true);
  const seals = lines.flatMap((line, index) => line.startsWith('{"seal"') ? [index] : []);
  const second = present(seals[1]);
  assert(present(lines[second]).includes(", true, false,"), "the second seal was drained");

  /** The line, from 1, that must be named when `change` was made. */
  const cases: Record<string, [(log: string[]) => string[], number]> = {
    "a changed event": [
      (log) => log.with(5, present(log[5]).replace("treatment", "curiosity")),
      6,
    ],
    "an event that is gone": [(log) => log.toSpliced(5, 1), 2],
    "two events that have changed places": [
      (log) => log.with(5, present(log[6])).with(6, present(log[5])),
      7,
    ],
    "an event twice": [(log) => log.toSpliced(5, 0, present(log[5])), 2],
    "an event that the database no longer had": [
      (log) => log.with(5, JSON.stringify({ ...JSON.parse(present(log[5])), event: null })),
      6,
    ],
    "a changed seal": [
      (log) => log.with(second, present(log[second]).replace(", true, false,", ", false, false,")),
      present(seals[2]) + 1,
    ],
    "a seal that is gone with its events": [
      (log) => log.toSpliced(second, present(seals[2]) - second),
      second + 1,
    ],
    "an end that is gone": [(log) => log.slice(0, present(seals.at(-1))), present(seals.at(-1))],
    "a line that is none": [(log) => log.with(3, "nonsense"), 4],
    "a log of nothing": [() => [], 1],
  };
  for (const [name, [change, line]] of Object.entries(cases)) {
    await t.step(name, async () => {
      const verdict = await verifyLog(of(change(lines)), anchor);
      if (verdict.ok) throw new Error(`Not found: ${name}`);
      assertEquals(verdict.line, line, verdict.reason);
    });
  }
}

Deno.test("the sealed trail, whoever tampers with it", async (t) => {
  await withAuditLab(async (lab) => {
    await t.step(
      `of ${TIMES} random changes by a superuser each is found`,
      () => changesAreFound(lab),
    );
    await t.step(
      "a trail that was rewritten with all its seals fits no head published before",
      (t) => headsShowRewrites(lab, t),
    );
    await t.step(
      "a log that was changed after it was exported is found, with its first bad line",
      (t) => badLinesAreNamed(lab, t),
    );
  });
});
