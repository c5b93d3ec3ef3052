// What somebody with every right on the database can do to a sealed trail, with its triggers switched
// off. Each attack changes one thing, and the stronger ones cover it up as far as one seal reaches.

import type postgres from "postgres";
import type { Random } from "./audit_lab.ts";
import { present } from "./auth.ts";

/** The sealed trail before an attack. */
export interface Target {
  /** Sealed events in order of position. */
  leaves: { event_id: number; seal_id: number; position: number }[];
  lastSealId: number;
}

/** Does something forbidden; gives the id of the event that must be named, if only one can be. */
export type Attack = (
  sql: postgres.Sql | postgres.TransactionSql,
  target: Target,
  random: Random,
) => Promise<number | undefined>;

/** Changes of one column of an event `e`, none of which may leave it as it was. */
const EDITS = [
  "actor_id = gen_random_uuid()",
  "actor_id = null",
  "actor_role = 'patient'",
  "session_id = null",
  "action = 'open_record'",
  "resource_type = 'patient'",
  "resource_id = gen_random_uuid()",
  "patient_id = gen_random_uuid()",
  "purpose = null",
  "old_values = null",
  'new_values = new_values || \'{"title": "Forged"}\'',
  "new_values = new_values || '{\"more\": 1}'",
  "ip_address = '203.0.113.8'",
  "user_agent = user_agent || ' '",
  "request_id = ''",
  "occurred_at = occurred_at + interval '1 microsecond'",
  "occurred_at = occurred_at - interval '40 days'",
  "transaction_id = '9'",
];

const anyLeaf = ({ leaves }: Target, random: Random) => random.pick(leaves);
/** A leaf of a seal that another follows: what is done to the last one only a head can show. */
const followedLeaf = ({ leaves, lastSealId }: Target, random: Random) =>
  random.pick(leaves.filter(({ seal_id }) => seal_id < lastSealId));

/** Leaf hashes of a seal's index, made to agree with the events. */
async function rehashLeaf(sql: postgres.Sql | postgres.TransactionSql, id: number) {
  await sql`
    update private.audit_seal_leaves as l set leaf_hash = e.leaf_hash, occurred_at = e.occurred_at
    from public.audit_events as e where e.id = l.event_id and l.event_id = ${id}`;
}

/** Count, range and root of a seal, made to agree with its leaves. */
export async function rehashSeal(sql: postgres.Sql | postgres.TransactionSql, id: number) {
  await sql`
    update public.audit_seals as s
    set merkle_root = private.merkle_root(l.level), leaf_count = l.leaf_count, from_id = l.from_id,
      to_id = l.to_id
    from (
      select string_agg(leaf_hash, '' order by position) as level, count(*) as leaf_count,
        min(event_id) as from_id, max(event_id) as to_id
      from private.audit_seal_leaves where seal_id = ${id}
    ) as l
    where s.id = ${id}`;
}

async function edit(sql: postgres.Sql | postgres.TransactionSql, id: number, random: Random) {
  const change = random.pick(EDITS);
  await sql.unsafe(`update public.audit_events set ${change} where id = ${id}`);
}

async function renumber(sql: postgres.Sql | postgres.TransactionSql, sealId: number) {
  await sql`
    update private.audit_seal_leaves set position = position + 1000000 where seal_id = ${sealId}`;
  await sql`
    update private.audit_seal_leaves as l set position = n.at
    from (
      select event_id, row_number() over (order by event_id) - 1 as at
      from private.audit_seal_leaves where seal_id = ${sealId}
    ) as n
    where l.seal_id = ${sealId} and l.event_id = n.event_id`;
}

async function insertCopy(
  sql: postgres.Sql | postgres.TransactionSql,
  id: number,
  changes: string,
): Promise<number> {
  const [row] = await sql.unsafe<{ id: number }[]>(`
    insert into public.audit_events (occurred_at, actor_id, actor_role, action, resource_type,
      patient_id, new_values, transaction_id)
    select ${changes} from public.audit_events as e where e.id = ${id} returning id`);
  return present(row).id;
}

