// The tool that mutates the schema: if it called a mutant caught that nothing notices, its last
// line would be worth nothing.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { PROJECT } from "../../supabase/local/cli.ts";
import { adminConnection } from "../../supabase/local/database.ts";
import { createDeclared } from "../../tools/schema.ts";
import { withCluster, withFolder } from "../../tools/throwaway.ts";
import { leaveOneOut } from "../mutants/conditions.ts";
import { deriveMutants } from "../mutants/derive.ts";
import { runMutants } from "../mutants/run.ts";

Deno.test("a condition is weakened by each part of an AND, narrowed by each of an OR", () => {
  const condition =
    "((a = 'x AND (y'::text) AND ( SELECT f() AS f) AND ((b IS NULL) OR (\"or)\" > 1)))";
  const shortened = leaveOneOut(condition);
  assertEquals(shortened.map(({ role, part }) => `${role} ${part}`), [
    "alternative (b IS NULL)",
    'alternative ("or)" > 1)',
    "conjunct (a = 'x AND (y'::text)",
    "conjunct (SELECT f())",
    'conjunct ((b IS NULL) OR ("or)" > 1))',
  ]);
  assertEquals(shortened.map(({ text }) => text), [
    "((a = 'x AND (y'::text) AND ( SELECT f() AS f) AND ((\"or)\" > 1)))",
    "((a = 'x AND (y'::text) AND ( SELECT f() AS f) AND ((b IS NULL)))",
    '(( SELECT f() AS f) AND ((b IS NULL) OR ("or)" > 1)))',
    "((a = 'x AND (y'::text) AND ((b IS NULL) OR (\"or)\" > 1)))",
    "((a = 'x AND (y'::text) AND ( SELECT f() AS f))",
  ]);
});

Deno.test("a condition without AND and OR has no part to leave out", () => {
  for (const condition of ["true", "(a = 1)", "(length(a) <= 80)", "(a = 'this AND that')"]) {
    assertEquals(leaveOneOut(condition), []);
  }
});

Deno.test("the AND of a window's frame is no part of a condition", () => {
  assertEquals(
    leaveOneOut("(sum(a) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) > 1)"),
    [],
  );
});

Deno.test("what is no condition is refused", () => {
  assertThrows(() => leaveOneOut("(a"), Error, "stays open");
  assertThrows(() => leaveOneOut("a)"), Error, "closes a parenthesis");
  assertThrows(() => leaveOneOut("(a AND b OR c)"), Error, "side by side");
});

Deno.test("mutants are derived of every kind of rule, and each can be made", async () => {
  await withCluster(async (port) => {
    await createDeclared(port, "derived");
    const connection = adminConnection(port, "derived");
    try {
      // What the product does not have at this moment, or not in the schema public.
      await connection.unsafe(`
        set role postgres;
        create table public.planted (
          id uuid primary key, owner_id uuid not null references auth.users (id),
          other_id uuid unique, kind text check (kind in ('a', 'b') or kind is null)
        );
        alter table public.planted enable row level security;
        create index planted_owner_id_idx on public.planted (owner_id);
        create unique index planted_one_of_a_kind on public.planted (kind) where other_id is null;
        revoke all on public.planted from anon, authenticated, service_role;
        grant select, insert (kind) on public.planted to authenticated;
        create policy planted_select_authenticated on public.planted for select to authenticated
          using (owner_id = (select auth.uid()) or other_id = (select auth.uid()));
        create policy planted_select_authenticated_only on public.planted as restrictive
          for select to authenticated using ((select private.session_is_live()) and kind = 'a');
        reset role;`);
      const mutants = await deriveMutants(connection);
      const planted = mutants.filter(({ name }) => name.includes("planted"));
      const has = (text: string) =>
        assert(planted.some(({ name }) => name.includes(text)), `No mutant is named ${text}`);
      for (
        const text of [
          "planted_select_authenticated on public.planted: dropped",
          "planted_select_authenticated on public.planted: to public",
          "planted_select_authenticated on public.planted: for all commands",
          "planted_select_authenticated on public.planted: using (true)",
          "using without the alternative (owner_id = (SELECT auth.uid()))",
          "planted_select_authenticated_only on public.planted: made permissive",
          "planted_select_authenticated_only on public.planted: dropped",
          "using without the conjunct (SELECT private.session_is_live())",
          "row level security disabled on public.planted",
          "delete on table public.planted granted to anon",
          "truncate on table public.planted granted to service_role",
          "all on table public.planted granted to public",
          "update (owner_id) on table public.planted granted to authenticated",
          "insert (kind) on table public.planted revoked from authenticated",
          "select on table public.planted revoked from authenticated",
          "select on table public.planted made grantable by authenticated",
          "check planted_kind_check on public.planted: dropped",
          "without the alternative (kind IS NULL)",
          "unique planted_other_id_key on public.planted: dropped",
          "foreign key planted_owner_id_fkey on public.planted: dropped",
          "primary key planted_pkey on public.planted: dropped",
          "column owner_id of public.planted: may be null",
          "index public.planted_owner_id_idx: dropped",
          "index public.planted_one_of_a_kind: dropped",
        ]
      ) has(text);
      assert(
        !planted.some(({ name }) => /(select|insert \(kind\)) on .* to authenticated/.test(name)),
      );

      // Roles, functions, triggers and views are the product's own.
      const kinds = new Set(mutants.map(({ kind }) => kind));
      for (
        const kind of [
          "policy no check",
          "policy check true",
          "trigger disabled",
          "trigger dropped",
          "security definer",
          "security invoker",
          "search_path",
          "view option",
          "view conjunct",
          "exclusion",
          "execute grant",
          "execute revoke",
          "schema grant",
          "schema revoke",
          "role attribute",
          "membership",
        ]
      ) assert(kinds.has(kind), `No mutant is of the kind ${kind}`);

      for (const { name, sql } of mutants) {
        await connection.unsafe(`begin; ${sql}; rollback`).catch((error) => {
          throw new Error(`Cannot make the mutant ${name}`, { cause: error });
        });
      }
    } finally {
      await connection.end();
    }
  });
});

