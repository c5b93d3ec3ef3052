// Changes of rows against a real database, without a socket: what is told of a change, to whom, and
// what becomes of a connection that is lost.

import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { createDatabase, dropDatabase, hasDatabase } from "../../supabase/local/database.ts";
import { databaseUrl, SUPERUSER } from "../../supabase/local/postgres.ts";
import { present } from "../support/auth.ts";
import { changesTest, NOBODY, person, SERVICE } from "../support/changes.ts";
import { testEnv } from "../support/env.ts";

const publish = (...tables: string[]) =>
  tables.map((table) =>
    `alter publication supabase_realtime add table public.${table};
     grant select on public.${table} to authenticated, service_role;`
  ).join("\n");

/** A number as text, without zeros at its end that mean nothing. */
function withoutZeros(digits: string): string {
  return digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
}

/** Notes that belong to somebody; only they see them, and nobody the secret of one. */
const NOTES = `
  create table public.notes (
    id bigint primary key,
    owner uuid not null,
    title text,
    secret text
  );
  ${publish("notes")}
  alter table public.notes enable row level security;
  revoke select on public.notes from anon, authenticated;
  grant select (id, owner, title) on public.notes to authenticated;
  create policy notes_select on public.notes for select to authenticated
    using (owner = (select auth.uid()));`;

const NOTE_COLUMNS = [
  { name: "id", type: "int8" },
  { name: "owner", type: "uuid" },
  { name: "title", type: "text" },
];

/** Makes changes one after the other, each when the one before is told: rows are told as they are then. */
async function inTurn(
  { all }: { all: () => Promise<unknown> },
  ...changes: (() => PromiseLike<unknown>)[]
): Promise<void> {
  for (const change of changes) {
    await change();
    await all();
  }
}

/** What was heard, in short. */
async function outline({ all }: { all: () => Promise<{ data: Record<string, unknown> }[]> }) {
  return (await all()).map(({ data: { type, record, old_record, errors } }) => ({
    type,
    ...(record === undefined ? {} : { record }),
    ...(old_record === undefined ? {} : { old_record }),
    ...(errors === null ? {} : { errors }),
  }));
}

/** Ids of the rows that were heard of. */
async function heardIds({ all }: { all: () => Promise<{ data: Record<string, unknown> }[]> }) {
  return (await all()).map(({ data }) => (data.record as { id: number }).id);
}

changesTest("a change is told as the hosted service tells it", NOTES, async (own) => {
  const me = person();
  const listener = await own.listen(me, "notes");
  await inTurn(
    listener,
    () => own.sql`insert into public.notes values (1, ${me.id}, 'a', 'hidden')`,
    () => own.sql`update public.notes set title = 'b' where id = 1`,
    () => own.sql`update public.notes set id = 2 where id = 1`,
    () => own.sql`delete from public.notes where id = 2`,
  );
  const messages = await listener.all();
  const [time] = await own.sql`select now()`;
  for (const { ids, data } of messages) {
    assertEquals(ids, [listener.subscription.ids[0]]);
    assertEquals(data.schema, "public");
    assertEquals(data.table, "notes");
    assertEquals(data.columns, NOTE_COLUMNS);
    assertEquals(data.errors, null);
    const at = String(data.commit_timestamp);
    assert(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(at), at);
    assert(Math.abs(Date.parse(at) - time!.now.getTime()) < 60_000, at);
  }
  assertEquals(await outline(listener), [
    { type: "INSERT", record: { id: 1, owner: me.id, title: "a" } },
    { type: "UPDATE", record: { id: 1, owner: me.id, title: "b" }, old_record: { id: 1 } },
    { type: "UPDATE", record: { id: 2, owner: me.id, title: "b" }, old_record: { id: 1 } },
    { type: "DELETE", old_record: { id: 2 } },
  ]);
});

