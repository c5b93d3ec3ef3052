// Splits SQL files into statements with PostgreSQL's own parser, so that each can be run alone and
// an error can name the file and the line.

import { parse, SqlError } from "libpg-query";
import postgres from "postgres";

/** One statement of a file. */
export interface Statement {
  /** The statement without the blank lines and comments before it. */
  text: string;
  /** Line in the file on which it begins, from 1. */
  line: number;
  /** Kind of a transaction statement, for example `TRANS_STMT_BEGIN`; undefined for all others. */
  transaction?: string;
}

/** An SQL error with its place; `message` opens with `<file>:<line>: `. */
export class SqlScriptError extends Error {
  override readonly name = "SqlScriptError";
}

/** What of the parser's result is used here; offsets and lengths are bytes, 0 when left out. */
interface Parsed {
  stmts?: {
    stmt?: { TransactionStmt?: { kind: string } };
    stmt_location?: number;
    stmt_len?: number;
  }[];
}

/** Parses the text of an SQL file; throws {@link SqlScriptError} where it is no SQL. */
export async function splitScript(file: string, sql: string): Promise<Statement[]> {
  const { stmts }: Parsed = await parse(sql).catch((error) => {
    if (!(error instanceof SqlError)) throw error;
    const at = error.sqlDetails?.cursorPosition ?? 0;
    throw new SqlScriptError(`${file}:${lineAt(sql, at)}: ${error.message}`, { cause: error });
  });
  // JavaScript counts UTF-16 units.
  const bytes = new TextEncoder().encode(sql);
  const decode = (from: number, to?: number) => new TextDecoder().decode(bytes.subarray(from, to));
  return (stmts ?? []).map(({ stmt, stmt_location: from = 0, stmt_len: length }) => {
    const raw = decode(from, length ? from + length : undefined);
    const blank = /^(?:\s+|--.*|\/\*[\s\S]*?\*\/)*/.exec(raw)![0];
    const line = lineAt(sql, decode(0, from).length + blank.length);
    return { text: raw.slice(blank.length), line, transaction: stmt?.TransactionStmt?.kind };
  });
}

/** Reads and runs the file, statement by statement, on one connection. */
export async function runScript(
  sql: postgres.Sql | postgres.TransactionSql,
  path: string,
  name: string,
): Promise<void> {
  const statements = await splitScript(name, await Deno.readTextFile(path));
  for (const statement of statements) {
    await sql.unsafe(statement.text).catch((error) => {
      throw placed(error, name, statement);
    });
  }
}

/** Adds file and line to an error that PostgreSQL raised for `statement`. */
export function placed(error: unknown, file: string, statement: Statement): unknown {
  if (!(error instanceof postgres.PostgresError)) return error;
  const inside = error.position ? lineAt(statement.text, Number(error.position) - 1) - 1 : 0;
  const { message, code, detail, hint, where } = error;
  const more = [detail, hint, where].filter((text) => text).map((text) => `\n  ${text}`).join("");
  return new SqlScriptError(`${file}:${statement.line + inside}: ${message} (${code})${more}`, {
    cause: error,
  });
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}
