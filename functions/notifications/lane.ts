// The queue in front of one provider: so many messages at a time, so many a second, and none while
// the provider asks for a pause. Who would wait too long is sent away with a time to come back.

import type { Limits, Message, SendOutcome } from "./providers/provider.ts";

/** Time, as lanes and the run use it; milliseconds. */
export interface Clock {
  now: () => number;
  sleep: (ms: number) => Promise<void>;
  /** Rings once after `ms`; what it gives stops it before. */
  alarm: (ms: number, ring: () => void) => () => void;
}

/** Time as it is, by this clock. */
export function realClock(now: () => number): Clock {
  return {
    now,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    alarm: (ms, ring) => {
      const timer = setTimeout(ring, ms);
      return () => clearTimeout(timer);
    },
  };
}

type Urgency = Message<unknown>["urgency"];

/**
 * Longest wait, for a place and for one's turn; who would wait longer makes room for messages of
 * others. What is urgent may wait longer, so that however much else there is, its turn comes.
 */
const MAX_WAIT_MS: Record<Urgency, number> = { normal: 5_000, security: 7_500, emergency: 10_000 };
const RANK: Record<Urgency, number> = { normal: 0, security: 1, emergency: 2 };
/** Longest time for which somebody is sent away. */
const MAX_DEFERRAL_SECONDS = 3600;

export class Lane {
  #running = 0;
  /** Who waits for a place, the urgent first; `give` tells whether there is one. */
  #waiting: { urgency: Urgency; give: (is_free: boolean) => void }[] = [];
  /** When the next message may be sent. */
  #nextAt = 0;
  /** When the next of those who are sent away may come back: the urgent are not behind the others. */
  #backAt: Record<Urgency, number> = { normal: 0, security: 0, emergency: 0 };

  constructor(readonly limits: Limits, readonly clock: Clock) {}

  /**
   * Runs `work` in its turn, or answers `deferred` when its turn is too far, or later than `deadline`.
   */
  async run(
    work: () => Promise<SendOutcome>,
    deadline: number,
    urgency: Urgency = "normal",
  ): Promise<SendOutcome> {
    if (this.#running < this.limits.concurrency) this.#running++;
    else if (!await this.#place(urgency)) return this.#sendAway(urgency, this.#nextAt);
    try {
      const deferred = await this.#turn(deadline, urgency);
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
      if (next) next.give(true);
      else this.#running--;
    }
  }

  /** Waits for a place, but not for ever: a slow provider does not hold the run's other messages. */
  async #place(urgency: Urgency): Promise<boolean> {
    const { promise, resolve: give } = Promise.withResolvers<boolean>();
    const entry = { urgency, give };
    const behind = this.#waiting.findIndex((other) => RANK[other.urgency] < RANK[urgency]);
    this.#waiting.splice(behind < 0 ? this.#waiting.length : behind, 0, entry);
    const stop = this.clock.alarm(MAX_WAIT_MS[urgency], () => {
      const at = this.#waiting.indexOf(entry);
      if (at < 0) return; // has a place
      this.#waiting.splice(at, 1);
      give(false);
    });
    return await promise.finally(stop);
  }

  async #turn(deadline: number, urgency: Urgency): Promise<SendOutcome | undefined> {
    const now = this.clock.now();
    const turn = Math.max(now, this.#nextAt);
    if (turn - now > MAX_WAIT_MS[urgency] || turn > deadline) return this.#sendAway(urgency, turn);
    this.#nextAt = turn + this.#interval;
    if (turn > now) await this.clock.sleep(turn - now);
    return undefined;
  }

  /** Says when to come back. Each gets a time of its own, or all would come back at once. */
  #sendAway(urgency: Urgency, turn: number): SendOutcome {
    const now = this.clock.now();
    const backAt = Math.max(this.#backAt[urgency], turn, now) + this.#interval;
    this.#backAt[urgency] = backAt;
    return {
      outcome: "deferred",
      error_code: "provider_busy",
      retry_after_seconds: Math.min(Math.ceil((backAt - now) / 1000), MAX_DEFERRAL_SECONDS),
    };
  }

  get #interval(): number {
    return 1000 / this.limits.per_second;
  }
}
