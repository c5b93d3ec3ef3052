// Publishing: makes messages of one request, one for each destination, in the caller's transaction.

import { invalid, notFound } from "./errors.ts";
import { isUrl, type MessageOptions, NAME, readOptions, type Source } from "./options.ts";
import { redact } from "./redaction.ts";
import { log, newId, type Tx } from "./store.ts";

/** What to publish, and where to. */
export interface Publication {
  /** An address, or the name of a URL group. */
  destination: string;
  source: Source;
  body: Uint8Array<ArrayBuffer>;
  callerIp: string | null;
  /** Queue, when the path names it. */
  queueName?: string;
  scheduleId?: string;
  /** A callback has no callbacks, and keeps its message's place in the queue. */
  isCallback?: boolean;
}

/** What publishing answers, for one destination. */
export interface Published {
  messageId: string;
  url: string;
  deduplicated?: true;
}

/** Settings of the queue that publishing asks for. */
export interface PublishSettings {
  /** What all waits are multiplied by. */
  waitFactor: number;
  /** How long a message is known by its deduplication key. */
  deduplicationMs: number;
}

interface Endpoint {
  url: string;
  topic: string | null;
  name: string | null;
}

/**
 * Publishes to one address, or to each of a URL group.
 *
 * @returns An array for a URL group.
 * @throws {QStashError} 400 for a wrong header or destination, 404 for an unknown URL group.
 */
export async function publish(
  tx: Tx,
  publication: Publication,
  settings: PublishSettings,
  now: number,
): Promise<Published | Published[]> {
  const { destination, source } = publication;
  const options = readOptions(source, now);
  if (publication.queueName !== undefined) options.queueName = publication.queueName;
  await ensureQueue(tx, options.queueName, now);
  await setFlowControl(tx, options, settings);
  if (isUrl(destination)) {
    const endpoint = { url: destination, topic: null, name: null };
    return await send(tx, publication, options, endpoint, settings, now);
  }
  if (!NAME.test(destination)) {
    throw invalid("Destination must begin with http:// or https://, or be the name of a URL group");
  }
  const endpoints = await tx<Endpoint[]>`
    select url, group_name as topic, name from _qstash.endpoints
    where group_name = ${destination} order by seq`;
  if (endpoints.length === 0) throw notFound("URL group");
  const published: Published[] = [];
  for (const endpoint of endpoints) {
    published.push(await send(tx, publication, options, endpoint, settings, now));
  }
  return published;
}

async function send(
  tx: Tx,
  publication: Publication,
  options: MessageOptions,
  endpoint: Endpoint,
  { waitFactor, deduplicationMs }: PublishSettings,
  now: number,
): Promise<Published> {
  const { body } = publication;
  const message = {
    id: newId("msg_"),
    url: endpoint.url,
    topic_name: endpoint.topic,
    endpoint_name: endpoint.name,
    queue_name: options.queueName,
    schedule_id: publication.scheduleId ?? null,
    caller_ip: publication.callerIp,
    flow_control_key: options.flowControl?.key ?? null,
    labels: options.labels,
  };
  const key = await deduplicationKey(options, endpoint, body);
  if (key) {
    const [claimed] = await tx`
      insert into _qstash.deduplications as d (key, message_id, expires_at)
      values (${key}, ${message.id}, ${now + deduplicationMs})
      on conflict on constraint deduplications_pkey
      do update set message_id = excluded.message_id, expires_at = excluded.expires_at
      where d.expires_at <= ${now}
      returning 1`;
    if (!claimed) {
      const [first] = await tx<{ message_id: string }[]>`
        select message_id from _qstash.deduplications where key = ${key}`;
      return { messageId: first!.message_id, url: endpoint.url, deduplicated: true };
    }
  }
  const notBefore = Math.max(now, options.notBefore);
  const dueAt = now + Math.ceil((notBefore - now) * waitFactor);
  await tx`
    insert into _qstash.messages (
      id, url, topic_name, endpoint_name, method, source, headers, body, max_retries, retry_delay,
      timeout_ms, queue_name, schedule_id, caller_ip, flow_control_key, labels, is_callback,
      created_at, not_before, due_at
    )
    values (
      ${message.id}, ${message.url}, ${message.topic_name}, ${message.endpoint_name},
      ${options.method}, ${tx.json(publication.source)}, ${tx.json(options.headers)}, ${body},
      ${options.retries}, ${options.retryDelay}, ${options.timeoutMs}, ${message.queue_name},
      ${message.schedule_id}, ${message.caller_ip}, ${message.flow_control_key},
      ${message.labels}, ${publication.isCallback ?? false}, ${now}, ${notBefore}, ${dueAt}
    )`;
  const shown = redact({ headers: options.headers, body }, options.redact);
  await log(tx, message, "CREATED", now, { ...shown, next_delivery_at: notBefore });
  return { messageId: message.id, url: endpoint.url };
}

async function ensureQueue(tx: Tx, name: string | null, now: number): Promise<void> {
  if (name === null) return;
  if (!NAME.test(name)) throw invalid('Queue names may have letters, digits, "-", "." and "_"');
  await tx`
    insert into _qstash.queues (name, created_at, updated_at) values (${name}, ${now}, ${now})
    on conflict (name) do nothing`;
}

/** The newest publication says what holds for its key. */
async function setFlowControl(
  tx: Tx,
  { flowControl: flow }: MessageOptions,
  { waitFactor }: PublishSettings,
): Promise<void> {
  if (!flow) return;
  const period = Math.max(1, Math.ceil(flow.periodMs * waitFactor));
  await tx`
    insert into _qstash.flow_controls as f (key, parallelism, rate, period_ms)
    values (${flow.key}, ${flow.parallelism ?? null}, ${flow.rate ?? null}, ${period})
    on conflict (key) do update
    set parallelism = excluded.parallelism, rate = excluded.rate, period_ms = excluded.period_ms
    where (f.parallelism, f.rate, f.period_ms)
      is distinct from (excluded.parallelism, excluded.rate, excluded.period_ms)`;
}

/** The given id, or a digest of destination, body, content type and forwarded headers. */
async function deduplicationKey(
  { deduplication, headers }: MessageOptions,
  { url, topic }: Endpoint,
  body: Uint8Array,
): Promise<string | undefined> {
  if (!deduplication) return undefined;
  // Each endpoint of a group gets the message once.
  const place = topic === null ? "" : `${topic} ${url}`;
  if (deduplication !== "content") return `id ${place} ${deduplication.id}`;
  const parts = new TextEncoder().encode(
    JSON.stringify([url, topic, Object.entries(headers).toSorted(), body.length]),
  );
  const all = new Uint8Array(parts.length + body.length);
  all.set(parts);
  all.set(body, parts.length);
  return `content ${new Uint8Array(await crypto.subtle.digest("SHA-256", all)).toHex()}`;
}
