// The queue's tables (supabase/local/qstash.sql): rows, and the statements that several parts share.

import postgres from "postgres";
import type { Source } from "./options.ts";

export type Sql = postgres.Sql<{ bigint: number }>;
export type Tx = postgres.TransactionSql<{ bigint: number }>;

/** A message that is not delivered yet, or a dead letter. Times are unix milliseconds. */
export interface MessageRow {
  seq: number;
  id: string;
  state: "waiting" | "active" | "dead";
  url: string;
  topic_name: string | null;
  endpoint_name: string | null;
  method: string;
  source: Source;
  headers: Record<string, string>;
  body: Uint8Array<ArrayBuffer>;
  max_retries: number;
  retry_delay: string | null;
  timeout_ms: number;
  queue_name: string | null;
  schedule_id: string | null;
  caller_ip: string | null;
  flow_control_key: string | null;
  labels: string[];
  is_callback: boolean;
  retried: number;
  created_at: number;
  not_before: number;
  due_at: number;
  claim: string | null;
  dlq_id: string | null;
  response_status: number | null;
  response_headers: Record<string, string[]> | null;
  response_body: Uint8Array<ArrayBuffer> | null;
}

/** States of a message in the log. */
export type LogState =
  | "CREATED"
  | "ACTIVE"
  | "RETRY"
  | "ERROR"
  | "DELIVERED"
  | "FAILED"
  | "CANCEL_REQUESTED"
  | "CANCELED";

/** What the log says beside the message and its state. */
export interface LogDetails {
  next_delivery_at?: number;
  error?: string;
  response_status?: number;
  headers?: Record<string, string>;
  body?: Uint8Array;
}

const INT8 = 20;

/** Opens the queue's own pool, which must be ended. */
export function openStore(url: string): Sql {
  return postgres(url, {
    max: 8,
    onnotice: () => {},
    types: {
      // Times and numbers of rows, all of them far below what a number holds.
      bigint: { to: INT8, from: [INT8], parse: Number, serialize: String },
    },
  });
}

/** A new name: `prefix` and what nobody guesses. */
export function newId(prefix: string): string {
  return prefix + crypto.getRandomValues(new Uint8Array(20)).toHex();
}

/** The part of a message that its log entries carry. */
type Logged = Pick<
  MessageRow,
  | "id"
  | "url"
  | "topic_name"
  | "endpoint_name"
  | "queue_name"
  | "schedule_id"
  | "caller_ip"
  | "flow_control_key"
  | "labels"
>;

/** Writes down what became of a message. */
export async function log(
  tx: Tx,
  message: Logged,
  state: LogState,
  now: number,
  details: LogDetails = {},
): Promise<void> {
  await tx`
    insert into _qstash.logs (
      created_at, state, message_id, url, topic_name, endpoint_name, queue_name, schedule_id,
      caller_ip, flow_control_key, labels, next_delivery_at, error, response_status, headers, body
    )
    values (
      ${now}, ${state}, ${message.id}, ${message.url}, ${message.topic_name},
      ${message.endpoint_name}, ${message.queue_name}, ${message.schedule_id},
      ${message.caller_ip}, ${message.flow_control_key}, ${message.labels},
      ${details.next_delivery_at ?? null}, ${details.error ?? null},
      ${details.response_status ?? null}, ${tx.json(details.headers ?? null)},
      ${details.body ?? null}
    )`;
}

const KEPT_LOGS_MS = 3 * 86_400_000;
const KEPT_DEAD_MS = 7 * 86_400_000;

/** Deletes what nobody will ask for any more. */
export async function prune(sql: Sql, now: number): Promise<void> {
  await sql`delete from _qstash.logs where created_at < ${now - KEPT_LOGS_MS}`;
  await sql`delete from _qstash.deduplications where expires_at <= ${now}`;
  await sql`
    delete from _qstash.messages where state = 'dead' and created_at < ${now - KEPT_DEAD_MS}`;
}
