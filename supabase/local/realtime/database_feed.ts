// Messages from the database: a trigger announces each row of realtime.messages when its transaction
// commits, and this reads the rows and hands them on in that order. A lost connection is made anew; what
// was committed meanwhile is not known, and whoever listens is told that there is a gap.

import postgres from "postgres";
import { describeError } from "../log_errors.ts";

/** A row of realtime.messages that was committed. */
export interface DatabaseMessage {
  id: string;
  /** Without the prefix `realtime:`. */
  topic: string;
  event: string;
  private: boolean;
  /** JSON text. */
  payload: string | null;
  binary_payload: Uint8Array | null;
}

/** Who takes what the feed brings. */
export interface FeedListener {
  message: (message: DatabaseMessage) => void;
  /** Messages may have been lost; from now on they come again. */
  gap: () => void;
}

const CHANNEL = "realtime_messages";
/** `<id> <inserted_at>`, as the trigger writes it. */
const ANNOUNCEMENT =
  /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/;
/** Rows of one query. */
const BATCH = 500;
/** Tries to read rows that were announced, and the wait between them. */
const [TRIES, RETRY_MS] = [3, 200];

/** Listens for rows and reads them. */
export class DatabaseFeed {
  readonly #sql: postgres.Sql;
  readonly #listener: FeedListener;
  readonly #connection: postgres.Sql;
  #announced: string[] = [];
  #reading: Promise<void> | undefined;
  #connected = Promise.withResolvers<void>();
  #isLive = false;
  #closed = false;

  /**
   * @param sql Pool of the superuser, to read rows with.
   * @param adminUrl Where to listen.
   */
  constructor(sql: postgres.Sql, adminUrl: string, listener: FeedListener) {
    this.#sql = sql;
    this.#listener = listener;
    this.#connection = postgres(adminUrl, { max: 1, onnotice: () => {}, idle_timeout: 0 });
    this.#connected.promise.catch(() => {});
    this.#listen();
  }

  /** Resolves once messages are delivered; rejects when they will not be. */
  get ready(): Promise<void> {
    return this.#connected.promise;
  }

  /** Ends it; rows that are being read are still delivered. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#connected.reject(new Error("The feed is closed"));
    await this.#reading;
    await this.#connection.end({ timeout: 1 });
  }

  #listen(): void {
    // The driver listens again by itself after it has lost the connection.
    const listening = this.#connection.listen(
      CHANNEL,
      (payload) => this.#announce(payload),
      () => this.#live(),
    );
    listening.catch((error) => {
      if (this.#closed) return;
      console.error(`Realtime: Cannot listen to the database: ${describeError(error)}`);
      setTimeout(() => this.#closed || this.#listen(), RETRY_MS);
    });
  }

  #live(): void {
    const again = this.#isLive;
    this.#isLive = true;
    this.#connected.resolve();
    if (again) this.#listener.gap();
  }

  #announce(payload: string): void {
    // Any function of a project may notify; what is no announcement must not spoil those beside it.
    if (!ANNOUNCEMENT.test(payload)) return;
    this.#announced.push(payload);
    this.#reading ??= this.#readAll().finally(() => this.#reading = undefined);
  }

  /** Reads until nothing is announced any more; what is announced meanwhile is one batch. */
  async #readAll(): Promise<void> {
    while (this.#announced.length > 0) {
      const batch = this.#announced.splice(0, BATCH);
      const rows = await this.#read(batch);
      for (const row of rows ?? []) this.#deliver(row);
      if (!rows && !this.#closed) this.#listener.gap();
    }
  }

  #deliver(row: DatabaseMessage): void {
    try {
      this.#listener.message(row);
    } catch (error) {
      console.error(`Realtime: A message was not delivered: ${describeError(error)}`);
    }
  }

  /** Rows in the order of their announcements; undefined when they cannot be read. */
  async #read(announced: string[]): Promise<DatabaseMessage[] | undefined> {
    const keys = announced.map((payload) => payload.split(" "));
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      try {
        return await this.#query(keys.map(([id]) => id!), keys.map(([, time]) => time!));
      } catch (error) {
        if (this.#closed) return undefined;
        console.error(`Realtime: Messages were not read: ${describeError(error)}`);
        if (attempt < TRIES) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    return undefined;
  }

  async #query(ids: string[], times: string[]): Promise<DatabaseMessage[]> {
    // Times stay text until PostgreSQL casts them: a Date has no microseconds.
    return await this.#sql<DatabaseMessage[]>`
      select m.id, m.topic, m.event, m.private, m.payload::text as payload, m.binary_payload
      from unnest(${ids}::text[], ${times}::text[]) with ordinality as a (id, inserted_at, position)
      join realtime.messages as m
        on m.id = a.id::uuid and m.inserted_at = a.inserted_at::timestamp
      order by a.position`;
  }
}
