// Errors of `/auth/v1`, in the two shapes that clients ask for: the one of API version 2024-01-01,
// and the older one for clients that name no version.

import { describeError } from "../log_errors.ts";

const VERSION_HEADER = "x-supabase-api-version";
const VERSION = "2024-01-01";

/** A failure that the client is told about. */
export class AuthError extends Error {
  override readonly name = "AuthError";

  /**
   * @param status HTTP status.
   * @param code Error code of Supabase Auth, for example `user_banned`.
   * @param extra Further fields of the body, for example the reasons of a weak password.
   */
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly extra: Record<string, unknown> = {},
  ) {
    super(message);
  }
}

/** Shorthand for the commonest failure: a body or query that breaks a rule. */
export function invalid(message: string, status = 400): AuthError {
  return new AuthError(status, "validation_failed", message);
}

/** Sign-in by phone needs an SMS provider, which the project has none of. */
export function phoneDisabled(): AuthError {
  return new AuthError(400, "phone_provider_disabled", "Phone signups are disabled");
}

/** Answers a failure in the shape of the version that `request` names. */
export function errorResponse(error: AuthError, request: Request): Response {
  const { status, code, message, extra } = error;
  const modern = (request.headers.get(VERSION_HEADER) ?? "") >= VERSION;
  const headers: Record<string, string> = { "x-sb-error-code": code };
  if (modern) headers[VERSION_HEADER] = VERSION;
  const body = modern
    ? { code, message, ...extra }
    : { code: status, error_code: code, msg: message, ...extra };
  return Response.json(body, { status, headers });
}

/** Answers any thrown value; what was not foreseen shows nothing of itself. */
export function failureResponse(thrown: unknown, request: Request): Response {
  if (thrown instanceof AuthError) return errorResponse(thrown, request);
  console.error(`auth: unforeseen error: ${describeError(thrown)}`);
  return errorResponse(
    new AuthError(500, "unexpected_failure", "Unexpected failure, please check server logs"),
    request,
  );
}
