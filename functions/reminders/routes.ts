// `reminders`: plans by rules of RFC 5545, and the tick that tells what is due.

import type { Hono } from "hono";
import { onlyAdmins } from "../_shared/admins.ts";
import { type AppEnv, newApp } from "../_shared/app.ts";
import { asCaller } from "../_shared/db.ts";
import type { Deps } from "../_shared/deps.ts";
import { ok } from "../_shared/envelope.ts";
import { buildDocument, describe } from "../_shared/openapi.ts";
import { fromQueueOrCaller } from "../_shared/queue.ts";
import { type RateLimit, rateLimited } from "../_shared/rate_limit.ts";
import { validate } from "../_shared/validate.ts";
import { createReminder, readRequested, refusing, updateReminder } from "./plan.ts";
import {
  CreateBody,
  PreviewAnswer,
  PreviewBody,
  ReminderAnswer,
  ReminderPath,
  TickAnswer,
  TickBody,
  UpdateBody,
} from "./schemas.ts";
import { tick } from "./tick.ts";

const DOCUMENT_PATH = "/reminders/openapi.json";
const TICK_PATH = "/reminders/tick";

/** Working a rule out takes a fraction of a second at most. */
const PLAN_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };
/** The queue calls once a minute, and ticks may overlap. */
const TICK_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };
const DOCUMENT_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };

/** Builds the reminders app. */
export function createApp(deps: Deps): Hono<AppEnv> {
  const app = newApp(deps, { name: "reminders", publicPaths: [DOCUMENT_PATH, TICK_PATH] });

  app.post(
    "/reminders/preview",
    describe({
      summary: "The next occurrences of a rule",
      description:
        "What a rule means, before it is stored: instants, with wall clock and offset. " +
        "One that is malformed, never yields, or yields more than 96 occurrences a day is " +
        "refused; `details` says why, and at which character.",
      data: PreviewAnswer,
    }),
    rateLimited(deps, PLAN_LIMIT),
    validate("json", PreviewBody),
    async (c) => {
      const { count, after, shift_minutes, ...fields } = c.req.valid("json");
      // Nothing is read, but by whom: a session that has ended is told nothing.
      await asCaller(deps.sql, c.var.caller, () => Promise.resolve());
      const plan = readRequested(fields, shift_minutes);
      // By a Date, which cuts what is finer than Temporal reads.
      const from = new Date(after ?? deps.now()).toISOString();
      return ok(c, { occurrences: refusing(() => plan.next(from, count)) });
    },
  );

  app.post(
    "/reminders",
    describe({
      summary: "Make a reminder",
      description: "As the RPC `create_reminder`, with the rule checked and worked out at once.",
      data: ReminderAnswer,
      problems: ["not_found", "mfa_required", "limit_reached"],
    }),
    rateLimited(deps, PLAN_LIMIT),
    validate("json", CreateBody),
    async (c) => ok(c, await createReminder(deps, c.var.caller, c.req.valid("json"))),
  );

  app.put(
    "/reminders/:id{[0-9a-f-]{36}}",
    describe({
      summary: "Replace a reminder",
      description: "As the RPC `update_reminder`, with the rule checked and worked out at once.",
      data: ReminderAnswer,
      problems: ["not_found", "mfa_required"],
    }),
    rateLimited(deps, PLAN_LIMIT),
    validate("param", ReminderPath),
    validate("json", UpdateBody),
    async (c) => {
      const { id } = c.req.valid("param");
      return ok(c, await updateReminder(deps, c.var.caller, id, c.req.valid("json")));
    },
  );

  app.post(
    TICK_PATH,
    describe({
      summary: "Tell what is due",
      description:
        "Called once a minute by the queue, by its signature, each of which is accepted once, and " +
        "on demand by administrators with a second factor. Any number may run at the same time.",
      data: TickAnswer,
      problems: ["forbidden"],
    }),
    fromQueueOrCaller(deps),
    rateLimited(deps, TICK_LIMIT),
    validate("json", TickBody),
    onlyAdmins(deps),
    async (c) => ok(c, await tick(deps, c.var.context)),
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

  const document = buildDocument(app, "Reminders", `${deps.publicUrl}/functions/v1`);
  return app;
}