export const ATTACKS: Record<string, Attack> = {
  "edit an event": async (sql, target, random) => {
    const { event_id } = anyLeaf(target, random);
    await edit(sql, event_id, random);
    return event_id;
  },
  "edit an event and its leaf": async (sql, target, random) => {
    const { event_id } = anyLeaf(target, random);
    await edit(sql, event_id, random);
    await rehashLeaf(sql, event_id);
    return undefined;
  },
  "edit an event, its leaf and its seal": async (sql, target, random) => {
    const { event_id, seal_id } = followedLeaf(target, random);
    await edit(sql, event_id, random);
    await rehashLeaf(sql, event_id);
    await rehashSeal(sql, seal_id);
    return undefined;
  },
  "give one event another hash": async (sql, target, random) => {
    const { event_id } = anyLeaf(target, random);
    await sql`alter table public.audit_events alter column leaf_hash drop expression`;
    await sql`
      update public.audit_events set leaf_hash = sha256(gen_random_uuid()::text::bytea)
      where id = ${event_id}`;
    return event_id;
  },
  "give one event another hash, in its leaf too": async (sql, target, random) => {
    const { event_id } = anyLeaf(target, random);
    await sql`alter table public.audit_events alter column leaf_hash drop expression`;
    await sql`
      update public.audit_events set leaf_hash = sha256(gen_random_uuid()::text::bytea)
      where id = ${event_id}`;
    await rehashLeaf(sql, event_id);
    return event_id;
  },
  "delete an event": async (sql, target, random) => {
    const { event_id } = anyLeaf(target, random);
    await sql`delete from public.audit_events where id = ${event_id}`;
    return event_id;
  },
  "delete an event and its leaf": async (sql, target, random) => {
    const { event_id } = anyLeaf(target, random);
    await sql`delete from public.audit_events where id = ${event_id}`;
    await sql`delete from private.audit_seal_leaves where event_id = ${event_id}`;
    return undefined;
  },
  "delete an event and its leaf, and close the gap": async (sql, target, random) => {
    const { event_id, seal_id } = anyLeaf(target, random);
    await sql`delete from public.audit_events where id = ${event_id}`;
    await sql`delete from private.audit_seal_leaves where event_id = ${event_id}`;
    await renumber(sql, seal_id);
    return undefined;
  },
  "delete an event, its leaf, and seal anew": async (sql, target, random) => {
    const { event_id, seal_id } = followedLeaf(target, random);
    await sql`delete from public.audit_events where id = ${event_id}`;
    await sql`delete from private.audit_seal_leaves where event_id = ${event_id}`;
    await renumber(sql, seal_id);
    await rehashSeal(sql, seal_id);
    return undefined;
  },
  "insert an event that is dated back": async (sql, target, random) => {
    const { event_id } = anyLeaf(target, random);
    const minutes = 2 + random.below(10_000);
    const id = await insertCopy(
      sql,
      event_id,
      `e.occurred_at - interval '${minutes} minutes', e.actor_id, e.actor_role, 'delete',
        e.resource_type, e.patient_id, e.new_values, pg_current_xact_id()`,
    );
    return id;
  },
  "insert an event as if of a sealed transaction": async (sql, target, random) => {
    const { event_id } = anyLeaf(target, random);
    const id = await insertCopy(
      sql,
      event_id,
      `e.occurred_at + interval '1 microsecond', e.actor_id, e.actor_role, 'delete',
        e.resource_type, e.patient_id, e.new_values, e.transaction_id`,
    );
    return id;
  },
  "insert an event into a seal": async (sql, target, random) => {
    const { event_id, seal_id } = anyLeaf(target, random);
    const id = await insertCopy(
      sql,
      event_id,
      `e.occurred_at, e.actor_id, e.actor_role, 'delete', e.resource_type, e.patient_id,
        e.new_values, e.transaction_id`,
    );
    await sql`
      insert into private.audit_seal_leaves (seal_id, position, event_id, occurred_at, leaf_hash)
      select ${seal_id}, (
        select max(position) + 1 from private.audit_seal_leaves where seal_id = ${seal_id}
      ), e.id, e.occurred_at, e.leaf_hash
      from public.audit_events as e where e.id = ${id}`;
    return undefined;
  },
  "exchange two leaves": async (sql, { leaves }, random) => {
    const one = random.pick(leaves);
    const other = random.pick(
      leaves.filter((leaf) => leaf.seal_id === one.seal_id && leaf !== one),
    );
    await sql`update private.audit_seal_leaves set position = position + 1000000
      where event_id in (${one.event_id}, ${other.event_id})`;
    for (const [from, to] of [[one, other], [other, one]] as const) {
      await sql`update private.audit_seal_leaves set position = ${to.position}
        where event_id = ${from.event_id}`;
    }
    return undefined;
  },
  "exchange what two events say": async (sql, { leaves }, random) => {
    const one = random.pick(leaves);
    const other = random.pick(leaves.filter((leaf) => leaf !== one));
    await sql`
      update public.audit_events as e
      set new_values = o.new_values, actor_id = o.actor_id, patient_id = o.patient_id
      from public.audit_events as o
      where e.id in (${one.event_id}, ${other.event_id})
        and o.id in (${one.event_id}, ${other.event_id}) and e.id <> o.id`;
    return undefined;
  },
  "truncate the events of a month": async (sql) => {
    await sql.unsafe(
      `truncate private.audit_events_${new Date().toISOString().slice(0, 7).replace("-", "_")}`,
    );
    return undefined;
  },
  "truncate the leaves": async (sql) => {
    await sql`truncate private.audit_seal_leaves`;
    return undefined;
  },
  "truncate events and leaves": async (sql) => {
    await sql`truncate public.audit_events, private.audit_seal_leaves`;
    return undefined;
  },
  "edit a seal": async (sql, { lastSealId }, random) => {
    const change = random.pick([
      "leaf_count = leaf_count + 1",
      "from_id = from_id - 1",
      "to_id = to_id + 1",
      "merkle_root = sha256(merkle_root)",
      "previous_hash = sha256(coalesce(previous_hash, ''))",
      "sealed_at = sealed_at + interval '1 second'",
      "snapshot = '3:900000000:'",
      "is_drained = not is_drained",
      "is_restart = true",
    ]);
    // The first has no seal before it, the last none after.
    const id = 2 + random.below(lastSealId - 2);
    await sql.unsafe(`update public.audit_seals set ${change} where id = ${id}`);
    return undefined;
  },
  "delete a seal": async (sql, { lastSealId }, random) => {
    await sql`delete from public.audit_seals where id = ${1 + random.below(lastSealId)}`;
    return undefined;
  },
  "delete a seal with its leaves": async (sql, { lastSealId }, random) => {
    const id = 1 + random.below(lastSealId - 1);
    await sql`delete from private.audit_seal_leaves where seal_id = ${id}`;
    await sql`delete from public.audit_seals where id = ${id}`;
    return undefined;
  },
  "delete a seal with its leaves and events": async (sql, { lastSealId }, random) => {
    const id = 1 + random.below(lastSealId - 1);
    await sql`delete from public.audit_events as e using private.audit_seal_leaves as l
      where l.event_id = e.id and l.seal_id = ${id}`;
    await sql`delete from private.audit_seal_leaves where seal_id = ${id}`;
    await sql`delete from public.audit_seals where id = ${id}`;
    return undefined;
  },
  "edit a leaf": async (sql, target, random) => {
    const { event_id } = anyLeaf(target, random);
    const change = random.pick([
      "leaf_hash = sha256(leaf_hash)",
      "occurred_at = occurred_at + interval '1 microsecond'",
      "position = position + 1000000",
      "event_id = event_id + 1000000",
      "(seal_id, position) = (seal_id % (select max(id) from public.audit_seals) + 1, 1000000)",
    ]);
    await sql.unsafe(
      `update private.audit_seal_leaves set ${change} where event_id = ${event_id}`,
    );
    return undefined;
  },
};