changesTest(
  "values are JSON as to_jsonb gives it, to the last digit",
  `create type public.mood as enum ('good', 'so, so');
   create domain public.letters as varchar(3);
   create table public.kinds (
     id uuid primary key default gen_random_uuid(),
     small smallint, big bigint, amount numeric(30, 5), half real, double double precision,
     flag boolean, word text, fixed char(5), short varchar(4), letters public.letters,
     mood public.mood, moods public.mood[], bytes bytea, at timestamptz, wall timestamp, day date,
     clock time, during interval, span tstzrange, doc json, docb jsonb, words text[],
     numbers integer[][], address inet, bits bit(3), place point
   );
   ${publish("kinds")}`,
  async (own) => {
    const listener = await own.listen(person(), "kinds");
    await own.sql`
      insert into public.kinds values (
        default, -3, 9007199254740993, 12345678901234567890.12300, 0.1, 'NaN', true, E'a"\\b\n𝄞',
        'ab', 'abcd', 'xyz', 'so, so', '{good,"so, so"}', '\\x00ff', '2026-08-01 10:00:00.123456+02',
        '2026-08-01 10:00', '2026-08-01', '10:00', '1 day 02:03:04.5', '[2026-08-01,2026-08-02)',
        '{"b": 1.50, "a": [1e3, null]}', '{"n": 123456789012345678901234567890}',
        array['a,b', null, ''], array[[1, 2], [3, 4]], '10.0.0.1/8', '101', '(1,2)'
      )`;
    await own.sql`insert into public.kinds default values`;
    // As text, since JavaScript would round the numbers of both sides alike.
    const rows = await own.sql<{ row: string }[]>`
      select to_jsonb(k)::text as row from public.kinds as k order by word`;
    const records = (await listener.all()).map(({ data }) => JSON.stringify(data.record));
    const read = (text: string) =>
      JSON.parse(text, (_key, value, context?: { source?: string }) => {
        const source = context?.source;
        return typeof value === "number" && source ? `number ${withoutZeros(source)}` : value;
      });
    assertEquals(records.map(read), rows.map(({ row }) => read(row)));
    assert(records[0]!.includes("12345678901234567890.123"), records[0]);
  },
);

changesTest("policies, grants and claims decide who is told what", NOTES, async (own) => {
  const [me, stranger] = [person(), person()];
  const mine = await own.listen(me, "notes");
  const theirs = await own.listen(stranger, "notes");
  const service = await own.listen(SERVICE, "notes");
  await inTurn(
    mine,
    () => own.sql`insert into public.notes values (1, ${me.id}, 'a', 'hidden')`,
    () => own.sql`update public.notes set title = 'b'`,
    // From one to the other: only who sees it afterwards is told.
    () => own.sql`update public.notes set owner = ${stranger.id}`,
    () => own.sql`delete from public.notes`,
  );
  const note = (owner: string, title: string) => ({ id: 1, owner, title });
  assertEquals(await outline(mine), [
    { type: "INSERT", record: note(me.id, "a") },
    { type: "UPDATE", record: note(me.id, "b"), old_record: { id: 1 } },
    { type: "DELETE", old_record: { id: 1 } },
  ]);
  assertEquals(await outline(theirs), [
    { type: "UPDATE", record: note(stranger.id, "b"), old_record: { id: 1 } },
    { type: "DELETE", old_record: { id: 1 } },
  ]);
  const secret = { ...note(me.id, "a"), secret: "hidden" };
  assertEquals((await outline(service)).map(({ record }) => record), [
    secret,
    { ...secret, title: "b" },
    { ...secret, title: "b", owner: stranger.id },
    undefined,
  ]);
});

