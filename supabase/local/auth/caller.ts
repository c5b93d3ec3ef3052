// Who makes a request: which API key it carries, and whose token, checked against the database as
// hosted Supabase checks it.

import { AuthError } from "./errors.ts";
import type { AuthService } from "./service.ts";
import { type AccessClaims, bearerToken, TokenError } from "./tokens.ts";
import { type Account, accountColumns, isBanned } from "./users.ts";

/** A signed-in user. */
export interface Caller {
  claims: AccessClaims;
  account: Account;
  session: CallerSession;
}

/** A live session, as read inside a JSON object: `created_at` is a text of PostgreSQL. */
export interface CallerSession {
  id: string;
  aal: "aal1" | "aal2" | null;
  created_at: string;
}

/** Role that an API key stands for. */
export type KeyRole = "anon" | "service_role";

/** Paths that a browser is sent to, or that hold public keys; they need no API key. */
const OPEN_PATHS = /^\/auth\/v1\/(?:(?:verify|callback|authorize)$|\.well-known\/)/;

/**
 * The role of the request's API key, or the answer that refuses the request: every path needs a
 * key, but for those that browsers are sent to.
 */
export function apiKeyRole({ context }: AuthService, request: Request): KeyRole | Response {
  const url = new URL(request.url);
  const key = request.headers.get("apikey") ?? url.searchParams.get("apikey");
  if (!key) {
    if (OPEN_PATHS.test(url.pathname)) return "anon";
    return refuse(
      "No API key found in request",
      "No `apikey` request header or url param was found.",
    );
  }
  if (key === context.keys.publishable) return "anon";
  if (key !== context.keys.secret) {
    return refuse("Invalid API key", "Double check your Supabase `apikey`");
  }
  if (/^\s*Mozilla\/5\.0/i.test(request.headers.get("user-agent") ?? "")) {
    return refuse("Forbidden use of secret API key in browser");
  }
  return "service_role";
}

function refuse(message: string, hint?: string): Response {
  return Response.json({ message, ...hint ? { hint } : {} }, { status: 401 });
}

/**
 * The signed-in user of a request.
 *
 * @throws {AuthError} `no_authorization`, `bad_jwt`, `user_not_found`, `session_not_found` or
 *   `user_banned`, in the order in which hosted Supabase checks.
 */
export async function requireCaller(service: AuthService, request: Request): Promise<Caller> {
  const claims = await readClaims(service, request);
  if (!claims) throw noAuthorization();
  const { sub = "", session_id = "" } = claims;
  if (!isUuid(sub)) throw new AuthError(403, "bad_jwt", "invalid claim: missing sub claim");
  const [row] = await service.read<(Account & { session: CallerSession | null })[]>`
    select ${accountColumns(service.read)}, (
      select to_jsonb(s) from auth.sessions as s
      where s.id = ${isUuid(session_id) ? session_id : null} and s.user_id = u.id
    ) as session
    from auth.users as u where u.id = ${sub}`;
  if (!row) {
    throw new AuthError(403, "user_not_found", "User from sub claim in JWT does not exist");
  }
  const { session, ...account } = row;
  if (!session) {
    throw new AuthError(
      403,
      "session_not_found",
      "Session from session_id claim in JWT does not exist",
    );
  }
  if (isBanned(account, service.now())) throw new AuthError(403, "user_banned", "User is banned");
  return { claims, account, session };
}

/**
 * Lets administrators pass: the secret key without a user's token, or a token of that role.
 *
 * @throws {AuthError} `no_authorization` without either, `not_admin` for any other user.
 */
export async function requireAdmin(
  service: AuthService,
  request: Request,
  role: KeyRole,
): Promise<void> {
  const claims = await readClaims(service, request);
  if (!claims && role !== "service_role") throw noAuthorization();
  if (claims && claims.role !== "service_role") {
    throw new AuthError(403, "not_admin", "User not allowed");
  }
}

async function readClaims(
  service: AuthService,
  request: Request,
): Promise<AccessClaims | undefined> {
  try {
    const token = bearerToken(request);
    return token === undefined ? undefined : await service.tokens.verify(token);
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    if (!/^Bearer +\S/i.test(request.headers.get("authorization") ?? "")) throw noAuthorization();
    const why = error.fault === "expired" ? "token is expired" : error.message;
    throw new AuthError(
      403,
      "bad_jwt",
      `invalid JWT: unable to parse or verify signature, ${why}`,
    );
  }
}

function noAuthorization(): AuthError {
  return new AuthError(
    401,
    "no_authorization",
    "This endpoint requires a valid Bearer token",
  );
}

/** Whether a text is a UUID, so that it may be compared with an id. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}
