// Errors of the data API in PostgREST's shape and with its status codes.

import { RelationNotFoundError } from "@supabase/lite";
import { describeError } from "./log_errors.ts";

/** Body of an error of PostgREST. */
export interface RestError {
  code: string;
  message: string;
  details: string | null;
  hint: string | null;
}

/** An error that knows its answer; Lite's server sends it. */
class RestFailure extends Error {
  override readonly name = "RestFailure";
  constructor(readonly status: number, readonly body: RestError, readonly headers?: HeadersInit) {
    super(body.code);
  }

  getResponse(): Response {
    return restErrorResponse(this.status, this.body, this.headers);
  }
}

/** Answers an error of the data API. */
export function restErrorResponse(
  status: number,
  { code, details, hint, message }: RestError,
  headers?: HeadersInit,
): Response {
  const response = Response.json({ code, details, hint, message }, { status, headers });
  response.headers.set("content-type", "application/json; charset=utf-8");
  return response;
}

/** What PostgreSQL says of an error. */
interface DatabaseError {
  code: string;
  message: string;
  detail?: string;
  hint?: string;
}

function isDatabaseError(error: unknown): error is DatabaseError {
  return error instanceof Error && "code" in error && typeof error.code === "string" &&
    /^[0-9A-Z]{5}$/.test(error.code);
}

/** Messages of Lite's parsers, which a client's query or filter causes. */
const PARSER_MESSAGE =
  /Unknown operator|Expected identifier|Invalid filter|Unexpected input|Unsupported operator|failed to parse|^Expected .* at position \d+$|^Expected "\(" for spread embed/;

/** The failure that any error of a data request leads to. */
export function restFailure(error: unknown, role: string): RestFailure {
  if (error instanceof RestFailure) return error;
  if (error instanceof RelationNotFoundError) {
    return new RestFailure(404, plain("PGRST205", error.message));
  }
  if (isDatabaseError(error)) {
    if (error.code === "PGRST") return customFailure(error);
    const { code, message, detail = null, hint = null } = error;
    return new RestFailure(statusOf(error, role), { code, message, details: detail, hint });
  }
  if (error instanceof Error && PARSER_MESSAGE.test(error.message)) {
    const { message } = error;
    return new RestFailure(400, { ...plain("PGRST100", message), details: message });
  }
  console.error(`rest: unforeseen error: ${describeError(error)}`);
  return new RestFailure(500, plain("PGRSTX00", "Internal server error"));
}

function plain(code: string, message: string): RestError {
  return { code, message, details: null, hint: null };
}

/** Status by the whole code; what is not here goes by its class. */
const STATUS: Record<string, number> = {
  "23503": 409,
  "23505": 409,
  "25006": 405,
  "42883": 404,
  "42P01": 404,
  "42P17": 500,
  "53400": 500,
  "57P01": 503,
  P0001: 400,
};

const CLASS_STATUS: Record<string, number> = {
  "08": 503,
  "09": 500,
  "0L": 403,
  "0P": 403,
  "21": 500,
  "25": 500,
  "28": 403,
  "2D": 500,
  "38": 500,
  "39": 500,
  "3B": 500,
  "40": 500,
  "53": 503,
  "54": 500,
  "55": 500,
  "57": 500,
  "58": 500,
  F0: 500,
  HV: 500,
  P0: 500,
  XX: 500,
};

/** The status that PostgREST gives an SQLSTATE. */
function statusOf({ code, message }: DatabaseError, role: string): number {
  if (code === "42501") return role === "anon" ? 401 : 403;
  if (code === "21000" && message.endsWith("requires a WHERE clause")) return 400;
  if (code.startsWith("PT")) {
    const status = Number(code.slice(2));
    return status >= 200 && status <= 599 ? status : 500;
  }
  return STATUS[code] ?? CLASS_STATUS[code.slice(0, 2)] ?? 400;
}

/** `raise sqlstate 'PGRST'`: the message is the body, the detail has status and headers. */
function customFailure({ message, detail }: DatabaseError): RestFailure {
  try {
    const { code, message: text, details = null, hint = null } = JSON.parse(message);
    const { status, headers } = JSON.parse(detail ?? "");
    if (typeof code === "string" && typeof text === "string" && Number.isInteger(status)) {
      return new RestFailure(status, { code, message: text, details, hint }, headers);
    }
  } catch {
    // Answered below, as any other raise that is not of the form.
  }
  const why = `Could not parse JSON in the "RAISE SQLSTATE 'PGRST'" error`;
  return new RestFailure(500, plain("PGRST121", why));
}
