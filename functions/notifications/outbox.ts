// The outbox of deliveries, as the worker reaches it. Each step is a transaction of its own: none is
// open while a provider is called.

import { z } from "zod";
import { asWorker, type Caller, type Query, type RequestContext, type Sql } from "../_shared/db.ts";
import { isStorable } from "../_shared/json.ts";
import { Backlog } from "./schemas.ts";
import type { ProviderName, SendOutcome } from "./providers/provider.ts";

const ROLE = "notification_worker";

/** A delivery that is this worker's until its lease ends. */
export const Claimed = z.object({
  id: z.string(),
  claim_token: z.string(),
  notification_id: z.string(),
  channel: z.enum(["email", "sms", "push"]),
  attempts: z.int(),
  kind: z.string(),
  urgency: z.enum(["normal", "security", "emergency"]),
  title: z.string(),
  body: z.string(),
  address: z.unknown(),
  idempotency_key: z.string(),
});
export type Claimed = z.infer<typeof Claimed>;

/** What became of a claimed delivery. */
export interface Finished {
  id: string;
  claim_token: string;
  provider: ProviderName | null;
  outcome: SendOutcome;
}

/** What a provider tells of a message after it took it. */
export interface Receipt {
  provider: ProviderName;
  /** Names the event at the provider; a repeat has the same. */
  event_id: string;
  provider_message_id: string;
  /** The last three retire the address. */
  status: "delivered" | "failed" | "bounced" | "complained" | "unregistered";
  error_code: string | null;
}

export interface DeliveryOutbox {
  claim(limit: number, lease_seconds: number): Promise<Claimed[]>;
  /** Gives how many were still this worker's. */
  finish(finished: Finished[]): Promise<number>;
}

/** Opens the outbox for one run. */
export function openOutbox(sql: Sql, context: RequestContext): DeliveryOutbox {
  const run = <T>(work: (tx: Query) => Promise<T>) => asWorker(sql, ROLE, context, work);
  return {
    async claim(limit, lease_seconds) {
      const rows = await run((tx) =>
        tx`
        select id, claim_token, notification_id, channel, attempts, kind, urgency, title, body,
          address, idempotency_key
        from private.claim_deliveries(${limit}, ${lease_seconds})`
      );
      return z.array(Claimed).parse(rows);
    },
    async finish(finished) {
      const outcomes = JSON.stringify(finished.map(toRow));
      const [row] = await run((tx) =>
        tx<{ applied: number }>`
        select private.finish_deliveries(${outcomes}::text::jsonb) as applied`
      );
      return row?.applied ?? 0;
    },
  };
}

function toRow({ id, claim_token, provider, outcome }: Finished) {
  // What is only for this process stays here: JSON leaves out what is undefined.
  const row = {
    id,
    claim_token,
    provider,
    ...outcome,
    is_alarm: undefined,
    is_throttled: undefined,
  };
  if (outcome.outcome !== "sent") return row;
  // What PostgreSQL cannot store would take down the outcomes of all others, again and again.
  const message = outcome.provider_message_id;
  return { ...row, provider_message_id: message && isStorable(message) ? message : null };
}

/** Keeps a receipt; one that is known already, or of a message that is not ours, does nothing. */
export async function recordReceipt(sql: Sql, context: RequestContext, receipt: Receipt) {
  const { provider, event_id, provider_message_id, status, error_code } = receipt;
  await asWorker(sql, ROLE, context, (tx) =>
    tx`
    select private.record_receipt(${provider}, ${event_id}, ${provider_message_id}, ${status},
      ${error_code})`);
}

/** How many deliveries wait, and for how long; `private.delivery_backlog` says what each means. */
export async function readBacklog(sql: Sql, caller: Caller): Promise<z.infer<typeof Backlog>> {
  const rows = await asWorker(sql, ROLE, caller, (tx) =>
    tx`
    select pending, sending, due, oldest_due_seconds, next_attempt_at, dead
    from private.delivery_backlog()`);
  return Backlog.parse(rows[0]);
}
