// One-time codes: six digits and the hash of them, kept with the user, sent by mail as a code and as
// a link, and redeemed once. PKCE clients get a code for their verifier instead of a session.

import { AuthError, invalid } from "./errors.ts";
import type { AuthService, Db } from "./service.ts";
import { type Account, updateUser, type UserRow } from "./users.ts";

/** What a code is for; also the `type` of its link. */
export type CodeKind =
  | "signup"
  | "invite"
  | "magiclink"
  | "recovery"
  | "reauthentication"
  | "email_change";

/** Column that holds the hash of a code. */
export type TokenColumn =
  | "confirmation_token"
  | "recovery_token"
  | "reauthentication_token"
  | "email_change_token_current"
  | "email_change_token_new";

/** When the code in a column was sent. */
export const SENT_AT = {
  confirmation_token: "confirmation_sent_at",
  recovery_token: "recovery_sent_at",
  reauthentication_token: "reauthentication_sent_at",
  email_change_token_current: "email_change_sent_at",
  email_change_token_new: "email_change_sent_at",
} as const satisfies Record<TokenColumn, keyof UserRow>;

const COLUMN = {
  signup: "confirmation_token",
  invite: "confirmation_token",
  magiclink: "recovery_token",
  recovery: "recovery_token",
  reauthentication: "reauthentication_token",
} as const satisfies Record<Exclude<CodeKind, "email_change">, TokenColumn>;

/** A code and what is kept of it. */
export interface Code {
  /** The digits. */
  otp: string;
  /** Its hash, which the link carries and the database keeps. */
  hash: string;
}

/** A mail to be sent once its transaction is over. */
export interface Mail extends Code {
  kind: CodeKind;
  to: string;
  /** Where the link leads in the end. */
  redirectTo: string;
}

/** Marks the hash of a code whose link answers a PKCE client. */
export const PKCE_PREFIX = "pkce_";

/** What a PKCE client sends when it starts a flow. */
export interface Challenge {
  code_challenge?: string | null;
  code_challenge_method?: string | null;
}

/** Makes a code for an address. */
export async function makeCode(service: AuthService, email: string, prefix = ""): Promise<Code> {
  const { otp_length } = service.settings.email;
  // 53 random bits give ten digits without a bias worth naming.
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  const number = (high % 2 ** 21 * 2 ** 32 + low) % 10 ** otp_length;
  const otp = String(number).padStart(otp_length, "0");
  return { otp, hash: prefix + await hashCode(email, otp) };
}

