// Tries every cell of the access matrix (tests/matrix) on scratch databases, sees that the matrix covers
// the catalogue, and that it fails where it must. Each cell counts as one test.
// Usage: deno task test:matrix [--declared]
//   --declared  build the database from sql/ and policies/, before a migration carries them
//        deno task docs:matrix writes docs/access-matrix.md

import { parseArgs } from "@std/cli/parse-args";
import { join } from "@std/path";
import type postgres from "postgres";
import { PROJECT } from "../supabase/local/cli.ts";
import { createDatabase } from "../supabase/local/database.ts";
import { type Breach, BREACHES } from "../tests/matrix/breaches.ts";
import { compareCoverage } from "../tests/matrix/coverage.ts";
import {
  type Cell,
  type Declaration,
  readDeclaration,
  rowsOf,
} from "../tests/matrix/declaration.ts";
import { type Assertion, compareCells, observe, readObjects } from "../tests/matrix/observe.ts";
import { renderMatrix } from "../tests/matrix/render.ts";
import { type Outcome, type Print, printIndented, runCheck, runSuites, sum } from "./report.ts";
import { asSuperuser, createDeclared, createMigrated, type Database } from "./schema.ts";
import { runScript } from "./sql_script.ts";
import { loadSupport } from "./test_db.ts";
import { withCluster } from "./throwaway.ts";

const DOCUMENT = join(PROJECT, "docs", "access-matrix.md");

/** Runs the matrix; `declared` builds the database from sql/ and policies/. */
export async function runMatrixTests(
  print: Print,
  { declared = false }: { declared?: boolean } = {},
): Promise<Outcome> {
  const declaration = await readDeclaration();
  const document = await runCheck({
    name: "docs/access-matrix.md is what deno task docs:matrix writes",
    run: () => compareDocument(declaration),
  }, print);
  // The history of migrations is not there without them.
  if (declared) {
    const { closed } = declaration;
    closed.relations = closed.relations.filter((name) => !name.startsWith("supabase_migrations."));
  }
  return await withCluster(async (port) => {
    const template = await (declared ? createDeclared : createMigrated)(port, "matrix");
    await setScene(template);
    const lanes = Array.from({ length: navigator.hardwareConcurrency }, (_, i) => i);
    for (const lane of lanes) await createDatabase(port, `matrix_${lane}`, template.name);
    const run = async (work: (sql: postgres.Sql, share: Share) => Promise<Outcome>) =>
      sum(
        await Promise.all(lanes.map((lane) =>
          asSuperuser({ port, name: `matrix_${lane}` }, async (sql) => {
            // As Storage does, which deletes the bytes before the row.
            await sql`select set_config('storage.allow_delete_query', 'true', false)`;
            return await work(sql, (_, i) => i % lanes.length === lane);
          })
        )),
      );
    const cells = await run((sql, share) => runCells(sql, declaration, share, print));
    // What is wrong already would be wrong after each mistake, too.
    const breaches = cells.failed > 0
      ? []
      : [await run((sql, share) => runBreaches(sql, declaration, share, print))];
    return sum([document, cells, ...breaches]);
  });
}

/** Whether the i-th of several is for this process to do. */
type Share = (_: unknown, i: number) => boolean;

/** Loads the people and rows that cells are tried on, and seals what the audit trail says of it. */
async function setScene(database: Database): Promise<void> {
  await loadSupport(database);
  await asSuperuser(database, async (sql) => {
    await runScript(sql, join(PROJECT, "tests", "matrix", "scene.sql"), "tests/matrix/scene.sql");
    await sql`select private.seal_audit()`;
  });
}

/** Tries the cells of a share of the objects; the share with the first also compares the catalogue. */
async function runCells(
  sql: postgres.Sql,
  declaration: Declaration,
  share: Share,
  print: Print,
): Promise<Outcome> {
  const objects = await readObjects(sql, declaration);
  const names = [
    ...new Set(objects.relations.map(({ name }) => name)),
    ...objects.buckets.map((id) => `bucket ${id}`),
    ...objects.functions.map(({ name }) => name),
  ];
  const mine = new Set(names.filter(share));
  const wanted = (object: string) => mine.has(object);
  const cells = await observe(sql, declaration, objects, wanted);
  printUndeclared(declaration, cells, print);
  const outcomes = [report("cells", compareCells(declaration, cells, wanted), print)];
  if (share(names, 0)) {
    outcomes.push(report("catalogue", await compareCoverage(sql, declaration, objects), print));
  }
  return sum(outcomes);
}

