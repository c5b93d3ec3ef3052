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
): Promise<PgtapResult> {
  const tap: TapLines = { text: "", lineOf: new Map() };
  const failures: string[] = [];
  try {
    const statements = await splitScript(file, text);
    refuseCommits(file, statements);
    for (const statement of statements) {
      const rows = await connection.unsafe(statement.text).catch((error) => {
        throw placed(error, file, statement);
      });
      collect(rows, statement.line, tap);
    }
  } catch (error) {
    failures.push(error instanceof Error ? error.message : String(error));
  } finally {
    await connection.unsafe("rollback; reset all; reset role");
  }
  const read = readTap(tap, file);
  // What is missing from the plan after an SQL error is no news.
  if (failures.length === 0) failures.push(...read.unplanned);
  failures.unshift(...read.failures);
  return { passed: read.passed, failed: failures.length, failures };
}

interface TapLines {
  text: string;
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
    for (const [, id] of value.matchAll(/^(?:not )?ok (\d+)/gm)) tap.lineOf.set(Number(id), line);
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
