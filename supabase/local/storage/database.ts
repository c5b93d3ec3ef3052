// Storage's transactions. What a request may do is decided by the policies on storage.objects and
// storage.buckets, so its statements run as its role with its claims; Storage itself runs as
// service_role, or as the login role, where it must see what the caller may not.

import postgres from "postgres";
import { type Caller, SERVICE } from "./caller.ts";
import { fromPostgres } from "./errors.ts";

/** One transaction. */
export type Tx = postgres.TransactionSql;

/** Who acts, and in which request. */
export interface Actor {
  caller: Caller;
  /** Name of the operation, for example `storage.object.upload`, as `storage.operation()` shows. */
  operation: string;
  method: string;
  path: string;
}

/** The same request, done by Storage itself past RLS. */
export function asService(actor: Actor): Actor {
  return { ...actor, caller: SERVICE };
}

/** Names one object. */
export interface ObjectName {
  bucket: string;
  key: string;
}

/** What is at a name now, whether or not the caller may see it. */
export interface Present {
  id: string;
  version: string | null;
}

/** Thrown to end a transaction that was only a question. */
class Undo extends Error {}

/** Runs Storage's statements on the stack's pool. */
export class Database {
  readonly #sql: postgres.Sql;

  /** @param sql Pool of the superuser; each transaction lowers its role. */
  constructor(sql: postgres.Sql) {
    this.#sql = sql;
  }

  /** Runs `work` in one transaction as the caller, so every statement meets RLS. */
  run<T>(actor: Actor, work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#begin(async (tx) => {
      await assume(tx, actor);
      return await work(tx);
    });
  }

  /** Runs `work` as {@link run} does and takes it back: throws what doing it would throw. */
  async rehearse(actor: Actor, work: (tx: Tx) => Promise<unknown>): Promise<void> {
    const undo = new Undo();
    try {
      await this.run(actor, async (tx) => {
        await work(tx);
        throw undo;
      });
    } catch (error) {
      if (error !== undo) throw error;
    }
  }

  /**
   * Runs `work` as {@link run} does while no other request changes these objects, and tells it what
   * is at each name.
   */
  writing<T>(
    actor: Actor,
    names: ObjectName[],
    work: (tx: Tx, present: (Present | undefined)[]) => Promise<T>,
  ): Promise<T> {
    return this.#begin(async (tx) => {
      await tx`select set_config('lock_timeout', '10s', true)`;
      const paths = names.map(({ bucket, key }) => `${bucket}/${key}`);
      // In one order everywhere, so that two requests for the same objects cannot block each other.
      for (const path of paths.toSorted()) {
        await tx`select pg_advisory_xact_lock(hashtextextended('storage ' || ${path}::text, 0))`;
      }
      const present = new Map<string, Present>();
      for (const [index, { bucket, key }] of names.entries()) {
        const [row] = await tx<Present[]>`
          select o.id, o.version from storage.objects as o
          where o.bucket_id = ${bucket} and o.name = ${key}
          for update`;
        if (row) present.set(paths[index]!, row);
      }
      await assume(tx, actor);
      return await work(tx, paths.map((path) => present.get(path)));
    });
  }

  async #begin<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    try {
      const boxed = await this.#sql.begin(async (tx) => ({ value: await work(tx) }));
      return boxed.value;
    } catch (error) {
      throw error instanceof postgres.PostgresError ? fromPostgres(error) : error;
    }
  }
}

/** Lowers the transaction to the caller. One statement, so there is no state between. */
async function assume(tx: Tx, { caller, operation, method, path }: Actor): Promise<void> {
  await tx`
    select set_config('request.jwt.claims', ${JSON.stringify(caller.claims)}, true),
           set_config('request.jwt.claim.sub', ${caller.userId ?? ""}, true),
           set_config('request.jwt.claim.role', ${caller.role}, true),
           set_config('request.method', ${method}, true),
           set_config('request.path', ${path}, true),
           set_config('storage.operation', ${operation}, true),
           set_config('storage.allow_delete_query', 'true', true),
           set_config('role', ${caller.role}, true)`;
}