changesTest("what is rolled back or gone at once is not told", NOTES, async (own) => {
  const me = person();
  const listener = await own.listen(me, "notes");
  await own.sql.begin(async (tx) => {
    await tx`insert into public.notes values (1, ${me.id})`;
    throw new Error("undo");
  }).catch(() => {});
  await own.sql.begin(async (tx) => {
    await tx`insert into public.notes values (2, ${me.id})`;
    await tx`savepoint here`;
    await tx`insert into public.notes values (3, ${me.id})`;
    await tx`rollback to here`;
    await tx`insert into public.notes values (4, ${me.id})`;
    await tx`delete from public.notes where id = 4`;
  });
  await own.sql`truncate public.notes`;
  // The row as it is now: of 2 nothing is left by the time it is looked at, or it was seen before.
  const told = await outline(listener);
  assertEquals(told.filter(({ record }) => (record as { id: number } | undefined)?.id !== 2), [
    { type: "DELETE", old_record: { id: 4 } },
  ]);
});

changesTest(
  "a DELETE has the whole old row only where there is no row level security",
  `create table public.open_rows (id int primary key, word text, hidden text);
   create table public.closed_rows (id int primary key, word text);
   create table public.indexed_rows (id int primary key, code text not null, word text);
   create unique index indexed_code on public.indexed_rows (code);
   alter table public.open_rows replica identity full;
   alter table public.closed_rows replica identity full;
   alter table public.indexed_rows replica identity using index indexed_code;
   alter table public.closed_rows enable row level security;
   ${publish("open_rows", "closed_rows", "indexed_rows")}
   revoke select on public.open_rows from authenticated;
   grant select (id, word) on public.open_rows to authenticated;
   create policy seen on public.closed_rows for select to authenticated using (true);`,
  async (own) => {
    await own.sql`insert into public.open_rows values (1, 'a', 'x')`;
    await own.sql`insert into public.closed_rows values (1, 'a')`;
    await own.sql`insert into public.indexed_rows values (1, 'c', 'a')`;
    const listener = await own.listen(person(), "open_rows", "closed_rows", "indexed_rows");
    const filtered = await own.listen(
      person(),
      { table: "closed_rows", filter: "word=eq.b" },
      { table: "open_rows", filter: "word=eq.nothing" },
      { table: "indexed_rows", filter: "word=eq.a" },
    );
    for (const table of ["open_rows", "closed_rows", "indexed_rows"]) {
      await inTurn(
        listener,
        () => own.sql`update public.${own.sql(table)} set word = 'b'`,
        () => own.sql`delete from public.${own.sql(table)}`,
      );
    }
    assertEquals(await outline(listener), [
      { type: "UPDATE", record: { id: 1, word: "b" }, old_record: { id: 1, word: "a" } },
      { type: "DELETE", old_record: { id: 1, word: "b" } },
      { type: "UPDATE", record: { id: 1, word: "b" }, old_record: { id: 1, word: "a" } },
      { type: "DELETE", old_record: { id: 1 } },
      { type: "UPDATE", record: { id: 1, code: "c", word: "b" }, old_record: { code: "c" } },
      { type: "DELETE", old_record: { code: "c" } },
    ]);
    // A filter looks at what the log has of the row, and a value that it has not does not fit.
    assertEquals((await outline(filtered)).map(({ type }) => type), ["UPDATE", "DELETE"]);
  },
);

changesTest(
  "a large value that stays as it was is told where the old row is known",
  `create table public.plain (id int primary key, n int, large text);
   create table public.whole (id int primary key, n int, large text);
   alter table public.plain alter large set storage external;
   alter table public.whole alter large set storage external;
   alter table public.whole replica identity full;
   ${publish("plain", "whole")}`,
  async (own) => {
    const large = "x".repeat(10_000);
    const listener = await own.listen(person(), "plain", "whole");
    const filtered = await own.listen(person(), { table: "plain", filter: "large=neq.y" });
    for (const table of ["plain", "whole"]) {
      await own.sql`insert into public.${own.sql(table)} values (1, 1, ${large})`;
      await own.sql`update public.${own.sql(table)} set n = 2`;
    }
    assertEquals(await outline(listener), [
      { type: "INSERT", record: { id: 1, n: 1, large } },
      { type: "UPDATE", record: { id: 1, n: 2 }, old_record: { id: 1 } },
      { type: "INSERT", record: { id: 1, n: 1, large } },
      { type: "UPDATE", record: { id: 1, n: 2, large }, old_record: { id: 1, n: 1, large } },
    ]);
    assertEquals((await outline(filtered)).map(({ type }) => type), ["INSERT"]);
  },
);

