// One attempt to deliver a message: a signed request to its destination.

import { signDelivery } from "./signature.ts";
import type { MessageRow } from "./store.ts";

/** What came of an attempt: an answer, or why there was none. */
export type Attempt =
  | { status: number; headers: Headers; body: Uint8Array<ArrayBuffer> }
  | { error: string };

/** Most of an answer that is kept for callbacks and dead letters. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/**
 * Sends the message.
 *
 * @param closing Aborted when the stack stops.
 * @throws When `closing` has cut the attempt off; then nobody knows what came of it.
 */
export async function attempt(
  message: MessageRow,
  signingKey: string,
  now: number,
  closing: AbortSignal,
): Promise<Attempt> {
  const hasBody = message.method !== "GET";
  // What is signed is what arrives.
  const body = hasBody ? new Uint8Array(message.body) : new Uint8Array();
  const timeout = AbortSignal.timeout(message.timeout_ms);
  try {
    const response = await fetch(message.url, {
      method: message.method,
      headers: await deliveryHeaders(message, signingKey, body, now),
      body: hasBody ? body : null,
      redirect: "manual",
      signal: AbortSignal.any([timeout, closing]),
    });
    return {
      status: response.status,
      headers: response.headers,
      body: await readAnswer(response),
    };
  } catch (error) {
    if (closing.aborted) throw error;
    if (timeout.aborted) return { error: `no answer within ${message.timeout_ms} ms` };
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

async function deliveryHeaders(
  message: MessageRow,
  signingKey: string,
  body: Uint8Array<ArrayBuffer>,
  now: number,
): Promise<Headers> {
  const headers = new Headers();
  for (const [name, value] of Object.entries(message.headers)) headers.set(name, value);
  headers.set("User-Agent", "Upstash-QStash");
  headers.set("Upstash-Signature", await signDelivery({ url: message.url, body }, signingKey, now));
  headers.set("Upstash-Message-Id", message.id);
  headers.set("Upstash-Retried", String(message.retried));
  if (message.schedule_id) headers.set("Upstash-Schedule-Id", message.schedule_id);
  if (message.topic_name) headers.set("Upstash-Topic-Name", message.topic_name);
  if (message.caller_ip) headers.set("Upstash-Caller-Ip", message.caller_ip);
  return headers;
}

async function readAnswer(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    parts.push(part);
    size += part.length;
    if (size > MAX_ANSWER_BYTES) break;
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all.slice(0, MAX_ANSWER_BYTES);
}

/** Whether a status is that of a success. */
export function isSuccess(result: Attempt): boolean {
  return "status" in result && result.status >= 200 && result.status < 300;
}

/** Whether the receiver says that trying again is of no use. */
export function isFinal(result: Attempt): boolean {
  return "status" in result && result.status === 489 &&
    result.headers.get("upstash-nonretryable-error")?.toLowerCase() === "true";
}

/** Headers as lists of values by name. */
export function headerLists(headers: Iterable<[string, string]>): Record<string, string[]> {
  const lists: Record<string, string[]> = {};
  for (const [name, value] of headers) (lists[name] ??= []).push(value);
  return lists;
}
