// Changes of rows on the stack under test itself, with accounts that have signed up and the unmodified
// client. The table is made by the test, since the product publishes none, and taken away again.

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { RealtimeChannel, SupabaseClient } from "@supabase/supabase-js";
import type { Person } from "../support/auth.ts";
import { newClient, testEnv } from "../support/env.ts";
import { databaseTest, must, newPatient, withDatabase } from "../support/people.ts";
import { Heard, joined, systemOf } from "../support/realtime.ts";

type Change = { eventType: string; new: Record<string, unknown>; old: Record<string, unknown> };

const DROP = "drop table if exists public.change_probes";
const TABLE = `${DROP};
  create table public.change_probes (
    id bigint primary key,
    owner_id uuid not null default auth.uid(),
    word text,
    amount numeric,
    secret text default 'hidden'
  );
  alter table public.change_probes enable row level security;
  revoke all on table public.change_probes from anon, authenticated;
  grant select (id, owner_id, word, amount), insert (id, word, amount), update (word), delete
    on table public.change_probes to authenticated;
  create policy change_probes_select_authenticated on public.change_probes
    for select to authenticated using (owner_id = (select auth.uid()));
  create policy change_probes_insert_authenticated on public.change_probes
    for insert to authenticated with check (owner_id = (select auth.uid()));
  create policy change_probes_update_authenticated on public.change_probes
    for update to authenticated using (owner_id = (select auth.uid()));
  create policy change_probes_delete_authenticated on public.change_probes
    for delete to authenticated using (owner_id = (select auth.uid()));
  alter publication supabase_realtime add table public.change_probes;`;

/** What a channel is asked to tell. */
interface Wish {
  event?: "*" | "INSERT" | "UPDATE" | "DELETE";
  filter?: string;
  select?: string[];
}

/** A channel that is told of probes, and what it was told. */
async function listen(client: SupabaseClient, ...wishes: Wish[]) {
  // The token is read at leisure otherwise, and the first join is nobody's.
  await client.realtime.setAuth();
  const heard = new Heard<Change>();
  let channel: RealtimeChannel = client.channel(`probes ${crypto.randomUUID()}`);
  for (const wish of wishes) {
    const filter = { event: "*", schema: "public", table: "change_probes", ...wish } as never;
    channel = channel.on("postgres_changes", filter, (change) => heard.add(change as never));
  }
  const system = systemOf(channel);
  await joined(channel);
  await system.first(1);
  return { channel, heard, system };
}

/** Makes the table, runs `work` with the API knowing of it, and drops it. */
async function withProbes(work: () => Promise<void>): Promise<void> {
  await withDatabase(async (sql) => {
    try {
      await sql.unsafe(TABLE);
      await work();
    } finally {
      await sql.unsafe(DROP);
    }
  });
}

/** Writes as the API does, which may hear of the new table a moment later. */
async function add(person: Person, id: number, word = "a", amount = 1): Promise<void> {
  for (;;) {
    const { error } = await person.client.from("change_probes").insert({ id, word, amount });
    if (error?.code !== "PGRST205") {
      return void (await must(Promise.resolve({ data: true, error })));
    }
  }
}

databaseTest("the life of a row is told to its owner, and its end to everybody", async (t) => {
  await withProbes(async () => {
    const [owner, stranger] = [await newPatient(), await newPatient()];
    const mine = await listen(owner.client, {});
    const theirs = await listen(stranger.client, {});
    const server = newClient(testEnv().secretKey);
    const service = await listen(server, {});
    assertEquals((await mine.system.first(1))[0]!.message, "Subscribed to PostgreSQL");
    const probes = () => owner.client.from("change_probes");

    await t.step("columns that the role may not read are absent", async () => {
      await add(owner, 1, "a", 1.5);
      await mine.heard.first(1);
      await must(probes().update({ word: "b" }).eq("id", 1).select("id"));
      await mine.heard.first(2);
      await must(probes().delete().eq("id", 1).select("id"));
      const row = { id: 1, owner_id: owner.id, word: "a", amount: 1.5 };
      assertEquals(
        (await mine.heard.first(3)).map((change) => [change.eventType, change.new, change.old]),
        [
          ["INSERT", row, {}],
          ["UPDATE", { ...row, word: "b" }, { id: 1 }],
          ["DELETE", {}, { id: 1 }],
        ],
      );
    });

    await t.step("a stranger learns the key of what is gone, and no more", async () => {
      const [only] = await theirs.heard.first(1);
      assertEquals([only!.eventType, only!.new, only!.old], ["DELETE", {}, { id: 1 }]);
      assertEquals(theirs.heard.all.length, 1);
    });

    await t.step("the secret key reads all", async () => {
      assertEquals((await service.heard.first(3))[0]!.new.secret, "hidden");
    });

    await t.step("who has left is told nothing", async () => {
      await stranger.client.removeChannel(theirs.channel);
      await add(owner, 2);
      // A row that is gone before it is looked at is not told.
      await mine.heard.first(4);
      await must(probes().delete().eq("id", 2).select("id"));
      await mine.heard.first(5);
      assertEquals(theirs.heard.all.length, 1);
    });

    await t.step("filters, columns and kinds of changes are as asked for", async () => {
      const filtered = await listen(
        owner.client,
        { event: "INSERT", filter: "amount=gt.9" },
        { event: "INSERT", filter: 'word=in.(x,"y,z")' },
        { event: "UPDATE", filter: "id=gte.10,word=not.like.%no%", select: ["word"] },
      );
      await add(owner, 10, "x", 9);
      await add(owner, 11, "no", 10);
      await add(owner, 12, "no", 8);
      await add(owner, 13, "y,z", 100);
      await filtered.heard.first(4);
      await must(probes().update({ word: "no, no" }).eq("id", 10).select("id"));
      await must(probes().update({ word: "yes" }).eq("id", 11).select("id"));
      const told = await filtered.heard.first(5);
      assertEquals(told.map((change) => change.new.id), [10, 11, 13, 13, 11]);
      assertEquals(told.at(-1)!.new, { id: 11, word: "yes" });
    });

    await t.step("a wish that cannot be granted is said, and the channel stays", async () => {
      const errors: [filter: string, end: RegExp][] = [
        ["secret=eq.hidden", /invalid column for filter secret$/],
        ["id=eq.one", /invalid input syntax for type bigint: "one"$/],
        ["id=is.1.2", /invalid value for is filter: must be null, true, false, or unknown$/],
        ["id=in.1", /`in` filter value must be wrapped by parentheses$/],
        ["id=has.1", /Error parsing `filter` params: \["has", "1"\]$/],
      ];
      for (const [filter, end] of errors) {
        const { system, channel } = await listen(owner.client, { filter });
        const [said] = await system.first(1);
        assertEquals([said!.extension, said!.status], ["postgres_changes", "error"]);
        const message = String(said!.message);
        assertMatch(message, /^Unable to subscribe to changes with given parameters\./);
        assertMatch(message, end);
        assertEquals(channel.state, "joined");
        await owner.client.removeChannel(channel);
      }
    });

    await t.step("another account's token decides from then on", async () => {
      const client = newClient();
      await must(client.auth.setSession(owner.session));
      const switching = await listen(client, {});
      await client.realtime.setAuth(stranger.session.access_token);
      await switching.system.first(2);
      await add(owner, 20);
      await add(stranger, 21);
      const [first] = await switching.heard.first(1);
      assertEquals(first!.new.id, 21);
      assert(!switching.heard.all.some((change) => change.new.id === 20));
      await client.realtime.disconnect();
    });

    for (const client of [owner.client, stranger.client, server]) await client.removeAllChannels();
  });
});
