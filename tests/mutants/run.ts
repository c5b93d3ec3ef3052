// Runs the database suite on each mutant until a file notices it. A mutant is made inside a file's
// own transaction, right after its `begin`, and is gone with it: thousands need no database of
// their own.

import { basename } from "@std/path";
import type postgres from "postgres";
import { adminConnection, createDatabase } from "../../supabase/local/database.ts";
import { PreludeError, runPgtap } from "../../tools/pgtap.ts";
import { type Print, printIndented } from "../../tools/report.ts";
import { createDeclared } from "../../tools/schema.ts";
import { allFiles, loadSupport } from "../../tools/test_db.ts";
import { withCluster } from "../../tools/throwaway.ts";
import { deriveMutants } from "./derive.ts";
import type { Equivalent } from "./equivalent.ts";
import type { Mutant } from "./mutant.ts";
import { Order, type SuiteFile } from "./order.ts";

/** What to mutate and by what it should be noticed. */
export interface MutantRun {
  /** Folder of the pgTAP files; tests/database when there is none. */
  suite?: string;
  /** Texts of which a mutant's name contains one; all mutants when there is none. */
  only?: string[];
  /** Mutants that cannot be noticed. */
  equivalent: Equivalent[];
  /** Whether to print for every mutant by what it was noticed. */
  verbose?: boolean;
}

/** How a run ended. */
export interface MutantOutcome {
  caught: number;
  total: number;
  /** What makes the run fail besides mutants that nobody noticed. */
  problems: string[];
}

/** A progress line is printed after so many mutants. */
const PROGRESS = 250;

/** Derives the mutants of the declared schema and runs the suite on each. */
export async function runMutants(print: Print, run: MutantRun): Promise<MutantOutcome> {
  return await withCluster(async (port) => {
    const template = await createDeclared(port, "mutants");
    await loadSupport(template);
    const connections: postgres.Sql[] = [];
    try {
      for (let lane = 0; lane < navigator.hardwareConcurrency; lane++) {
        await createDatabase(port, `mutants_${lane}`, template.name);
        connections.push(adminConnection(port, `mutants_${lane}`));
      }
      return await runOn(connections, print, run);
    } finally {
      await Promise.all(connections.map((connection) => connection.end()));
    }
  });
}

async function runOn(
  connections: postgres.Sql[],
  print: Print,
  { suite, only = [], equivalent, verbose }: MutantRun,
): Promise<MutantOutcome> {
  const wanted = (name: string) => only.length === 0 || only.some((text) => name.includes(text));
  const mutants = (await deriveMutants(connections[0]!)).filter(({ name }) => wanted(name));
  const problems: string[] = [];
  const { files, failed } = await runUnchanged(connections, await allFiles(suite));
  problems.push(...failed);
  if (files.length === 0) problems.push("No file of the suite passes on the unchanged database");
  if (mutants.length === 0) problems.push(`No mutant's name contains ${only.join(" or ")}`);

  const order = new Order(files);
  const names = new Set(mutants.map(({ name }) => name));
  const listed = new Set(equivalent.map(({ mutant }) => mutant));
  for (const mutant of listed) {
    if (wanted(mutant) && !names.has(mutant)) {
      problems.push(`Listed as equivalent, but there is no such mutant: ${mutant}`);
    }
  }
  const tally = { caught: 0, done: 0, equivalent: 0 };
  await eachIn(connections, mutants, async (connection, mutant) => {
    const { noticed, broken } = await runMutant(connection, mutant, order);
    if (listed.has(mutant.name)) {
      tally.equivalent++;
      if (noticed) problems.push(`Listed as equivalent, but noticed: ${mutant.name}\n${noticed}`);
    } else if (noticed) tally.caught++;
    else {
      print(`${broken ? "BROKEN  " : "SURVIVED"}  ${mutant.name}`);
      printIndented(broken ?? mutant.sql, print);
    }
    if (verbose && noticed) print(`caught    ${mutant.name}\n          ${noticed.split("\n")[0]}`);
    if (++tally.done % PROGRESS === 0) print(`… ${tally.done} of ${mutants.length}`);
  });
  if (tally.equivalent > 0) print(`${tally.equivalent} without effect, listed with the reason`);
  return { caught: tally.caught, total: mutants.length - tally.equivalent, problems };
}

/** Hands the items out to the connections, one at a time to each. */
async function eachIn<Item>(
  connections: postgres.Sql[],
  items: Item[],
  work: (connection: postgres.Sql, item: Item) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  await Promise.all(connections.map(async (connection) => {
    for (let item = waiting.shift(); item; item = waiting.shift()) await work(connection, item);
  }));
}

/** A file that fails anyway proves nothing about a mutant: it is left out, and a problem. */
async function runUnchanged(
  connections: postgres.Sql[],
  paths: string[],
): Promise<{ files: SuiteFile[]; failed: string[] }> {
  const files: SuiteFile[] = [];
  const failed: string[] = [];
  await eachIn(connections, paths, async (connection, path) => {
    const name = basename(path);
    const text = await Deno.readTextFile(path);
    const began = performance.now();
    const { failures } = await runFile(connection, { name, text });
    const seconds = (performance.now() - began) / 1000;
    if (failures.length === 0) files.push({ name, text, seconds });
    else failed.push(`Fails on the unchanged database: ${failures[0]}`);
  });
  return { files: files.sort((a, b) => a.name < b.name ? -1 : 1), failed };
}

/** What became of a mutant: the failure by which a file noticed it, or why it could not be made. */
interface Verdict {
  noticed?: string;
  broken?: string;
}

async function runMutant(
  connection: postgres.Sql,
  mutant: Mutant,
  order: Order,
): Promise<Verdict> {
  try {
    for (const file of order.for(mutant)) {
      const { failures: [noticed] } = await runFile(connection, file, mutant.sql);
      order.learn(mutant, file, noticed !== undefined);
      if (noticed !== undefined) return { noticed };
    }
    return {};
  } catch (error) {
    if (error instanceof PreludeError) return { broken: error.message };
    throw error;
  }
}

async function runFile(
  connection: postgres.Sql,
  { name, text }: Pick<SuiteFile, "name" | "text">,
  prelude?: string,
) {
  await connection`select set_config('statement_timeout', '60s', false)`;
  return await runPgtap(connection, name, text, { prelude, stopAtFailure: true });
}
