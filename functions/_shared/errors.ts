// The closed list of failures that callers may meet, and the one place that renders them. SQL raises
// the same codes; database_errors.ts brings them here.

import { HTTPException } from "hono/http-exception";

/** Every code with its HTTP status and title. A code is never renamed: clients branch on it. */
export const PROBLEMS = {
  invalid_request: { status: 400, title: "Invalid request" },
  unauthenticated: { status: 401, title: "Not signed in" },
  forbidden: { status: 403, title: "Forbidden" },
  mfa_required: { status: 403, title: "Second factor required" },
  not_verified: { status: 403, title: "Account not verified" },
  not_found: { status: 404, title: "Not found" },
  method_not_allowed: { status: 405, title: "Method not allowed" },
  already_shared: { status: 409, title: "Already shared" },
  already_in_care: { status: 409, title: "Already in care" },
  already_objected: { status: 409, title: "Already objected" },
  already_reviewed: { status: 409, title: "Already reviewed" },
  already_answered: { status: 409, title: "Already answered" },
  already_deleted: { status: 409, title: "Already deleted" },
  already_ended: { status: 409, title: "Already ended" },
  already_participant: { status: 409, title: "Already a participant" },
  already_requested: { status: 409, title: "Already requested" },
  already_uploaded: { status: 409, title: "Already uploaded" },
  client_id_reused: { status: 409, title: "Client id reused" },
  conversation_full: { status: 409, title: "Conversation full" },
  edit_window_over: { status: 409, title: "Edit window over" },
  head_conflict: { status: 409, title: "Head conflict" },
  limit_reached: { status: 409, title: "Limit reached" },
  not_sealed: { status: 409, title: "Not sealed yet" },
  review_pending: { status: 409, title: "Review pending" },
  upload_missing: { status: 409, title: "Upload missing" },
  payload_too_large: { status: 413, title: "Payload too large" },
  unsupported_media_type: { status: 415, title: "Unsupported media type" },
  file_mismatch: { status: 422, title: "File mismatch" },
  wrong_patient: { status: 422, title: "Wrong patient" },
  rate_limited: { status: 429, title: "Rate limited" },
  internal: { status: 500, title: "Internal error" },
  unavailable: { status: 503, title: "Unavailable" },
} as const;

export type ProblemCode = keyof typeof PROBLEMS;

/** Whether a text is a code of the list. */
export function isProblemCode(text: string): text is ProblemCode {
  return Object.hasOwn(PROBLEMS, text);
}

/** One part of a request that is wrong. Neither field repeats a value that the caller sent. */
export interface ProblemDetail {
  /** Where it is, for example `file_size` or `Bundle.entry[3].resource`; empty for the whole. */
  path: string;
  message: string;
  /** Characters before the fault, counted from 0, where `path` is a text with a grammar. */
  position?: number;
}

interface AppErrorOptions extends ErrorOptions {
  details?: ProblemDetail[];
  /** Seconds after which another try makes sense; sent as `Retry-After`. */
  retryAfterSeconds?: number;
}

/** A failure the caller can act on; anything else thrown becomes `internal`. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly details?: ProblemDetail[];
  readonly retryAfterSeconds?: number;

  constructor(readonly code: ProblemCode, detail: string, options: AppErrorOptions = {}) {
    super(detail, { cause: options.cause });
    this.details = options.details;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** Reads any thrown value as a failure of the list; what is not known is `internal`. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  if (thrown instanceof HTTPException && thrown.status === 400) {
    return new AppError("invalid_request", "Cannot parse the request", { cause: thrown });
  }
  return new AppError("internal", PROBLEMS.internal.title, { cause: thrown });
}

/** Renders any thrown value as the failure envelope. An unknown error shows no detail. */
export function toFailure(thrown: unknown, request_id: string, now: Date): Response {
  const { code, message, details, retryAfterSeconds } = toAppError(thrown);
  const headers = new Headers();
  if (code === "unauthenticated") headers.set("WWW-Authenticate", "Bearer");
  if (retryAfterSeconds !== undefined) headers.set("Retry-After", String(retryAfterSeconds));
  return Response.json(
    {
      success: false,
      error: { code, message, details, request_id },
      timestamp: now.toISOString(),
    },
    { status: PROBLEMS[code].status, headers },
  );
}
