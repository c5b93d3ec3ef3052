// Redeeming one-time codes: by an application that posts the digits or the hash, and by a browser
// that follows the link of a mail.

import { z } from "zod";
import { describeError } from "../log_errors.ts";
import { confirmEmail } from "./accounts.ts";
import { type AuthApp, clientOf } from "./app.ts";
import { normalizeEmail, readBody, text } from "./body.ts";
import { confirmEmailChange } from "./email_change.ts";
import { AuthError, invalid, phoneDisabled } from "./errors.ts";
import {
  hashCode,
  isCodeExpired,
  issueAuthorizationCode,
  PKCE_PREFIX,
  SENT_AT,
  type TokenColumn,
} from "./one_time.ts";
import { redirectTarget } from "./redirects.ts";
import type { AuthService, ClientInfo, Db } from "./service.ts";
import { startSession, type TokenResponse } from "./sessions.ts";
import { type Account, isBanned, isConfirmed, lockUser, updateUser } from "./users.ts";

const VerifyBody = z.object({
  type: text,
  token: text,
  token_hash: text,
  email: text,
  phone: text,
});

/** Columns in which the code of each type may stand. */
const COLUMNS: Record<string, TokenColumn[]> = {
  signup: ["confirmation_token"],
  invite: ["confirmation_token"],
  magiclink: ["recovery_token"],
  recovery: ["recovery_token"],
  email: ["confirmation_token", "recovery_token"],
  email_change: ["email_change_token_current", "email_change_token_new"],
};

const HALF_WAY =
  "Confirmation link accepted. Please proceed to confirm link sent to the other email";

/** Adds the routes that redeem codes. */
export function addVerifyRoutes(app: AuthApp, service: AuthService): void {
  app.post("/verify", async (c) => {
    const body = await readBody(c.req.raw, VerifyBody);
    const columns = columnsOf(body.type);
    const hashes = await givenHashes(body);
    const session = await service.write(async (tx) => {
      const found = await findByHashes(tx, columns, hashes);
      if (!found) throw expired(body.token_hash ? LINK_EXPIRED : "Token has expired or is invalid");
      const accepted = await redeem(service, tx, found);
      return accepted
        ? await startSession(service, tx, found.account.id, "otp", clientOf(c))
        : undefined;
    });
    return session ? c.json(session) : c.json({ msg: HALF_WAY, code: "200" });
  });

  app.get("/verify", async (c) => {
    const { type = "", token = "" } = c.req.query();
    const columns = columnsOf(type);
    if (!token) throw invalid("Verify requires a token or a token hash");
    const target = redirectTarget(c.req.raw, service.settings);
    const pkce = token.startsWith(PKCE_PREFIX);
    try {
      const outcome = await service.write((tx) =>
        followLink(service, tx, { columns, token, type, client: clientOf(c) })
      );
      return c.redirect(withOutcome(target, outcome, type, pkce), 303);
    } catch (error) {
      return c.redirect(withError(target, error, pkce), 303);
    }
  });
}

function columnsOf(type: string | null | undefined): TokenColumn[] {
  if (!type) throw invalid("Verify requires a verification type");
  if (type === "sms" || type === "phone_change") throw phoneDisabled();
  const columns = Object.hasOwn(COLUMNS, type) ? COLUMNS[type] : undefined;
  if (!columns) throw invalid("Invalid email verification type");
  return columns;
}

/** The hashes that the code of a body can have been kept as. */
async function givenHashes(body: z.infer<typeof VerifyBody>): Promise<string[]> {
  const { token, token_hash, email, phone } = body;
  if (token_hash) {
    if (token || email || phone) throw invalid("Only the token_hash and type should be provided");
    return [token_hash];
  }
  if (!token) throw invalid("Verify requires either a token or a token hash");
  if (!email || phone) {
    throw invalid("Only an email address or phone number should be provided on verify");
  }
  const hash = await hashCode(normalizeEmail(email), token);
  return [hash, PKCE_PREFIX + hash];
}

/** An account, and where its code stands. */
interface Found {
  account: Account;
  column: TokenColumn;
  hash: string;
}

/** Finds and locks the account whose code has one of these hashes. */
async function findByHashes(
  tx: Db,
  columns: TokenColumn[],
  hashes: string[],
): Promise<Found | undefined> {
  for (const column of columns) {
    const [row] = await tx<{ id: string }[]>`
      select id from auth.users where ${tx(column)} = any (${hashes}::text[])`;
    // Read again under the lock: of two that give one code at once, the second finds it gone.
    const account = row && await lockUser(tx, row.id);
    const hash = account?.[column];
    if (account && hash && hashes.includes(hash)) return { account, column, hash };
  }
  return undefined;
}

const LINK_EXPIRED = "Email link is invalid or has expired";

function expired(message: string): AuthError {
  return new AuthError(403, "otp_expired", message);
}

/** Uses a code up; answers false when a change of address waits for its other half. */
async function redeem(service: AuthService, tx: Db, found: Found): Promise<boolean> {
  const { account, column, hash } = found;
  if (isBanned(account, service.now())) throw new AuthError(403, "user_banned", "User is banned");
  if (isCodeExpired(service, account[SENT_AT[column]])) {
    throw expired(LINK_EXPIRED);
  }
  if (column === "email_change_token_current" || column === "email_change_token_new") {
    return await confirmEmailChange(service, tx, account, hash);
  }
  await updateUser(tx, account.id, { [column]: null }, service.now());
  if (!isConfirmed(account)) await confirmEmail(service, tx, account);
  return true;
}

/** What following a link led to. */
interface LinkOutcome {
  session?: TokenResponse;
  code?: string;
}

async function followLink(
  service: AuthService,
  tx: Db,
  { columns, token, type, client }: {
    columns: TokenColumn[];
    token: string;
    type: string;
    client: ClientInfo;
  },
): Promise<LinkOutcome> {
  const found = await findByHashes(tx, columns, [token]);
  if (!found) throw expired(LINK_EXPIRED);
  if (!await redeem(service, tx, found)) return {};
  const { id } = found.account;
  if (token.startsWith(PKCE_PREFIX)) {
    return { code: await issueAuthorizationCode(service, tx, id, type) };
  }
  return { session: await startSession(service, tx, id, "otp", client) };
}

function withOutcome(target: string, { session, code }: LinkOutcome, type: string, pkce: boolean) {
  const url = new URL(target);
  if (code) {
    url.searchParams.set("code", code);
  } else if (session) {
    const { access_token, refresh_token, expires_in, expires_at, token_type } = session;
    url.hash = new URLSearchParams({
      access_token,
      expires_at: String(expires_at),
      expires_in: String(expires_in),
      refresh_token,
      token_type,
      type,
    }).toString();
  } else {
    if (pkce) url.searchParams.set("message", HALF_WAY);
    url.hash = new URLSearchParams({ message: HALF_WAY }).toString();
  }
  return url.href;
}

function withError(target: string, error: unknown, pkce: boolean): string {
  const known = error instanceof AuthError;
  if (!known) console.error(`auth: cannot follow a link: ${describeError(error)}`);
  const params = new URLSearchParams({
    error: known ? "access_denied" : "server_error",
    error_code: known ? error.code : "unexpected_failure",
    error_description: known ? error.message : "Verification failed",
  });
  const url = new URL(target);
  if (pkce) { for (const [name, value] of params) url.searchParams.set(name, value); }
  url.hash = params.toString();
  return url.href;
}
