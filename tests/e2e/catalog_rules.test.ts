// The rules of tests/database/00_catalog.test.sql: each is broken once, and is seen to be broken.

import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { PROJECT } from "../../supabase/local/cli.ts";
import { adminConnection } from "../../supabase/local/database.ts";
import { runPgtap } from "../../tools/pgtap.ts";
import { createDeclared } from "../../tools/schema.ts";
import { withCluster } from "../../tools/throwaway.ts";

/** A closed table with all that the rules ask for, to break one of them on. */
const TABLE = `
  create table public.planted (id uuid primary key, owner_id uuid);
  comment on table public.planted is 'Planted.';
  alter table public.planted enable row level security;
  revoke all on table public.planted from anon, authenticated, service_role;`;

/** The same as a function. */
const planted = (options: string, body = "select 1", args = "") => `
  create function private.planted(${args}) returns integer language sql ${options} as $$ ${body} $$;
  comment on function private.planted is 'Planted.';
  revoke execute on function private.planted from public, anon, authenticated, service_role;`;

const policy = (options: string, name = "planted_select_authenticated") =>
  `${TABLE} grant select on table public.planted to authenticated;
   create policy ${name} on public.planted ${options};`;

const SELECT = "for select to authenticated using";

/** What breaks a rule, and the rule as the file names it. */
const BREACHES: [breach: string, rule: string][] = [
  [
    `${TABLE} alter table public.planted disable row level security`,
    "every table and partition has row level security",
  ],
  [
    "grant select on table private.audit_events_default to service_role",
    "no partition is open to an API role",
  ],
  [
    "grant insert (action) on table private.audit_events_default to authenticated",
    "no partition is open to an API role",
  ],
  [
    "do $$ begin execute format('drop table private.audit_events_%s', to_char(now() at time zone 'UTC' + interval '1 month', 'YYYY_MM')); end $$",
    "every partitioned table has the partitions of this month",
  ],
  [
    `${TABLE} alter table public.planted add foreign key (owner_id) references auth.users`,
    "every foreign key has an index",
  ],
  [
    `${TABLE} alter table public.planted add foreign key (owner_id) references auth.users;
     create index on public.planted (owner_id) where id is null`,
    "every foreign key has an index",
  ],
  [
    `${TABLE} alter table public.planted add foreign key (owner_id) references auth.users;
     create index on public.planted (owner_id) where id is not null`,
    "every foreign key has an index",
  ],
  [`${TABLE} comment on table public.planted is null`, "every table and view has a comment"],
  [
    `${TABLE} create view public.planted_view as select id from public.planted`,
    "every view that the API serves runs with the rights of its caller",
  ],
  [
    `${planted("set search_path = ''")} grant execute on function private.planted to anon`,
    "no function is executable by anon",
  ],
  [
    `${planted("set search_path = ''")} grant execute on function private.planted to public`,
    "no function is executable by PUBLIC",
  ],
  [
    `${
      planted("security definer set search_path = ''")
    } alter function private.planted set schema public`,
    "every definer function is in the schema that the API does not serve",
  ],
  [planted("security definer"), "every function has an empty search_path"],
  [planted("set search_path = public"), "every function has an empty search_path"],
  [
    `${planted("")} grant execute on function private.planted to authenticated`,
    "every function has an empty search_path",
  ],
  [
    `${planted("set search_path = ''")} comment on function private.planted is null`,
    "every function has a comment",
  ],
  [planted("set search_path = ''", "select 1", "id integer"), "every parameter begins with p_"],
  [
    `create function private.planted() returns integer language plpgsql set search_path = ''
     as 'begin return 1; exception when  others then return 2; end'`,
    "no function swallows every error",
  ],
  [
    planted("set search_path = ''", "select * from (select 1) as one"),
    "no function selects all columns",
  ],
  [
    policy(`${SELECT} (owner_id = auth.uid())`),
    "no policy calls auth.uid() or its like for every row",
  ],
  [
    policy(`${SELECT} (auth.jwt() ->> 'aal' = 'aal2')`),
    "no policy calls auth.uid() or its like for every row",
  ],
  [policy(`${SELECT} (private.is_admin())`), "no policy calls a helper for every row"],
  [
    policy(`${SELECT} ((select auth.jwt()) -> 'user_metadata' ->> 'role' = 'admin')`),
    "no policy believes what users may write about themselves",
  ],
  [policy("for select using (true)"), "every policy names the one role it is for"],
  [
    policy("for all to authenticated using (true)", "planted_all_authenticated"),
    "no policy is for all commands",
  ],
  [
    `${policy(`${SELECT} (true)`)} create policy again on public.planted ${SELECT} (true)`,
    "a table, and a bucket of files, has one permissive policy for a command and a role",
  ],
  [policy(`${SELECT} (true)`, "reading"), "a policy is named <table>_<command>_<role>"],
  [
    policy("for update to authenticated using (true)", "planted_update_authenticated"),
    "every update policy says which rows and what they may become",
  ],
  [
    "drop policy care_relationships_select_authenticated_only on public.care_relationships",
    "whatever is granted on a clinical table asks",
  ],
  [
    "alter policy patients_update_authenticated_only on public.patients with check (true)",
    "whatever is granted on a clinical table asks",
  ],
  [
    "grant delete on table public.medical_records to authenticated",
    "whatever is granted on a clinical table asks",
  ],
  [
    `${policy(`${SELECT} (true)`)} alter table public.planted rename owner_id to patient_id`,
    "whatever is granted on a clinical table asks",
  ],
  [
    `${policy(`${SELECT} (true)`)}
     alter table public.planted add foreign key (owner_id) references public.patients`,
    "whatever is granted on a clinical table asks",
  ],
  [
    `${TABLE} grant select on table public.planted to anon`,
    "anon has no right on any table, view or sequence",
  ],
  [
    `${TABLE} grant truncate on table public.planted to authenticated`,
    "anon has no right on any table, view or sequence",
  ],
  ["create sequence public.planted", "anon has no right on any table, view or sequence"],
  [
    `${TABLE} grant insert (id) on table public.planted to authenticated`,
    "has a grant where there is a policy",
  ],
  [
    `${TABLE} create policy planted_delete_authenticated on public.planted for delete to authenticated using (true)`,
    "has a grant where there is a policy",
  ],
  [
    "grant insert on table public.audit_events to service_role",
    "no API role, service_role included, writes the audit trail",
  ],
];

Deno.test("every rule of the catalogue sees its breach", async (t) => {
  const file = await Deno.readTextFile(join(PROJECT, "tests/database/00_catalog.test.sql"));
  await withCluster(async (port) => {
    await createDeclared(port, "rules");
    const connection = adminConnection(port, "rules");
    try {
      for (const [breach, rule] of BREACHES) {
        await t.step(rule, async () => {
          // As the role that migrations run as, whose default privileges open what it makes.
          const planted = `begin; set local role postgres; ${breach}; reset role;`;
          const { failures } = await runPgtap(
            connection,
            "rules.sql",
            file.replace("begin;", () => planted),
          );
          assert(
            failures.some((failure) => failure.includes(rule)),
            `${breach}:\n${failures.join("\n")}`,
          );
        });
      }
      const rules = [...file.matchAll(/^ {2}'(.*)'$/gm)].map((match) => match[1]!);
      const unbroken = rules.filter((name) => !BREACHES.some(([, rule]) => name.includes(rule)));
      assertEquals(unbroken, []);
    } finally {
      await connection.end();
    }
  });
});
