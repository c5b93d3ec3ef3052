// `postgres_changes` over the wire: what a channel is told of rows, to whom its rows belong or not.

import { assertEquals, assertMatch } from "@std/assert";
import { Heard, joined, type OwnRealtime, realtimeTest, systemOf } from "../support/realtime.ts";

type Change = Record<string, unknown>;

const TABLE = `
  create table public.notes (
    id bigint primary key, owner_id uuid not null, title text, rank integer, secret text
  );
  alter table public.notes enable row level security;
  revoke all on public.notes from anon, authenticated;
  grant select (id, owner_id, title, rank) on public.notes to authenticated;
  create policy own on public.notes for select to authenticated
    using (owner_id = (select auth.uid()));
  alter publication supabase_realtime add table public.notes;`;

/** A channel that is told of notes. */
async function subscribed(
  own: OwnRealtime,
  person: { id: string; token: string },
  filter?: string,
): Promise<Heard<Change>> {
  const heard = new Heard<Change>();
  const channel = (await own.client(person)).channel("notes").on(
    "postgres_changes",
    { event: "*", schema: "public", table: "notes", filter },
    (change) => heard.add(change as never),
  );
  const system = systemOf(channel);
  await joined(channel);
  const [ready] = await system.first(1);
  assertEquals(ready, {
    extension: "postgres_changes",
    status: "ok",
    message: "Subscribed to PostgreSQL",
    channel: "notes",
  });
  return heard;
}

realtimeTest(
  "an owner is told of a row's life, a stranger only of the key that is gone",
  async (own) => {
    await own.context.admin.unsafe(TABLE);
    const [owner, stranger] = [await own.someone(), await own.someone()];
    const [told, overheard] = [await subscribed(own, owner), await subscribed(own, stranger)];
    const { admin } = own.context;
    await admin`insert into public.notes values (1, ${owner.id}, 'a', 1, 'x')`;
    await told.first(1);
    await admin`update public.notes set title = 'b' where id = 1`;
    await told.first(2);
    await admin`delete from public.notes where id = 1`;
    const changes = await told.first(3);
    const row = { id: 1, owner_id: owner.id, title: "a", rank: 1 };
    assertEquals(changes.map(({ eventType, new: after, old }) => [eventType, after, old]), [
      ["INSERT", row, {}],
      ["UPDATE", { ...row, title: "b" }, { id: 1 }],
      ["DELETE", {}, { id: 1 }],
    ]);
    const [only] = await overheard.first(1);
    assertEquals([only!.eventType, only!.new, only!.old], ["DELETE", {}, { id: 1 }]);
    assertEquals(overheard.all.length, 1);
  },
);

realtimeTest("filters hold back what does not meet them", async (own) => {
  await own.context.admin.unsafe(TABLE);
  const owner = await own.someone();
  const above = await subscribed(own, owner, "rank=gt.5");
  const listed = await subscribed(own, owner, "title=in.(b,c)");
  for (const [id, title, rank] of [[1, "a", 1], [2, "b", 6], [3, "c", 5], [4, "d", 9]] as const) {
    await own.context
      .admin`insert into public.notes values (${id}, ${owner.id}, ${title}, ${rank})`;
  }
  const ids = (changes: Change[]) => changes.map(({ new: row }) => (row as { id: number }).id);
  assertEquals(ids(await above.first(2)), [2, 4]);
  assertEquals(ids(await listed.first(2)), [2, 3]);
});

realtimeTest("a binding that cannot work is said, and the channel stays", async (own) => {
  const channel = (await own.client(await own.someone())).channel("notes", {
    config: { broadcast: { ack: true } },
  }).on("postgres_changes", { event: "*", schema: "public", table: "nothing" }, () => {});
  const system = systemOf(channel);
  await joined(channel);
  const [said] = await system.first(1);
  assertEquals([said!.extension, said!.status], ["postgres_changes", "error"]);
  assertMatch(String(said!.message), /^Unable to subscribe to changes with given parameters\./);
  assertEquals(await channel.send({ type: "broadcast", event: "e", payload: {} }), "ok");
});
