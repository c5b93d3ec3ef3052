// Runs one pgTAP file on one connection and reads what it asserted.

import type postgres from "postgres";
import { Parser } from "tap-parser";
import type { Outcome } from "./report.ts";
import { placed, splitScript, type Statement } from "./sql_script.ts";

/** What one file asserted. */
export interface PgtapResult extends Outcome {
  /** One text a failure: place, description, pgTAP's diagnostics. */
  failures: string[];
}

/** How a file is run other than as it stands. */
export interface PgtapOptions {
  /**
   * SQL that runs in the file's transaction right after its `begin`, and so is undone with it. An
   * error in it is no result of the file: `runPgtap` throws it.
   */
  prelude?: string;
  /** Whether to leave out what follows the first failure; then no plan is asked for. */
  stopAtFailure?: boolean;
}

/**
 * Runs the file's statements one by one, as psql would.
 *
 * Besides failed assertions these fail: an SQL error, a plan that is not met, a file without any
 * assertion, and one that is not a single transaction from `begin` to `rollback`. After it the
 * connection is outside a transaction and its role is reset, whatever the file did.
 *
 * @param connection Pool of exactly one connection.
 * @param file Name for messages.
 */
export async function runPgtap(
  connection: postgres.Sql,
  file: string,
  text: string,
  { prelude, stopAtFailure = false }: PgtapOptions = {},
): Promise<PgtapResult> {
  const tap: TapLines = { text: "", lineOf: new Map(), failed: false };
  const failures: string[] = [];
  let stopped = false;
  try {
    const statements = await splitScript(file, text);
    refuseCommits(file, statements);
    for (const [i, statement] of statements.entries()) {
      const rows = await connection.unsafe(statement.text).catch((error) => {
        throw placed(error, file, statement);
      });
      collect(rows, statement.line, tap);
      if (i === 0 && prelude) await runPrelude(connection, prelude);
      stopped = stopAtFailure && tap.failed;
      if (stopped) break;
    }
  } catch (error) {
    if (error instanceof PreludeError) throw error;
    failures.push(error instanceof Error ? error.message : String(error));
  } finally {
    await connection.unsafe("rollback; reset all; reset role");
  }
  const read = readTap(tap, file);
  // What is missing from the plan after an SQL error is no news.
  if (failures.length === 0 && !stopped) failures.push(...read.unplanned);
  failures.unshift(...read.failures);
  return { passed: read.passed, failed: failures.length, failures };
}

/** What a prelude did wrong; its `cause` is what PostgreSQL said. */
export class PreludeError extends Error {
  override readonly name = "PreludeError";
}

async function runPrelude(connection: postgres.Sql, prelude: string): Promise<void> {
  await connection.unsafe(prelude).catch((error) => {
    throw new PreludeError(`Cannot run the prelude: ${error.message}\n  ${prelude}`, {
      cause: error,
    });
  });
}

interface TapLines {
  text: string;
  /** Whether an assertion has failed. */
  failed: boolean;
  /** Line of the file that made each assertion, by the assertion's number. */
  lineOf: Map<number, number>;
}

/** A file that commits would leave its rows to the files after it. */
function refuseCommits(file: string, statements: Statement[]): void {
  const kinds = statements.map(({ transaction }) => transaction);
  if (kinds[0] !== "TRANS_STMT_BEGIN") {
    throw new Error(`${file}:1: the first statement is not begin`);
  }
  if (kinds.at(-1) !== "TRANS_STMT_ROLLBACK") {
    throw new Error(`${file}: the last statement is not rollback`);
  }
  const inner = statements.slice(1, -1).find(({ transaction }) =>
    transaction !== undefined && !/SAVEPOINT|ROLLBACK_TO|RELEASE/.test(transaction)
  );
  if (inner) throw new Error(`${file}:${inner.line}: the transaction ends before the file does`);
}

/** pgTAP answers in rows of text, several lines in one when an assertion fails. */
function collect(rows: Record<string, unknown>[], line: number, tap: TapLines): void {
  for (const value of rows.flatMap((row) => Object.values(row))) {
    if (typeof value !== "string") continue;
    for (const [result, id] of value.matchAll(/^(?:not )?ok (\d+)/gm)) {
      tap.lineOf.set(Number(id), line);
      tap.failed ||= result.startsWith("not");
    }
    tap.text += `${value}\n`;
  }
}

function readTap({ text, lineOf }: TapLines, file: string) {
  const failures: string[] = [];
  const unplanned: string[] = [];
  let passed = 0;
  for (const [event, value] of Parser.parse(text)) {
    if (event === "assert") {
      if (value.ok || value.todo) passed++;
      else failures.push(`${file}:${lineOf.get(value.id) ?? "?"}: ${value.name}`);
    } else if (event === "comment" && failures.length > 0 && /^#\s{2,}/.test(value)) {
      // Diagnostics follow the assertion they belong to.
      failures.push(`${failures.pop()}\n${value.replace(/^#/, " ").trimEnd()}`);
    } else if (event === "complete") {
      const planned = value.plan.end ?? 0;
      if (value.count === 0) unplanned.push(`${file}: asserts nothing`);
      else if (value.count !== planned) {
        unplanned.push(`${file}: ${planned} assertions planned, ${value.count} made`);
      }
    }
  }
  return { passed, failures, unplanned };
}
