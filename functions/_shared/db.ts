// The database, reached as somebody: `asCaller` runs as the person who asks, so row-level security
// decides; `asWorker` runs as a narrow role for one job. Nothing runs as the connection's own role.

import pg from "pg";
import { DatabaseUnreachable, fromDatabase, isServerError } from "./database_errors.ts";
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
export type WorkerRole =
  | "records_worker"
  | "notification_worker"
  | "reminder_worker"
  | "rate_limit_worker"
  | "identity_worker"
  | "audit_worker"
  | "keys_worker"
  | "notification_worker";

/** A value that is sent as a parameter. JSON goes as text and is cast in the statement. */
export type SqlValue = string | number | boolean | null;

/** Runs one statement of an open transaction and gives its rows. */
export type Query = <Row extends object>(
  strings: TemplateStringsArray,
  ...values: SqlValue[]
) => Promise<Row[]>;

/** What a transaction is for: `snapshot` reads only, all of it as it was at one moment. */
export type TransactionMode = "change" | "snapshot";

/** A pool of connections, as far as this code uses it. */
export interface Sql {
  /** Runs `work` in one transaction: committed when it resolves, rolled back when it rejects. */
  begin<T>(work: (tx: Query) => Promise<T>, mode?: TransactionMode): Promise<T>;
}

/** What this file uses of node-postgres, which brings no types of its own. */
interface Connection {
  query(statement: {
    text: string;
    /** Under which the connection keeps the plan; none: it is not kept. */
    name: string | undefined;
    values: SqlValue[] | undefined;
  }): Promise<{ rows: object[] }>;
  on(event: "error", hearer: (cause: unknown) => void): void;
  off(event: "error", hearer: (cause: unknown) => void): void;
  /** Gives the connection back, or throws it away. */
  release(is_broken: boolean): void;
}

interface Pool {
  connect(): Promise<Connection>;
  on(event: "error", hearer: () => void): void;
}
const TRANSACTION_OPTIONS: Readonly<Record<TransactionMode, string>> = {
  change: "",
  snapshot: "isolation level repeatable read read only",
};

/** Port on which Supabase's pooler hands out connections per transaction. */
const TRANSACTION_POOLER_PORT = "6543";

/** Milliseconds after which a statement is given up: on the server, and then here. */
const STATEMENT_TIMEOUT_MS = 30_000;
const ANSWER_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 5_000;

/** Sizes, counts and positions, all below 2^53; as text they would have to be read everywhere. */
const BIGINT_OID = 20;

/**
 * Opens the pool. No connection is made before the first statement, and one that breaks is thrown
 * away: what it was doing fails as `unavailable`, what comes after gets another.
 *
 * The driver is node-postgres. postgres.js, tried first, loses a place of its pool for ever, or throws
 * where nobody can catch it, when the server ends a connection in the middle of a transaction.
 */
export function openDatabase(url: string): Sql {
  const types = new pg.TypeOverrides();
  types.setTypeParser(BIGINT_OID, Number);
  const pool: Pool = new pg.Pool({
    connectionString: url,
    types,
    // An instance of a function serves few requests at a time, and there may be many instances.
    max: 8,
    idleTimeoutMillis: 20_000,
    // Waiting for a free connection counts, too.
    connectionTimeoutMillis: 5_000,
    application_name: "functions",
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
  });
  // A connection that breaks while nobody uses it is no news: the pool has dropped it.
  pool.on("error", () => {});
  const names = statementNames(new URL(url).port !== TRANSACTION_POOLER_PORT);
  return {
    async begin<T>(
      work: (tx: Query) => Promise<T>,
      mode: TransactionMode = "change",
    ): Promise<T> {
      const client = await pool.connect().catch((cause) => {
        throw new DatabaseUnreachable(cause);
      });
      let is_over = false;
      const lost = Promise.withResolvers<never>();
      lost.promise.catch(() => {}); // nobody waits for it while a statement fails by itself
      const onLoss = (cause: unknown) => {
        is_over = true;
        lost.reject(new DatabaseUnreachable(cause));
      };
      client.on("error", onLoss);
      const run = async <Row>(text: string, name?: string, values?: SqlValue[]) => {
        try {
          return (await client.query({ text, name, values })).rows as Row[];
        } catch (error) {
          throw isServerError(error) ? error : new DatabaseUnreachable(error);
        }
      };
      const query: Query = async (strings, ...values) => {
        // The connection may serve another transaction, as somebody else, by the time that work which
        // does not know of its end comes back with its next statement.
        if (is_over) throw new AppError("unavailable", "The transaction has ended");
        return await run(
          strings.reduce((all, part, index) => `${all}$${index}${part}`),
          names(strings),
          values,
        );
      };
      let broken = true;
      try {
        await run(`begin ${TRANSACTION_OPTIONS[mode]}`);
        try {
          const result = await Promise.race([work(query), lost.promise]);
          await run("commit");
          broken = false;
          return result;
        } catch (error) {
          // When this fails, too, the connection is of no more use.
          broken = await run("rollback").then(() => false, () => true);
          throw error;
        }
      } finally {
        is_over = true;
        // A broken one may still have something to say, which somebody must hear.
        if (!broken) client.off("error", onLoss);
        client.release(broken);
      }
    },
  };
}

/**
 * Gives each statement of the source a name, so that a connection parses and plans it once. The
 * transaction pooler cannot keep prepared statements: there they have none.
 */
function statementNames(
  keeps: boolean,
): (strings: TemplateStringsArray) => string | undefined {
  const names = new WeakMap<TemplateStringsArray, string>();
  let count = 0;
  return (strings) => {
    if (!keeps) return undefined;
    const name = names.get(strings) ?? `s${++count}`;
    names.set(strings, name);
    return name;
  };
}

/**
 * Runs `work` in one transaction as the caller, so every statement meets RLS.
 *
 * In a `snapshot` the caller's rights are as they were when it began; work that takes long asks for
 * them again, in another transaction.
 *
 * @throws {AppError} `unauthenticated` when the session was signed out or the account closed, and
 * whatever code a function of the database raised.
 */
export function asCaller<T>(
  sql: Sql,
  caller: Caller,
  work: (tx: Query) => Promise<T>,
  mode: TransactionMode = "change",
): Promise<T> {
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
    }, mode)
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
