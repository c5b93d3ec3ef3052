// What every route of Auth works with: settings, keys, clock, and the database as the role that
// owns the auth tables, so that triggers and hooks meet the rights they have on hosted Supabase.

import type postgres from "postgres";
import type { StackContext } from "../context.ts";
import { type AuthSettings, readAuthSettings } from "./settings.ts";
import { type Tokens, tokensOf } from "./tokens.ts";

/** A connection pool or a transaction. */
export type Db = postgres.Sql | postgres.TransactionSql;

/** Auth of one stack. */
export interface AuthService {
  context: StackContext;
  settings: AuthSettings;
  tokens: Tokens;
  /** For reads; no rights are checked. */
  read: Db;
  /** Runs `work` in one transaction as `supabase_auth_admin`; a throw rolls it back. */
  write: <T>(work: (tx: Db) => Promise<T>) => Promise<T>;
  /** Now, by the clock of the stack. */
  now: () => Date;
}

/** Where a request came from, as kept with a session. */
export interface ClientInfo {
  ip: string;
  userAgent: string;
}

/** Builds Auth of a stack. */
export function createService(
  context: StackContext,
  settings: AuthSettings = readAuthSettings(),
): AuthService {
  const write = async <T>(work: (tx: Db) => Promise<T>): Promise<T> => {
    const result = await context.admin.begin(async (tx) => {
      // Sent, but not waited for: the first statement of `work` follows it on the same connection.
      const prepared = tx`
        select set_config('role', 'supabase_auth_admin', true),
               set_config('search_path', 'auth', true)`.execute();
      const [value] = await Promise.all([work(tx), prepared]);
      return { value };
    });
    return result.value;
  };
  return {
    context,
    settings,
    tokens: tokensOf(context),
    read: context.admin,
    write,
    now: () => new Date(context.now()),
  };
}
