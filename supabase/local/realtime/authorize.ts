// Who may read and write a private channel: what the policies of realtime.messages say about a row of
// its topic. The rows that they are asked about are taken back, so nobody ever sees them.

import postgres from "postgres";
import type { Identity } from "./tokens.ts";

/** Features that policies tell apart. */
export type Extension = "broadcast" | "presence";

/** Whom a channel or request acts for. */
export interface Subject {
  identity: Identity;
  /** The `x-…` headers of the upgrade or request. */
  headers: Record<string, string>;
}

/** There is no partition of realtime.messages for today. */
export class MissingPartition extends Error {
  override readonly name = "MissingPartition";
}

/** Roles that a token may name; the pool could take any other, too. */
const ROLES = new Set(["anon", "authenticated", "service_role"]);

/** A policy that takes longer counts as one that fails. */
const TIMEOUT = "8s";

/** Thrown to end a transaction that was only a question. */
class Undo extends Error {}

/** Asks the policies. */
export class Authorizer {
  readonly #sql: postgres.Sql;

  /** @param sql Pool of the superuser; each question lowers its role. */
  constructor(sql: postgres.Sql) {
    this.#sql = sql;
  }

  /**
   * Which of the extensions the subject may read on a topic.
   *
   * @throws {MissingPartition}
   * @throws When the database cannot be reached.
   */
  async read(subject: Subject, topic: string, asked: Extension[]): Promise<Set<Extension>> {
    const readable = new Set<Extension>();
    if (!ROLES.has(subject.identity.role)) return readable;
    const ids = new Map(asked.map((extension) => [crypto.randomUUID() as string, extension]));
    const rows = [...ids].map(([id, extension]) => ({ id, topic, extension }));
    await this.#ask(async (tx) => {
      await tx`insert into realtime.messages ${tx(rows, "id", "topic", "extension")}`;
      await assume(tx, subject, topic);
      const seen = await tx<{ id: string }[]>`
        select id from realtime.messages
        where id = any(${[...ids.keys()]}::uuid[]) and inserted_at = localtimestamp`;
      for (const { id } of seen) readable.add(ids.get(id)!);
    });
    return readable;
  }

  /**
   * Whether the subject may write an extension of a topic.
   *
   * @throws {MissingPartition}
   * @throws When the database cannot be reached.
   */
  async write(subject: Subject, topic: string, extension: Extension): Promise<boolean> {
    if (!ROLES.has(subject.identity.role)) return false;
    let writable = false;
    await this.#ask(async (tx) => {
      await assume(tx, subject, topic);
      // Without `returning`, which would ask the policies for reading as well.
      await tx`insert into realtime.messages (topic, extension) values (${topic}, ${extension})`;
      writable = true;
    });
    return writable;
  }

  /** Runs a question and takes it back; a statement that fails ends it without an answer. */
  async #ask(question: (tx: postgres.TransactionSql) => Promise<void>): Promise<void> {
    const undo = new Undo();
    try {
      await this.#sql.begin(async (tx) => {
        await question(tx);
        throw undo;
      });
    } catch (error) {
      if (error === undo) return;
      if (!(error instanceof postgres.PostgresError) || isOutage(error)) throw error;
      if (error.code === "23514" && error.message.startsWith("no partition of relation")) {
        throw new MissingPartition("realtime.messages has no partition for now", { cause: error });
      }
    }
  }
}

/** Whether an error is about the server, not about the statement: shutdown, crash, no connection. */
function isOutage({ code }: postgres.PostgresError): boolean {
  return code.startsWith("57P") || code.startsWith("08") || code.startsWith("53");
}

/** Lowers the transaction to the subject. One statement, so there is no state between. */
async function assume(
  tx: postgres.TransactionSql,
  { identity: { role, claims }, headers }: Subject,
  topic: string,
): Promise<void> {
  const sub = typeof claims.sub === "string" ? claims.sub : "";
  await tx`
    select set_config('realtime.topic', ${topic}, true),
           set_config('request.jwt.claims', ${JSON.stringify(claims)}, true),
           set_config('request.jwt.claim.sub', ${sub}, true),
           set_config('request.jwt.claim.role', ${role}, true),
           set_config('request.headers', ${JSON.stringify(headers)}, true),
           set_config('statement_timeout', ${TIMEOUT}, true),
           set_config('role', ${role}, true)`;
}
