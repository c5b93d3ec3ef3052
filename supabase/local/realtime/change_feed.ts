// Committed changes of the tables in publication `supabase_realtime`, read from PostgreSQL's log. The
// slot is temporary: it lives as long as its connection and keeps no log behind. A lost connection is
// made anew with a new slot; what was committed between the two is not known.

import postgres from "postgres";
import { describeError } from "../log_errors.ts";
import { type Commit, PgoutputReader } from "./pgoutput.ts";

/** Publication whose tables are read. */
export const PUBLICATION = "supabase_realtime";

/** Who takes what the feed brings. */
export interface ChangeFeedListener {
  /** Takes transactions in the order of their commits; the next ones come when it is done. */
  commits: (commits: Commit[]) => Promise<void>;
  /** The connection is lost. */
  lost: () => void;
  /** There is a connection again. */
  back: () => void;
}

/** Wait between two looks at the log. */
const POLL_MS = 60;
/** Changes of one look, give or take the rest of a transaction. */
const BATCH = 2000;
/** Time for the last look to end. */
const GRACE_MS = 1000;
/** Waits before a lost connection is made anew; the last is repeated. */
const RETRY_MS = [100, 500, 1000, 5000];

/** Reads the log from its start to its end. */
export class ChangeFeed {
  readonly #url: string;
  readonly #listener: ChangeFeedListener;
  readonly #started = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #running: Promise<void>;
  #pool: postgres.Sql | undefined;
  #isClosed = false;
  #isLost = false;

  /** @param url Where to connect, as a role that may replicate. */
  constructor(url: string, listener: ChangeFeedListener) {
    this.#url = url;
    this.#listener = listener;
    this.#started.promise.catch(() => {});
    this.#running = this.#run();
  }

  /** Resolves once there is a slot: what is committed from then on is read. Rejects at the end. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** Ends it, and with it the slot. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#closed.resolve();
    this.#started.reject(new Error("The feed is closed"));
    // A slot is not made while anybody's older transaction goes on, which is not waited for.
    const timer = setTimeout(() => this.#pool?.end({ timeout: 0 }), GRACE_MS);
    await this.#running;
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#isClosed) {
      const pool = this.#pool = postgres(this.#url, {
        // One connection, which is not renewed by its age: the slot would go with it. When it is lost,
        // the driver makes another, which then has no slot.
        ...{ max: 1, idle_timeout: 0, max_lifetime: null },
        onnotice: () => {},
      });
      try {
        await this.#read(pool, () => failures = 0);
      } catch (error) {
        if (!this.#isClosed) {
          console.error(`Realtime: Changes are not read: ${describeError(error)}`);
          this.#lose();
        }
      } finally {
        await pool.end({ timeout: 1 });
      }
      await this.#pause(RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]!);
    }
  }

  async #read(sql: postgres.Sql, onSlot: () => void): Promise<void> {
    const slot = `realtime_changes_${crypto.randomUUID().replaceAll("-", "")}`;
    await sql`select pg_create_logical_replication_slot(${slot}, 'pgoutput', true)`;
    const reader = new PgoutputReader();
    onSlot();
    this.#started.resolve();
    if (this.#isLost) this.#listener.back();
    this.#isLost = false;
    while (!this.#isClosed) {
      const rows = await sql<{ data: Uint8Array }[]>`
        select data from pg_logical_slot_get_binary_changes(
          ${slot}, null, ${BATCH}, 'proto_version', '1', 'publication_names', ${PUBLICATION})`;
      const commits = rows.map(({ data }) => reader.read(data)).filter((commit) => !!commit)
        .filter(({ changes }) => changes.length > 0);
      if (commits.length > 0) await this.#listener.commits(commits);
      if (rows.length < BATCH) await this.#pause(POLL_MS);
    }
  }

  #lose(): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.#listener.lost();
  }

  /** Waits, but not beyond the end. */
  async #pause(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const over = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    await Promise.race([over, this.#closed.promise]);
    clearTimeout(timer);
  }
}
