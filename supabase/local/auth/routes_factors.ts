// Multi-factor authentication by authenticator app: enroll, challenge, verify, unenroll. A verified
// code raises the session to `aal2`.

import { z } from "zod";
import { type AuthApp, clientOf } from "./app.ts";
import { readBody, text } from "./body.ts";
import { type Caller, isUuid, requireCaller } from "./caller.ts";
import { AuthError, invalid } from "./errors.ts";
import { askHook } from "./hooks.ts";
import type { AuthService, ClientInfo, Db } from "./service.ts";
import {
  addMethod,
  addRefreshToken,
  issueTokens,
  revokeRefreshTokens,
  type TokenResponse,
} from "./sessions.ts";
import { enroll, type Enrollment, isCode } from "./totp.ts";
import { type FactorRow, lockUser } from "./users.ts";

const CHALLENGE_LIFE_MS = 300_000;
const UNUSED_FACTOR_LIFE_MS = 300_000;

const EnrollBody = z.object({ factor_type: text, friendly_name: text, issuer: text });
const VerifyBody = z.object({ challenge_id: text, code: text });

/** Adds the routes of a person's own factors. */
export function addFactorRoutes(app: AuthApp, service: AuthService): void {
  app.post("/factors", async (c) => {
    const caller = await requireMember(service, c.req.raw);
    const body = await readBody(c.req.raw, EnrollBody);
    return c.json(await enrollFactor(service, caller, body));
  });

  app.post("/factors/:id/challenge", async (c) => {
    const { account } = await requireMember(service, c.req.raw);
    const factor = requireFactor(account.factors, c.req.param("id"));
    return c.json(await challenge(service, factor, clientOf(c)));
  });

  app.post("/factors/:id/verify", async (c) => {
    const caller = await requireMember(service, c.req.raw);
    const factor = requireFactor(caller.account.factors, c.req.param("id"));
    const body = await readBody(c.req.raw, VerifyBody);
    return c.json(await verify(service, caller, factor, body, clientOf(c)));
  });

  app.delete("/factors/:id", async (c) => {
    const { account, session } = await requireMember(service, c.req.raw);
    const factor = requireFactor(account.factors, c.req.param("id"));
    if (factor.status === "verified" && session.aal !== "aal2") {
      throw new AuthError(422, "insufficient_aal", "AAL2 required to unenroll verified factor");
    }
    await service.write((tx) => removeFactor(service, tx, account.id, factor.id));
    return c.json({ id: factor.id });
  });
}

/** The caller, if not anonymous: an anonymous user has no second factor to protect. */
async function requireMember(service: AuthService, request: Request): Promise<Caller> {
  const caller = await requireCaller(service, request);
  if (caller.account.is_anonymous) {
    throw new AuthError(
      403,
      "no_authorization",
      "Anonymous user not allowed to perform these actions",
    );
  }
  return caller;
}

/** The factor with this id among the caller's own. */
export function requireFactor(factors: FactorRow[], id: string): FactorRow {
  const factor = factors.find((one) => one.id === id);
  if (!factor) throw new AuthError(404, "mfa_factor_not_found", "Factor not found");
  return factor;
}

async function enrollFactor(
  service: AuthService,
  { account, session }: Caller,
  { factor_type, friendly_name, issuer }: z.infer<typeof EnrollBody>,
): Promise<Record<string, unknown> & { totp: Enrollment }> {
  checkEnrollment(service, factor_type);
  const name = friendly_name ?? "";
  const totp = enroll(issuer || new URL(service.settings.site_url).host, account.email ?? "");
  const id = crypto.randomUUID();
  await service.write(async (tx) => {
    const now = service.now();
    await tx`
      delete from auth.mfa_factors
      where user_id = ${account.id} and status = 'unverified' and last_challenged_at is null
        and created_at < ${new Date(now.getTime() - UNUSED_FACTOR_LIFE_MS)}`;
    const { factors = [] } = await lockUser(tx, account.id) ?? {};
    const verified = factors.filter(({ status }) => status === "verified");
    if (verified.length >= service.settings.mfa.max_enrolled_factors) {
      throw new AuthError(
        422,
        "too_many_enrolled_mfa_factors",
        "Maximum number of verified factors reached, unenroll to continue",
      );
    }
    if (factors.some((factor) => (factor.friendly_name ?? "") === name)) throw nameTaken(name);
    if (verified.length > 0 && session.aal !== "aal2") {
      throw new AuthError(403, "insufficient_aal", "AAL2 required to enroll a new factor");
    }
    const row = {
      id,
      user_id: account.id,
      friendly_name: name,
      factor_type: "totp",
      status: "unverified",
      secret: totp.secret,
      created_at: now,
      updated_at: now,
    };
    await tx`insert into auth.mfa_factors ${tx(row)}`;
  });
  return { id, type: "totp", friendly_name: name, totp };
}

function checkEnrollment({ settings }: AuthService, type: string | null | undefined): void {
  if (type === "phone" || type === "webauthn") {
    const name = type === "phone" ? "Phone" : "WebAuthn";
    throw new AuthError(
      422,
      `mfa_${type === "phone" ? "phone" : "webauthn"}_enroll_not_enabled`,
      `MFA enroll is disabled for ${name}`,
    );
  }
  if (type !== "totp") throw invalid("factor_type needs to be totp, phone, or webauthn");
  if (!settings.mfa.totp.enroll_enabled) {
    throw new AuthError(422, "mfa_totp_enroll_not_enabled", "MFA enroll is disabled for TOTP");
  }
}

function nameTaken(name: string): AuthError {
  return new AuthError(
    422,
    "mfa_factor_name_conflict",
    `A factor with the friendly name "${name}" for this user already exists`,
  );
}

