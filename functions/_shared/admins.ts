// Routes of administrators, which the queue may call as well where `fromQueueOrCaller` is before them.

import type { MiddlewareHandler } from "hono";
import type { AppEnv } from "./app.ts";
import { asCaller } from "./db.ts";
import type { Deps } from "./deps.ts";

/** Lets administrators at `aal2` through, and the queue, which is nobody. The database decides. */
export function onlyAdmins({ sql }: Pick<Deps, "sql">): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const { caller } = c.var;
    if (caller) await asCaller(sql, caller, (tx) => tx`select private.require_admin()`);
    await next();
  };
}
