// Reads how a message is to be delivered from the headers of the request that published it. The same
// headers are kept with schedules and read again at each tick, and those of a callback, without their
// prefix, are those of a message.

import { parseDuration } from "./durations.ts";
import { invalid } from "./errors.ts";
import { parseExpression } from "./retry_delay.ts";

/** Headers that say how to deliver, by their names in lower case. */
export type Source = Record<string, string>;

/** Flow control of a key: so many in flight, so many starts in a period. */
export interface FlowControl {
  key: string;
  parallelism?: number;
  rate?: number;
  periodMs: number;
}

/** How a message is to be delivered. */
export interface MessageOptions {
  method: string;
  /** Headers of the delivery. */
  headers: Record<string, string>;
  /** Unix milliseconds; at once when it is not after now. */
  notBefore: number;
  retries: number;
  retryDelay: string | null;
  timeoutMs: number;
  deduplication: { id: string } | "content" | null;
  callback: string | null;
  failureCallback: string | null;
  flowControl: FlowControl | null;
  queueName: string | null;
  labels: string[];
  redact: string[];
}

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const DEFAULT_RETRIES = 3;
const MAX_RETRIES = 1000;
const DEFAULT_TIMEOUT_MS = 15 * 60_000;
const MAX_TIMEOUT_MS = 12 * 3_600_000;
/** Names of queues, URL groups, schedules and flow control keys. */
export const NAME = /^[A-Za-z0-9._-]{1,255}$/;
/** Headers that belong to one connection. */
const NOT_FORWARDED = ["host", "connection", "content-length", "transfer-encoding"];

/** Keeps of a request's headers those that say how to deliver. */
export function readSource(headers: Iterable<[string, string]>): Source {
  const source: Source = {};
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    if (lower.startsWith("upstash-telemetry-")) continue;
    if (lower === "content-type" || lower.startsWith("upstash-")) source[lower] = value;
  }
  return source;
}

/**
 * Reads how to deliver.
 *
 * @throws {QStashError} 400, naming the header that is wrong.
 */
export function readOptions(source: Source, now: number): MessageOptions {
  const method = (source["upstash-method"] ?? "POST").toUpperCase();
  if (!METHODS.includes(method)) {
    throw invalid(`Upstash-Method must be one of ${METHODS.join(", ")}`);
  }
  const delay = readDuration(source, "upstash-delay") ?? 0;
  const notBefore = readInteger(source, "upstash-not-before", 0, 1e11);
  const timeout = readDuration(source, "upstash-timeout") ?? DEFAULT_TIMEOUT_MS;
  if (timeout < 1000 || timeout > MAX_TIMEOUT_MS) {
    throw invalid("Upstash-Timeout must be from 1s to 12h");
  }
  return {
    method,
    headers: readHeaders(source),
    notBefore: notBefore === undefined ? now + delay : notBefore * 1000,
    retries: readInteger(source, "upstash-retries", 0, MAX_RETRIES) ?? DEFAULT_RETRIES,
    retryDelay: readRetryDelay(source),
    timeoutMs: timeout,
    deduplication: readDeduplication(source),
    callback: readUrl(source, "upstash-callback"),
    failureCallback: readUrl(source, "upstash-failure-callback"),
    flowControl: readFlowControl(source),
    queueName: readName(source, "upstash-queue-name"),
    labels: readList(source["upstash-label"]),
    redact: readList(source["upstash-redact-fields"]).map((field) => field.toLowerCase()),
  };
}

/**
 * The headers of a callback as those of a message: `Upstash-Callback-Retries` becomes
 * `Upstash-Retries`, `Upstash-Callback-Forward-X` becomes `Upstash-Forward-X`.
 */
export function callbackSource(
  source: Source,
  prefix: "upstash-callback-" | "upstash-failure-callback-",
): Source {
  const own: Source = { "content-type": "application/json" };
  for (const [name, value] of Object.entries(source)) {
    if (name.startsWith(prefix)) own[`upstash-${name.slice(prefix.length)}`] = value;
  }
  return own;
}

/** Whether `text` is an address that can be delivered to. */
export function isUrl(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}

function readHeaders(source: Source): Record<string, string> {
  const headers: Record<string, string> = {};
  if (source["content-type"] !== undefined) headers["content-type"] = source["content-type"];
  const prefix = "upstash-forward-";
  for (const [name, value] of Object.entries(source)) {
    if (!name.startsWith(prefix)) continue;
    const own = name.slice(prefix.length);
    if (own !== "" && !NOT_FORWARDED.includes(own)) headers[own] = value;
  }
  return headers;
}

function readDuration(source: Source, name: string): number | undefined {
  const text = source[name];
  if (text === undefined) return undefined;
  const ms = parseDuration(text);
  if (ms === undefined) throw invalid(`${name} is not a duration such as 10s or 1h30m`);
  return ms;
}

function readInteger(source: Source, name: string, min: number, max: number): number | undefined {
  const text = source[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw invalid(`${name} must be an integer from ${min} to ${max}`);
}

function readUrl(source: Source, name: string): string | null {
  const text = source[name];
  if (text === undefined) return null;
  if (isUrl(text)) return text;
  throw invalid(`${name} must begin with http:// or https://`);
}

function readName(source: Source, name: string): string | null {
  const text = source[name];
  if (text === undefined) return null;
  if (NAME.test(text)) return text;
  throw invalid(`${name} may have letters, digits, "-", "." and "_"`);
}

function readList(text: string | undefined): string[] {
  return (text ?? "").split(",").map((part) => part.trim()).filter(Boolean);
}

function readRetryDelay(source: Source): string | null {
  const text = source["upstash-retry-delay"];
  if (text === undefined) return null;
  try {
    parseExpression(text);
    return text;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw invalid(`upstash-retry-delay is not an expression: ${error.message}`);
  }
}

function readDeduplication(source: Source): MessageOptions["deduplication"] {
  const id = source["upstash-deduplication-id"];
  if (id) return { id };
  const byContent = source["upstash-content-based-deduplication"];
  return byContent?.toLowerCase() === "true" ? "content" : null;
}

function readFlowControl(source: Source): FlowControl | null {
  const key = readName(source, "upstash-flow-control-key");
  if (key === null) return null;
  const wrong = () =>
    invalid("upstash-flow-control-value must be as parallelism=2, rate=5, period=1m");
  const flow: FlowControl = { key, periodMs: 1000 };
  for (const part of readList(source["upstash-flow-control-value"])) {
    const [, name, value] = /^(\w+)\s*=\s*(\w+)$/.exec(part) ?? [];
    if (name === "period") {
      const ms = /^\d+$/.test(value!) ? Number(value) * 1000 : parseDuration(value!);
      if (!ms) throw wrong();
      flow.periodMs = ms;
    } else if ((name === "parallelism" || name === "rate") && /^[1-9]\d{0,6}$/.test(value!)) {
      flow[name] = Number(value);
    } else throw wrong();
  }
  if (flow.parallelism === undefined && flow.rate === undefined) throw wrong();
  return flow;
}
