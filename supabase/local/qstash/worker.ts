// The part of the queue that acts by itself: lets schedules tick, claims messages that are due, delivers
// them, and sleeps until something is due again. Several may work on the same tables.

import { describeError } from "../log_errors.ts";
import { attempt } from "./delivery.ts";
import { recordOutcome } from "./outcome.ts";
import type { PublishSettings } from "./publish.ts";
import { tick } from "./schedules.ts";
import { log, type MessageRow, prune, type Sql } from "./store.ts";

/** What a worker needs. */
export interface WorkerOptions {
  sql: Sql;
  now: () => number;
  /** The key that deliveries are signed with now. */
  signingKey: () => string;
  settings: PublishSettings;
}

/** Deliveries under way at once. */
const MAX_IN_FLIGHT = 32;
/** Longest sleep, as a clock may be moved. */
const MAX_SLEEP_MS = 30_000;
/** Rest after the database has failed. */
const FAULT_REST_MS = 500;
const PRUNE_EVERY_MS = 3_600_000;
/** What deliveries under way have to end when the worker stops. */
const GRACE_MS = 5000;

/** Delivers until it is stopped. */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #name = crypto.randomUUID();
  readonly #inFlight = new Map<string, Promise<void>>();
  readonly #closing = new AbortController();
  #wake = Promise.withResolvers<void>();
  #isStopping = false;
  #isPaused = false;
  #prunedAt = 0;
  #loop: Promise<void> | undefined;

  constructor(options: WorkerOptions) {
    this.#options = options;
  }

  /** Begins to work. */
  start(): void {
    this.#loop ??= this.#run();
  }

  /** Whether it rests until somebody calls {@link runDue}. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  set isPaused(isPaused: boolean) {
    this.#isPaused = isPaused;
    this.wake();
  }

  /** Says that there may be something to do. */
  wake(): void {
    this.#wake.resolve();
  }

  /**
   * Delivers everything that is due, and what becomes due by that, until nothing is left.
   *
   * @param aheadMs What is due so much later counts as due now; schedules tick by the clock.
   * @returns Number of attempts.
   */
  async runDue(aheadMs = 0): Promise<number> {
    let attempts = 0;
    while (!this.#isStopping) {
      const claimed = await this.#pass(aheadMs);
      attempts += claimed;
      if (claimed === 0 && this.#inFlight.size === 0) break;
      if (this.#inFlight.size > 0) await Promise.race(this.#inFlight.values());
    }
    return attempts;
  }

  /** Waits for deliveries under way, not for ever, and stops; what is cut off will be repeated. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.wake();
    await this.#loop;
    const timer = setTimeout(() => this.#closing.abort(), GRACE_MS);
    await Promise.all(this.#inFlight.values());
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      this.#wake = Promise.withResolvers();
      let sleep = MAX_SLEEP_MS;
      try {
        if (!this.#isPaused) {
          // What becomes due during the pass is for the next one, which must not be slept through.
          const began = this.#options.now();
          await this.#pass(0);
          sleep = await this.#untilNext(began);
        }
      } catch (error) {
        if (!this.#isStopping) console.error("The queue rests:", describeError(error));
        sleep = FAULT_REST_MS;
      }
      const timer = setTimeout(() => this.#wake.resolve(), sleep);
      await this.#wake.promise;
      clearTimeout(timer);
    }
  }

  /** One round: schedules, then as many messages as may be under way. */
  async #pass(aheadMs: number): Promise<number> {
    const { sql, now, settings } = this.#options;
    if (now() - this.#prunedAt > PRUNE_EVERY_MS) {
      this.#prunedAt = now();
      await prune(sql, now());
    }
    await tick(sql, settings, now());
    const free = MAX_IN_FLIGHT - this.#inFlight.size;
    if (free <= 0) return 0;
    const messages = await sql.begin(async (tx) => {
      const claimed = await tx<MessageRow[]>`
        select * from _qstash.claim_due(${now() + aheadMs}, ${now()}, ${free}, ${this.#name})`;
      for (const message of claimed) await log(tx, message, "ACTIVE", now());
      return claimed;
    });
    for (const message of messages) {
      const delivery = this.#deliver(message).finally(() => {
        this.#inFlight.delete(message.id);
        this.wake();
      });
      this.#inFlight.set(message.id, delivery);
    }
    return messages.length;
  }

  async #untilNext(began: number): Promise<number> {
    if (this.#inFlight.size >= MAX_IN_FLIGHT) return MAX_SLEEP_MS;
    const { sql, now } = this.#options;
    const [next] = await sql<{ at: number | null }[]>`
      select _qstash.next_event_at(${began}) as at`;
    return Math.min(MAX_SLEEP_MS, Math.max(0, (next?.at ?? Infinity) - now()));
  }

  async #deliver(message: MessageRow): Promise<void> {
    const { sql, now, signingKey, settings } = this.#options;
    let result;
    try {
      result = await attempt(message, signingKey(), now(), this.#closing.signal);
    } catch (error) {
      if (!this.#closing.signal.aborted) console.error("Cannot deliver:", describeError(error));
      await this.#persist(() => release(sql, message));
      return;
    }
    await this.#persist(() => recordOutcome(sql, message, result, settings, now()));
  }

  /** Writes down what came of a delivery, also when the database comes back only after a while. */
  async #persist(write: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await write();
      } catch (error) {
        console.error("Cannot record a delivery:", describeError(error));
        // The lease ends, and somebody repeats the delivery.
        if (this.#isStopping) return;
        await new Promise((resolve) => setTimeout(resolve, FAULT_REST_MS));
      }
    }
  }
}

/** Gives a claimed message back, as if nobody had claimed it. */
async function release(sql: Sql, { id, claim }: MessageRow): Promise<void> {
  await sql`
    update _qstash.messages set state = 'waiting', claim = null, lease_until = null
    where id = ${id} and claim = ${claim}`;
}

/** Gives back what a stack that was killed had claimed; for its successor, before it works. */
export async function releaseAll(sql: Sql): Promise<void> {
  await sql`
    update _qstash.messages set state = 'waiting', claim = null, lease_until = null
    where state = 'active'`;
}