/** SHA-256 of the address in lower case followed by the digits, in hexadecimal. */
export async function hashCode(email: string, otp: string): Promise<string> {
  const bytes = new TextEncoder().encode(email.toLowerCase() + otp);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/**
 * Makes a code for the user's address and keeps its hash.
 *
 * @throws {AuthError} `over_email_send_rate_limit` if the last one is too young.
 */
export async function issueCode(
  service: AuthService,
  tx: Db,
  account: Account,
  kind: Exclude<CodeKind, "email_change">,
  options: { redirectTo: string; challenge?: Challenge },
): Promise<Mail> {
  const column = COLUMN[kind];
  if (kind !== "invite") checkFrequency(service, account[SENT_AT[column]]);
  const email = account.email ?? "";
  const prefix = await startPkce(service, tx, account.id, kind, options.challenge);
  const code = await makeCode(service, email, prefix);
  await keepCode(service, tx, account.id, column, code);
  return { ...code, kind, to: email, redirectTo: options.redirectTo };
}

/** Keeps the hash of a code for `column` and the time. */
export async function keepCode(
  service: AuthService,
  tx: Db,
  userId: string,
  column: TokenColumn,
  code: Code,
): Promise<void> {
  const now = service.now();
  await updateUser(tx, userId, { [column]: code.hash, [SENT_AT[column]]: now }, now);
}

/** Throws if a code was sent less than `max_frequency` ago. */
export function checkFrequency(service: AuthService, sentAt: Date | null): void {
  if (!sentAt) return;
  const waitMs = sentAt.getTime() + service.settings.email.max_frequency - service.context.now();
  if (waitMs <= 0) return;
  const seconds = Math.ceil(waitMs / 1000);
  throw new AuthError(
    429,
    "over_email_send_rate_limit",
    `For security purposes, you can only request this after ${seconds} seconds.`,
  );
}

/** Whether the code that was sent at this time is no longer good. */
export function isCodeExpired(service: AuthService, sentAt: Date | null): boolean {
  if (!sentAt) return true;
  return sentAt.getTime() + service.settings.email.otp_expiry * 1000 < service.context.now();
}

/** Keeps a mail in the outbox: the code, and the link for those who click. */
export function sendMail(service: AuthService, mail: Mail): void {
  const { subject, invitation } = TEXTS[mail.kind];
  const lines = [`${invitation}: ${mail.otp}`];
  if (mail.kind !== "reauthentication") {
    lines.push(
      `Or follow this link: ${actionLink(service, mail.kind, mail.hash, mail.redirectTo)}`,
    );
  }
  const text = lines.join("\n\n");
  service.context.outbox.add({ channel: "email", to: mail.to, subject, text });
}

const TEXTS: Record<CodeKind, { subject: string; invitation: string }> = {
  signup: { subject: "Confirm your sign-up", invitation: "Confirm your sign-up with this code" },
  invite: { subject: "You have been invited", invitation: "Accept the invitation with this code" },
  magiclink: { subject: "Your sign-in link", invitation: "Sign in with this code" },
  recovery: { subject: "Reset your password", invitation: "Reset your password with this code" },
  email_change: {
    subject: "Confirm your change of email address",
    invitation: "Confirm the change with this code",
  },
  reauthentication: {
    subject: "Confirm that it is you",
    invitation: "Confirm that it is you with this code",
  },
};

/** The link of a mail. */
export function actionLink(service: AuthService, type: string, hash: string, redirectTo: string) {
  const url = new URL("/auth/v1/verify", service.context.apiUrl);
  url.search = new URLSearchParams({ token: hash, type, redirect_to: redirectTo }).toString();
  return url.href;
}

const METHOD: Record<string, string> = { signup: "email/signup" };

/** Keeps a PKCE client's challenge, if there is one; answers the prefix for the code's hash. */
export async function startPkce(
  service: AuthService,
  tx: Db,
  userId: string,
  kind: CodeKind,
  challenge: Challenge = {},
): Promise<string> {
  const { code_challenge, code_challenge_method } = challenge;
  if (!code_challenge && !code_challenge_method) return "";
  const method = code_challenge_method?.toLowerCase() ?? "";
  if (!code_challenge || !/^[A-Za-z0-9._~-]{43,128}$/.test(code_challenge)) {
    throw invalid("code challenge has to be between 43 and 128 characters");
  }
  if (method !== "s256" && method !== "plain") throw invalid("Invalid code_challenge_method");
  const now = service.now();
  const flow = {
    id: crypto.randomUUID(),
    user_id: userId,
    authentication_method: METHOD[kind] ?? kind,
    provider_type: "email",
    code_challenge,
    code_challenge_method: method,
    created_at: now,
    updated_at: now,
  };
  await tx`insert into auth.flow_state ${tx(flow)}`;
  return PKCE_PREFIX;
}

/** Gives the newest flow of a user and kind its authorization code. */
export async function issueAuthorizationCode(
  service: AuthService,
  tx: Db,
  userId: string,
  kind: string,
): Promise<string> {
  const code = crypto.randomUUID();
  const now = service.now();
  const [flow] = await tx`
    update auth.flow_state set auth_code = ${code}, auth_code_issued_at = ${now}, updated_at = ${now}
    where id = (
      select id from auth.flow_state
      where user_id = ${userId} and authentication_method = ${METHOD[kind] ?? kind}
      order by created_at desc limit 1
    )
    returning id`;
  if (flow) return code;
  throw new AuthError(404, "flow_state_not_found", "No associated flow state found");
}
