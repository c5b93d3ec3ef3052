// What may be printed of an error. PostgreSQL's messages and details quote the values of rows, which
// are nobody's business but the caller's; a log gets the kind of error and its place.

import postgres from "postgres";

/** Kind and place of an error, without any value. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  if (!(error instanceof postgres.PostgresError)) return (error.stack ?? error.name).slice(0, 2000);
  const place = /PL\/pgSQL function [^\n]* line \d+/.exec(error.where ?? "")?.[0];
  return [error.name, error.code, error.constraint_name, place].filter(Boolean).join(" ");
}

/**
 * Makes every error of PostgreSQL print as {@link describeError} says, also where a library prints
 * it: Lite hands what it did not expect to the console as it came.
 */
export function hideRowsInErrors(): void {
  Object.defineProperty(
    postgres.PostgresError.prototype,
    Symbol.for("nodejs.util.inspect.custom"),
    {
      configurable: true,
      value(this: postgres.PostgresError) {
        return describeError(this);
      },
    },
  );
}