changesTest(
  "rows without a key, with a hidden key, or that are too large are told as faults",
  `create table public.keyless (word text);
   create table public.hidden_key (id int primary key, word text);
   create table public.large_rows (id int primary key, short text, empty text, large text);
   ${publish("keyless", "hidden_key", "large_rows")}
   alter table public.keyless replica identity full;
   revoke select on public.hidden_key from authenticated;
   grant select (word) on public.hidden_key to authenticated;
   alter table public.hidden_key enable row level security;`,
  async (own) => {
    const listener = await own.listen(person(), "keyless", "hidden_key", "large_rows");
    await own.sql`insert into public.keyless values ('a')`;
    await own.sql`delete from public.keyless`;
    await own.sql`insert into public.hidden_key values (1, 'a')`;
    await own.sql`delete from public.hidden_key`;
    await own.sql`insert into public.large_rows values (1, 'a', null, repeat('x', 1048576))`;
    await own.sql`insert into public.large_rows values (2, 'a', null, repeat('x', 1048570))`;
    const messages = await listener.all();
    const bad = { schema: "public", table: "keyless", type: "INSERT" };
    assertEquals(messages[0]!.data, {
      ...bad,
      errors: ["Error 400: Bad Request, no primary key"],
    });
    assertEquals(messages[1]!.data.old_record, { word: "a" });
    assertEquals(messages[2]!.data, {
      ...bad,
      table: "hidden_key",
      errors: ["Error 401: Unauthorized"],
    });
    assertEquals(messages[3]!.data.old_record, {});
    assertEquals(messages[4]!.data.errors, ["Error 413: Payload Too Large"]);
    assertEquals(messages[4]!.data.record, { id: 1, short: "a" });
    assertEquals(messages[5]!.data.errors, null);
    assertEquals(Object.keys(messages[5]!.data.record as object).length, 4);
  },
);

const WORDS = `
  create table public.words (
    id int primary key, word text, n numeric, at timestamptz, flag boolean, tags text[], code varchar(2)
  );
  ${publish("words")}`;

const NO_WORDS = { id: 0, word: null, n: null, at: null, flag: null, tags: null, code: null };

/** Rows 1 to 4 of the test, and which of them each filter lets through. */
const FILTERS: [filter: string, ids: number[]][] = [
  ["id=eq.2", [2]],
  ["id=neq.2", [1, 3, 4]],
  ["id=not.eq.2", [1, 3, 4]],
  ["id=gt.2", [3, 4]],
  ["id=gte.2,id=lt.4", [2, 3]],
  ["id=lte.2", [1, 2]],
  ["n=gt.9", [2, 3]],
  ["n=eq.10.0", [2]],
  ["n=neq.10", [1, 3]],
  ["n=not.gt.9", [1]],
  ["word=eq.apple", [1]],
  ["word=gt.b", [2, 3]],
  ['word=eq."a,b (c)"', [4]],
  ["word=in.(apple,banana)", [1, 2]],
  ['word=in.("a,b (c)",apple)', [1, 4]],
  ["word=not.in.(apple,banana)", [3, 4]],
  ["id=in.(1,4)", [1, 4]],
  ["id=in.()", []],
  ["word=like.%an%", [2, 3]],
  ["word=not.like.%an%", [1, 4]],
  ["word=ilike.BAN%", [2]],
  ["word=match.^[ab]", [1, 2, 4]],
  ["word=imatch.^C", [3]],
  ["word=not.imatch.^C", [1, 2, 4]],
  ["n=is.null", [4]],
  ["n=not.is.null", [1, 2, 3]],
  ["flag=is.true", [1]],
  ["flag=is.false", [2]],
  ["flag=is.unknown", [3, 4]],
  ["flag=not.is.true", [2, 3, 4]],
  ["n=isdistinct.10", [1, 3, 4]],
  ["n=not.isdistinct.10", [2]],
  // The same moment, in another zone.
  ["at=eq.2026-08-01T12:00:00+02:00", [1]],
  ["at=gt.2026-08-01T10:00:00Z", [2]],
  ['tags=eq."{a,b}"', [1]],
  // A value is not cut to the length of the column.
  ["code=eq.abc", []],
  ["code=eq.ab", [1]],
  ["id=gt.1,word=like.%an%,flag=is.false", [2]],
];

