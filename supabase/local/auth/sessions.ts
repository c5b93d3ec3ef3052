// Sessions: how one begins, what its access token says, and how it is refreshed. A session lives
// for the settings' time box; its refresh tokens form a chain in which only the last is good.

import { z } from "zod";
import { AuthError } from "./errors.ts";
import { runHook } from "./hooks.ts";
import type { AuthService, ClientInfo, Db } from "./service.ts";
import { AUDIENCE } from "./tokens.ts";
import { type Account, getById, isBanned, updateUser, userJson } from "./users.ts";

/** Row of auth.sessions. */
export interface SessionRow {
  id: string;
  user_id: string;
  aal: "aal1" | "aal2" | null;
  factor_id: string | null;
  not_after: Date | null;
  created_at: Date;
}

/** A session and its tokens, as clients get it. */
export interface TokenResponse {
  access_token: string;
  token_type: "bearer";
  expires_in: number;
  expires_at: number;
  refresh_token: string;
  user: Record<string, unknown>;
}

/** How a session can be proved; the names are those of the claim `amr`. */
export type Method =
  | "password"
  | "otp"
  | "oauth"
  | "totp"
  | "anonymous"
  | "recovery"
  | "magiclink"
  | "invite"
  | "email/signup"
  | "email_change";

/** Begins a session and answers its first tokens. */
export async function startSession(
  service: AuthService,
  tx: Db,
  userId: string,
  method: Method,
  client: ClientInfo,
): Promise<TokenResponse> {
  const now = service.now();
  const id = crypto.randomUUID();
  // With its origin at once, as hosted Auth does, for whoever looks at new rows.
  await tx`
    insert into auth.sessions (id, user_id, aal, ip, user_agent, created_at, updated_at)
    values (${id}, ${userId}, 'aal1', ${client.ip}::inet, ${client.userAgent}, ${now}, ${now})`;
  await adoptSession(service, tx, id, client);
  await addMethod(service, tx, id, method);
  await updateUser(tx, userId, { last_sign_in_at: now }, now);
  const refreshToken = await addRefreshToken(service, tx, { userId, sessionId: id });
  return await issueTokens(service, tx, { sessionId: id, refreshToken, method, ip: client.ip });
}

/** Gives a session its end and notes where it began. */
export async function adoptSession(
  { settings }: AuthService,
  tx: Db,
  id: string,
  { ip, userAgent }: ClientInfo,
): Promise<void> {
  const { timebox = null } = settings.sessions;
  await tx`
    update auth.sessions set
      ip = ${ip}::inet,
      user_agent = ${userAgent},
      not_after = created_at + ${timebox}::double precision * interval '1 millisecond'
    where id = ${id}`;
}

/** Notes that a session was proved by `method` now. */
export async function addMethod(
  service: AuthService,
  tx: Db,
  sessionId: string,
  method: Method,
): Promise<void> {
  const now = service.now();
  await tx`
    insert into auth.mfa_amr_claims
      (id, session_id, authentication_method, created_at, updated_at)
    values (${crypto.randomUUID()}, ${sessionId}, ${method}, ${now}, ${now})
    on conflict (session_id, authentication_method) do update set updated_at = excluded.updated_at`;
}

/** Adds a refresh token to a session, as the successor of `parent`. */
export async function addRefreshToken(
  service: AuthService,
  tx: Db,
  { userId, sessionId, parent }: { userId: string; sessionId: string; parent?: string },
): Promise<string> {
  const now = service.now();
  const token = crypto.getRandomValues(new Uint8Array(16)).toBase64({
    alphabet: "base64url",
    omitPadding: true,
  });
  const row = {
    id: crypto.randomUUID(),
    token,
    user_id: userId,
    session_id: sessionId,
    revoked: false,
    parent: parent ?? null,
    created_at: now,
    updated_at: now,
  };
  await tx`insert into auth.refresh_tokens ${tx(row)}`;
  return token;
}

/** Revokes every refresh token of a session. */
export async function revokeRefreshTokens(
  service: AuthService,
  tx: Db,
  sessionId: string,
): Promise<void> {
  await tx`
    update auth.refresh_tokens set revoked = true, updated_at = ${service.now()}
    where session_id = ${sessionId} and not revoked`;
}

/** Signs an access token for a session and answers it with `refreshToken`. */
export async function issueTokens(
  service: AuthService,
  tx: Db,
  { sessionId, refreshToken, method, ip }: {
    sessionId: string;
    refreshToken: string;
    method: Method | "token_refresh";
    ip: string;
  },
): Promise<TokenResponse> {
  const [session] = await tx<(SessionRow & { amr: AmrEntry[] })[]>`
    select s.*, coalesce((
      select jsonb_agg(jsonb_build_object(
        'method', a.authentication_method,
        'timestamp', floor(extract(epoch from a.updated_at))::bigint
      ) order by a.updated_at desc, a.created_at desc)
      from auth.mfa_amr_claims as a where a.session_id = s.id
    ), '[]') as amr
    from auth.sessions as s where s.id = ${sessionId}`;
  if (!session) throw new Error("A session that was just written is gone");
  const account = await getById(tx, session.user_id);
  const expiresIn = service.settings.jwt_expiry;
  const issuedAt = Math.floor(service.context.now() / 1000);
  const claims = {
    iss: service.tokens.issuer,
    sub: account.id,
    aud: account.aud ?? AUDIENCE,
    exp: issuedAt + expiresIn,
    iat: issuedAt,
    email: account.email ?? "",
    phone: account.phone ?? "",
    app_metadata: account.raw_app_meta_data ?? {},
    user_metadata: account.raw_user_meta_data ?? {},
    role: account.role ?? "authenticated",
    aal: assurance(session.amr),
    amr: session.amr,
    session_id: session.id,
    is_anonymous: account.is_anonymous,
  };
  const final = await customClaims(service, tx, { claims, account, method, ip });
  return {
    access_token: await service.tokens.sign(final),
    token_type: "bearer",
    expires_in: expiresIn,
    expires_at: issuedAt + expiresIn,
    refresh_token: refreshToken,
    user: userJson(account),
  };
}

