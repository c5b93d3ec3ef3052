// The queue in front of one provider: so many messages at a time, so many a second, and none while
// the provider asks for a pause. Who would wait too long is sent away with a time to come back.

import type { Limits, SendOutcome } from "./providers/provider.ts";

/** Time, as lanes and the run use it; milliseconds. */
export interface Clock {
  now: () => number;
  sleep: (ms: number) => Promise<void>;
}

/** Longest wait for one's turn; who would wait longer makes room for messages of others. */
const MAX_WAIT_MS = 5_000;
/** Longest time for which somebody is sent away. */
const MAX_DEFERRAL_SECONDS = 3600;

export class Lane {
  #running = 0;
  #waiting: (() => void)[] = [];
  /** When the next message may be sent. */
  #nextAt = 0;
  /** When the next of those who are sent away may come back. */
  #backAt = 0;

  constructor(readonly limits: Limits, readonly clock: Clock) {}

  /** Runs `work` in its turn, or answers `deferred` when its turn is later than `deadline`. */
  async run(work: () => Promise<SendOutcome>, deadline: number): Promise<SendOutcome> {
    if (this.#running >= this.limits.concurrency) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running++;
    try {
      const deferred = await this.#turn(deadline);
      if (deferred) return deferred;
      const outcome = await work();
      if (outcome.outcome === "retry" && outcome.is_throttled) {
        const seconds = outcome.retry_after_seconds ?? 1;
        this.#nextAt = Math.max(this.#nextAt, this.clock.now() + seconds * 1000);
      }
      return outcome;
    } finally {
      // The place goes to the next in the queue, if there is one.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }

  async #turn(deadline: number): Promise<SendOutcome | undefined> {
    const now = this.clock.now();
    const interval = 1000 / this.limits.per_second;
    const turn = Math.max(now, this.#nextAt);
    if (turn - now > MAX_WAIT_MS || turn > deadline) {
      // Each gets a time of its own, or all would come back at once.
      this.#backAt = Math.max(this.#backAt, turn) + interval;
      const seconds = Math.ceil((this.#backAt - now) / 1000);
      return {
        outcome: "deferred",
        error_code: "provider_busy",
        retry_after_seconds: Math.min(seconds, MAX_DEFERRAL_SECONDS),
      };
    }
    this.#nextAt = turn + interval;
    if (turn > now) await this.clock.sleep(turn - now);
    return undefined;
  }
}