changesTest("filters compare as the column's type", WORDS, async (own) => {
  const me = person();
  const listeners = await Promise.all(
    FILTERS.map(([filter]) => own.listen(me, { table: "words", filter })),
  );
  await own.sql`
    insert into public.words values
      (1, 'apple', 9, '2026-08-01T10:00:00Z', true, '{a,b}', 'ab'),
      (2, 'banana', 10, '2026-08-01T11:00:00Z', false, '{a}', 'a'),
      (3, 'can', 100, null, null, null, null),
      (4, 'a,b (c)', null, null, null, '{}', null)`;
  const found = await Promise.all(listeners.map((listener) => heardIds(listener)));
  assertEquals(FILTERS.map(([filter], i) => [filter, found[i]]), FILTERS);
});

/** What is wrong with a binding on `words`, and the end of its refusal. */
const REFUSED: [binding: { filter?: string; select?: string; schema?: string }, end: string][] = [
  [{ filter: "id=foo.1" }, 'Exception: Error parsing `filter` params: ["foo", "1"]'],
  [
    { filter: "id=in.1,2" },
    "Exception: Error parsing `filter` params: `in` filter value must be wrapped by parentheses",
  ],
  [
    { filter: "nothing=eq.1" },
    'filters: [{"nothing", "eq", "1", false}], select: nil]. ' +
    "Exception: ERROR P0001 (raise_exception) invalid column for filter nothing",
  ],
  [{ filter: "flag=eq.true" }, "invalid column for filter flag"],
  [
    { filter: "id=eq.one" },
    'ERROR 22P02 (invalid_text_representation) invalid input syntax for type integer: "one"',
  ],
  [{ filter: "id=like.1%" }, "operator like requires a text-compatible column type, got integer"],
  [
    { filter: "id=imatch.1" },
    "operator imatch requires a text-compatible column type, got integer",
  ],
  [
    { filter: "word=match.(" },
    "invalid regular expression for match filter: " +
    "invalid regular expression: parentheses () not balanced",
  ],
  [
    { filter: "word=like.a\\" },
    "ERROR 22025 (invalid_escape_sequence) LIKE pattern must not end with escape character",
  ],
  [{ filter: "id=is.5" }, "invalid value for is filter: must be null, true, false, or unknown"],
  [{ filter: "id=is.true" }, "is true filter requires a boolean column, got integer"],
  [
    { filter: `id=in.(${Array.from({ length: 101 }, (_, i) => i).join()})` },
    "too many values for `in` filter. Maximum 100",
  ],
  [{ select: "word,nothing" }, "invalid column for select nothing"],
  [
    { schema: "*", select: "word" },
    "Column selection is not supported for wildcard subscriptions. " +
    "Provide an explicit schema and table name.",
  ],
];

