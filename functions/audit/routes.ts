// `audit`: seals the audit trail.

import type { Hono } from "hono";
import { z } from "zod";
import { onlyAdmins } from "../_shared/admins.ts";
import { type AppEnv, newApp } from "../_shared/app.ts";
import { ok } from "../_shared/envelope.ts";
import { buildDocument, describe } from "../_shared/openapi.ts";
import { fromQueueOrCaller } from "../_shared/queue.ts";
import { type RateLimit, rateLimited } from "../_shared/rate_limit.ts";
import { validate } from "../_shared/validate.ts";
import type { AuditDeps } from "./deps.ts";
import { sealAudit } from "./seal.ts";

const DOCUMENT_PATH = "/audit/openapi.json";
const SEAL_PATH = "/audit/seal";

/** The queue calls once a minute; administrators now and then. */
const SEAL_LIMIT: RateLimit = { capacity: 30, refillSeconds: 60 };
const DOCUMENT_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };

const SealBody = z.strictObject({});

const SealAnswer = z.strictObject({
  is_busy: z.boolean().describe("Another call was sealing, so this one did not"),
  seals: z.int(),
  events: z.int(),
  is_drained: z.boolean().describe("Nothing was left over for the next call"),
  head: z.strictObject({
    seal_id: z.int(),
    hash: z.string().describe("SHA-256 in hexadecimal"),
    status: z.enum(["published", "already_published", "not_configured"]),
  }).nullable().describe("The newest seal; null before the first"),
});

/** Builds the audit app. */
export function createApp(deps: AuditDeps): Hono<AppEnv> {
  const app = newApp(deps, { name: "audit", publicPaths: [DOCUMENT_PATH, SEAL_PATH] });

  app.post(
    SEAL_PATH,
    describe({
      summary: "Seal the audit trail and publish the newest seal",
      description:
        "Called once a minute by the queue, by its signature, and on demand by administrators " +
        "with a second factor. Nothing new makes no seal; a repeat does no harm.",
      data: SealAnswer,
      problems: ["forbidden", "head_conflict"],
    }),
    fromQueueOrCaller(deps),
    rateLimited(deps, SEAL_LIMIT),
    validate("json", SealBody),
    onlyAdmins(deps),
    async (c) => ok(c, await sealAudit(deps, c.var.caller ?? c.var.context)),
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

  const document = buildDocument(app, "Audit", `${deps.publicUrl}/functions/v1`);
  return app;
}
