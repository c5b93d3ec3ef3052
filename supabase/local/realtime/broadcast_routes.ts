// Broadcasts over HTTP: many messages in one request, or one with its topic and event in the path.

import { type Context, Hono } from "hono";
import { describeError } from "../log_errors.ts";
import type { Subject } from "./authorize.ts";
import { isLonger, isObject, jsonBroadcast, SharedFrame, type UserBroadcast } from "./frames.ts";
import { countMessages, type Hub } from "./hub.ts";
import { roomKey } from "./rooms.ts";
import { TokenFault } from "./tokens.ts";

/** Largest body, as on hosted Supabase. */
const MAX_BODY_BYTES = 8_000_000;
const MAX_TEXT = 255;

interface RoutesEnv {
  Variables: { subject: Subject };
}

/** Routes below `/realtime/v1/api`. `headersOf` names the headers that policies may see. */
export function broadcastRoutes(
  hub: Hub,
  headersOf: (request: Request) => Record<string, string>,
): Hono<RoutesEnv> {
  const app = new Hono<RoutesEnv>();
  app.get("/ping", (c) => c.json({ message: "Success" }));

  app.use(async (c, next) => {
    const token = /^Bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1] ??
      c.req.header("apikey") ?? c.req.query("apikey");
    if (!token) return c.json({ message: "Unauthorized" }, 401);
    try {
      const identity = await hub.verifier.verify(token);
      c.set("subject", { identity, headers: headersOf(c.req.raw) });
    } catch (error) {
      if (!(error instanceof TokenFault)) throw error;
      return c.json({ message: "Unauthorized" }, 401);
    }
    await next();
    c.res.headers.set("x-rate-rolling", hub.messages.average.toFixed(2));
    if (hub.messages.limit === 0) return;
    const remaining = Math.max(hub.messages.limit - hub.messages.average, 0);
    c.res.headers.set("x-rate-limit", String(hub.messages.limit));
    c.res.headers.set("x-rate-limit-remaining", remaining.toFixed(2));
  });

  app.post("/broadcast", async (c) => {
    const body = await readJson(c);
    if (body instanceof Response) return body;
    const entries = isObject(body) ? body.messages : undefined;
    if (!Array.isArray(entries)) {
      return c.json({ errors: { messages: ["can't be blank"] } }, 422);
    }
    const faults = entries.map((entry) => faultsOf(entry, hub.settings.maxPayloadBytes));
    if (faults.some((fault) => Object.keys(fault).length > 0)) {
      return c.json({ errors: { messages: faults } }, 422);
    }
    if (hub.messages.isOver()) {
      return c.json({ message: "You have exceeded your rate limit" }, 429);
    }
    if (hub.messages.isOver(entries.length)) {
      const message = "Too many messages to broadcast, please reduce the batch size";
      return c.json({ message }, 429);
    }
    const messages: BatchMessage[] = entries.map(readMessage);
    const isPublic = ({ private: isPrivate }: BatchMessage) => !isPrivate;
    const inOrder = [...messages.filter(isPublic), ...messages.filter((m) => !isPublic(m))];
    const writable = new Map<string, boolean>();
    for (const message of inOrder) {
      const { topic, event, payload, id, private: isPrivate } = message;
      if (isPrivate && !writable.has(topic)) {
        writable.set(topic, await mayWrite(hub, c.var.subject, topic));
      }
      if (isPrivate && !writable.get(topic)) continue;
      const meta = id === undefined ? {} : { meta: { id } };
      const frame = SharedFrame.text(`realtime:${topic}`, "broadcast", {
        type: "broadcast",
        event,
        payload,
        ...meta,
      });
      if (!countMessages(hub, 1)) break;
      hub.rooms.broadcast(roomKey(topic, isPrivate), frame);
    }
    return c.body(null, 202);
  });

  app.post("/broadcast/:topic/events/:event", async (c) => {
    const { topic, event } = c.req.param();
    const isPrivate = c.req.query("private") === "true";
    if (hub.messages.isOver()) return c.json({ message: "Too many requests" }, 429);
    const broadcast = await readSingle(c, event);
    if (broadcast instanceof Response) return broadcast;
    if (topic.length > MAX_TEXT || event.length > MAX_TEXT) {
      return c.json({ message: "Topic or event is too long" }, 422);
    }
    if (broadcast.payload.length > hub.settings.maxPayloadBytes) {
      return c.json({ message: "Payload size exceeds tenant limit" }, 422);
    }
    if (isPrivate && !await mayWrite(hub, c.var.subject, topic)) {
      return c.json({ message: "Unauthorized" }, 403);
    }
    const frame = SharedFrame.broadcast(`realtime:${topic}`, broadcast, undefined);
    if (countMessages(hub, 1)) hub.rooms.broadcast(roomKey(topic, isPrivate), frame);
    return c.body(null, 202);
  });

  app.onError((error, c) => {
    console.error(`Realtime: A request failed: ${describeError(error)}`);
    return c.json({ message: "Internal Server Error" }, 500);
  });
  app.notFound((c) => c.json({ message: "Not Found" }, 404));
  return app;
}

