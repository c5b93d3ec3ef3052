// `notifications`: takes deliveries out of the outbox to the providers, and receipts back.

import type { Hono } from "hono";
import { z } from "zod";
import { onlyAdmins } from "../_shared/admins.ts";
import { type AppEnv, newApp } from "../_shared/app.ts";
import { ok } from "../_shared/envelope.ts";
import { AppError } from "../_shared/errors.ts";
import { readBody } from "../_shared/json.ts";
import { buildDocument, describe } from "../_shared/openapi.ts";
import { fromQueueOrCaller } from "../_shared/queue.ts";
import { type RateLimit, rateLimited } from "../_shared/rate_limit.ts";
import { validate } from "../_shared/validate.ts";
import { deliverDue } from "./deliver.ts";
import { type NotificationsDeps, webhookPath } from "./deps.ts";
import { readBacklog, recordReceipt } from "./outbox.ts";
import { Backlog, EmptyBody, Recorded, Report, WebhookParams } from "./schemas.ts";

const DOCUMENT_PATH = "/notifications/openapi.json";
const DELIVER_PATH = "/notifications/deliver";
const WEBHOOKS_PREFIX = webhookPath("");

/** The queue calls once a minute; administrators now and then. */
const DELIVER_LIMIT: RateLimit = { capacity: 30, refillSeconds: 60 };
const STATUS_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };
const DOCUMENT_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };

/** Largest body of a receipt. */
const MAX_RECEIPT_BYTES = 64 * 1024;

/** Builds the notifications app. */
export function createApp(deps: NotificationsDeps): Hono<AppEnv> {
  const app = newApp(deps, {
    name: "notifications",
    publicPaths: [DOCUMENT_PATH, DELIVER_PATH],
    publicPrefix: WEBHOOKS_PREFIX,
  });

  app.post(
    DELIVER_PATH,
    describe({
      summary: "Send what is due",
      description:
        "Called once a minute by the queue, by its signature, and on demand by administrators " +
        "with a second factor. Calls may overlap: each delivery is one call's at a time.",
      data: Report,
      problems: ["forbidden"],
    }),
    fromQueueOrCaller(deps),
    rateLimited(deps, DELIVER_LIMIT),
    validate("json", EmptyBody),
    onlyAdmins(deps),
    async (c) => ok(c, await deliverDue(deps, c.var.caller ?? c.var.context)),
  );

  // No limit on requests: to check a signature costs less than to count, and the providers, who come
  // from few addresses, send one for each message.
  app.post(
    webhookPath(":provider"),
    describe({
      summary: "Take a receipt",
      description: "Called by `resend` and `twilio`, by their signatures. A repeat does nothing.",
      bodies: {
        "application/json": z.looseObject({}),
        "application/x-www-form-urlencoded": z.looseObject({}),
      },
      data: Recorded,
      problems: [
        "not_found",
        "unauthenticated",
        "invalid_request",
        "payload_too_large",
        "unavailable",
      ],
      is_public: true,
    }),
    validate("param", WebhookParams),
    async (c) => {
      const { provider } = c.req.valid("param");
      if (!Object.hasOwn(deps.webhooks, provider)) {
        throw new AppError("not_found", "No such provider");
      }
      const webhook = deps.webhooks[provider];
      if (!webhook) throw new AppError("unauthenticated", "Receipts are not configured");
      const body = new TextDecoder().decode(await readBody(c.req.raw, MAX_RECEIPT_BYTES));
      const url = `${deps.publicUrl}/functions/v1${webhookPath(provider)}`;
      const receipt = await webhook({ url, headers: c.req.raw.headers, body, now: deps.now() });
      if (receipt) await recordReceipt(deps.sql, c.var.context, receipt);
      return ok(c, { is_recorded: receipt !== null });
    },
  );

  app.get(
    "/notifications/status",
    describe({
      summary: "How many deliveries wait, and for how long",
      description: "For administrators with a second factor.",
      data: Backlog,
      problems: ["forbidden"],
    }),
    rateLimited(deps, STATUS_LIMIT),
    onlyAdmins(deps),
    async (c) => ok(c, await readBacklog(deps.sql, c.var.caller)),
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

  const document = buildDocument(app, "Notifications", `${deps.publicUrl}/functions/v1`);
  return app;
}