/** Asserts nothing but that a policy says which of her profile's rows a patient sees. */
const WEAK_SUITE = `begin;
select plan(1);
select tests.make_user(u) from unnest(array['pia', 'omar']) as u;
select is(tests.attempt('pia', 'select display_name from public.profiles'), 'Pia', 'only her own');
rollback;
`;
const NOTICED = "policy profiles_select_authenticated on public.profiles: using (true)";
const UNNOTICED = "policy doctors_select_authenticated on public.doctors: using (true)";

/** Runs the tool as its task does, on a suite of files of ours. */
async function runTool(files: Record<string, string>, ...only: string[]) {
  let ended = { code: -1, lines: [""] };
  await withFolder(async (folder) => {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(join(folder, name), text);
    }
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "-q", "tests/mutants/main.ts", "--suite", folder],
        ...only.flatMap((text) => ["--only", text]),
      ],
      cwd: PROJECT,
      stdin: "null",
      stderr: "null",
    }).output();
    ended = { code, lines: new TextDecoder().decode(stdout).trimEnd().split("\n") };
  });
  return ended;
}

Deno.test("a run in which every mutant is caught succeeds", async () => {
  const { code, lines } = await runTool({ "weak.test.sql": WEAK_SUITE }, NOTICED);
  assertEquals(lines.at(-1), "mutants: 1 of 1 caught");
  assertEquals(code, 0);
});

Deno.test("a run names the mutant that a weak suite does not notice, and fails", async () => {
  const { code, lines } = await runTool({ "weak.test.sql": WEAK_SUITE }, NOTICED, UNNOTICED);
  assertEquals(lines.at(-1), "mutants: 1 of 2 caught");
  const survived = lines.indexOf(`SURVIVED  ${UNNOTICED}`);
  assert(survived >= 0, lines.join("\n"));
  assertEquals(
    lines[survived + 1]?.trim(),
    "alter policy doctors_select_authenticated on public.doctors using (true)",
  );
  assertEquals(code, 1);
});

Deno.test("a run tells what makes its count worthless, besides the count", async () => {
  await withFolder(async (folder) => {
    const files = {
      "error.test.sql": "begin;\nselect 1 / 0;\nrollback;",
      "failing.test.sql": WEAK_SUITE.replace("'Pia'", "'Eve'"),
      "weak.test.sql": WEAK_SUITE,
    };
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(join(folder, name), text);
    }
    const gone = `${NOTICED} of old`;
    const outcome = await runMutants(() => {}, {
      suite: folder,
      only: [NOTICED, UNNOTICED],
      equivalent: [NOTICED, gone].map((mutant) => ({ mutant, reason: "It is not" })),
    });
    // A file that fails anyway has noticed nothing.
    assertEquals({ caught: outcome.caught, total: outcome.total }, { caught: 0, total: 1 });
    assertEquals(outcome.problems.map((problem) => problem.split("\n")[0]).sort(), [
      "Fails on the unchanged database: error.test.sql:2: division by zero (22012)",
      "Fails on the unchanged database: failing.test.sql:4: only her own",
      `Listed as equivalent, but noticed: ${NOTICED}`,
      `Listed as equivalent, but there is no such mutant: ${gone}`,
    ]);
  });
});
