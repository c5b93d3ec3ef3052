// Bad input for the data API, through the real gateway: bodies, arguments and columns of every
// served function and of the tables that take writes. Each is refused, and the person's rows stay.

import { assert, assertEquals } from "@std/assert";
import { present, tokenOf } from "../support/auth.ts";
import { assertUnchanged } from "../support/digest.ts";
import {
  databaseTest,
  must,
  newCaregiver,
  newPatient,
  theAdmin,
  withDatabase,
} from "../support/people.ts";
import { inDays, newRecord, refusal, share } from "../support/records.ts";
import { refusalOf, send } from "../support/requests.ts";

interface Argument {
  name: string;
  type: string;
  isOptional: boolean;
}

/** Functions that the API serves, with their arguments. */
async function servedFunctions(): Promise<{ name: string; args: Argument[] }[]> {
  return await withDatabase(async (sql) => {
    const rows = await sql`
      select p.proname as name, p.pronargdefaults as defaults,
        array(select format_type(t.type, null)
              from unnest(p.proargtypes) with ordinality as t (type, place)
              order by place) as types,
        coalesce(p.proargnames, '{}') as names
      from pg_proc as p
      where p.pronamespace = 'public'::regnamespace and p.prokind = 'f'
      order by 1`;
    return rows.map(({ name, defaults, types, names }) => ({
      name,
      args: types.map((type: string, place: number) => ({
        ...{ name: names[place], type },
        isOptional: place >= types.length - defaults,
      })),
    }));
  });
}

/** A person who asks, and what is sent of theirs. */
async function newAsker() {
  const person = await newPatient();
  const record = await newRecord(person, person.id);
  await must(person.client.from("medical_record_contents").insert({ record_id: record }));
  const token = await tokenOf(person.client);
  const ask = async (method: string, path: string, body: string | Uint8Array<ArrayBuffer>) =>
    refusalOf(await send(`/rest/v1/${path}`, { method, token, body }));
  const unchanged = (work: () => Promise<void>) => assertUnchanged([person.id], work);
  return { person, record, ask, unchanged };
}

/** Text that reads as no value of a type; null where every text is one. */
const wrongValue = (type: string) => type === "text" ? null : '"SECRET"';

databaseTest("every function refuses bodies and arguments that are none", async () => {
  const { ask, unchanged } = await newAsker();
  const functions = await servedFunctions();
  assert(functions.length > 20);
  await unchanged(async () => {
    for (const { name, args } of functions) {
      const post = (body: string | Uint8Array<ArrayBuffer>) => ask("POST", `rpc/${name}`, body);
      const withArg = (arg: string, json: string) => {
        const values = new Map(args.map((one) => [one.name, "null"])).set(arg, json);
        return `{${[...values].map(([key, value]) => `"${key}":${value}`).join()}}`;
      };

      assertEquals(await post('{"'), [400, "PGRST102"], name);
      assertEquals((await post(Uint8Array.of(0x22, 0xff, 0x22)))[0], 400, name);
      assertEquals((await post("[".repeat(30_000)))[0], 400, name);
      assertEquals(await post(withArg("p_none", "1")), [404, "PGRST202"], name);
      if (args.some(({ isOptional }) => !isOptional)) {
        assertEquals(await post(""), [404, "PGRST202"], name);
        assertEquals(await post("{}"), [404, "PGRST202"], name);
      }
      for (const arg of args) {
        const wrong = wrongValue(arg.type);
        if (wrong) {
          const [status, code] = await post(withArg(arg.name, wrong));
          assert(status === 400, `${name}, ${arg.name}: ${status} ${code}`);
        }
        for (const text of ['"SECRET\\u0000"', '"SECRET\\ud800"', '"SECRET\\udfff"']) {
          assertEquals(await post(withArg(arg.name, text)), [400, "22P05"], name);
        }
      }
    }
  });
});

