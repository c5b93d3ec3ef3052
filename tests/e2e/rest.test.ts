// The data API with the unmodified client, against scratch tables with RLS: rows, errors, texts,
// types and settings as PostgREST has them.

import { assertEquals, assertMatch } from "@std/assert";
import type { PostgrestError } from "@supabase/supabase-js";
import { newPerson, type Person, present, tokenOf } from "../support/auth.ts";
import { newClient, testEnv } from "../support/env.ts";
import { send } from "../support/requests.ts";
import { canMakeTables, withScratch } from "../support/rest_scratch.ts";
import { until } from "../support/stack_process.ts";

const env = testEnv();

/** One part of the story below. */
type Step = (person: Person, stranger: Person) => Promise<void>;

/** What a refusal is known by. */
const refusal = ({ status, error }: { status: number; error: PostgrestError | null }) => [
  status,
  error?.code,
];

/** Steps by what they show; they share the scratch tables, and run in order. */
const STEPS: Record<string, Step> = {
  "rows are written and read by their owner alone": async (person, stranger) => {
    const rows = ["a", "b", "c"].map((name) => ({ name, owner_id: person.id }));
    const made = await person.client.from("probe_parents").insert(rows).select("name");
    assertEquals([made.status, made.data], [201, rows.map(({ name }) => ({ name }))]);

    const own = await person.client.from("probe_parents").select("name").order("name");
    assertEquals(own.data, [{ name: "a" }, { name: "b" }, { name: "c" }]);
    const foreign = await stranger.client.from("probe_parents").select("name");
    assertEquals([foreign.status, foreign.data], [200, []]);
    const changed = await stranger.client.from("probe_parents").update({ name: "z" })
      .eq("name", "a").select();
    assertEquals([changed.status, changed.data], [200, []]);
    const all = await newClient(env.secretKey).from("probe_parents").select("name");
    assertEquals(all.data?.length, 3);
  },

  "what grants and policies forbid is 401 for anon and 403 for a user": async (_, stranger) => {
    const { client, id } = stranger;
    const anon = newClient();
    assertEquals(refusal(await anon.from("probe_parents").select()), [401, "42501"]);
    assertEquals(refusal(await anon.from("probe_values").insert({ word: "x" })), [401, "42501"]);
    const other = { name: "d", owner_id: crypto.randomUUID() };
    assertEquals(refusal(await client.from("probe_parents").insert(other)), [403, "42501"]);
    const own = await client.from("probe_parents").insert({ name: "mine", owner_id: id });
    assertEquals(own.status, 201);
  },

  "broken constraints are 409 or 400, with PostgreSQL's words": async ({ client, id }) => {
    const parents = client.from("probe_parents");
    const write = async (row: Record<string, unknown>) =>
      refusal(await parents.insert({ owner_id: id, ...row }));
    assertEquals(await write({ name: "a" }), [409, "23505"]);
    assertEquals(await write({ name: "bad" }), [400, "23514"]);
    assertEquals(await write({ name: null }), [400, "23502"]);
    const orphan = await client.from("probe_values").insert({ parent_id: -1 });
    assertEquals(refusal(orphan), [409, "23503"]);
    assertMatch(orphan.error?.message ?? "", /violates foreign key constraint/);
    const { count } = await parents.select("*", { count: "exact", head: true });
    assertEquals(count, 3);
  },

  "an error that SQL raises keeps status, code, message, detail and hint": async ({ client }) => {
    for (
      const [state, status] of [
        ["PT400", 400],
        ["PT403", 403],
        ["PT404", 404],
        ["PT409", 409],
        ["PT422", 422],
        ["PT429", 429],
        ["P0001", 400],
        ["22023", 400],
        ["23505", 409],
        ["40001", 500],
        ["57014", 500],
        ["53300", 503],
      ] as const
    ) {
      const answer = await client.rpc("probe_raise", { p_state: state });
      assertEquals(answer.status, status, state);
      const { code, message, details, hint } = present(answer.error);
      assertEquals({ code, message, details, hint }, {
        code: state,
        message: "already_shared",
        details: "The record is shared with that account",
        hint: "Revoke it first",
      });
    }
    const byTable = await client.from("probe_values").insert({ word: "PT409" });
    assertEquals(refusal(byTable), [409, "PT409"]);
    assertEquals([byTable.error?.message, byTable.error?.details], ["refused", "By a trigger"]);
    const { data } = await client.from("probe_values").select("id");
    assertEquals(data, []);
  },

  "a function chooses status and headers of its answer, and its transaction commits": async (
    person,
  ) => {
    const { client } = person;
    const respond = (p_status: string, p_headers?: string) =>
      client.rpc("probe_respond", { p_status, p_headers });
    const body = { id: null, at: "2026-01-02T03:04:05+00:00", message: "refused" };
    const plain = await respond("");
    assertEquals([plain.status, plain.data], [200, { ...body, code: "PT" }]);
    // One object, where an array would be an empty result to the client when it is 404.
    for (const status of [400, 403, 404, 409, 500]) {
      const { error, data, ...answer } = await respond(String(status));
      assertEquals([answer.status, data], [status, null]);
      assertEquals(present(error), { ...body, code: `PT${status}` });
    }
    const [one, none] = [await respond("").single(), await respond("409").single()];
    assertEquals([one.status, one.data], [200, { ...body, code: "PT" }]);
    assertEquals([none.status, none.data, none.error?.message], [409, null, "refused"]);
    const made = await respond("201");
    assertEquals([made.status, made.data.code], [201, "PT201"]);

    const token = await tokenOf(client);
    const withHeaders = (p_status: string, p_headers: string) =>
      send("/rest/v1/rpc/probe_respond", {
        method: "POST",
        token,
        body: JSON.stringify({ p_status, p_headers }),
      });
    const limited = await withHeaders("429", '[{"Retry-After": "36"}, {"X-Probe": "yes"}]');
    assertEquals(
      [limited.status, limited.headers.get("retry-after"), limited.headers.get("x-probe")],
      [429, "36", "yes"],
    );
    const [nonsense, object] = [await respond("nonsense"), await withHeaders("", '{"X-Probe": 1}')];
    assertEquals(refusal(nonsense), [500, "PGRST112"]);
    assertEquals([object.status, object.body.code], [500, "PGRST111"]);
    // The next request on the same connection answers as usual.
    assertEquals((await client.rpc("probe_sum", { p_a: 1 })).status, 200);

    const words = (await client.from("probe_values").delete().like("word", "responded%")
      .select("word")).data;
    const committed = present(words).map(({ word }) => word);
    for (const status of ["400", "403", "404", "409", "500", "201", "429"]) {
      const times = status === "409" ? 2 : 1;
      assertEquals(committed.filter((word) => word === `responded ${status}`).length, times);
    }
  },

  "what is not there is 404, and what is not understood 400": async ({ client }) => {
    assertEquals(refusal(await client.from("probe_absent").select()), [404, "PGRST205"]);
    assertEquals(refusal(await client.rpc("probe_absent")), [404, "PGRST202"]);
    assertEquals(refusal(await client.from("probe_values").select("absent")), [400, "42703"]);
    const unknown = await client.from("probe_values").insert({ absent: 1 });
    assertEquals(refusal(unknown), [400, "PGRST204"]);
    const embed = await client.from("probe_values").select("id, probe_absent(id)");
    assertEquals(refusal(embed), [400, "PGRST200"]);
    const filter = await client.from("probe_values").select().filter("word", "nonsense", "x");
    assertEquals(refusal(filter), [400, "PGRST100"]);
    const hidden = await client.schema("auth").from("users").select();
    assertEquals(refusal(hidden), [406, "PGRST106"]);
    for (const value of ["x", 1.5, {}, [1]]) {
      const answer = await client.from("probe_values").insert({ big: value });
      assertEquals(refusal(answer), [400, "22P02"]);
    }
    const time = await client.from("probe_values").insert({ at: 5 });
    assertEquals(refusal(time), [400, "22007"]);
  },

  "text that PostgreSQL cannot keep is 400, and nothing is kept": async ({ client, session }) => {
    const post = (body: BodyInit, type = "application/json") =>
      fetch(`${env.url}/rest/v1/probe_values`, {
        method: "POST",
        headers: {
          apikey: env.publishableKey,
          authorization: `Bearer ${session.access_token}`,
          "content-type": type,
        },
        body,
      });
    const bodies: [BodyInit, string?][] = [
      [`{"word":"a\\u0000b"}`],
      [`{"word":"\\ud800"}`],
      [`{"word":"\\udc00\\ud800"}`],
      [`{"doc":{"a":["\\u0000"]}}`],
      [`{"a\\u0000":1}`],
      [new Uint8Array([0x7b, 0x22, 0x77, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
      [`{`],
      [``],
      [`[1]`],
      ["word\na\0b", "text/csv"],
    ];
    for (const [body, type] of bodies) {
      const answer = await post(body, type);
      assertEquals(answer.status, 400, String(body));
      assertEquals(Object.keys(await answer.json()).sort(), ["code", "details", "hint", "message"]);
    }
    const filter = await client.from("probe_values").select().eq("word", "a\0b");
    assertEquals(refusal(filter), [400, "22021"]);
    assertEquals((await client.from("probe_values").select("id")).data, []);

    const good = "😀 \\u0000 \\ud800 end";
    const kept = await client.from("probe_values").insert({ word: good }).select("word").single();
    assertEquals([kept.error, kept.data?.word], [null, good]);
  },

  "every type comes back as PostgREST writes it": async ({ client }) => {
    const row = {
      at: "2026-01-02T03:04:05.678901+02:00",
      wall: "2026-01-02 03:04:05.5",
      day: "2026-02-03",
      span: "[2026-01-01,2026-01-02)",
      during: "1 day 02:00",
      amount: 1.1,
      big: 9007199254740991,
      flag: "false",
      word: { a: 1 },
      bytes: "\\x0102",
      doc: { a: [1, "x", null, { b: true }] },
      words: ["x", "y,z", 'q"\\', "NULL", null],
      numbers: [1, null],
      times: ["2026-01-02T03:04:05Z", null],
    };
    const answer = await client.from("probe_values").insert(row).select(Object.keys(row).join());
    assertEquals(answer.error, null);
    assertEquals(answer.data as unknown, [{
      at: "2026-01-02T01:04:05.678901+00:00",
      wall: "2026-01-02T03:04:05.5",
      day: "2026-02-03",
      span: '["2026-01-01 00:00:00+00","2026-01-02 00:00:00+00")',
      during: "1 day 02:00:00",
      amount: 1.1,
      big: 9007199254740991,
      flag: false,
      word: '{"a":1}',
      bytes: "\\x0102",
      doc: row.doc,
      words: row.words,
      numbers: [1, null],
      times: ["2026-01-02T03:04:05+00:00", null],
    }]);
    const special = await client.from("probe_values").insert({ amount: "NaN", at: "infinity" })
      .select("amount, at").single();
    assertEquals(special.data, { amount: "NaN", at: "infinity" });
  },

  "a JSON column keeps strings, numbers and texts of JSON apart": async ({ client }) => {
    for (const doc of ["x", "1", '{"a":1}', 1, true, [1], {}]) {
      const answer = await client.from("probe_values").insert({ doc }).select("doc").single();
      assertEquals(answer.data?.doc, doc);
      const echo = await client.rpc("probe_echo", { p_doc: doc });
      assertEquals(echo.data?.doc, doc);
    }
    const words = await client.rpc("probe_echo", { p_doc: {}, p_words: ["a", 'b"'] });
    assertEquals([words.data.type, words.data.words], ["object", ["a", 'b"']]);
    const found = await client.from("probe_values").select("doc").contains("doc", [1]);
    assertEquals(found.data, [{ doc: [1] }]);
    const byPath = await client.from("probe_values").select("b:doc->a->3->b")
      .eq("doc->a->>1", "x").single();
    assertEquals(byPath.data as unknown, { b: true });
  },

  "counts, pages, single rows and CSV": async ({ client }) => {
    const parents = () => client.from("probe_parents");
    const page = await parents().select("name", { count: "exact" }).order("name").range(0, 1);
    assertEquals([page.status, page.count, page.data?.length], [206, 3, 2]);
    const past = await parents().select("name", { count: "exact" }).range(10, 11);
    assertEquals(refusal(past), [416, "PGRST103"]);
    const head = await parents().select("*", { count: "exact", head: true });
    assertEquals([head.count, head.data], [3, null]);
    assertEquals((await parents().select("name").eq("name", "a").single()).data, { name: "a" });
    assertEquals(refusal(await parents().select().eq("name", "?").single()), [406, "PGRST116"]);
    assertEquals(refusal(await parents().select().single()), [406, "PGRST116"]);
    assertEquals((await parents().select().eq("name", "?").maybeSingle()).data, null);
    assertEquals((await parents().select("name").order("name").csv()).data, "name\na\nb\nc");
    const either = await parents().select("name").or("name.eq.a,and(id.gt.1,name.like.c*)")
      .order("name", { ascending: false });
    assertEquals(either.data, [{ name: "c" }, { name: "a" }]);
    const after = await parents().select("name").gt("name", "a").order("name").limit(1);
    assertEquals(after.data, [{ name: "b" }]);
  },

  "upserts, changes and deletions answer what they did": async ({ client, id }) => {
    const parents = () => client.from("probe_parents");
    const options = { onConflict: "name" };
    const upsert = await parents().upsert([{ name: "a", owner_id: id }, {
      name: "e",
      owner_id: id,
    }], options).select("name");
    assertEquals(upsert.data, [{ name: "a" }, { name: "e" }]);
    const ignored = await parents().upsert({ name: "a", owner_id: id }, {
      ...options,
      ignoreDuplicates: true,
    }).select("name");
    assertEquals([ignored.error, ignored.data], [null, []]);
    const minimal = await parents().update({ name: "f" }).eq("name", "e");
    assertEquals([minimal.status, minimal.data], [204, null]);
    const gone = await parents().delete().eq("name", "f").select("name");
    assertEquals([gone.status, gone.data], [200, [{ name: "f" }]]);
  },

  "related rows are embedded, both ways": async ({ client }) => {
    const { data: parent } = await client.from("probe_parents").select("id").eq("name", "a")
      .single();
    const parent_id = present(parent).id;
    await client.from("probe_values").insert([1, 2].map((amount) => ({ parent_id, amount })));
    const down = await client.from("probe_parents").select("name, probe_values(amount, at)")
      .eq("name", "a").order("amount", { referencedTable: "probe_values", ascending: false })
      .limit(1, { referencedTable: "probe_values" });
    assertEquals(down.data, [{ name: "a", probe_values: [{ amount: 2, at: null }] }]);
    const up = await client.from("probe_values").select("amount, parent:probe_parents!inner(name)")
      .eq("parent.name", "a").order("amount");
    assertEquals(up.data as unknown, [
      { amount: 1, parent: { name: "a" } },
      { amount: 2, parent: { name: "a" } },
    ]);
  },

  "functions answer values, rows and nothing": async ({ client }) => {
    assertEquals((await client.rpc("probe_sum", { p_a: 1 })).data, 3);
    assertEquals((await client.rpc("probe_sum", { p_a: 1, p_b: 5 }, { get: true })).data, 6);
    const nothing = await client.rpc("probe_nothing");
    assertEquals([nothing.status, nothing.data], [204, null]);
    const rows = await client.rpc("probe_rows", { p_count: 3 }).select("n, at")
      .order("n", { ascending: false }).limit(2);
    const at = "2026-01-02T03:04:05+00:00";
    assertEquals(rows.data, [{ n: 3, at }, { n: 2, at }]);
    assertEquals(refusal(await client.rpc("probe_sum", { p_a: "x" })), [400, "22P02"]);
  },

  "a function reads claims and headers of its own request, and no credentials": async (
    { client, id, session },
  ) => {
    const { data } = await client.rpc("probe_settings");
    const { claims, headers, method, path, role, uid } = data;
    assertEquals([role, uid, claims.sub], ["authenticated", id, id]);
    assertEquals([claims.aal, typeof claims.session_id], ["aal1", "string"]);
    assertEquals([method, path], ["POST", "/rpc/probe_settings"]);
    assertMatch(headers["x-forwarded-for"], /^[0-9a-f.:, ]+$/);
    if (env.adminUrl) {
      assertEquals(JSON.stringify(headers).includes(session.access_token), false);
      assertEquals(JSON.stringify(headers).includes(env.publishableKey), false);
    }
    const anon = await newClient().rpc("probe_settings");
    assertEquals([anon.data.role, anon.data.uid, anon.data.claims.role], ["anon", null, "anon"]);
    const service = await newClient(env.secretKey).rpc("probe_settings");
    assertEquals(service.data.role, "service_role");
    assertEquals([data.timeout, anon.data.timeout], ["8s", "3s"]);
  },
};

Deno.test({
  name: "the data API answers as PostgREST does (needs SUPABASE_DB_URL)",
  ignore: !canMakeTables,
  fn: (t) =>
    withScratch(async () => {
      const [person, stranger] = [await newPerson(), await newPerson()];
      for (const [what, step] of Object.entries(STEPS)) {
        await t.step(what, () => step(person, stranger));
      }
    }),
});

Deno.test({
  name: "the data API knows a table that was made, changed or dropped (needs SUPABASE_DB_URL)",
  ignore: !canMakeTables,
  fn: () =>
    withScratch(async (db) => {
      const client = newClient(env.secretKey);
      await db.unsafe("alter table public.probe_values add column added text");
      await until(async () =>
        (await client.from("probe_values").insert({ added: "x" })).error === null
      );
      await db.unsafe("drop table public.probe_values");
      await until(async () => (await client.from("probe_values").select()).status === 404);
    }),
});