/** Makes a share of the mistakes, one by one. */
async function runBreaches(
  sql: postgres.Sql,
  declaration: Declaration,
  share: Share,
  print: Print,
): Promise<Outcome> {
  const outcomes: Outcome[] = [];
  for (const breach of BREACHES.filter(share)) {
    outcomes.push(
      await runCheck({
        name: `the matrix sees: ${breach.sql}`,
        run: () => tryBreach(sql, declaration, breach),
      }, print),
    );
  }
  return sum(outcomes);
}

/** What was found for objects that have no cells yet: their rows, to be thought over and declared. */
function printUndeclared(declaration: Declaration, cells: Cell[], print: Print): void {
  const declared = new Set(rowsOf(declaration).map(({ object }) => object));
  const rows = Map.groupBy(
    cells.filter(({ object }) => !declared.has(object)),
    ({ object, action }) => `${object}, ${action}`,
  );
  for (const [name, found] of rows) {
    printIndented(`${name}: "${found.map(({ value }) => value).join(" ")}"`, print);
  }
}

/** Makes the mistake, and says which assertions fail that should not, or should and do not. */
async function tryBreach(
  sql: postgres.Sql,
  declaration: Declaration,
  { sql: mistake, objects: names, fails }: Breach,
): Promise<string> {
  const wanted = (object: string) => names.includes(object);
  let failing: string[] = [];
  await sql.begin(async (tx) => {
    await tx.unsafe(`set local role postgres; ${mistake}; reset role;`);
    const objects = await readObjects(tx, declaration);
    const cells = await observe(tx, declaration, objects, wanted);
    failing = [
      ...compareCells(declaration, cells, wanted),
      ...await compareCoverage(tx, declaration, objects),
    ].filter(isWrong).map(({ name }) => name);
    throw new Undo();
  }).catch((error) => {
    if (!(error instanceof Undo)) throw error;
  });
  return [
    ...fails.filter((name) => !failing.includes(name)).map((name) => `not seen by ${name}`),
    ...failing.filter((name) => !fails.includes(name)).map((name) => `fails, too: ${name}`),
  ].join("\n");
}

class Undo extends Error {}

function isWrong({ expected, found }: Assertion): boolean {
  return expected !== found;
}

function report(title: string, assertions: Assertion[], print: Print): Outcome {
  const wrong = assertions.filter(isWrong);
  print(`${wrong.length ? "FAIL" : "ok  "}  ${title} (${assertions.length})`);
  for (const { name, expected, found } of wrong) {
    printIndented(`${name}: declared ${expected}, found ${found}`, print);
  }
  return { passed: assertions.length - wrong.length, failed: wrong.length };
}

async function compareDocument(declaration: Declaration): Promise<string> {
  const written = await Deno.readTextFile(DOCUMENT).catch(() => "");
  return written === await formatted(renderMatrix(declaration))
    ? ""
    : "docs/access-matrix.md is not up to date: run deno task docs:matrix";
}

/** Aligns the tables as the check of formats wants them. */
async function formatted(markdown: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", "md", "-"],
    cwd: PROJECT,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(markdown));
  await writer.close();
  const { success, stdout } = await child.output();
  if (!success) throw new Error("deno fmt could not format the access matrix");
  return new TextDecoder().decode(stdout);
}

if (import.meta.main) {
  const { declared, write } = parseArgs(Deno.args, { boolean: ["declared", "write"] });
  if (write) {
    await Deno.writeTextFile(DOCUMENT, await formatted(renderMatrix(await readDeclaration())));
  } else {
    const run = (print: Print) => runMatrixTests(print, { declared });
    if (!await runSuites([{ name: "matrix", run }])) Deno.exit(1);
  }
}