/** Whether a private topic may be written; a database that cannot be reached refuses. */
async function mayWrite(hub: Hub, subject: Subject, topic: string): Promise<boolean> {
  try {
    return await hub.authorizer.write(subject, topic, "broadcast");
  } catch (error) {
    console.error(`Realtime: Policies were not asked: ${describeError(error)}`);
    return false;
  }
}

interface BatchMessage {
  topic: string;
  event: string;
  payload: Record<string, unknown>;
  private: boolean;
  id?: string;
}

/** What is wrong with an entry of a batch, by field. */
function faultsOf(entry: unknown, maxPayloadBytes: number): Record<string, string[]> {
  const faults: Record<string, string[]> = {};
  const fields = isObject(entry) ? entry : {};
  for (const name of ["topic", "event"]) {
    const value = fields[name];
    if (value === undefined || value === null || value === "") faults[name] = ["can't be blank"];
    else if (typeof value !== "string") faults[name] = ["is invalid"];
  }
  const { payload } = fields;
  if (payload === undefined || payload === null) faults.payload = ["can't be blank"];
  else if (!isObject(payload)) faults.payload = ["is invalid"];
  else if (isLonger(JSON.stringify(payload), maxPayloadBytes)) {
    faults.payload = ["Payload size exceeds tenant limit"];
  }
  return faults;
}

/** Reads an entry without faults. */
function readMessage(entry: Record<string, unknown>): BatchMessage {
  const { topic, event, payload, id } = entry;
  return {
    topic: topic as string,
    event: event as string,
    payload: payload as Record<string, unknown>,
    private: entry.private === true || entry.private === "true",
    ...(typeof id === "string" ? { id } : {}),
  };
}

async function readSingle(c: Context<RoutesEnv>, event: string): Promise<UserBroadcast | Response> {
  const type = (c.req.header("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
  if (type === "application/octet-stream") {
    const payload = await readBody(c);
    return payload instanceof Response ? payload : { event, payload, isJson: false };
  }
  if (type !== "application/json") {
    const error = "Unsupported Media Type. Use application/json or application/octet-stream";
    return c.json({ error }, 415);
  }
  const value = await readJson(c);
  if (value instanceof Response) return value;
  return jsonBroadcast(event, JSON.stringify(isObject(value) ? value : { _json: value }));
}

async function readJson(c: Context<RoutesEnv>): Promise<unknown> {
  const body = await readBody(c);
  if (body instanceof Response) return body;
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return c.json({ message: "Malformed JSON" }, 400);
  }
}

/** The body, of which no more is read than is allowed. */
async function readBody(c: Context<RoutesEnv>): Promise<Uint8Array<ArrayBuffer> | Response> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for await (const part of c.req.raw.body ?? []) {
    length += part.length;
    if (length > MAX_BODY_BYTES) return c.json({ message: "Request Entity Too Large" }, 413);
    parts.push(part as Uint8Array<ArrayBuffer>);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
