// What the sockets, channels and routes of one Realtime share.

import type { Authorizer } from "./authorize.ts";
import type { Changes } from "./changes.ts";
import type { Channel } from "./channel.ts";
import type { DatabaseMessage } from "./database_feed.ts";
import { jsonBroadcast, SharedFrame } from "./frames.ts";
import type { Rate } from "./rates.ts";
import type { ReplayWish } from "./replay.ts";
import type { Rooms } from "./rooms.ts";
import type { RealtimeSettings } from "./settings.ts";
import type { Verifier } from "./tokens.ts";

/** Shared by everything of one Realtime. */
export interface Hub {
  settings: RealtimeSettings;
  now: () => number;
  rooms: Rooms<Channel>;
  authorizer: Authorizer;
  verifier: Verifier;
  changes: Changes;
  /** Resolves once messages from the database are delivered. */
  feedReady: () => Promise<void>;
  replay: (topic: string, wish: ReplayWish) => Promise<DatabaseMessage[]>;
  joins: Rate;
  messages: Rate;
  presences: Rate;
  /** Number of sockets that are open. */
  users: () => number;
  /** Whether the stack is stopping. */
  isStopping: () => boolean;
}

/** Counts broadcasts; over the rate every channel of the project is shut down. */
export function countMessages(hub: Hub, count: number): boolean {
  if (hub.messages.add(count)) return true;
  for (const channel of [...hub.rooms.all()]) channel.shutDown("Too many messages per second");
  return false;
}

/** The frame for a message from the database. */
export function frameOf(message: DatabaseMessage, meta: Record<string, unknown> = {}): SharedFrame {
  const { id, topic, event, payload, binary_payload } = message;
  const broadcast = binary_payload === null
    ? jsonBroadcast(event, payload ?? "{}")
    : { event, payload: new Uint8Array(binary_payload), isJson: false };
  return SharedFrame.broadcast(`realtime:${topic}`, broadcast, { ...meta, id }, id);
}
