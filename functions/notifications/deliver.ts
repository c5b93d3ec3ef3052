// A run of the delivery worker: claims what is due, sends it, writes down what became of it, until
// nothing is due or its time is up. Any number of runs may overlap, and any may be killed: what it had
// claimed is due again when the lease ends.

import type { RequestContext } from "../_shared/db.ts";
import { AppError } from "../_shared/errors.ts";
import type { Log } from "../_shared/log.ts";
import type { Sql } from "../_shared/db.ts";
import type { Clock } from "./lane.ts";
import { type Claimed, type DeliveryOutbox, type Finished, openOutbox } from "./outbox.ts";
import type { SendOutcome } from "./providers/provider.ts";
import { sendBy, type Senders } from "./providers/senders.ts";

/** What a run is made of. */
export interface DeliveryDeps {
  sql: Sql;
  log: Log;
  clock: Clock;
  senders: Senders;
}

/** How long and how much; seconds. */
export interface RunLimits {
  /** After so long nothing more is claimed. */
  run_seconds: number;
  /** Longer than a run and its last message take, so that no other run has it meanwhile. */
  lease_seconds: number;
  /** Most deliveries that a run holds at a time. */
  in_flight: number;
}

/** The queue calls each minute; a function may take more than twice that. */
export const RUN_LIMITS: RunLimits = { run_seconds: 45, lease_seconds: 120, in_flight: 200 };

/** What a run has done, counted. */
export interface DeliveryReport {
  claimed: number;
  sent: number;
  retried: number;
  refused: number;
  suppressed: number;
  deferred: number;
  /** Finished too late: their lease had ended. */
  stale: number;
  /** Nothing due was left over. */
  is_drained: boolean;
}

const COUNTED = {
  sent: "sent",
  retry: "retried",
  permanent: "refused",
  suppressed: "suppressed",
  deferred: "deferred",
} as const satisfies Record<SendOutcome["outcome"], keyof DeliveryReport>;

/** Tries to write outcomes down: what is not written is sent again. */
const FINISH_TRIES = 3;
const FINISH_WAIT_MS = 500;

/**
 * Delivers what is due.
 *
 * @throws {AppError} `unavailable` when the database is; what was sent but could not be written down
 * is tried again by a later run, with the same idempotency key.
 */
export async function deliverDue(
  deps: DeliveryDeps,
  context: RequestContext,
  limits: RunLimits = RUN_LIMITS,
): Promise<DeliveryReport> {
  return await new Run(deps, context, limits).go();
}

class Run {
  readonly report: DeliveryReport = {
    claimed: 0,
    sent: 0,
    retried: 0,
    refused: 0,
    suppressed: 0,
    deferred: 0,
    stale: 0,
    is_drained: false,
  };
  readonly #outbox: DeliveryOutbox;
  readonly #deadline: number;
  /** Deliveries that are claimed and not yet written down. */
  #held = 0;
  /** Outcomes that wait to be written down. */
  #done: Finished[] = [];
  #isWriting = false;
  /** What made writing fail. */
  #failure: { thrown: unknown } | undefined;
  /** When the first of those that were sent away is due again. */
  #backAt = Infinity;
  #moved = Promise.withResolvers<void>();
  readonly #alarms = new Set<string>();

  constructor(
    readonly deps: DeliveryDeps,
    readonly context: RequestContext,
    readonly limits: RunLimits,
  ) {
    this.#outbox = openOutbox(deps.sql, context);
    this.#deadline = deps.clock.now() + limits.run_seconds * 1000;
  }

  async go(): Promise<DeliveryReport> {
    const { clock } = this.deps;
    const { in_flight, lease_seconds } = this.limits;
    while (!this.#failure && clock.now() < this.#deadline) {
      const room = in_flight - this.#held;
      // Half at a time, so that a claim is worth its transaction.
      if (room < in_flight / 2) {
        await this.#next();
        continue;
      }
      const claimed = await this.#claim(room, lease_seconds);
      for (const delivery of claimed) this.#send(delivery);
      if (claimed.length > 0) continue;
      if (this.#held > 0) await this.#next();
      else if (this.#backAt < this.#deadline) {
        await clock.sleep(Math.max(this.#backAt - clock.now(), 0));
        this.#backAt = Infinity;
      } else {
        this.report.is_drained = true;
        break;
      }
    }
    while (this.#held > 0 && !this.#failure) await this.#next();
    if (this.#failure) throw this.#failure.thrown;
    return this.report;
  }

  /** Claims; when that fails, what is held is finished first. */
  async #claim(room: number, lease_seconds: number): Promise<Claimed[]> {
    try {
      const claimed = await this.#outbox.claim(room, lease_seconds);
      this.#held += claimed.length;
      this.report.claimed += claimed.length;
      return claimed;
    } catch (thrown) {
      while (this.#held > 0 && !this.#failure) await this.#next();
      throw thrown;
    }
  }

  /** Waits until something was written down. */
  async #next(): Promise<void> {
    await this.#moved.promise;
    this.#moved = Promise.withResolvers();
  }

  async #send({ id, claim_token, channel, ...message }: Claimed): Promise<void> {
    const { clock, senders } = this.deps;
    let finished: Finished;
    try {
      const sent = await sendBy(senders, channel, message, this.#deadline);
      finished = { id, claim_token, ...sent };
    } catch {
      // A fault of ours in one message does not keep the others.
      const outcome: SendOutcome = { outcome: "retry", error_code: "internal", is_alarm: true };
      finished = { id, claim_token, provider: null, outcome };
    }
    const { outcome } = finished;
    if (outcome.outcome === "retry" && outcome.is_alarm) this.#alarm(finished, outcome.error_code);
    if (outcome.outcome === "deferred") {
      this.#backAt = Math.min(this.#backAt, clock.now() + outcome.retry_after_seconds * 1000);
    }
    this.#done.push(finished);
    await this.#write();
  }

  /** Writes outcomes down; those that come meanwhile share the next transaction. */
  async #write(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    while (this.#done.length > 0 && !this.#failure) {
      const finished = this.#done.splice(0);
      try {
        const applied = await this.#finish(finished);
        this.report.stale += finished.length - applied;
        for (const { outcome } of finished) this.report[COUNTED[outcome.outcome]]++;
      } catch (thrown) {
        this.#failure = { thrown };
      }
      this.#held -= finished.length;
      this.#moved.resolve();
    }
    this.#isWriting = false;
  }

  async #finish(finished: Finished[]): Promise<number> {
    for (let tries = 1;; tries++) {
      try {
        return await this.#outbox.finish(finished);
      } catch (thrown) {
        const is_passing = thrown instanceof AppError && thrown.code === "unavailable";
        if (!is_passing || tries >= FINISH_TRIES) throw thrown;
        await this.deps.clock.sleep(FINISH_WAIT_MS * tries);
      }
    }
  }

  /** Says once a run that a provider refuses us: nothing goes out until somebody acts. */
  #alarm({ provider }: Finished, error_code: string): void {
    const code = `${provider ?? "none"}_${error_code}`;
    if (this.#alarms.has(code)) return;
    this.#alarms.add(code);
    this.deps.log({
      timestamp: new Date(this.deps.clock.now()).toISOString(),
      level: "error",
      request_id: this.context.request_id,
      function: "notifications",
      fault: { name: "DeliveryAlarm", code, frames: [] },
    });
  }
}
