// Runs the pgTAP suites against copies of one database: platform, migrations and tests/support.
// Usage: deno task test:db [--declared] [tests/database/file.test.sql …]
//   --declared  build the database from sql/ and policies/, before a migration carries them

import { parseArgs } from "@std/cli/parse-args";
import { basename, join } from "@std/path";
import { PROJECT } from "../supabase/local/cli.ts";
import { adminConnection, createDatabase } from "../supabase/local/database.ts";
import { type PgtapResult, runPgtap } from "./pgtap.ts";
import { type Outcome, type Print, printIndented, runSuites, sum } from "./report.ts";
import { asSuperuser, createDeclared, createMigrated, type Database } from "./schema.ts";
import { runScript } from "./sql_script.ts";
import { withCluster } from "./throwaway.ts";

/** Which files to run on what. */
export interface DatabaseTests {
  /** Paths; all of tests/database when there are none. */
  files?: string[];
  /** Whether the schema comes from the declared files in place of the migrations. */
  declared?: boolean;
}

/** Runs the suites, as many at a time as there are processors, each on its own copy. */
export async function runDatabaseTests(print: Print, tests: DatabaseTests = {}): Promise<Outcome> {
  const files = tests.files?.length ? [...tests.files] : await allFiles();
  return await withCluster(async (port) => {
    const create = tests.declared ? createDeclared : createMigrated;
    const template = await create(port, "tests");
    await loadSupport(template);
    const outcomes: Outcome[] = [];
    const work = async (_: unknown, worker: number) => {
      const copy = `tests_${worker}`;
      await createDatabase(port, copy, template.name);
      const connection = adminConnection(port, copy);
      try {
        for (let file = files.shift(); file; file = files.shift()) {
          const name = `tests/database/${basename(file)}`;
          await connection`select set_config('statement_timeout', '60s', false)`;
          const result = await runPgtap(connection, name, await Deno.readTextFile(file));
          printResult(name, result, print);
          outcomes.push(result);
        }
      } finally {
        await connection.end();
      }
    };
    await Promise.all(Array.from({ length: navigator.hardwareConcurrency }, work));
    return sum(outcomes);
  });
}

/** Paths of the suites in a folder, in the order of their names. */
export async function allFiles(
  folder = join(PROJECT, "tests", "database"),
): Promise<string[]> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
  return names.filter((name) => name.endsWith(".test.sql")).sort().map((name) =>
    join(folder, name)
  );
}

/** Loads the cast, its scenes and the ways to try things, which every suite may use. */
export async function loadSupport(database: Database): Promise<void> {
  await asSuperuser(database, async (sql) => {
    for (const name of ["cast.sql", "scenes.sql", "ward.sql", "attempts.sql"]) {
      await runScript(sql, join(PROJECT, "tests", "support", name), `tests/support/${name}`);
    }
  });
}

function printResult(name: string, result: PgtapResult, print: Print): void {
  if (result.failures.length === 0) return print(`ok    ${name} (${result.passed})`);
  print(`FAIL  ${name} (${result.passed} passed, ${result.failed} failed)`);
  for (const failure of result.failures) printIndented(failure, print);
}

if (import.meta.main) {
  const { declared, _: files } = parseArgs(Deno.args, { boolean: ["declared"], string: ["_"] });
  const passed = await runSuites([{
    name: "database",
    run: (print) => runDatabaseTests(print, { declared, files }),
  }]);
  if (!passed) Deno.exit(1);
}