databaseTest("tables refuse rows that are none", async () => {
  const { person, record, ask, unchanged } = await newAsker();
  const row = (changes: Record<string, unknown>) =>
    JSON.stringify({ patient_id: person.id, title: "SECRET", record_type: "other", ...changes });
  const records: [what: string, body: string, expected: [number, string]][] = [
    ["malformed JSON", '{"title":', [400, "PGRST102"]],
    ["an empty body", "", [400, "PGRST102"]],
    ["an unknown column", row({ no_column: 1 }), [400, "PGRST204"]],
    ["a column that clients may not set", row({ source: "fhir" }), [403, "42501"]],
    ["an id of one's own choice", row({ id: crypto.randomUUID() }), [403, "42501"]],
    ["an id that is none", row({ patient_id: "SECRET" }), [400, "22P02"]],
    ["a date that is none", row({ record_date: "SECRET" }), [400, "22007"]],
    ["a day that is none", row({ record_date: "2023-02-30" }), [400, "22008"]],
    ["a date before its time", row({ record_date: "1000-01-01" }), [400, "23514"]],
    ["a type that is none", row({ record_type: "SECRET" }), [400, "23514"]],
    ["no title", row({ title: null }), [400, "23502"]],
    ["a title of blanks", row({ title: "  " }), [400, "23514"]],
    ["a title that is too long", row({ title: "x".repeat(301) }), [400, "23514"]],
    ["a title with NUL", row({ title: "SECRET\u0000" }), [400, "22P05"]],
    ["a title with half a pair", row({ title: "SECRET\ud83d" }), [400, "22P05"]],
    ["no patient", row({ patient_id: null }), [403, "42501"]],
    ["one bad row of two", `[${row({})},${row({ record_type: "SECRET" })}]`, [400, "23514"]],
  ];
  const deep = (levels: number) => `{"metadata":${'{"a":'.repeat(levels)}1${"}".repeat(levels)}}`;
  const contents: typeof records = [
    ["metadata that are no object", '{"metadata":[]}', [400, "23514"]],
    ["metadata that are too large", `{"metadata":{"a":"${"x".repeat(20_000)}"}}`, [400, "23514"]],
    ["deeply nested metadata", deep(5000), [400, "23514"]],
    // PostgreSQL's own limit comes before the column's.
    ["bottomless metadata", deep(50_000), [500, "54001"]],
    ["NUL within metadata", '{"metadata":{"a":"\\u0000"}}', [400, "22P05"]],
    ["NUL in a key", '{"metadata":{"\\u0000":1}}', [400, "22P05"]],
    ["a resource", '{"fhir":{}}', [403, "42501"]],
    ["a path", '{"storage_path":"SECRET"}', [403, "42501"]],
  ];
  await unchanged(async () => {
    for (const [what, body, expected] of records) {
      assertEquals(await ask("POST", "medical_records", body), expected, what);
    }
    for (const [what, body, expected] of contents) {
      const path = `medical_record_contents?record_id=eq.${record}`;
      assertEquals(await ask("PATCH", path, body), expected, what);
    }
  });
});

databaseTest("filters, orders and pages that are none are refused", async () => {
  const { person, unchanged } = await newAsker();
  const token = await tokenOf(person.client);
  const bad = [
    "id=eq.SECRET",
    "record_date=gt.SECRET",
    "title=eq.%00",
    "title=near.SECRET",
    "no_column=eq.1",
    "select=no_column",
    "select=id,no_table(*)",
    "select=id,auth_users(*)",
    "order=no_column",
    "or=(id.eq",
  ];
  await unchanged(async () => {
    for (const query of bad) {
      const { status } = await send(`/rest/v1/medical_records?${query}`, { token });
      assert(status >= 400 && status < 500, `${query}: ${status}`);
    }
  });
});

databaseTest("a listing refuses pages and cursors that are none", async () => {
  const { person, unchanged } = await newAsker();
  const cursor = (value: unknown) => btoa(JSON.stringify(value));
  await unchanged(async () => {
    for (const name of ["my_access_log", "search_patients"]) {
      const bad: Record<string, unknown>[] = [
        ...[0, -1, 101, null].map((p_limit) => ({ p_limit })),
        ...["SECRET", "%", cursor({}), cursor([]), cursor(["x"]), cursor(["x", "y", "z", 1])]
          .map((p_cursor) => ({ p_cursor })),
      ];
      for (const args of bad) {
        const answer = await person.client.rpc(name, args);
        assertEquals(refusal(answer), [400, "invalid_request"], `${name} ${JSON.stringify(args)}`);
      }
      const wrong = await person.client.rpc(name, {
        p_cursor: cursor(["a", "b", "c"].slice(0, 2)),
      });
      assertEquals(wrong.status, 400, name);
    }
  });
});

