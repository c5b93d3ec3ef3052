// Deliveries of the queue (QStash): who sent one is told by its signature over the raw body. A route
// that the queue calls is public to newApp and asks here first.

import { Receiver } from "@upstash/qstash";
import type { Context, MiddlewareHandler } from "hono";
import { decodeJwt } from "jose";
import type { AppEnv } from "./app.ts";
import { verifyCaller, verifySecretKey } from "./auth.ts";
import type { RequestContext } from "./db.ts";
import type { Deps } from "./deps.ts";
import { AppError } from "./errors.ts";
import { readBody } from "./json.ts";
import type { RateLimit } from "./rate_limit.ts";

/** Keys of the queue's account; the next one takes over when keys are rolled. */
export interface QueueKeys {
  current: string;
  next: string;
}

/** What is signed: the body as it came, and the address that it was sent to. */
export interface Delivery {
  signature: string;
  body: string;
  url: string;
}

/** Tells the queue's deliveries from everybody else's. */
export interface QueueReceiver {
  accepts(delivery: Delivery): Promise<boolean>;
}

/** Largest body of a delivery: ids and codes, so little. */
const MAX_DELIVERY_BYTES = 64 * 1024;
/** How far the clocks of the queue and of this machine may differ. */
const CLOCK_TOLERANCE_SECONDS = 30;
/** A signature lives for five minutes, and the tolerance before and after. */
const ONE_DELIVERY: RateLimit = { capacity: 1, refillSeconds: 600 };

/** Builds a receiver; without keys it accepts nothing. */
export function createQueueReceiver(keys: QueueKeys | undefined): QueueReceiver {
  if (!keys) return { accepts: () => Promise.resolve(false) };
  const receiver = new Receiver({
    currentSigningKey: keys.current,
    nextSigningKey: keys.next,
    // Else a variable QSTASH_DEV would make it trust keys that everybody knows.
    devMode: false,
  });
  return {
    async accepts(delivery) {
      try {
        return await receiver.verify({ ...delivery, clockTolerance: CLOCK_TOLERANCE_SECONDS });
      } catch {
        // Whatever the library stumbles over, a signature, a claim or a missing one, is no delivery.
        return false;
      }
    },
  };
}

/**
 * Lets through what the queue has signed, and whoever is signed in; `c.var.caller` is set for the
 * latter only. A delivery may come more than once, each time with a signature of its own: what follows
 * must bear that.
 *
 * Failures: `unauthenticated`.
 */
export function fromQueueOrCaller(deps: Deps): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    if (!await isDelivery(c, deps)) {
      c.set("caller", { ...c.var.context, ...await verifyCaller(c.req.raw, deps.auth) });
    }
    await next();
  };
}

/** As {@link fromQueueOrCaller}, with the secret key in the place of a person: for jobs. */
export function fromQueueOrSecretKey(deps: Deps): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    if (!await isDelivery(c, deps)) await verifySecretKey(c.req.raw, deps.auth);
    await next();
  };
}

/**
 * Whether the request is a delivery of the queue; without a signature it is none.
 *
 * @throws {AppError} `unauthenticated` when there is a signature and it does not hold.
 */
async function isDelivery(c: Context<AppEnv>, deps: Deps): Promise<boolean> {
  const signature = c.req.header("upstash-signature");
  if (signature === undefined) return false;
  // A copy, as the route reads the body again.
  const bytes = await readBody(c.req.raw.clone(), MAX_DELIVERY_BYTES);
  const is_accepted = await deps.queue.accepts({
    signature,
    body: new TextDecoder().decode(bytes),
    url: `${deps.publicUrl}/functions/v1${c.req.path}`,
  });
  if (!is_accepted) throw new AppError("unauthenticated", "The signature is not valid");
  const { jti } = decodeJwt(signature);
  if (!jti || !await isFirst(jti, c.var.context, deps)) {
    throw new AppError("unauthenticated", "The signature was used before");
  }
  return true;
}

/**
 * Whether a signature is used for the first time. The queue signs each attempt anew, so one that comes
 * again is played back by somebody. Its bucket has one token, and is full again when the signature has
 * long ended.
 */
async function isFirst(
  jti: string,
  context: RequestContext,
  { rateLimiter, pseudonym }: Deps,
): Promise<boolean> {
  const key = await pseudonym(`delivery ${jti}`);
  return (await rateLimiter.take(key, ONE_DELIVERY, context)).allowed;
}
