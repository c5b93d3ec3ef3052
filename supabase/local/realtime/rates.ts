// Counts what happens per second, for limits that are averages over a minute.

const WINDOW_SECONDS = 60;

/** One rate. */
export class Rate {
  /** Count and second of each of the last sixty seconds, by second modulo sixty. */
  #counts = new Array<number>(WINDOW_SECONDS).fill(0);
  #seconds = new Array<number>(WINDOW_SECONDS).fill(-1);
  readonly #now: () => number;

  /**
   * @param now Clock in milliseconds.
   * @param limit Per second; 0 is no limit.
   */
  constructor(now: () => number, readonly limit: number) {
    this.#now = now;
  }

  /** Counts `count` more; answers whether the rate is still within its limit. */
  add(count = 1): boolean {
    const second = Math.floor(this.#now() / 1000);
    const at = second % WINDOW_SECONDS;
    if (this.#seconds[at] !== second) [this.#seconds[at], this.#counts[at]] = [second, 0];
    this.#counts[at]! += count;
    return !this.isOver();
  }

  /** Whether the rate, with `more` beside what was counted, is above its limit. */
  isOver(more = 0): boolean {
    return this.limit > 0 && this.#sum() + more > this.limit * WINDOW_SECONDS;
  }

  /** Average per second over the last minute. */
  get average(): number {
    return this.#sum() / WINDOW_SECONDS;
  }

  #sum(): number {
    const oldest = Math.floor(this.#now() / 1000) - WINDOW_SECONDS;
    return this.#counts.reduce(
      (sum, count, i) => this.#seconds[i]! > oldest ? sum + count : sum,
      0,
    );
  }
}