databaseTest(
  "a share to oneself, to nobody, in the past, for too long, or twice is refused",
  async () => {
    const { person, record, unchanged } = await newAsker();
    const relative = await newCaregiver();
    const locked = await newCaregiver();
    const admin = (await theAdmin()).client;
    await must(admin.rpc("set_account_active", {
      ...{ p_user_id: locked.id, p_active: false, p_reason: "Test" },
    }));
    const give = async (changes: Record<string, unknown>) =>
      refusal(
        await person.client.rpc("share_medical_record", {
          ...{ p_record_id: record, p_shared_with_id: relative.id, p_access_level: "view" },
          ...{ p_expires_at: inDays(7) },
          ...changes,
        }),
      );
    const invalid = [400, "invalid_request"];
    const absent = [404, "not_found"];
    await unchanged(async () => {
      assertEquals(await give({ p_shared_with_id: person.id }), invalid);
      assertEquals(await give({ p_shared_with_id: crypto.randomUUID() }), absent);
      assertEquals(await give({ p_shared_with_id: locked.id }), absent);
      assertEquals(await give({ p_shared_with_id: null }), absent);
      assertEquals(await give({ p_record_id: crypto.randomUUID() }), absent);
      assertEquals(await give({ p_record_id: null }), absent);
      assertEquals(await give({ p_expires_at: inDays(-1) }), invalid);
      assertEquals(await give({ p_expires_at: inDays(0) }), invalid);
      assertEquals(await give({ p_expires_at: inDays(367) }), invalid);
      assertEquals(await give({ p_expires_at: "infinity" }), invalid);
      assertEquals(await give({ p_expires_at: null }), invalid);
      assertEquals(await give({ p_access_level: "own" }), invalid);
      assertEquals(await give({ p_access_level: null }), invalid);
    });
    const other = await newPatient();
    assertEquals(
      refusal(
        await other.client.rpc("share_medical_record", {
          ...{ p_record_id: record, p_shared_with_id: other.id, p_access_level: "view" },
          ...{ p_expires_at: inDays(7) },
        }),
      ),
      absent,
    );

    await share(person, record, relative);
    await unchanged(async () => {
      assertEquals(await give({}), [409, "already_shared"]);
      assertEquals(await give({ p_access_level: "download" }), [409, "already_shared"]);
    });
    // A year from now is the longest that it takes.
    const another = await newCaregiver();
    await share(person, record, another, { until: inDays(365) });
  },
);

databaseTest(
  "care is refused of oneself, of nobody, of an unknown kind or scope, and twice",
  async () => {
    const { person, unchanged } = await newAsker();
    const caregiver = await newCaregiver();
    const request = async (changes: Record<string, unknown>, { client } = person) =>
      refusal(
        await client.rpc("request_care", {
          ...{ p_member_or_patient_id: caregiver.id, p_kind: "caregiver", p_scopes: ["records"] },
          ...changes,
        }),
      );
    const invalid = [400, "invalid_request"];
    await unchanged(async () => {
      assertEquals(await request({ p_member_or_patient_id: person.id }), invalid);
      assertEquals(await request({ p_member_or_patient_id: crypto.randomUUID() }), [
        ...[404, "not_found"],
      ]);
      assertEquals(await request({ p_kind: "friend" }), invalid);
      assertEquals(await request({ p_kind: null }), invalid);
      assertEquals(await request({ p_scopes: [] }), invalid);
      assertEquals(await request({ p_scopes: ["everything"] }), invalid);
      assertEquals(await request({ p_scopes: ["records", null] }), invalid);
      assertEquals(await request({ p_kind: "doctor" }), [404, "not_found"]);
    });
    assertEquals((await request({}))[0], 200);
    await unchanged(async () => {
      assertEquals(await request({}), [409, "already_requested"]);
      const back = { p_member_or_patient_id: person.id };
      assertEquals(await request(back, caregiver), [409, "already_requested"]);
    });
  },
);

databaseTest(
  "what only administrators may do is refused to others, with one factor and two",
  async () => {
    const { person, unchanged } = await newAsker();
    const admin = await theAdmin();
    const single = await newPatient("Admin to be");
    await withDatabase((sql) =>
      sql`update public.profiles set role = 'admin' where id = ${single.id}`
    );
    const calls: [string, Record<string, unknown>][] = [
      ["verify_doctor", { p_user_id: person.id, p_approve: true }],
      ["set_account_active", { p_user_id: person.id, p_active: false, p_reason: "x" }],
      ["grant_account", { p_user_id: person.id, p_grant: "moderator" }],
      ["revoke_account_grant", { p_user_id: person.id, p_grant: "moderator" }],
    ];
    const other = await newPatient();
    await unchanged(async () => {
      for (const [name, args] of calls) {
        for (const { client } of [other, person, single]) {
          assertEquals(refusal(await client.rpc(name, args)), [403, "forbidden"], name);
        }
      }
    });
    const [grant, args] = present(calls[2]);
    await must(admin.client.rpc(grant, args));
    assertEquals(await must(person.client.from("account_grants").select("grant")), [
      { grant: "moderator" },
    ]);
  },
);
