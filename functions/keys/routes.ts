// `keys`: the rotation of the key-encryption key, and whether it is due.

import type { Hono } from "hono";
import { onlyAdmins } from "../_shared/admins.ts";
import { type AppEnv, newApp } from "../_shared/app.ts";
import type { Deps } from "../_shared/deps.ts";
import { ok } from "../_shared/envelope.ts";
import { buildDocument, describe } from "../_shared/openapi.ts";
import { fromQueueOrCaller } from "../_shared/queue.ts";
import { type RateLimit, rateLimited } from "../_shared/rate_limit.ts";
import { validate } from "../_shared/validate.ts";
import { readStatus, rotateKeys } from "./rotation.ts";
import { EmptyBody, Rotation, Status } from "./schemas.ts";

const DOCUMENT_PATH = "/keys/openapi.json";
const ROTATE_PATH = "/keys/rotate";

const ROTATE_LIMIT: RateLimit = { capacity: 30, refillSeconds: 60 };
const STATUS_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };
const DOCUMENT_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };

/** Builds the keys app. */
export function createApp(deps: Deps): Hono<AppEnv> {
  // The queue has no token: its route asks for the signature, or the token, itself.
  const app = newApp(deps, { name: "keys", publicPaths: [DOCUMENT_PATH, ROTATE_PATH] });

  app.post(
    ROTATE_PATH,
    describe({
      summary: "Wrap data keys of older versions under the current key-encryption key",
      description:
        "Called by the queue, by its signature, and by administrators with a second factor, until " +
        "remaining is 0. Everything stays readable meanwhile; a repeat does no harm.",
      data: Rotation,
      problems: ["forbidden"],
    }),
    fromQueueOrCaller(deps),
    rateLimited(deps, ROTATE_LIMIT),
    validate("json", EmptyBody),
    onlyAdmins(deps),
    async (c) => ok(c, await rotateKeys(deps, c.var.caller ?? c.var.context)),
  );

  app.get(
    "/keys/status",
    describe({
      summary: "Which versions of the key-encryption key are in use, and whether one is overdue",
      description: "For administrators with a second factor. No key is in the answer.",
      data: Status,
      problems: ["forbidden"],
    }),
    rateLimited(deps, STATUS_LIMIT),
    onlyAdmins(deps),
    async (c) => ok(c, await readStatus(deps, c.var.caller)),
  );

  app.get(
    DOCUMENT_PATH,
    describe({ summary: "This document", is_public: true }),
    rateLimited(deps, DOCUMENT_LIMIT),
    (c) => {
      c.header("Cache-Control", "public, max-age=300");
      return c.json(document);
    },
  );

  const document = buildDocument(app, "Keys", `${deps.publicUrl}/functions/v1`);
  return app;
}