/** One entry of the claim `amr`; `timestamp` in seconds. */
interface AmrEntry {
  method: string;
  timestamp: number;
}

function assurance(amr: AmrEntry[]): "aal1" | "aal2" {
  const second = amr.some(({ method }) => method === "totp" || method.startsWith("mfa/"));
  return second ? "aal2" : "aal1";
}

const RequiredClaims = z.looseObject({
  aud: z.union([z.string(), z.array(z.string())]),
  exp: z.int(),
  iat: z.int(),
  sub: z.string(),
  email: z.string(),
  phone: z.string(),
  role: z.string(),
  aal: z.string(),
  session_id: z.string(),
  is_anonymous: z.boolean(),
});

async function customClaims(
  service: AuthService,
  tx: Db,
  { claims, account, method, ip }: {
    claims: Record<string, unknown>;
    account: Account;
    method: string;
    ip: string;
  },
): Promise<Record<string, unknown>> {
  const input = { user_id: account.id, claims, authentication_method: method };
  const output = await runHook(service, tx, "custom_access_token", input, ip);
  if (!output) return claims;
  if (typeof output.claims !== "object" || output.claims === null) {
    throw new AuthError(500, "unexpected_failure", "output claims field is missing");
  }
  const parsed = RequiredClaims.safeParse(output.claims);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new AuthError(
    500,
    "unexpected_failure",
    `output claims do not conform to the expected schema: ${issues.join("; ")}`,
  );
}

interface RefreshTokenRow {
  id: string;
  token: string;
  user_id: string;
  session_id: string;
  revoked: boolean;
  parent: string | null;
  updated_at: Date;
}

/**
 * Exchanges a refresh token for new tokens.
 *
 * A token that was exchanged before is good for ten more seconds, and for as long as its successor
 * was not used: the client may have lost the answer. Any other repeat means that somebody else has
 * the token too, and ends every token of the session.
 *
 * @throws {AuthError} `refresh_token_not_found`, `refresh_token_already_used`, `session_expired`,
 *   `user_banned`.
 */
export async function refreshSession(
  service: AuthService,
  token: string,
  client: ClientInfo,
): Promise<TokenResponse> {
  const outcome = await service.write(async (tx) => {
    // The lock on the session makes parallel refreshes of one session take turns.
    const [session] = await tx<(SessionRow & { active_at: Date })[]>`
      select s.*, coalesce(s.refreshed_at at time zone 'UTC', s.created_at) as active_at
      from auth.sessions as s
      where s.id = (select session_id from auth.refresh_tokens where token = ${token})
      for update`;
    const [row] = await tx<RefreshTokenRow[]>`
      select * from auth.refresh_tokens where token = ${token}`;
    if (!session || !row) throw refused("refresh_token_not_found", "Refresh Token Not Found");
    await checkRefreshable(service, tx, session);
    const next = row.revoked ? await reuse(service, tx, row) : await rotate(service, tx, row);
    // Answered, not thrown, so that the revocation is committed.
    if (!next) return undefined;
    const ip = client.ip;
    return await issueTokens(service, tx, {
      sessionId: session.id,
      refreshToken: next,
      method: "token_refresh",
      ip,
    });
  });
  if (!outcome) throw refused("refresh_token_already_used", "Already Used");
  return outcome;
}

function refused(code: string, why: string): AuthError {
  return new AuthError(400, code, `Invalid Refresh Token: ${why}`);
}

async function checkRefreshable(
  service: AuthService,
  tx: Db,
  session: SessionRow & { active_at: Date },
): Promise<void> {
  const now = service.now();
  const account = await getById(tx, session.user_id);
  if (isBanned(account, now)) throw refused("user_banned", "User Banned");
  if (session.not_after && session.not_after <= now) {
    throw refused("session_expired", "Session Expired");
  }
  const { inactivity_timeout } = service.settings.sessions;
  const active = session.active_at.getTime();
  if (inactivity_timeout && active + inactivity_timeout <= now.getTime()) {
    throw refused("session_expired", "Session Expired (Inactivity)");
  }
}

async function rotate(service: AuthService, tx: Db, row: RefreshTokenRow): Promise<string> {
  const now = service.now();
  await tx`
    update auth.refresh_tokens set revoked = true, updated_at = ${now} where id = ${row.id}`;
  await tx`
    update auth.sessions set
      refreshed_at = ${now.toISOString()}::timestamptz at time zone 'UTC', updated_at = ${now}
    where id = ${row.session_id}`;
  const { user_id: userId, session_id: sessionId, token: parent } = row;
  return await addRefreshToken(service, tx, { userId, sessionId, parent });
}

/** The token to answer for one that was exchanged before; undefined if it is a theft. */
async function reuse(
  service: AuthService,
  tx: Db,
  row: RefreshTokenRow,
): Promise<string | undefined> {
  const [active] = await tx<RefreshTokenRow[]>`
    select * from auth.refresh_tokens
    where session_id = ${row.session_id} and not revoked order by created_at desc limit 1`;
  if (active?.parent === row.token) return active.token;
  const { refresh_token_reuse_interval, enable_refresh_token_rotation } = service.settings;
  const goodUntil = row.updated_at.getTime() + refresh_token_reuse_interval * 1000;
  if (active && service.context.now() <= goodUntil) return active.token;
  if (enable_refresh_token_rotation) await revokeRefreshTokens(service, tx, row.session_id);
  return undefined;
}