async function challenge(service: AuthService, factor: FactorRow, { ip }: ClientInfo) {
  requireVerification(service);
  const id = crypto.randomUUID();
  const now = service.now();
  await service.write(async (tx) => {
    await tx`
      insert into auth.mfa_challenges (id, factor_id, created_at, ip_address)
      values (${id}, ${factor.id}, ${now}, ${ip}::inet)`;
    await tx`
      update auth.mfa_factors set last_challenged_at = ${now}, updated_at = ${now}
      where id = ${factor.id}`;
  });
  const expires_at = Math.floor((now.getTime() + CHALLENGE_LIFE_MS) / 1000);
  return { id, type: factor.factor_type, expires_at };
}

function requireVerification({ settings }: AuthService): void {
  if (settings.mfa.totp.verify_enabled) return;
  throw new AuthError(422, "mfa_totp_verify_not_enabled", "MFA verification is disabled for TOTP");
}

interface ChallengeRow {
  id: string;
  created_at: Date;
  verified_at: Date | null;
  ip_address: string;
}

async function verify(
  service: AuthService,
  { account, session }: Caller,
  factor: FactorRow,
  { challenge_id, code }: z.infer<typeof VerifyBody>,
  client: ClientInfo,
): Promise<TokenResponse> {
  requireVerification(service);
  const [found] = await service.read<(ChallengeRow & { secret: string })[]>`
    select c.id, c.created_at, c.verified_at, host(c.ip_address) as ip_address, f.secret
    from auth.mfa_challenges as c join auth.mfa_factors as f on f.id = c.factor_id
    where c.id = ${isUuid(challenge_id ?? "") ? challenge_id ?? null : null}
      and c.factor_id = ${factor.id}`;
  if (!found) {
    throw new AuthError(
      422,
      "mfa_factor_not_found",
      "MFA factor with the provided challenge ID not found",
    );
  }
  checkChallenge(service, found, client);
  const valid = isCode(found.secret, code ?? "", service.now());
  const answer = await askHook(service, "mfa_verification_attempt", {
    user_id: account.id,
    factor_id: factor.id,
    factor_type: factor.factor_type,
    valid,
  }, client.ip);
  if (answer.decision === "reject") {
    await service.write((tx) => tx`delete from auth.sessions where user_id = ${account.id}`);
    const standard = "Further MFA verification attempts will be rejected.";
    throw new AuthError(403, "mfa_verification_rejected", answer.message || standard);
  }
  if (!valid) {
    throw new AuthError(422, "mfa_verification_failed", "Invalid TOTP code entered");
  }
  return await service.write((tx) =>
    raiseSession(service, tx, {
      userId: account.id,
      sessionId: session.id,
      factorId: factor.id,
      challengeId: found.id,
      client,
    })
  );
}

function checkChallenge(service: AuthService, found: ChallengeRow, { ip }: ClientInfo): void {
  if (found.verified_at || found.ip_address !== ip) throw addressMismatch();
  if (found.created_at.getTime() + CHALLENGE_LIFE_MS >= service.context.now()) return;
  throw new AuthError(
    422,
    "mfa_challenge_expired",
    `MFA challenge ${found.id} has expired, verify against another challenge or create a new ` +
      "challenge.",
  );
}

function addressMismatch(): AuthError {
  return new AuthError(
    422,
    "mfa_ip_address_mismatch",
    "Challenge and verify IP addresses mismatch.",
  );
}

/** Raises a session to `aal2` and ends those of the user that are lower. */
async function raiseSession(
  service: AuthService,
  tx: Db,
  { userId, sessionId, factorId, challengeId, client }: {
    userId: string;
    sessionId: string;
    factorId: string;
    challengeId: string;
    client: ClientInfo;
  },
): Promise<TokenResponse> {
  const now = service.now();
  await lockUser(tx, userId);
  const used = await tx`
    update auth.mfa_challenges set verified_at = ${now}
    where id = ${challengeId} and verified_at is null returning id`;
  // The other of two parallel verifications with one challenge.
  if (used.length === 0) throw addressMismatch();
  await tx`
    update auth.mfa_factors set status = 'verified', updated_at = ${now} where id = ${factorId}`;
  const raised = await tx`
    update auth.sessions set aal = 'aal2', factor_id = ${factorId}, updated_at = ${now}
    where id = ${sessionId} returning id`;
  if (raised.length === 0) {
    throw new AuthError(
      403,
      "session_not_found",
      "Session from session_id claim in JWT does not exist",
    );
  }
  await addMethod(service, tx, sessionId, "totp");
  await revokeRefreshTokens(service, tx, sessionId);
  const refreshToken = await addRefreshToken(service, tx, { userId, sessionId });
  await tx`
    delete from auth.sessions
    where user_id = ${userId} and id <> ${sessionId} and coalesce(aal, 'aal1') < 'aal2'`;
  await tx`
    delete from auth.mfa_factors
    where user_id = ${userId} and status = 'unverified' and factor_type = 'totp'`;
  return await issueTokens(service, tx, { sessionId, refreshToken, method: "totp", ip: client.ip });
}

/** Removes a factor and takes back what it had raised. */
export async function removeFactor(
  service: AuthService,
  tx: Db,
  userId: string,
  factorId: string,
): Promise<void> {
  await lockUser(tx, userId);
  await tx`
    delete from auth.mfa_amr_claims
    where authentication_method = 'totp'
      and session_id in (select id from auth.sessions where factor_id = ${factorId})`;
  await tx`
    update auth.sessions set aal = 'aal1', factor_id = null, updated_at = ${service.now()}
    where factor_id = ${factorId}`;
  await tx`delete from auth.mfa_factors where id = ${factorId}`;
}
