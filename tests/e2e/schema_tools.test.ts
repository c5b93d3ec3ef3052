// The schema workflow on a small project: drift is seen whatever it is, a migration is written and
// converges, mistakes are named by file and line, and the advisors see what is planted.

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { describeDifferences, importsAsWorker } from "../../tools/access_lists.ts";
import { adviseOn } from "../../tools/advisors.ts";
import { compareCatalogs, readCatalog, readCatalogIn } from "../../tools/catalog.ts";
import { writeMigration } from "../../tools/db_diff.ts";
import { asSuperuser, createDeclared, withBothSchemas } from "../../tools/schema.ts";
import { describeDiff } from "../../tools/schema_diff.ts";
import { SqlScriptError } from "../../tools/sql_script.ts";
import { withCluster } from "../../tools/throwaway.ts";
import { withProject, writeProject } from "../support/schema_project.ts";

/** Changes that somebody might make past the declared files, and the fact in which each shows. */
const PLANTS: [change: string, fact: string][] = [
  [
    "grant delete on table public.visits to authenticated",
    "grant table public.visits to authenticated",
  ],
  [
    "grant insert (status) on table public.visits to authenticated",
    "grant column public.visits.status to authenticated",
  ],
  [
    "grant execute on function private.visit_count() to anon",
    "grant function private.visit_count() to anon",
  ],
  ["grant usage on schema private to anon", "grant schema private to anon"],
  ["revoke all on sequence public.numbers from anon", "grant sequence public.numbers to anon"],
  [
    "alter default privileges for role postgres in schema public revoke all on tables from anon",
    "grant tables to come by postgres in schema public to anon",
  ],
  ["comment on table public.visits is 'Calls.'", "comment table public.visits"],
  ["comment on column public.visits.status is null", "comment table column public.visits.status"],
  ["comment on function private.visit_count() is 'Few.'", "comment function private.visit_count()"],
  [
    "alter policy visits_select_authenticated on public.visits using (true)",
    "policy visits_select_authenticated on public.visits",
  ],
  [
    "alter policy visits_select_authenticated on public.visits to anon",
    "policy visits_select_authenticated on public.visits",
  ],
  [
    `drop policy visits_select_authenticated on public.visits;
     create policy visits_select_authenticated on public.visits as restrictive
     for select to authenticated using (patient_id = (select auth.uid()))`,
    "policy visits_select_authenticated on public.visits",
  ],
  [
    "alter policy objects_select_authenticated on storage.objects using (true)",
    "policy objects_select_authenticated on storage.objects",
  ],
  [
    "alter policy visits_select_authenticated on realtime.messages using (true)",
    "policy visits_select_authenticated on realtime.messages",
  ],
  ["alter table public.visits disable row level security", "table public.visits"],
  ["alter table public.visits force row level security", "table public.visits"],
  ["alter table private.events_default disable row level security", "table private.events_default"],
  ["alter table public.visits replica identity full", "table public.visits"],
  ["alter table public.visits owner to supabase_admin", "table public.visits"],
  ["alter table public.visits add note text", "column public.visits.note"],
  ["alter table public.visits alter status set default 'done'", "column public.visits.status"],
  ["alter table public.visits alter status drop not null", "column public.visits.status"],
  [
    "alter table public.visits drop constraint visits_status_check",
    "constraint visits_status_check on public.visits",
  ],
  [
    "drop index public.visits_patient_id_idx",
    "index public.visits_patient_id_idx on public.visits",
  ],
  ["drop trigger visits_stamp on public.visits", "trigger visits_stamp on public.visits"],
  [
    "alter table public.visits disable trigger visits_stamp",
    "trigger visits_stamp on public.visits",
  ],
  ["drop trigger on_user_created on auth.users", "trigger on_user_created on auth.users"],
  [
    `create or replace function private.visit_count() returns bigint language sql stable
     security definer set search_path = '' as $$ select 0::bigint $$`,
    "function private.visit_count()",
  ],
  ["alter function private.visit_count() security invoker", "function private.visit_count()"],
  ["alter function private.visit_count() volatile", "function private.visit_count()"],
  ["alter function private.visit_count() reset search_path", "function private.visit_count()"],
  [
    "alter function private.visit_count() owner to supabase_admin",
    "function private.visit_count()",
  ],
  [
    "create or replace view public.visit_moods as select id, mood from public.visits",
    "view public.visit_moods",
  ],
  ["alter type public.mood add value 'fair'", "type public.mood"],
  ["alter sequence public.numbers increment by 5", "sequence public.numbers"],
  ["alter publication supabase_realtime add table public.visits", "publication supabase_realtime"],
  [
    "create statistics public.together on patient_id, status from public.visits",
    "statistics public.together",
  ],
  ["create role schema_tools_worker", "role schema_tools_worker"],
];

Deno.test("the catalogue's facts show every planted drift, and nothing where nothing was planted", async () => {
  await withProject((project) =>
    withCluster(async (port) => {
      const declared = await createDeclared(port, "declared", project);
      const facts = await readCatalog(declared);
      await asSuperuser(declared, async (sql) => {
        for (const [change, fact] of PLANTS) {
          const drifts: string[] = [];
          await sql.begin(async (tx) => {
            await tx.unsafe(change);
            const after = await readCatalogIn(tx);
            drifts.push(...compareCatalogs(facts, after).map((drift) => drift.fact));
            await tx`rollback`;
          });
          assert(drifts.includes(fact), `after "${change}" the facts are: ${drifts.join("; ")}`);
        }
      });
      assertEquals(compareCatalogs(facts, await readCatalog(declared)), []);
    })
  );
});

