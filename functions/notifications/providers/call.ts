// Calls of providers over HTTP: one request, its whole answer or the reason why there is none.

import { BrokenCircuitError, TaskCancelledError } from "cockatiel";
import {
  type CallPolicy,
  DEFAULT_POLICY,
  ProviderDownError,
  resilientFetch,
} from "../../_shared/fetch.ts";
import type { SendOutcome } from "./provider.ts";

/**
 * No tries within a try: the outbox has its own, and where a provider knows no idempotency key each
 * would be one more message.
 */
export const SEND_POLICY: CallPolicy = { ...DEFAULT_POLICY, timeoutMs: 10_000, retries: 0 };

/** Largest answer that is read; errors of providers are small. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** Longest pause that a provider may ask for. */
const MAX_RETRY_AFTER_SECONDS = 24 * 3600;

/** An answer that has come whole. */
export interface ProviderAnswer {
  status: number;
  headers: Headers;
  /** Its JSON; undefined when it is none. */
  json: unknown;
  /** The header `Retry-After`, in seconds. */
  retry_after_seconds: number | undefined;
}

/** Sends a request; gives its answer, or the outcome when there is none. */
export type Call = (
  url: string,
  init: { method?: "GET" | "POST"; headers: HeadersInit; body?: BlobPart },
) => Promise<{ answer: ProviderAnswer } | { outcome: SendOutcome }>;

/** Builds the calls of one provider, which share a circuit breaker. */
export function createCall(inner: typeof fetch, now: () => number, policy = SEND_POLICY): Call {
  const call = resilientFetch(wholeAnswers(inner), policy);
  return async (url, { body, ...init }) => {
    try {
      // A blob, as Deno sends a text again, by itself, when a connection that was kept ends before the
      // answer: that would be one more message, and nobody would know.
      const response = await call(url, { ...init, ...body && { body: new Blob([body]) } });
      const retryAfter = response.headers.get("retry-after");
      return {
        answer: {
          status: response.status,
          headers: response.headers,
          json: parse(await response.text()),
          retry_after_seconds: readRetryAfter(retryAfter, now()),
        },
      };
    } catch (thrown) {
      return { outcome: toOutcome(thrown, now(), policy) };
    }
  };
}

/** Reads bodies within the time limit of the headers, and follows nobody to another address. */
function wholeAnswers(inner: typeof fetch): typeof fetch {
  return async (input, init) => {
    const response = await inner(input, { ...init, redirect: "manual" });
    const { status, headers } = response;
    const chunks: BlobPart[] = [];
    let size = 0;
    // What is longer is cut: it is no answer that any provider documents.
    for await (const chunk of response.body ?? []) {
      size += chunk.length;
      if (size > MAX_ANSWER_BYTES) break;
      chunks.push(chunk);
    }
    const hasBody = status >= 200 && ![204, 205, 304].includes(status);
    return new Response(hasBody ? new Blob(chunks) : null, { status, headers });
  };
}

function toOutcome(thrown: unknown, now: number, policy: CallPolicy): SendOutcome {
  if (thrown instanceof BrokenCircuitError) {
    return {
      outcome: "deferred",
      error_code: "circuit_open",
      retry_after_seconds: policy.breakSeconds,
    };
  }
  if (thrown instanceof ProviderDownError) {
    return {
      outcome: "retry",
      error_code: `http_${thrown.code}`,
      retry_after_seconds: readRetryAfter(thrown.retryAfter, now),
    };
  }
  const error_code = thrown instanceof TaskCancelledError ? "timeout" : "unreachable";
  return { outcome: "retry", error_code };
}

/** Reads `Retry-After`, seconds or a date; undefined when it is neither. */
export function readRetryAfter(value: string | null, now: number): number | undefined {
  if (value === null) return undefined;
  const seconds = /^\d+$/.test(value.trim())
    ? Number(value)
    : Math.ceil((Date.parse(value) - now) / 1000);
  if (Number.isNaN(seconds)) return undefined;
  return Math.min(Math.max(seconds, 0), MAX_RETRY_AFTER_SECONDS);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The outcome of an answer that says "not now": 429, with the pause that it asks for. */
export function throttled(
  error_code: string,
  retry_after_seconds: number | undefined,
  orElse: number,
): SendOutcome {
  return {
    outcome: "retry",
    error_code,
    is_throttled: true,
    retry_after_seconds: retry_after_seconds ?? orElse,
  };
}
