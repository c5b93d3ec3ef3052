// Calls out: every one has a timeout, a few retries with jitter, and a circuit breaker that stops
// asking a provider that is down.

import {
  circuitBreaker,
  ConsecutiveBreaker,
  ExponentialBackoff,
  handleAll,
  retry,
  timeout,
  TimeoutStrategy,
  wrap,
} from "cockatiel";

/** Until the headers of the answer; a body may take longer. */
const TIMEOUT_MS = 5_000;
const RETRIES = 2;
const BACKOFF = { initialDelay: 50, maxDelay: 500 };
/** Failures in a row after which the provider counts as down. */
const BREAK_AFTER_FAILURES = 5;
/** How long a provider that counts as down is left alone. */
export const BREAK_SECONDS = 10;

/** A provider's answer that says it cannot work now. */
class ProviderDownError extends Error {
  override readonly name = "ProviderDownError";
  constructor(readonly code: string) {
    super("The provider answered that it is down");
  }
}

/**
 * Wraps `fetch` for one provider. Requests are repeated, so each must be safe to repeat and its body
 * must not be a stream.
 *
 * The result rejects when the provider is down, in whatever way: no connection, no answer in time,
 * 502, 503, 504, or a breaker that is open.
 */
export function resilientFetch(inner: typeof fetch): typeof fetch {
  const policy = wrap(
    retry(handleAll, { maxAttempts: RETRIES, backoff: new ExponentialBackoff(BACKOFF) }),
    circuitBreaker(handleAll, {
      halfOpenAfter: BREAK_SECONDS * 1000,
      breaker: new ConsecutiveBreaker(BREAK_AFTER_FAILURES),
    }),
    timeout(TIMEOUT_MS, TimeoutStrategy.Aggressive),
  );
  return (input, init) =>
    policy.execute(async ({ signal }) => {
      const response = await inner(input, { ...init, signal });
      if (response.status < 502 || response.status > 504) return response;
      await response.body?.cancel();
      throw new ProviderDownError(String(response.status));
    });
}