Deno.test("db:diff writes migrations that converge, and names what it cannot write", async () => {
  await withProject(async (project) => {
    const first = await withBothSchemas((both) => writeMigration(both, "visits", project), project);
    assertEquals(first.remains, "");

    await writeProject(project, {
      sql:
        "alter table public.visits add note text;\ncomment on column public.visits.note is 'Why.';\n" +
        "create index events_late_idx on public.events (at desc);",
      policies: "grant insert (note) on table public.visits to authenticated;",
    });
    const second = await withBothSchemas(async (both) => {
      const [before, after] = [await readCatalog(both.migrated), await readCatalog(both.declared)];
      const problem = describeDiff({ sql: "", drifts: compareCatalogs(before, after) });
      assertStringIncludes(problem, "facts differ");
      assertStringIncludes(problem, "column public.visits.note\n    + text");
      assertStringIncludes(problem, "comment table column public.visits.note\n    + Why.");
      assertStringIncludes(
        problem,
        "grant column public.visits.note to authenticated\n    + INSERT",
      );
      return await writeMigration(both, "note", project);
    }, project);
    assertEquals(second.remains, "");
    assert(first.file! < second.file!, "migrations are out of order");
    const sql = await Deno.readTextFile(join(project, second.file!));
    assert(!/events_2026_01/.test(sql), "a partition of a month is in the migration");
    // Nor may it be left out of what the migration does to the table that it is part of.
    assertStringIncludes(sql, "CREATE INDEX events_late_idx ON public.events ");

    await writeProject(project, {
      sql: `alter table public.visits add note text;
        comment on column public.visits.note is 'Why.';
        create index events_late_idx on public.events (at desc);
        create statistics public.together on patient_id, status from public.visits;`,
      policies: "grant insert (note) on table public.visits to authenticated;",
    });
    const third = await withBothSchemas((both) => writeMigration(both, "third", project), project);
    assertEquals(third.file, undefined);
    assertStringIncludes(third.remains, "1 fact differs");
    assertStringIncludes(third.remains, "statistics public.together");
  });
});

Deno.test("declared files that do not load are named by file and line", async () => {
  await withProject((project) =>
    withCluster(async (port) => {
      const lines =
        (await Deno.readTextFile(join(project, "sql/50_visits.sql"))).split("\n").length;
      const mistakes: [sql: string, line: number, message: string][] = [
        ["\n\nselekt 1;", lines + 2, 'syntax error at or near "selekt"'],
        ["-- über\ncreate table public.visits (id int);", lines + 1, "already exists"],
        ["select 1,\n  nothing;", lines + 1, 'column "nothing" does not exist'],
        [
          `create function private.f(p_a int) returns int language plpgsql set search_path = ''
           as $$ declare p_a int; begin return p_a; end $$;`,
          lines + 1,
          "shadows",
        ],
      ];
      for (const [number, [sql, line, message]] of mistakes.entries()) {
        await writeProject(project, { sql });
        const error = await assertRejects(
          () => createDeclared(port, `mistake_${number}`, project),
          SqlScriptError,
        );
        assert(error.message.startsWith(`sql/50_visits.sql:${line}: `), error.message);
        assertStringIncludes(error.message, message);
      }
    })
  );
});

Deno.test("the access lists name what is missing from them and what they name in vain", () => {
  const readme = "| `private.a(uuid, text)` | why | token |\n| `private.gone()` | why | token |\n" +
    "| `some_worker` | execute `f` | `functions/x/routes.ts`, `functions/x/gone.ts` |\n" +
    "Text about `private.not_a_row()`.";
  const right = { readme, definers: ["private.a(uuid, text)", "private.gone()"] };
  const workerFiles = ["functions/x/gone.ts", "functions/x/routes.ts"];
  assertEquals(describeDifferences({ ...right, workerFiles }), "");

  assertEquals(
    describeDifferences({
      readme,
      definers: ["private.a(uuid, text)", "private.b()"],
      workerFiles: ["functions/x/routes.ts", "functions/x/new.ts"],
    }).split("\n"),
    [
      "private.b() runs with its owner's rights and has no row in policies/README.md",
      "policies/README.md lists private.gone(), which is no definer function",
      "functions/x/new.ts imports asWorker and is not among the worker roles of policies/README.md",
      "policies/README.md lets functions/x/gone.ts act as a worker, which it does not",
    ],
  );
  assert(importsAsWorker('import {\n  asCaller,\n  asWorker,\n} from "../_shared/db.ts";\n'));
  assert(
    !importsAsWorker('// `asWorker` is elsewhere\nimport { asCaller } from "../_shared/db.ts";'),
  );
});

Deno.test("the advisors report what is planted", async () => {
  await withCluster(async (port) => {
    const database = await createDeclared(port, "advised");
    const before = (await adviseOn(database)).map(({ name, metadata }) =>
      `${name} ${metadata.name}`
    );
    assert(!before.some((finding) => finding.includes("planted")));

    await asSuperuser(database, (sql) =>
      sql.unsafe(`
        set role postgres;
        create table public.planted_table (id int primary key);
        create view public.planted_view as select id from public.planted_table;
        create function public.planted_function() returns int language sql security definer
          as 'select 1';
        create table public.planted_promise (id int primary key);
        alter table public.planted_promise enable row level security;
      `));
    const found = (await adviseOn(database)).map(({ name, metadata }) =>
      `${name} ${metadata.name}`
    );
    for (
      const planted of [
        "rls_disabled_in_public planted_table",
        "security_definer_view planted_view",
        "function_search_path_mutable planted_function",
        "rls_enabled_no_policy planted_promise",
      ]
    ) {
      assert(found.includes(planted), `${planted} is not among: ${found.join("; ")}`);
    }
  });
});