changesTest(
  "what cannot work is refused with the reason",
  WORDS + `
    create table public.unpublished (id int primary key);
    revoke select on public.words from authenticated;
    grant select (id, word) on public.words to authenticated;`,
  async (own) => {
    const begin = "Unable to subscribe to changes with given parameters.";
    for (const [binding, end] of REFUSED) {
      const text = await own.refusal(person(), { table: "words", ...binding });
      assert(text.startsWith(`${begin} An exception happened so please check`), text);
      assert(text.endsWith(end), `${text} does not end with ${end}`);
    }
    for (const table of ["unpublished", "nothing"]) {
      assertEquals(
        await own.refusal(person(), { event: "INSERT", table }),
        `${begin} Please check Realtime is enabled for the given connect parameters: ` +
          `[event: INSERT, schema: public, table: ${table}, filters: [], select: nil]`,
      );
    }
    const superuser = { role: "supabase_admin", claims: {}, headers: {} };
    const text = await own.refusal(superuser, { table: "words" });
    assert(text.endsWith('role "supabase_admin" does not exist'), text);
    // As many as are allowed, and nothing that is left of those that were refused.
    const in100 = `id=in.(${Array.from({ length: 100 }, (_, i) => i).join()})`;
    const listener = await own.listen(person(), { table: "words", filter: in100 });
    await own.sql`insert into public.words (id) values (99), (100)`;
    assertEquals(await heardIds(listener), [99]);
  },
);

changesTest(
  "one binding that cannot work takes those beside it along",
  WORDS,
  async (own) => {
    const me = person();
    const deliver = () => {
      throw new Error("told to nobody");
    };
    const broken = own.changes.subscribe(
      [
        { event: "*", schema: "public", table: "words" },
        { event: "*", schema: "public", table: "words", filter: "no=eq.1" },
      ],
      me,
      deliver,
    );
    assert((await broken.ready.catch((error) => error)).message.endsWith("for filter no"));
    const listener = await own.listen(me, "words");
    await own.sql`insert into public.words (id) values (1)`;
    assertEquals(await heardIds(listener), [1]);
  },
);

changesTest("a channel is told once, with all bindings that match", WORDS, async (own) => {
  const listener = await own.listen(
    person(),
    { event: "INSERT", table: "words" },
    { event: "UPDATE", table: "words" },
    { schema: "*" },
    { table: "words", filter: "id=gt.5" },
    { table: "words", select: "word" },
    { table: "words", select: "at, word" },
    { table: "*" },
  );
  const [inserts, updates, everything, above, word, words, wild] = listener.subscription.ids;
  assertEquals(new Set(listener.subscription.ids).size, listener.subscription.ids.length);
  assert(listener.subscription.ids.every((id) => Number.isInteger(id) && id !== 0));
  await own.sql`insert into public.words (id, word, n) values (1, 'a', 5)`;
  await own.sql`update public.words set id = 6`;
  const messages = (await listener.all()).filter(({ data }) => data.table === "words");
  assertEquals(messages.map(({ ids }) => ids), [
    [inserts, everything, wild],
    [word],
    [words],
    [updates, everything, above, wild],
    [word],
    [words],
  ]);
  // The key is always there.
  assertEquals(messages[1]!.data.record, { id: 1, word: "a" });
  assertEquals(messages[1]!.data.columns, [
    { name: "id", type: "int4" },
    { name: "word", type: "text" },
  ]);
  assertEquals(messages[2]!.data.record, { id: 1, word: "a", at: null });
});

changesTest("changes are told from the subscription to its end", NOTES, async (own) => {
  const me = person();
  const slots = async () => {
    const [row] = await own.sql`
      select count(*)::integer as count from pg_replication_slots where database = current_database()`;
    return row!.count;
  };
  assertEquals(await slots(), 0);
  await own.sql`insert into public.notes values (1, ${me.id})`;
  const first = await own.listen(me, "notes");
  await own.sql`insert into public.notes values (2, ${me.id})`;
  const second = await own.listen(me, "notes");
  await own.sql`insert into public.notes values (3, ${me.id})`;
  assertEquals(await heardIds(second), [3]);
  assertEquals(await heardIds(first), [2, 3]);
  assertEquals(await slots(), 1);
  first.subscription.close();
  await own.sql`insert into public.notes values (4, ${me.id})`;
  assertEquals(await heardIds(second), [3, 4]);
  assertEquals(first.heard.all.length, 2);
  second.subscription.close();
  second.subscription.close();
  await own.changes.close();
  assertEquals(await slots(), 0);
  const third = await own.listen(me, "notes");
  await own.sql`insert into public.notes values (5, ${me.id})`;
  assertEquals(await heardIds(third), [5]);
  assertEquals(second.heard.all.length, 2);
});

