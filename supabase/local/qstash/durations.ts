// Lengths of time as QStash writes them: `10s`, `5m`, `2h`, `1d`, and combinations such as `1h30m`.

const UNIT_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a duration; undefined when it is none. A number alone is no duration. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d{1,12}[smhd])+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)([smhd])/g)) {
    sum += Number(count) * UNIT_MS[unit!]!;
  }
  return Number.isSafeInteger(sum) ? sum : undefined;
}

/** Longest wait that a receiver may ask for. */
const MAX_ASKED_MS = UNIT_MS.d!;

/** Headers by which a receiver says how long to wait, in the order in which they are asked. */
const WAIT_HEADERS = [
  "retry-after",
  "x-ratelimit-reset",
  "x-ratelimit-reset-requests",
  "x-ratelimit-reset-tokens",
];

/**
 * How long the answer of a failed delivery asks to wait: seconds, an HTTP date, or a duration.
 *
 * @returns Milliseconds, 0 to one day; undefined when it asks for nothing, or for more.
 */
export function askedWait(headers: Headers, now: number): number | undefined {
  for (const name of WAIT_HEADERS) {
    const text = headers.get(name)?.trim();
    if (!text) continue;
    const wait = /^\d+(\.\d+)?$/.test(text)
      ? Number(text) * 1000
      : parseDuration(text) ?? Date.parse(text) - now;
    if (wait <= MAX_ASKED_MS) return Math.max(0, Math.round(wait));
  }
  return undefined;
}
