// Chat: what a message costs with its broadcast and notifications against the bare row, and what the
// lists cost with a long history against a short one.

import postgres from "postgres";
import { asAdmin } from "../../supabase/local/database.ts";
import { databaseUrl } from "../../supabase/local/postgres.ts";
import { createMigrated } from "../../tools/schema.ts";
import { withCluster } from "../../tools/throwaway.ts";
import { type BenchResult, measure } from "./harness.ts";

const ANA = "md5('u1')::uuid";
const LONG = 100_000;
const SHORT = 10;

/** Runs every bench of the domain on one database. */
export async function benchChat(say: (line: string) => void): Promise<BenchResult[]> {
  return await withCluster(async (port) => {
    const name = "bench";
    await createMigrated(port, name);
    say(`filling: two people with ${SHORT} messages, two with ${LONG}`);
    await fill(port, name);
    const sql = postgres(databaseUrl(port, "postgres", name), { max: 1, onnotice: () => {} });
    try {
      // Sending makes the short history longer.
      say("lists");
      const lists = await benchLists(sql);
      say("sending");
      return [...lists, ...await benchSending(sql)];
    } finally {
      await sql.end();
    }
  });
}

/**
 * Accounts `u1` to `u4`; `u1` and `u2` have a short history, `u3` and `u4` a long one, a message each
 * 30 seconds. Written past the triggers, which would tell of each.
 */
async function fill(port: number, name: string): Promise<void> {
  await asAdmin(port, name, async (sql) => {
    await sql.unsafe(`
      set session_replication_role = replica;
      insert into auth.users (id, email)
        select md5('u' || i)::uuid, i || '@bench.test' from generate_series(1, 4) as i;
      insert into auth.sessions (id, user_id) select md5('s' || id)::uuid, id from auth.users;
      insert into public.profiles (id, is_public) select id, true from auth.users;
      insert into public.conversations (id, kind, created_by)
        select md5('c' || i)::uuid, 'group', md5('u' || i)::uuid from unnest(array[1, 3]) as i;
      insert into public.conversation_participants (conversation_id, user_id, role, joined_at)
        select md5('c' || i)::uuid, md5('u' || i + k)::uuid, 'owner', now() - interval '1 year'
        from unnest(array[1, 3]) as i, generate_series(0, 1) as k;
      insert into public.messages (conversation_id, seq, sender_id, client_id, content, created_at)
        select md5('c' || t.i)::uuid, n, md5('u' || t.i + 1)::uuid, n::text, 'Message ' || n,
          now() - (t.total - n) * interval '30 seconds'
        from (values (1, ${SHORT}), (3, ${LONG})) as t (i, total), generate_series(1, t.total) as n;
      update public.conversations as c
        set last_seq = m.seq, last_message_id = m.id, last_message_at = m.created_at
        from (
          select distinct on (conversation_id) * from public.messages
          order by conversation_id, seq desc
        ) as m
        where m.conversation_id = c.id;
      set session_replication_role = origin;
      create table private.bench_messages (like public.messages including defaults);
      alter table private.bench_messages add column n bigint generated always as identity primary key;
      create index on private.bench_messages (conversation_id, seq desc);
      create role bench_plain nologin bypassrls;
      grant bench_plain to postgres;
      grant usage on schema public, private to bench_plain;
      grant insert on private.bench_messages to bench_plain;
    `);
    await sql.unsafe("vacuum analyze");
  });
}

/** One transaction as a function of the project runs it. */
async function as(
  sql: postgres.Sql,
  user: number,
  role: string,
  statement: string,
): Promise<void> {
  await sql.begin(async (tx) => {
    await tx.unsafe(
      `select set_config('role', $2, true), set_config('request.jwt.claims', jsonb_build_object(
        'sub', md5('u' || $1::integer)::uuid, 'role', 'authenticated', 'aal', 'aal1',
        'session_id', md5('s' || md5('u' || $1::integer)::uuid)::uuid
      )::text, true)`,
      [user, role],
      { prepare: true },
    );
    await tx.unsafe(statement, [], { prepare: true });
  });
}

/** A message to one other, who has not read those before: notifications collapse into one. */
async function benchSending(sql: postgres.Sql): Promise<BenchResult[]> {
  const sent = await measure({
    name: "send_message, broadcast and notified, against the bare row",
    turns: 100,
    product: () =>
      as(
        sql,
        1,
        "authenticated",
        `select public.send_message(md5('c1')::uuid, 'Hello', gen_random_uuid()::text)`,
      ),
    plain: () =>
      as(
        sql,
        1,
        "bench_plain",
        `insert into private.bench_messages (id, conversation_id, seq, sender_id, client_id, content)
          values (1, md5('c1')::uuid, 1, ${ANA}, gen_random_uuid()::text, 'Hello')`,
      ),
  });
  const began = performance.now();
  const count = 500;
  for (let n = 0; n < count; n++) {
    await as(
      sql,
      1,
      "authenticated",
      `select public.send_message(md5('c1')::uuid, 'Hello', gen_random_uuid()::text)`,
    );
  }
  const perSecond = count / ((performance.now() - began) / 1000);
  return [{ ...sent, figures: `${sent.figures}; ${perSecond.toFixed(0)}/s on one connection` }];
}

/** Of those with a long history and of those with a short one, who list the same number of rows. */
async function benchLists(sql: postgres.Sql): Promise<BenchResult[]> {
  const lists = (user: number) => () =>
    as(sql, user, "authenticated", "select * from public.list_conversations()");
  const page = (conversation: number, cursor = "null") =>
    as(
      sql,
      conversation,
      "authenticated",
      `select * from public.list_messages(md5('c${conversation}')::uuid, 10, ${cursor})`,
    );
  const [deep] = await sql`
    select translate(encode(convert_to(
      jsonb_build_array(created_at, seq)::text, 'UTF8'), 'base64'), E'\\n', '') as cursor
    from public.messages where conversation_id = md5('c3')::uuid and seq = 500`;
  const cursor = `'${deep!.cursor}'`;
  return [
    await measure({
      name: `list_conversations, ${LONG} messages against ${SHORT}`,
      atMost: 1.2,
      turns: 150,
      product: lists(3),
      plain: lists(1),
    }),
    await measure({
      name: `first page of messages, ${LONG} against ${SHORT}`,
      atMost: 1.3,
      turns: 150,
      product: () => page(3),
      plain: () => page(1),
    }),
    await measure({
      name: `a page ${LONG - 500} messages back against the first`,
      atMost: 1.3,
      turns: 150,
      product: () => page(3, cursor),
      plain: () => page(3),
    }),
  ];
}
