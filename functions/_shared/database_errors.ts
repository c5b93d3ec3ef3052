// From what PostgreSQL and its driver throw to the list of errors.ts: by code, never by reading
// English.

import pg from "pg";
import { AppError, isProblemCode, PROBLEMS } from "./errors.ts";

/** Seconds to wait before another try when the database cannot be reached or is overloaded. */
const RETRY_AFTER_SECONDS = 5;

/**
 * SQLSTATE classes and codes that pass with time: no connection (08), no resources (53), the server
 * is shutting down or starting (57P), a statement ran too long (57014), a lock could not be had or a
 * transaction lost a race (55P03, 40).
 */
const TRANSIENT_STATES = /^(08|40|53|57P|57014$|55P03$)/;

/**
 * SQLSTATEs of a value that the database cannot take: text it cannot store (22021, 22P05), text that
 * is not of its type (22P02, 22007, 22032), too long or out of range (22001, 22003, 22008), or
 * against a constraint that no function translated (23502, 23514).
 */
const BAD_VALUE_STATES = new Set([
  "22001",
  "22003",
  "22007",
  "22008",
  "22021",
  "22032",
  "22P02",
  "22P05",
  "23502",
  "23514",
]);

/** What PostgreSQL says of a statement that failed. */
export interface ServerError extends Error {
  /** SQLSTATE. */
  code: string;
  detail?: string;
}

export function isServerError(thrown: unknown): thrown is ServerError {
  return thrown instanceof pg.DatabaseError;
}

/** A connection could not be had, broke, or gave no answer in time. */
export class DatabaseUnreachable extends Error {
  override readonly name = "DatabaseUnreachable";
  constructor(cause: unknown) {
    super("The database does not answer", { cause });
  }
}

/** Turns what a statement threw into an `AppError`; what it does not know it gives back unchanged. */
export function fromDatabase(thrown: unknown): unknown {
  if (isServerError(thrown)) return fromServer(thrown);
  if (thrown instanceof DatabaseUnreachable) return unavailable(thrown);
  return thrown;
}

function fromServer(error: ServerError): unknown {
  const { code, message, detail } = error;
  if (code.startsWith("PT")) {
    const known = isProblemCode(message) && code === `PT${PROBLEMS[message].status}`;
    return known
      ? new AppError(message, detail || PROBLEMS[message].title, { cause: error })
      : error;
  }
  if (TRANSIENT_STATES.test(code)) return unavailable(error);
  if (BAD_VALUE_STATES.has(code)) {
    return new AppError("invalid_request", "The database cannot store a value of the request", {
      cause: error,
    });
  }
  // A grant or a policy refused: whoever may see the row but not do this.
  if (code === "42501") {
    return new AppError("forbidden", PROBLEMS.forbidden.title, { cause: error });
  }
  return error;
}

function unavailable(cause: unknown): AppError {
  return new AppError("unavailable", "The database does not answer", {
    cause,
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}
