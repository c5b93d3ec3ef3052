// Sign-up, anonymous sign-in and the token endpoint: password, refresh token and PKCE code.

import { z } from "zod";
import {
  askBeforeCreation,
  createAccount,
  EMAIL_PROVIDER,
  signUpByEmail,
  TakenError,
  userExists,
} from "./accounts.ts";
import { type AuthApp, clientOf } from "./app.ts";
import { metadata, normalizeEmail, pkceFields, readBody, text } from "./body.ts";
import { AuthError, invalid, phoneDisabled } from "./errors.ts";
import { askHook } from "./hooks.ts";
import { isLiteFlow, type LiteAuth } from "./lite_oauth.ts";
import { type Challenge, issueCode, type Mail, sendMail } from "./one_time.ts";
import { checkPasswordStrength, hashPassword, isPassword } from "./passwords.ts";
import { redirectTarget } from "./redirects.ts";
import type { AuthService, ClientInfo } from "./service.ts";
import { type Method, refreshSession, startSession, type TokenResponse } from "./sessions.ts";
import {
  type Account,
  findByEmail,
  isBanned,
  isConfirmed,
  type Metadata,
  userJson,
} from "./users.ts";

const SignUpBody = z.object({
  email: text,
  phone: text,
  password: text,
  data: metadata,
  ...pkceFields,
});

const PasswordBody = z.object({ email: text, phone: text, password: text });
const RefreshBody = z.object({ refresh_token: text });
const PkceBody = z.object({ auth_code: text, code_verifier: text });

/** Adds the routes of sign-up and sign-in. */
export function addSignInRoutes(app: AuthApp, service: AuthService, lite: LiteAuth): void {
  const { settings } = service;

  app.post("/signup", async (c) => {
    const body = await readBody(c.req.raw, SignUpBody);
    if (!settings.enable_signup) throw signUpDisabled();
    if (!body.email && !body.phone) {
      return c.json(await signInAnonymously(service, body.data ?? {}, clientOf(c)));
    }
    if (!body.email) throw phoneDisabled();
    if (!settings.email.enable_signup) {
      throw new AuthError(422, "email_provider_disabled", "Email signups are disabled");
    }
    const redirectTo = redirectTarget(c.req.raw, settings);
    return c.json(await signUp(service, { ...body, email: body.email, redirectTo }, clientOf(c)));
  });

  app.post("/token", async (c) => {
    switch (c.req.query("grant_type")) {
      case "password": {
        const body = await readBody(c.req.raw, PasswordBody);
        return c.json(await signInWithPassword(service, body, clientOf(c)));
      }
      case "refresh_token": {
        const { refresh_token } = await readBody(c.req.raw, RefreshBody);
        if (!refresh_token) throw invalid("Refresh token is not valid");
        return c.json(await refreshSession(service, refresh_token, clientOf(c)));
      }
      case "pkce": {
        const { auth_code, code_verifier } = await readBody(c.req.raw, PkceBody);
        if (!auth_code || !code_verifier) {
          throw invalid("invalid request: both auth code and code verifier should be non-empty");
        }
        if (await isLiteFlow(service, auth_code)) {
          return await lite.exchange(c.req.raw, { auth_code, code_verifier }, clientOf(c));
        }
        return c.json(await exchangeCode(service, auth_code, code_verifier, clientOf(c)));
      }
      default:
        throw new AuthError(400, "invalid_credentials", "unsupported_grant_type");
    }
  });
}

function signUpDisabled(): AuthError {
  return new AuthError(422, "signup_disabled", "Signups not allowed for this instance");
}

interface SignUp extends Challenge {
  email: string;
  phone?: string | null;
  password?: string | null;
  data?: Metadata | null;
  redirectTo: string;
}

async function signUp(
  service: AuthService,
  { phone, password, data, redirectTo, ...params }: SignUp,
  client: ClientInfo,
): Promise<TokenResponse | Record<string, unknown>> {
  if (phone) throw invalid("Only an email address or phone number should be provided on signup.");
  if (!password) throw invalid("Signup requires a valid password");
  const email = normalizeEmail(params.email);
  checkPasswordStrength(password, service.settings);
  const passwordHash = await hashPassword(password);
  const confirmed = !service.settings.email.enable_confirmations;
  const existing = await findByEmail(service.read, email);
  if (existing && confirmed) throw userExists();
  if (existing && isConfirmed(existing)) return maskedUser(existing);
  try {
    let mail: Mail | undefined;
    const answer = await service.write(async (tx) => {
      const account = existing ?? await signUpByEmail(service, tx, {
        email,
        passwordHash,
        data: data ?? {},
        confirmed,
        ip: client.ip,
      });
      if (confirmed) return await startSession(service, tx, account.id, "password", client);
      mail = await issueCode(service, tx, account, "signup", { redirectTo, challenge: params });
      return userJson({ ...account, confirmation_sent_at: service.now() });
    });
    if (mail) sendMail(service, mail);
    return answer;
  } catch (error) {
    throw error instanceof TakenError ? userExists() : error;
  }
}

