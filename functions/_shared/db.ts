// The database, reached as somebody: `asCaller` runs as the person who asks, so row-level security
// decides; `asWorker` runs as a narrow role for one job. Nothing runs as the connection's own role.

import postgres from "postgres";
import { fromDatabase } from "./database_errors.ts";
import { AppError } from "./errors.ts";

/** What is known of a request apart from who sent it; audit rows carry it. */
export interface RequestContext {
  request_id: string;
  /** Address of the client, when the gateway told it. */
  ip: string | null;
  user_agent: string | null;
}

/** Who makes a request: a signed-in account, and the request itself. */
export interface Caller extends RequestContext {
  /** `auth.users.id`. */
  id: string;
  /** All claims of the verified access token. */
  claims: Record<string, unknown>;
}

/** Roles without login, each with the grants of one job; `postgres` may act as them. */
export type WorkerRole = "records_worker" | "rate_limit_worker";

/** A value that is sent as a parameter. JSON goes as text and is cast in the statement. */
export type SqlValue = string | number | boolean | null;

/** Runs one statement of an open transaction and gives its rows. */
export type Query = <Row extends object>(
  strings: TemplateStringsArray,
  ...values: SqlValue[]
) => Promise<Row[]>;

/** A pool of connections, as far as this code uses it. */
export interface Sql {
  /** Runs `work` in one transaction: committed when it resolves, rolled back when it rejects. */
  begin<T>(work: (tx: Query) => Promise<T>): Promise<T>;
}

/** Port on which Supabase's pooler hands out connections per transaction. */
const TRANSACTION_POOLER_PORT = "6543";

/** Opens the pool. No connection is made before the first statement. */
export function openDatabase(url: string): Sql {
  const pool = postgres(url, {
    // An instance of a function serves few requests at a time, and there may be many instances.
    max: 8,
    idle_timeout: 20,
    connect_timeout: 5,
    // The transaction pooler cannot keep prepared statements; elsewhere they save a round trip.
    prepare: new URL(url).port !== TRANSACTION_POOLER_PORT,
    fetch_types: false,
    onnotice: () => {},
    connection: { application_name: "functions", statement_timeout: 30_000 },
    // bigint columns here are sizes and counts, all below 2^53.
    types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
  });
  return {
    begin<T>(work: (tx: Query) => Promise<T>): Promise<T> {
      // In an object, because the driver would unwrap an array of promises.
      return pool.begin(async (tx) => {
        const query: Query = async <Row extends object>(
          strings: TemplateStringsArray,
          ...values: SqlValue[]
        ) => [...await tx<Row[]>(strings, ...values)];
        return { result: await work(query) };
      }).then(({ result }) => result);
    },
  };
}

/**
 * Runs `work` in one transaction as the caller, so every statement meets RLS.
 *
 * @throws {AppError} `unauthenticated` when the session was signed out or the account closed, and
 * whatever code a function of the database raised.
 */
export function asCaller<T>(sql: Sql, caller: Caller, work: (tx: Query) => Promise<T>): Promise<T> {
  return translated(() =>
    sql.begin(async (tx) => {
      // The settings are in a materialized CTE so that they hold before the session is looked up.
      const [session] = await tx<{ is_live: boolean }>`
        with settings as materialized (
          select set_config('role', 'authenticated', true),
            set_config('request.jwt.claims', ${JSON.stringify(caller.claims)}, true),
            set_config('request.headers', ${auditHeaders(caller)}, true)
        )
        select private.session_is_live() as is_live from settings`;
      if (!session?.is_live) throw new AppError("unauthenticated", "The session has ended");
      return await work(tx);
    })
  );
}

/**
 * Runs `work` in one transaction as a worker role. When the worker acts for a caller, the caller's
 * claims go along, so that audit names the person.
 *
 * May be imported only by the files that policies/README.md lists.
 */
export function asWorker<T>(
  sql: Sql,
  role: WorkerRole,
  context: Caller | RequestContext,
  work: (tx: Query) => Promise<T>,
): Promise<T> {
  const claims = "claims" in context ? context.claims : {};
  return translated(() =>
    sql.begin(async (tx) => {
      await tx`
        select set_config('role', ${role}, true),
          set_config('request.jwt.claims', ${JSON.stringify(claims)}, true),
          set_config('request.headers', ${auditHeaders(context)}, true)`;
      return await work(tx);
    })
  );
}

/** The headers that audit reads, in the setting where PostgREST puts them too. */
function auditHeaders({ ip, user_agent, request_id }: RequestContext): string {
  return JSON.stringify({
    "x-forwarded-for": ip ?? undefined,
    "user-agent": user_agent ?? undefined,
    "x-request-id": request_id,
  });
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw fromDatabase(thrown);
  }
}
