// A delivery of the queue is taken once: its signature stays valid for minutes, and who has seen it
// could send it again. The queue signs every attempt anew, so that its own repeats pass.

import type { MiddlewareHandler } from "hono";
import { decodeJwt } from "jose";
import type { AppEnv } from "./app.ts";
import { asWorker, type WorkerRole } from "./db.ts";
import type { Deps } from "./deps.ts";
import { AppError } from "./errors.ts";

/**
 * Lets a delivery through once, and whoever is signed in. To be put behind `fromQueueOrCaller`, which
 * has checked the signature.
 *
 * Failures: `unauthenticated`.
 */
export function onlyOnce({ sql }: Deps, role: WorkerRole): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const signature = c.req.header("upstash-signature");
    if (signature !== undefined) {
      const { jti } = decodeJwt(signature);
      const [taken] = jti === undefined ? [] : await asWorker(
        sql,
        role,
        c.var.context,
        (tx) => tx<{ is_new: boolean }>`select private.take_queue_delivery(${jti}) as is_new`,
      );
      if (!taken?.is_new) throw new AppError("unauthenticated", "The signature was used before");
    }
    await next();
  };
}
