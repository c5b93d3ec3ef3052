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

/** How patiently a provider is called. */
export interface CallPolicy {
  /** Until the headers of the answer; a body may take longer. */
  timeoutMs: number;
  /** Tries after the first. */
  retries: number;
  backoffMs: { initialDelay: number; maxDelay: number };
  /** Failures in a row after which the provider counts as down. */
  breakAfterFailures: number;
  /** How long a provider that counts as down is left alone. */
  breakSeconds: number;
}

export const DEFAULT_POLICY: CallPolicy = {
  timeoutMs: 5_000,
  retries: 2,
  backoffMs: { initialDelay: 50, maxDelay: 500 },
  breakAfterFailures: 5,
  breakSeconds: 10,
};

/** A provider's answer that says it cannot work now. */
export class ProviderDownError extends Error {
  override readonly name = "ProviderDownError";
  /** @param retryAfter The header `Retry-After` of the answer. */
  constructor(readonly code: string, readonly retryAfter: string | null = null) {
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
export function resilientFetch(
  inner: typeof fetch,
  { timeoutMs, retries, backoffMs, breakAfterFailures, breakSeconds } = DEFAULT_POLICY,
): typeof fetch {
  const policy = wrap(
    retry(handleAll, { maxAttempts: retries, backoff: new ExponentialBackoff(backoffMs) }),
    circuitBreaker(handleAll, {
      halfOpenAfter: breakSeconds * 1000,
      breaker: new ConsecutiveBreaker(breakAfterFailures),
    }),
    // The signal must not end what succeeded: the body is still to be read.
    timeout(timeoutMs, { strategy: TimeoutStrategy.Aggressive, abortOnReturn: false }),
  );
  return (input, init) =>
    policy.execute(async ({ signal }) => {
      const response = await inner(input, { ...init, signal });
      if (response.status < 502 || response.status > 504) return response;
      await response.body?.cancel();
      throw new ProviderDownError(String(response.status), response.headers.get("retry-after"));
    });
}
