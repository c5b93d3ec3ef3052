// Messages, dead letters and log entries as the client reads them.

import { headerLists } from "./delivery.ts";
import { readOptions } from "./options.ts";
import { redact } from "./redaction.ts";
import type { ScheduleRow } from "./schedules.ts";
import type { MessageRow, Sql } from "./store.ts";

/** A row of `_qstash.logs`. */
export interface LogRow {
  seq: number;
  created_at: number;
  state: string;
  message_id: string;
  url: string;
  topic_name: string | null;
  endpoint_name: string | null;
  queue_name: string | null;
  schedule_id: string | null;
  caller_ip: string | null;
  flow_control_key: string | null;
  labels: string[];
  next_delivery_at: number | null;
  error: string | null;
  response_status: number | null;
  headers: Record<string, string> | null;
  body: Uint8Array<ArrayBuffer> | null;
}

/** A row of `_qstash.queues`, with the number of its messages. */
export interface QueueRow {
  name: string;
  parallelism: number;
  is_paused: boolean;
  created_at: number;
  updated_at: number;
  lag: number;
}

/** A message, or, with `dlqId` and the last answer, a dead letter. */
export function viewMessage(row: MessageRow) {
  const options = readOptions(row.source, row.created_at);
  const shown = redact({ headers: row.headers, body: new Uint8Array(row.body) }, options.redact);
  const { flowControl } = options;
  return defined({
    messageId: row.id,
    url: row.url,
    topicName: row.topic_name,
    endpointName: row.endpoint_name,
    method: row.method,
    header: headerLists(Object.entries(shown.headers)),
    ...viewBody("body", shown.body),
    maxRetries: row.max_retries,
    retryDelayExpression: row.retry_delay,
    notBefore: row.not_before,
    createdAt: row.created_at,
    callback: options.callback,
    failureCallback: options.failureCallback,
    queueName: row.queue_name,
    scheduleId: row.schedule_id,
    callerIp: row.caller_ip,
    flowControlKey: row.flow_control_key,
    parallelism: flowControl?.parallelism,
    rate: flowControl?.rate,
    period: flowControl ? flowControl.periodMs / 1000 : undefined,
    ...viewLabels(row.labels),
    dlqId: row.dlq_id,
    responseStatus: row.response_status,
    responseHeader: row.response_headers,
    ...(row.response_body ? viewBody("responseBody", new Uint8Array(row.response_body)) : {}),
  });
}

/** An entry of the log. */
export function viewLog(row: LogRow) {
  return defined({
    time: row.created_at,
    state: row.state,
    messageId: row.message_id,
    url: row.url,
    topicName: row.topic_name,
    endpointName: row.endpoint_name,
    queueName: row.queue_name,
    scheduleId: row.schedule_id,
    callerIp: row.caller_ip,
    flowControlKey: row.flow_control_key,
    nextDeliveryTime: row.next_delivery_at,
    error: row.error,
    responseStatus: row.response_status,
    header: row.headers,
    ...(row.body ? viewBody("body", new Uint8Array(row.body)) : {}),
    ...viewLabels(row.labels),
  });
}

/** A schedule, with what became of the messages of its last time. */
export async function viewSchedule(sql: Sql, row: ScheduleRow) {
  const options = readOptions(row.source, row.created_at);
  const states = await sql<{ id: string; state: string }[]>`
    select distinct on (l.message_id) l.message_id as id, l.state
    from _qstash.logs as l
    where l.message_id = any (${row.last_message_ids})
    order by l.message_id, l.seq desc`;
  const shown = redact(
    { headers: options.headers, body: new Uint8Array(row.body) },
    options.redact,
  );
  const { flowControl } = options;
  return defined({
    scheduleId: row.id,
    cron: row.cron,
    createdAt: row.created_at,
    destination: row.destination,
    method: options.method,
    header: headerLists(Object.entries(shown.headers)),
    ...viewBody("body", shown.body),
    retries: options.retries,
    delay: Math.max(0, options.notBefore - row.created_at) / 1000 || undefined,
    callback: options.callback,
    failureCallback: options.failureCallback,
    callerIp: row.caller_ip,
    isPaused: row.is_paused,
    queueName: options.queueName,
    flowControlKey: flowControl?.key,
    parallelism: flowControl?.parallelism,
    rate: flowControl?.rate,
    period: flowControl ? flowControl.periodMs / 1000 : undefined,
    retryDelayExpression: options.retryDelay,
    ...viewLabels(options.labels),
    lastScheduleTime: row.last_at,
    nextScheduleTime: row.is_paused ? undefined : row.next_at,
    lastScheduleStates: Object.fromEntries(states.map(({ id, state }) => [id, state])),
  });
}

/** A queue. */
export function viewQueue(row: QueueRow) {
  return {
    name: row.name,
    parallelism: row.parallelism,
    lag: row.lag,
    paused: row.is_paused,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/** A body under its name as text, else under `<name>Base64`. */
function viewBody(name: string, bytes: Uint8Array<ArrayBuffer>): Record<string, string> {
  try {
    return { [name]: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return { [`${name}Base64`]: bytes.toBase64() };
  }
}

function viewLabels(labels: string[]): { label?: string; labels?: string[] } {
  return labels.length === 0 ? {} : { label: labels[0]!, labels };
}

/** Leaves out what a row does not have. */
function defined<T extends Record<string, unknown>>(fields: T): Partial<T> {
  const kept = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(kept) as Partial<T>;
}
