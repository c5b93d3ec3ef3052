// What the doubles of providers have in common: how a test tells one to misbehave, and where what they
// take is kept.

import type { Outbox } from "../outbox.ts";

/** What a double may be told to do with requests. */
export const MODES = ["ok", "slow", "refuse", "throttle", "fail", "die", "swallow"] as const;
/**
 * `ok` as the provider does; `slow` the same, later; `refuse` the address is no good; `throttle` 429;
 * `fail` 500; `die` the connection ends before anything is done; `swallow` the message is taken, and
 * the connection ends before the answer.
 */
export type Mode = typeof MODES[number];

/** How a double behaves, and for how many requests; then as the provider does. */
export interface Behaviour {
  mode: Mode;
  for_next: number;
  /** How long before anything is done. */
  delay_ms: number;
  /** Of a throttled request: the header `Retry-After`. */
  retry_after_seconds: number;
}

const USUAL: Behaviour = {
  mode: "ok",
  for_next: Infinity,
  delay_ms: 0,
  retry_after_seconds: 1,
};

/** Ends the connection without an answer, where the server can. */
export const HANG_UP = Symbol("hang up");
export type DoubleAnswer = Response | typeof HANG_UP;

/** Base of a double. */
export abstract class Double {
  #behaviour: Behaviour = { ...USUAL };
  #sequence = 0;

  constructor(readonly outbox: Outbox) {}

  /** Changes how the next requests are answered. */
  behave(behaviour: Partial<Behaviour>): void {
    this.#behaviour = { ...USUAL, ...behaviour };
  }

  /** Takes one request's share of the behaviour. */
  protected async next(): Promise<Behaviour> {
    const behaviour = this.#behaviour;
    if (--behaviour.for_next <= 0) this.#behaviour = { ...USUAL };
    if (behaviour.delay_ms > 0) {
      await new Promise((resolve) => setTimeout(resolve, behaviour.delay_ms));
    }
    return behaviour;
  }

  /** The next number, for ids that are told apart at a glance. */
  protected number(): number {
    return ++this.#sequence;
  }

  /** Answers a request of the provider's API; `path` is below the double's own. */
  abstract handle(request: Request, path: string): Promise<DoubleAnswer>;
}

/** Seconds in the header of a throttled answer. */
export function retryAfter({ retry_after_seconds }: Behaviour): HeadersInit {
  return { "retry-after": String(retry_after_seconds) };
}
