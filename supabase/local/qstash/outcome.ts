// What follows an attempt, in one transaction: the message is done with, waits for its next attempt,
// or is a dead letter; the log says so; callbacks are published. A crash before it is committed leaves
// the message as it was, and it is delivered again.

import { type Attempt, headerLists, isFinal, isSuccess } from "./delivery.ts";
import { askedWait } from "./durations.ts";
import { callbackSource } from "./options.ts";
import { publish, type PublishSettings } from "./publish.ts";
import { retryWait } from "./retry_delay.ts";
import { log, type MessageRow, newId, type Sql, type Tx } from "./store.ts";

/** Records what came of an attempt; does nothing when the message was cancelled meanwhile. */
export async function recordOutcome(
  sql: Sql,
  message: MessageRow,
  result: Attempt,
  settings: PublishSettings,
  now: number,
): Promise<void> {
  await sql.begin(async (tx) => {
    const [held] = await tx`
      select from _qstash.messages where id = ${message.id} and claim = ${message.claim}
      for update`;
    if (!held) return;
    const status = "status" in result ? result.status : undefined;
    const dlqId = isSuccess(result) ? undefined : await fail(tx, message, result, settings, now);
    if (isSuccess(result)) {
      await tx`delete from _qstash.messages where id = ${message.id}`;
      await log(tx, message, "DELIVERED", now, { response_status: status });
    }
    if (message.is_callback) return;
    await call(tx, message, result, "upstash-callback", undefined, settings, now);
    if (dlqId) await call(tx, message, result, "upstash-failure-callback", dlqId, settings, now);
  });
}

/** Puts a message that was not delivered where it belongs; answers its name as a dead letter. */
async function fail(
  tx: Tx,
  message: MessageRow,
  result: Attempt,
  { waitFactor }: PublishSettings,
  now: number,
): Promise<string | undefined> {
  const details = "status" in result
    ? { response_status: result.status, error: `answered ${result.status}` }
    : { error: result.error };
  if (message.retried < message.max_retries && !isFinal(result)) {
    const asked = "headers" in result ? askedWait(result.headers, now) : undefined;
    const wait = asked ?? retryWait(message.retried, message.retry_delay);
    await tx`
      update _qstash.messages
      set state = 'waiting', claim = null, lease_until = null, retried = retried + 1,
          due_at = ${now + Math.ceil(wait * waitFactor)}
      where id = ${message.id}`;
    await log(tx, message, "ERROR", now, details);
    await log(tx, message, "RETRY", now, { ...details, next_delivery_at: now + wait });
    return undefined;
  }
  const dlqId = newId("dlq_");
  const [headers, body] = "status" in result
    ? [tx.json(headerLists(result.headers)), result.body]
    : [null, new TextEncoder().encode(result.error)];
  await tx`
    update _qstash.messages
    set state = 'dead', claim = null, lease_until = null, dlq_id = ${dlqId},
        response_status = ${details.response_status ?? null}, response_headers = ${headers},
        response_body = ${body}
    where id = ${message.id}`;
  await log(tx, message, "ERROR", now, details);
  await log(tx, message, "FAILED", now, details);
  return dlqId;
}

/** Publishes the message's callback of a kind, if it has one. */
async function call(
  tx: Tx,
  message: MessageRow,
  result: Attempt,
  kind: "upstash-callback" | "upstash-failure-callback",
  dlqId: string | undefined,
  settings: PublishSettings,
  now: number,
): Promise<void> {
  const destination = message.source[kind];
  if (!destination) return;
  const source = callbackSource(message.source, `${kind}-`);
  await publish(
    tx,
    {
      destination,
      source,
      body: new TextEncoder().encode(JSON.stringify(report(message, result, dlqId))),
      callerIp: message.caller_ip,
      isCallback: true,
      ...(message.queue_name === null ? {} : { queueName: message.queue_name }),
    },
    settings,
    now,
  );
}

/** The body of a callback. */
function report(message: MessageRow, result: Attempt, dlqId: string | undefined) {
  const [status, header, body] = "status" in result
    ? [result.status, headerLists(result.headers), result.body]
    : [0, {}, new TextEncoder().encode(result.error)];
  return {
    status,
    header,
    body: body.toBase64(),
    retried: message.retried,
    maxRetries: message.max_retries,
    sourceMessageId: message.id,
    topicName: message.topic_name ?? "",
    endpointName: message.endpoint_name ?? "",
    url: message.url,
    method: message.method,
    sourceHeader: headerLists(Object.entries(message.headers)),
    sourceBody: new Uint8Array(message.body).toBase64(),
    notBefore: message.not_before,
    createdAt: message.created_at,
    scheduleId: message.schedule_id ?? "",
    callerIP: message.caller_ip ?? "",
    ...(dlqId === undefined ? {} : { dlqId }),
  };
}
