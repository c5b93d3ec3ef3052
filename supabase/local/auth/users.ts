// Users as Auth keeps and shows them: rows of auth.users with their identities and factors, and the
// JSON that clients get.

import type postgres from "postgres";
import type { Db } from "./service.ts";

/** JSON object of a metadata column. */
export type Metadata = { [key: string]: postgres.JSONValue };

/** Row of auth.users. */
export interface UserRow {
  id: string;
  aud: string | null;
  role: string | null;
  email: string | null;
  encrypted_password: string | null;
  email_confirmed_at: Date | null;
  confirmed_at: Date | null;
  invited_at: Date | null;
  confirmation_token: string | null;
  confirmation_sent_at: Date | null;
  recovery_token: string | null;
  recovery_sent_at: Date | null;
  email_change: string | null;
  email_change_token_new: string | null;
  email_change_token_current: string | null;
  email_change_sent_at: Date | null;
  email_change_confirm_status: number;
  phone: string | null;
  phone_confirmed_at: Date | null;
  reauthentication_token: string | null;
  reauthentication_sent_at: Date | null;
  raw_app_meta_data: Metadata | null;
  raw_user_meta_data: Metadata | null;
  banned_until: Date | null;
  deleted_at: Date | null;
  is_anonymous: boolean;
  last_sign_in_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

/** An identity, as read inside a JSON array: its times are texts of PostgreSQL. */
interface IdentityRow {
  id: string;
  provider: string;
  provider_id: string;
  user_id: string;
  identity_data: Metadata;
  email: string | null;
  last_sign_in_at: string | null;
  created_at: string;
  updated_at: string;
}

/** A factor, without its secret. */
export interface FactorRow {
  id: string;
  friendly_name: string | null;
  factor_type: string;
  status: "unverified" | "verified";
  created_at: string;
  updated_at: string;
  last_challenged_at: string | null;
}

/** A user with all that belongs to the user's JSON. */
export interface Account extends UserRow {
  identities: IdentityRow[];
  factors: FactorRow[];
}

/** The columns of {@link Account}, for a query whose auth.users has the alias `u`. */
export function accountColumns(db: Db) {
  return db`
    u.*,
    coalesce((
      select jsonb_agg(to_jsonb(i) order by i.created_at, i.id)
      from auth.identities as i where i.user_id = u.id
    ), '[]') as identities,
    coalesce((
      select jsonb_agg(to_jsonb(f) - 'secret' - 'phone' - 'user_id' order by f.created_at, f.id)
      from auth.mfa_factors as f where f.user_id = u.id
    ), '[]') as factors`;
}

/** The account with this id. */
export async function findById(db: Db, id: string): Promise<Account | undefined> {
  const [account] = await db<Account[]>`
    select ${accountColumns(db)} from auth.users as u where u.id = ${id}`;
  return account;
}

/** The account with this id, which a foreign key or a lock says is there. */
export async function getById(db: Db, id: string): Promise<Account> {
  const account = await findById(db, id);
  if (!account) throw new Error("A user that was just read is gone");
  return account;
}

/** The account with this address, in lower case. */
export async function findByEmail(db: Db, email: string): Promise<Account | undefined> {
  const [account] = await db<Account[]>`
    select ${accountColumns(db)} from auth.users as u
    where u.email = ${email} and not u.is_sso_user`;
  return account;
}

/**
 * Locks a user until the transaction ends. Whatever changes several sessions of one user takes this
 * lock first, so two of them cannot wait for each other.
 */
export async function lockUser(tx: Db, id: string): Promise<Account | undefined> {
  await tx`select 1 from auth.users where id = ${id} for no key update`;
  return await findById(tx, id);
}

/** Sets columns of a user, and its `updated_at`. */
export async function updateUser(
  tx: Db,
  id: string,
  changes: Partial<Omit<UserRow, "confirmed_at">>,
  now: Date,
): Promise<void> {
  const { raw_app_meta_data, raw_user_meta_data, ...rest } = changes;
  const columns: Record<string, postgres.ParameterOrJSON<never>> = { ...rest, updated_at: now };
  if (raw_app_meta_data) columns.raw_app_meta_data = tx.json(raw_app_meta_data);
  if (raw_user_meta_data) columns.raw_user_meta_data = tx.json(raw_user_meta_data);
  await tx`update auth.users set ${tx(columns)} where id = ${id}`;
}

/** Whether the account may not sign in now. */
export function isBanned(user: UserRow, now: Date): boolean {
  return user.banned_until !== null && user.banned_until > now;
}

/** Whether the user has proved the address. */
export function isConfirmed(user: UserRow): boolean {
  return user.confirmed_at !== null;
}

/** Whether the account has a factor that was proved once, so that sign-in has a second step. */
export function hasVerifiedFactor(account: Account): boolean {
  return account.factors.some((factor) => factor.status === "verified");
}

/** `changes` over `metadata` at the top level; a null removes its key. */
export function mergeMetadata(metadata: Metadata | null, changes: Metadata): Metadata {
  const merged = Object.entries({ ...metadata, ...changes });
  return Object.fromEntries(merged.filter(([, value]) => value !== null));
}

/** RFC 3339 in UTC with `Z`. */
export function rfc3339(time: Date | string): string {
  return new Date(time).toISOString();
}

const OPTIONAL_TIMES = [
  "email_confirmed_at",
  "invited_at",
  "phone_confirmed_at",
  "confirmation_sent_at",
  "confirmed_at",
  "recovery_sent_at",
  "email_change_sent_at",
  "reauthentication_sent_at",
  "last_sign_in_at",
  "banned_until",
  "deleted_at",
] as const;

/** The user as JSON, as GoTrue shows it. */
export function userJson(account: Account): Record<string, unknown> {
  const json: Record<string, unknown> = {
    id: account.id,
    aud: account.aud ?? "authenticated",
    role: account.role ?? "authenticated",
    email: account.email ?? "",
    phone: account.phone ?? "",
  };
  for (const name of OPTIONAL_TIMES) {
    const time = account[name];
    if (time) json[name] = rfc3339(time);
  }
  if (account.email_change) json.new_email = account.email_change;
  json.app_metadata = account.raw_app_meta_data ?? {};
  json.user_metadata = account.raw_user_meta_data ?? {};
  if (account.factors.length > 0) json.factors = account.factors.map(factorJson);
  json.identities = account.identities.map(identityJson);
  json.created_at = rfc3339(account.created_at);
  json.updated_at = rfc3339(account.updated_at);
  json.is_anonymous = account.is_anonymous;
  return json;
}

/** A factor as JSON. */
export function factorJson(factor: FactorRow): Record<string, unknown> {
  const { id, friendly_name, factor_type, status, last_challenged_at } = factor;
  return {
    id,
    created_at: rfc3339(factor.created_at),
    updated_at: rfc3339(factor.updated_at),
    status,
    ...friendly_name ? { friendly_name } : {},
    factor_type,
    ...last_challenged_at ? { last_challenged_at: rfc3339(last_challenged_at) } : {},
  };
}

function identityJson(identity: IdentityRow): Record<string, unknown> {
  const { id, provider_id, user_id, identity_data, provider, last_sign_in_at, email } = identity;
  return {
    identity_id: id,
    id: provider_id,
    user_id,
    identity_data,
    provider,
    ...last_sign_in_at ? { last_sign_in_at: rfc3339(last_sign_in_at) } : {},
    created_at: rfc3339(identity.created_at),
    updated_at: rfc3339(identity.updated_at),
    ...email ? { email } : {},
  };
}
