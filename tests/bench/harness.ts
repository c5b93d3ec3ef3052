// Measures two ways of doing one thing side by side. The ways take turns within each round, so that
// whatever else the machine does slows both alike; what counts is their ratio, not their times.

/** A measurement as `--json` prints it. */
export interface BenchResult {
  name: string;
  /** Time of the product's way over time of the plain way; of throughputs, theirs. */
  ratio: number | null;
  /** The bound on `ratio` that the project holds itself to; null when there is none. */
  goal: string | null;
  met: boolean | null;
  rounds: number;
  /** Smallest and largest ratio of a round. */
  spread: [number, number] | null;
  /** Absolute figures in words; they hold for the machine that printed them. */
  figures: string;
}

/** One thing, done the product's way and the plain way. */
export interface Pair {
  name: string;
  /** Largest ratio of times that is acceptable. */
  atMost?: number;
  product: () => Promise<unknown>;
  plain: () => Promise<unknown>;
  /** Turns of each way in a round. */
  turns: number;
  /**
   * Milliseconds that a way has taken so far; the time that passes, when left out. A clock that counts
   * what a process has computed does not see what else the machine does.
   */
  clock?: { product: () => number; plain: () => number };
}

const ROUNDS = 7;

/** Runs a pair: one round to warm up, seven that count; a round's ratio is that of its medians. */
export async function measure(pair: Pair): Promise<BenchResult> {
  await runRound(pair);
  const rounds: { product: number; plain: number }[] = [];
  for (let i = 0; i < ROUNDS; i++) rounds.push(await runRound(pair));
  const ratios = rounds.map(({ product, plain }) => product / plain);
  const ratio = median(ratios);
  const { atMost } = pair;
  return {
    name: pair.name,
    ratio: round(ratio),
    goal: atMost === undefined ? null : `<= ${atMost}`,
    met: atMost === undefined ? null : ratio <= atMost,
    rounds: ROUNDS,
    spread: [round(Math.min(...ratios)), round(Math.max(...ratios))],
    figures: `${ms(median(rounds.map((r) => r.product)))} against ${
      ms(median(rounds.map((r) => r.plain)))
    }`,
  };
}

async function runRound({ product, plain, turns, clock }: Pair) {
  const times = { product: [] as number[], plain: [] as number[] };
  for (let turn = 0; turn < turns; turn++) {
    // Who goes first changes, so that neither always finds the caches as the other left them.
    const order = turn % 2 === 0 ? ["product", "plain"] as const : ["plain", "product"] as const;
    for (const way of order) {
      const now = clock?.[way] ?? (() => performance.now());
      const began = now();
      await (way === "product" ? product : plain)();
      times[way].push(now() - began);
    }
  }
  return { product: median(times.product), plain: median(times.plain) };
}

/** Middle value; of an even number, the upper middle one. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

export function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** Milliseconds in words. */
export function ms(value: number): string {
  return value < 10 ? `${value.toFixed(3)} ms` : `${value.toFixed(1)} ms`;
}
