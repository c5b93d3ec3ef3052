// Making and changing accounts: what sign-up, invitation, administration and confirmation share.

import postgres from "postgres";
import { describeError } from "../log_errors.ts";
import { AuthError } from "./errors.ts";
import { runHook } from "./hooks.ts";
import type { AuthService, Db } from "./service.ts";
import { type Account, getById, mergeMetadata, type Metadata, updateUser } from "./users.ts";

/** What an account is made of. */
export interface NewAccount {
  id?: string;
  email: string | null;
  phone?: string | null;
  /** bcrypt hash; null for an account that signs in by mail only. */
  passwordHash: string | null;
  emailConfirmed: boolean;
  phoneConfirmed?: boolean;
  role?: string | null;
  userMetadata: Metadata;
  appMetadata?: Metadata;
  isAnonymous?: boolean;
  bannedUntil?: Date | null;
}

/** Why an account could not be made because another has its address. */
export class TakenError extends Error {
  override readonly name = "TakenError";
  constructor(readonly field: "email" | "phone" | "id") {
    super(`An account with this ${field} exists`);
  }
}

/**
 * Inserts an account, and its e-mail identity if it has an address.
 *
 * @throws {TakenError} If another account has its address or phone.
 * @throws {AuthError} If a trigger of the project refuses it.
 */
export async function createAccount(
  service: AuthService,
  tx: Db,
  account: NewAccount,
): Promise<Account> {
  const now = service.now();
  const { email, phone = null, emailConfirmed, phoneConfirmed = false } = account;
  const id = account.id ?? crypto.randomUUID();
  const row = {
    id,
    aud: "authenticated",
    role: account.role || "authenticated",
    email,
    phone,
    encrypted_password: account.passwordHash,
    email_confirmed_at: emailConfirmed ? now : null,
    phone_confirmed_at: phoneConfirmed ? now : null,
    raw_app_meta_data: tx.json(account.appMetadata ?? {}),
    raw_user_meta_data: tx.json(account.userMetadata),
    is_anonymous: account.isAnonymous ?? false,
    banned_until: account.bannedUntil ?? null,
    created_at: now,
    updated_at: now,
  };
  try {
    await tx`insert into auth.users ${tx(row)}`;
    if (email) await putEmailIdentity(service, tx, id, email, emailConfirmed, account.userMetadata);
  } catch (error) {
    const conflict = taken(error);
    if (conflict) throw conflict;
    console.error(`auth: cannot save a new user: ${describeError(error)}`);
    throw new AuthError(500, "unexpected_failure", "Database error saving new user");
  }
  return await getById(tx, id);
}

const UNIQUE_COLUMNS: Record<string, TakenError["field"]> = {
  users_email_partial_key: "email",
  users_phone_key: "phone",
  users_pkey: "id",
};

/** Which address is taken, when `error` is about one. */
export function taken(error: unknown): TakenError | undefined {
  if (!(error instanceof postgres.PostgresError) || error.code !== "23505") return undefined;
  const field = error.schema_name === "auth" && UNIQUE_COLUMNS[error.constraint_name ?? ""];
  return field ? new TakenError(field) : undefined;
}

/** Makes or renews the identity by which a user signs in with an address. */
export async function putEmailIdentity(
  service: AuthService,
  tx: Db,
  userId: string,
  email: string,
  verified: boolean,
  data: Metadata = {},
): Promise<void> {
  const now = service.now();
  const identity = {
    ...data,
    sub: userId,
    email,
    email_verified: verified,
    phone_verified: false,
  };
  await tx`
    insert into auth.identities
      (id, provider, provider_id, user_id, identity_data, last_sign_in_at, created_at, updated_at)
    values
      (${crypto.randomUUID()}, 'email', ${userId}, ${userId}, ${tx.json(identity)},
       ${now}, ${now}, ${now})
    on conflict (provider, provider_id) do update set
      identity_data = auth.identities.identity_data || ${
    tx.json({ email, email_verified: verified })
  }::jsonb,
      updated_at = excluded.updated_at`;
}

/** What every account that signs in with an address says about its providers. */
export const EMAIL_PROVIDER: Metadata = { provider: "email", providers: ["email"] };

/**
 * Inserts the account of a person who comes by address, after asking the hook.
 *
 * @throws {TakenError} If another account has the address.
 */
export async function signUpByEmail(
  service: AuthService,
  tx: Db,
  { email, passwordHash, data, confirmed, ip }: {
    email: string;
    passwordHash: string | null;
    data: Metadata;
    confirmed: boolean;
    ip: string;
  },
): Promise<Account> {
  const id = crypto.randomUUID();
  const about = { sub: id, email, email_verified: confirmed, phone_verified: false };
  const account: NewAccount = {
    id,
    email,
    passwordHash,
    emailConfirmed: confirmed,
    userMetadata: { ...data, ...about },
    appMetadata: EMAIL_PROVIDER,
  };
  await askBeforeCreation(service, tx, account, ip);
  return await createAccount(service, tx, account);
}

/** Asks the hook whether an account may be made; it answers an error if not. */
export async function askBeforeCreation(
  service: AuthService,
  tx: Db,
  account: NewAccount,
  ip: string,
): Promise<void> {
  const now = service.now().toISOString();
  const user = {
    id: account.id,
    aud: "authenticated",
    role: "authenticated",
    email: account.email ?? "",
    phone: "",
    app_metadata: account.appMetadata ?? {},
    user_metadata: account.userMetadata,
    identities: [],
    created_at: now,
    updated_at: now,
    is_anonymous: account.isAnonymous ?? false,
  };
  await runHook(service, tx, "before_user_created", { user }, ip);
}

/** Marks the address of an account as proved. */
export async function confirmEmail(service: AuthService, tx: Db, account: Account): Promise<void> {
  const now = service.now();
  await updateUser(tx, account.id, {
    email_confirmed_at: now,
    confirmation_token: null,
    raw_user_meta_data: mergeMetadata(account.raw_user_meta_data, { email_verified: true }),
    is_anonymous: false,
  }, now);
  if (account.email) await putEmailIdentity(service, tx, account.id, account.email, true);
}

/**
 * Gives an account a new address that is proved; an anonymous user becomes a permanent one.
 *
 * @throws {AuthError} `email_exists` if another account has taken it since.
 */
export async function changeEmail(
  service: AuthService,
  tx: Db,
  account: Account,
  email: string,
): Promise<void> {
  const now = service.now();
  const providers = account.is_anonymous ? EMAIL_PROVIDER : {};
  try {
    await updateUser(tx, account.id, {
      email,
      email_change: null,
      email_change_token_current: null,
      email_change_token_new: null,
      email_change_confirm_status: 0,
      email_confirmed_at: now,
      is_anonymous: false,
      raw_app_meta_data: mergeMetadata(account.raw_app_meta_data, providers),
      raw_user_meta_data: mergeMetadata(account.raw_user_meta_data, {
        email,
        email_verified: true,
      }),
    }, now);
  } catch (error) {
    throw taken(error) ? emailExists() : error;
  }
  await putEmailIdentity(service, tx, account.id, email, true);
}

/** The address belongs to another account. */
export function emailExists(): AuthError {
  return new AuthError(
    422,
    "email_exists",
    "A user with this email address has already been registered",
  );
}

/** The address belongs to another account, as sign-up says it. */
export function userExists(): AuthError {
  return new AuthError(422, "user_already_exists", "User already registered");
}
