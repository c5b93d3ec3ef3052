// Rate limits: a token bucket a caller and route, in Redis where it is configured, else in
// PostgreSQL, with the same answers.

import { Ratelimit } from "@upstash/ratelimit";
import type { Redis } from "@upstash/redis";
import type { MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import type { AppEnv } from "./app.ts";
import { asWorker, type RequestContext, type Sql } from "./db.ts";
import type { Deps } from "./deps.ts";
import { AppError } from "./errors.ts";

/** A bucket of `capacity` tokens that fills up in `refillSeconds`; a request takes one. */
export interface RateLimit {
  capacity: number;
  refillSeconds: number;
}

export interface RateOutcome {
  allowed: boolean;
  /** Whole tokens left. */
  remaining: number;
  /** Seconds until the bucket is full, or, after a refusal, until it has a token. */
  reset_seconds: number;
}

export interface RateLimiter {
  take(key: string, limit: RateLimit, context: RequestContext): Promise<RateOutcome>;
}

/** How long Redis may take to answer before PostgreSQL is asked instead. */
const REDIS_TIMEOUT_MS = 300;

/**
 * Lets a caller through while the route's bucket has tokens, else answers `rate_limited`. The bucket
 * belongs to the account, or to the address when nobody is signed in.
 */
export function rateLimited(deps: Deps, limit: RateLimit): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const who = c.var.caller?.id ?? c.var.context.ip ?? "unknown";
    const key = await deps.pseudonym(`${c.req.method} ${routePath(c)} ${who}`);
    const outcome = await take(deps.rateLimiter, key, limit, c.var.caller ?? c.var.context);
    if (outcome) {
      c.header("RateLimit-Limit", String(limit.capacity));
      c.header("RateLimit-Remaining", String(outcome.remaining));
      c.header("RateLimit-Reset", String(outcome.reset_seconds));
      if (!outcome.allowed) {
        throw new AppError("rate_limited", "Too many requests of this kind", {
          retryAfterSeconds: outcome.reset_seconds,
        });
      }
    }
    await next();
  };
}

/** Asks the limiter; one that cannot be reached limits nobody, as what it protects is down too. */
async function take(
  limiter: RateLimiter,
  key: string,
  limit: RateLimit,
  context: RequestContext,
): Promise<RateOutcome | undefined> {
  try {
    return await limiter.take(key, limit, context);
  } catch (thrown) {
    if (thrown instanceof AppError && thrown.code === "unavailable") return undefined;
    throw thrown;
  }
}

/** Buckets in PostgreSQL, shared by all instances. */
export function postgresLimiter(sql: Sql): RateLimiter {
  return {
    async take(key, { capacity, refillSeconds }, context) {
      const [outcome] = await asWorker(sql, "rate_limit_worker", context, (tx) =>
        tx<RateOutcome>`
          select allowed, remaining, reset_seconds
          from private.take_rate_token(${key}, ${capacity}, ${refillSeconds})`);
      if (!outcome) throw new Error("private.take_rate_token gave no row");
      return outcome;
    },
  };
}

/** Buckets in Redis. When Redis is slow or away, `fallback` decides. */
export function redisLimiter(redis: Redis, fallback: RateLimiter, now: () => number): RateLimiter {
  const limiters = new Map<string, Ratelimit>();
  const limiterOf = ({ capacity, refillSeconds }: RateLimit) => {
    const name = `${capacity}/${refillSeconds}`;
    let limiter = limiters.get(name);
    if (!limiter) {
      limiter = new Ratelimit({
        redis,
        prefix: "rate",
        limiter: Ratelimit.tokenBucket(capacity, `${refillSeconds} s`, capacity),
        timeout: REDIS_TIMEOUT_MS,
        ephemeralCache: new Map(),
      });
      limiters.set(name, limiter);
    }
    return limiter;
  };
  return {
    async take(key, limit, context) {
      const outcome = await limiterOf(limit).limit(key).catch(() => undefined);
      // After its timeout the library lets everybody pass.
      if (!outcome || outcome.reason === "timeout") return await fallback.take(key, limit, context);
      return {
        allowed: outcome.success,
        remaining: Math.max(0, outcome.remaining),
        reset_seconds: Math.max(1, Math.ceil((outcome.reset - now()) / 1000)),
      };
    },
  };
}

/** Builds a function that turns a name into a digest that cannot be turned back without `secret`. */
export function pseudonyms(secret: string): (name: string) => Promise<string> {
  const encoder = new TextEncoder();
  const key = crypto.subtle.importKey(
    "raw",
    encoder.encode(secret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  return async (name) => {
    const digest = await crypto.subtle.sign("HMAC", await key, encoder.encode(name));
    return new Uint8Array(digest).toHex();
  };
}