changesTest("another token decides from then on", NOTES, async (own) => {
  const [me, other] = [person(), person()];
  const listener = await own.listen(me, { table: "notes", filter: "title=neq.x" });
  await own.sql`insert into public.notes values (1, ${me.id}, 'a')`;
  assertEquals(await heardIds(listener), [1]);
  listener.subscription.update(other);
  assertEquals(await listener.notices.first(1), [
    { status: "ok", message: "Subscribed to PostgreSQL" },
  ]);
  await own.sql`insert into public.notes values (2, ${me.id}, 'a'), (3, ${other.id}, 'a')`;
  assertEquals(await heardIds(listener), [1, 3]);
  // One that may not read the column of the filter ends it.
  listener.subscription.update(NOBODY);
  const [, { status, message }] = await listener.notices.first(2) as [
    unknown,
    { status: string; message: string },
  ];
  assertEquals(status, "error");
  assert(message.endsWith("invalid column for filter title"), message);
  await own.sql`insert into public.notes values (4, ${other.id}, 'a')`;
  const witness = await own.listen(other, "notes");
  await witness.all();
  assertEquals(listener.heard.all.length, 2);
});

changesTest("a lost connection is made anew, and the channels are told", NOTES, async (own) => {
  const me = person();
  const listener = await own.listen(me, "notes");
  const end = () =>
    own.sql`
      select pg_terminate_backend(active_pid) from pg_replication_slots
      where database = current_database() and active_pid is not null`;
  for (let round = 0; round < 2; round++) {
    await end();
    assertEquals((await listener.notices.first(2 * round + 2)).slice(2 * round), [
      { status: "error", message: "Subscribing to PostgreSQL failed" },
      { status: "ok", message: "Subscribed to PostgreSQL" },
    ]);
    await own.sql`insert into public.notes values (${round}, ${me.id})`;
    assertEquals((await heardIds(listener)).at(-1), round);
  }
});

changesTest("many changes come in the order of their commits", NOTES, async (own) => {
  const me = person();
  const listener = await own.listen(me, "notes");
  const theirs = await own.listen(person(), "notes");
  await own.sql`
    insert into public.notes
    select i, case when i % 3 = 0 then gen_random_uuid() else ${me.id} end, repeat('x', 100)
    from generate_series(1, 3000) as i`;
  await Promise.all(
    Array.from(
      { length: 20 },
      (_, i) => own.sql`insert into public.notes values (${4000 + i}, ${me.id})`,
    ),
  );
  const ids = await heardIds(listener);
  const expected = Array.from({ length: 3000 }, (_, i) => i + 1).filter((i) => i % 3 !== 0);
  assertEquals(ids.slice(0, 2000), expected);
  assertEquals(new Set(ids.slice(2000)).size, 20);
  assertEquals(await theirs.all(), []);
});