/** What sign-up answers for an address that is in use, so that it does not tell who has an account. */
function maskedUser(account: Account): Record<string, unknown> {
  const now = new Date(account.created_at);
  return userJson({
    ...account,
    id: crypto.randomUUID(),
    raw_user_meta_data: {},
    raw_app_meta_data: EMAIL_PROVIDER,
    identities: [],
    factors: [],
    confirmed_at: null,
    email_confirmed_at: null,
    last_sign_in_at: null,
    confirmation_sent_at: now,
  });
}

async function signInAnonymously(
  service: AuthService,
  data: Metadata,
  client: ClientInfo,
): Promise<TokenResponse> {
  if (!service.settings.enable_anonymous_sign_ins) {
    throw new AuthError(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled");
  }
  const account = {
    id: crypto.randomUUID(),
    email: null,
    passwordHash: null,
    emailConfirmed: false,
    userMetadata: data,
    isAnonymous: true,
  };
  return await service.write(async (tx) => {
    await askBeforeCreation(service, tx, account, client.ip);
    await createAccount(service, tx, account);
    return await startSession(service, tx, account.id, "anonymous", client);
  });
}

async function signInWithPassword(
  service: AuthService,
  { email, phone, password }: z.infer<typeof PasswordBody>,
  client: ClientInfo,
): Promise<TokenResponse> {
  if (!email && phone) throw phoneDisabled();
  if (!email) throw invalid("missing email or phone");
  const account = await findByEmail(service.read, email.toLowerCase());
  if (!account) throw wrongCredentials();
  if (isBanned(account, service.now())) throw new AuthError(400, "user_banned", "User is banned");
  const valid = await isPassword(password ?? "", account.encrypted_password);
  const answer = await askHook(service, "password_verification_attempt", {
    user_id: account.id,
    valid,
  }, client.ip);
  if (answer.decision === "reject") {
    if (answer.should_logout_user) {
      await service.write((tx) => tx`delete from auth.sessions where user_id = ${account.id}`);
    }
    const standard = "Further password verification attempts will be rejected.";
    throw new AuthError(400, "invalid_credentials", answer.message || standard);
  }
  if (!valid) throw wrongCredentials();
  if (!isConfirmed(account)) {
    throw new AuthError(400, "email_not_confirmed", "Email not confirmed");
  }
  return await service.write((tx) => startSession(service, tx, account.id, "password", client));
}

function wrongCredentials(): AuthError {
  return new AuthError(400, "invalid_credentials", "Invalid login credentials");
}

/** Milliseconds in which a PKCE client must exchange its code. */
const CODE_LIFE_MS = 5 * 60 * 1000;

interface FlowRow {
  id: string;
  user_id: string;
  authentication_method: Method;
  code_challenge: string;
  code_challenge_method: "s256" | "plain";
  auth_code_issued_at: Date;
}

async function exchangeCode(
  service: AuthService,
  code: string,
  verifier: string,
  client: ClientInfo,
): Promise<TokenResponse> {
  return await service.write(async (tx) => {
    const [flow] = await tx<FlowRow[]>`
      select * from auth.flow_state where auth_code = ${code} for update`;
    if (!flow) {
      throw new AuthError(
        404,
        "flow_state_not_found",
        "invalid flow state, no valid flow state found",
      );
    }
    if (flow.auth_code_issued_at.getTime() + CODE_LIFE_MS < service.context.now()) {
      throw new AuthError(422, "flow_state_expired", "invalid flow state, flow state has expired");
    }
    const proof = flow.code_challenge_method === "plain" ? verifier : await s256(verifier);
    if (proof !== flow.code_challenge) {
      throw new AuthError(
        400,
        "bad_code_verifier",
        "code challenge does not match previously saved code verifier",
      );
    }
    await tx`delete from auth.flow_state where id = ${flow.id}`;
    return await startSession(service, tx, flow.user_id, flow.authentication_method, client);
  });
}

async function s256(verifier: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  return new Uint8Array(digest).toBase64({ alphabet: "base64url", omitPadding: true });
}
