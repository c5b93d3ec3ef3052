// What the routes of `notifications` take and answer.

import { z } from "zod";

const Count = z.int().min(0);

/** Of routes that take no body; `{}` is fine. */
export const EmptyBody = z.strictObject({});

export const Report = z.strictObject({
  claimed: Count,
  sent: Count.meta({ description: "A provider took it" }),
  retried: Count.meta({ description: "Failed in a way that may pass, and will be tried again" }),
  refused: Count.meta({ description: "Cannot arrive; addresses that are no good are retired" }),
  suppressed: Count.meta({ description: "Nobody carries the channel" }),
  deferred: Count.meta({ description: "Not tried, as the provider is busy; due again soon" }),
  stale: Count.meta({ description: "Finished after its lease had ended" }),
  is_drained: z.boolean().meta({ description: "Nothing due was left over" }),
});

export const WebhookParams = z.strictObject({ provider: z.string().max(40) });

export const Recorded = z.strictObject({
  is_recorded: z.boolean().meta({ description: "False: the event is of no kind that is kept" }),
});

export const Backlog = z.strictObject({
  pending: Count,
  sending: Count.meta({ description: "A worker has them in hand" }),
  due: Count,
  oldest_due_seconds: Count.nullable(),
  next_attempt_at: z.preprocess(
    (value) => value instanceof Date ? value.toISOString() : value,
    z.iso.datetime(),
  ).nullable(),
  dead: Count.meta({ description: "Given up after the last attempt" }),
});
