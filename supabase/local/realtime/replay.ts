// Messages that were sent before a channel joined, as far back as it asks.

import type postgres from "postgres";
import type { DatabaseMessage } from "./database_feed.ts";

/** What a channel asks to hear again. */
export interface ReplayWish {
  /** Unix milliseconds. */
  since: number;
  /** At most this many, the newest. */
  limit: number;
}

const MAX_MESSAGES = 25;
/** How far ahead of the clock `since` may be. */
const AHEAD_MS = 60_000;

/** Reads what a join says of it; undefined when it holds no wish that can be met. */
export function parseReplay(value: Record<string, unknown>, now: number): ReplayWish | undefined {
  const { since, limit } = value;
  if (typeof since !== "number" || !Number.isFinite(since)) return undefined;
  if (since < 0 || since > now + AHEAD_MS) return undefined;
  if (limit === undefined || limit === null) return { since, limit: MAX_MESSAGES };
  if (typeof limit !== "number" || !Number.isInteger(limit)) return undefined;
  return { since, limit: Math.min(Math.max(limit, 1), MAX_MESSAGES) };
}

/** The messages of a private topic, oldest first. */
export async function readReplay(
  sql: postgres.Sql,
  topic: string,
  { since, limit }: ReplayWish,
): Promise<DatabaseMessage[]> {
  const rows = await sql<DatabaseMessage[]>`
    select m.id, m.topic, m.event, m.private, m.payload::text as payload, m.binary_payload
    from realtime.messages as m
    where m.topic = ${topic} and m.private and m.extension = 'broadcast' and m.event is not null
      and (m.payload is not null or m.binary_payload is not null)
      and m.inserted_at >= to_timestamp(${since / 1000}::double precision) at time zone 'UTC'
    order by m.inserted_at desc
    limit ${limit}`;
  return rows.toReversed();
}