changesTest(
  "tables that change while they are heard are told as they are",
  WORDS + `
    create type public.mood as enum ('good');
    create table public.moody (id int primary key, mood public.mood);
    grant select on public.moody to authenticated;`,
  async (own) => {
    const listener = await own.listen(person(), { schema: "public" });
    // Published after the subscription.
    await own.sql`insert into public.moody values (0, 'good')`;
    await own.sql`alter publication supabase_realtime add table public.moody`;
    await own.sql`insert into public.moody values (1, 'good')`;
    await listener.all();
    await own.sql.begin((tx) =>
      tx.unsafe(`
      insert into public.moody values (2, 'good');
      alter table public.moody drop mood, add mood text default 'new';
      insert into public.moody values (3, 'text');
      drop type public.mood;
      insert into public.words (id, word) values (1, 'still told');
    `)
    );
    await own.sql`alter publication supabase_realtime drop table public.words`;
    await own.sql`insert into public.words (id) values (2)`;
    const told = (await listener.all()).map(({ data: { table, record } }) => ({ table, record }))
      .filter(({ table }) => table !== "fence");
    assertEquals(told, [
      { table: "moody", record: { id: 1, mood: "good" } },
      // Of a type that nobody knows any more.
      { table: "moody", record: { id: 2 } },
      { table: "moody", record: { id: 3, mood: "text" } },
      { table: "words", record: { ...NO_WORDS, id: 1, word: "still told" } },
    ]);
  },
);

changesTest(
  "a policy that fails hides its rows, and nothing else",
  NOTES + `
    create table public.traps (id int primary key);
    ${publish("traps")}
    alter table public.traps enable row level security;
    create policy trap on public.traps for select to authenticated using (1 / (id - 1) >= 0);`,
  async (own) => {
    const me = person();
    const listener = await own.listen(me, "traps", "notes");
    await own.sql.begin(async (tx) => {
      await tx`insert into public.traps values (1)`;
      await tx`insert into public.notes values (1, ${me.id}, 'a')`;
    });
    await own.sql`insert into public.traps values (2)`;
    const tables = (await listener.all()).map(({ data }) => data.table);
    assertEquals(tables, ["notes", "traps"]);
  },
);

changesTest(
  "policies see claims and headers, and the key may be of any kind",
  `create schema "Odd ""names""";
   create table "Odd ""names"""."Table, (x)" (
     "Key 1" char(3), "key""2" timestamptz, value text, primary key ("Key 1", "key""2")
   );
   alter publication supabase_realtime add table "Odd ""names"""."Table, (x)";
   grant usage on schema "Odd ""names""" to authenticated;
   grant select on "Odd ""names"""."Table, (x)" to authenticated;
   alter table "Odd ""names"""."Table, (x)" enable row level security;
   create policy p on "Odd ""names"""."Table, (x)" for select to authenticated using (
     value = current_setting('request.headers')::json ->> 'x-team'
     and auth.jwt() ->> 'level' = '2' and auth.role() = 'authenticated'
     and current_setting('request.jwt.claim.sub') = (select auth.uid())::text
   );`,
  async (own) => {
    const me = person();
    const able = { ...me, claims: { ...me.claims, level: 2 }, headers: { "x-team": "a'b" } };
    const binding = { schema: 'Odd "names"', table: "Table, (x)" };
    const listener = await own.listen(able, binding);
    const others = [
      await own.listen(me, binding),
      await own.listen({ ...able, headers: {} }, binding),
    ];
    await own.sql`
      insert into "Odd ""names"""."Table, (x)" values ('ab', '2026-08-01T10:00:00.000001Z', 'a''b')`;
    assertEquals((await outline(listener))[0]!.record, {
      "Key 1": "ab ",
      'key"2': "2026-08-01T10:00:00.000001+00:00",
      value: "a'b",
    });
    for (const other of others) assertEquals(await other.all(), []);
  },
);

Deno.test("a database goes with the slots that are read in it", async () => {
  const port = Number(new URL(present(testEnv().adminUrl)).port);
  const name = `slots_${crypto.randomUUID().replaceAll("-", "")}`;
  await createDatabase(port, name);
  const reader = postgres(databaseUrl(port, SUPERUSER, name), { max: 1, onnotice: () => {} });
  try {
    await reader`select pg_create_logical_replication_slot(${name}, 'pgoutput', true)`;
    await dropDatabase(port, name);
    assertEquals(await hasDatabase(port, name), false);
  } finally {
    await reader.end({ timeout: 0 });
  }
});
