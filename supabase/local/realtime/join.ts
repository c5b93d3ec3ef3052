// What a join asks for. A configuration that is none does not fail the join: each part that cannot be
// read has its default.

import type { ChangeBinding } from "./change_bindings.ts";
import { isObject } from "./frames.ts";

/** Configuration of a channel. */
export interface JoinConfig {
  isPrivate: boolean;
  /** Whether broadcasts are acknowledged. */
  ack: boolean;
  /** Whether the sender hears its own broadcasts. */
  self: boolean;
  presence: boolean;
  presenceKey: string;
  /** Entries as they were sent, to be sent back, and as they are understood. */
  changes: { sent: Record<string, unknown>; binding: ChangeBinding }[];
  /** Unread; undefined when nothing is to be replayed. */
  replay?: Record<string, unknown>;
  replicationReady: boolean;
  /** Undefined when the token of the socket counts. */
  token?: string;
}

/** Reads the payload of a join. */
export function parseJoin(payload: unknown): JoinConfig {
  const join = asObject(payload);
  const config = asObject(join.config);
  const broadcast = asObject(config.broadcast);
  const presence = asObject(config.presence);
  const token = join.access_token ?? join.user_token;
  return {
    isPrivate: isTrue(config.private),
    ack: isTrue(broadcast.ack),
    self: isTrue(broadcast.self),
    presence: isTrue(presence.enabled),
    presenceKey: readKey(presence.key),
    changes: Array.isArray(config.postgres_changes)
      ? config.postgres_changes.flatMap((entry) => readChange(entry))
      : [],
    replay: isObject(broadcast.replay) ? broadcast.replay : undefined,
    replicationReady: isTrue(broadcast.replication_ready),
    token: typeof token === "string" && !token.startsWith("sb_") ? token : undefined,
  };
}

function asObject(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {};
}

function isTrue(value: unknown): boolean {
  return value === true || value === "true";
}

function readKey(value: unknown): string {
  const key = typeof value === "number" ? String(value) : value;
  return typeof key === "string" && key !== "" ? key : crypto.randomUUID();
}

const EVENTS = new Set<unknown>(["*", "INSERT", "UPDATE", "DELETE"]);

function readChange(entry: unknown): JoinConfig["changes"] {
  if (!isObject(entry)) return [];
  const { event, schema, table, filter, select } = entry;
  const text = (value: unknown) => typeof value === "string" ? value : undefined;
  const columns = Array.isArray(select) ? select.map(String).join() : text(select);
  const known = typeof event === "string" ? event.toUpperCase() : "*";
  const binding = {
    event: (EVENTS.has(known) ? known : "*") as ChangeBinding["event"],
    schema: text(schema) ?? "public",
    table: text(table),
    filter: text(filter),
    select: columns,
  };
  return [{ sent: entry, binding }];
}
