// Limits and switches of Realtime. The defaults are hosted Supabase's, except that limits for a whole
// project are off and that refusals are answered at once. Each can be set as an environment variable,
// for example BL_REALTIME_MAX_CHANNELS=10.

import { Fault } from "../fault.ts";

/** Limits and switches; sizes in bytes, times in milliseconds, and rates, where 0 is no limit. */
export interface RealtimeSettings {
  /** Whether sockets are accepted. */
  enabled: boolean;
  /** Whether public channels are refused. */
  privateOnly: boolean;
  /** Channels of one socket. */
  maxChannels: number;
  /** Sockets at a time. */
  maxUsers: number;
  /** Joins of all sockets, as the average over a minute. */
  maxJoinsPerSecond: number;
  /** Broadcasts of all sockets and requests, as the average over a minute. */
  maxMessagesPerSecond: number;
  /** Tracks and untracks of all sockets, as the average over a minute. */
  maxPresencePerSecond: number;
  /** Tracks and untracks of one channel within {@link presenceWindowMs}. */
  maxPresenceCalls: number;
  presenceWindowMs: number;
  /** Payload of one broadcast. */
  maxPayloadBytes: number;
  /** One frame from a client. */
  maxFrameBytes: number;
  /** What may wait for a client to read it; one that is further behind is cut. */
  maxBufferedBytes: number;
  /** What may wait for the database to answer before it is handled; then the client is cut. */
  maxQueuedBytes: number;
  /** A socket from which nothing comes for so long is closed. */
  silenceMs: number;
  /** A socket without any channel for so long is closed. */
  channellessMs: number;
  /** A token is looked at again after so long. */
  tokenCheckMs: number;
  /** How long `replication_ready` waits for the database. */
  feedTimeoutMs: number;
  /** Wait before a refused upgrade is answered; 2 seconds on hosted Supabase. */
  refusalDelayMs: number;
  /** Wait before a refused join is answered; 5 seconds on hosted Supabase. */
  joinErrorDelayMs: number;
}

export const DEFAULT_SETTINGS: RealtimeSettings = {
  enabled: true,
  privateOnly: false,
  maxChannels: 100,
  maxUsers: 0,
  maxJoinsPerSecond: 0,
  maxMessagesPerSecond: 0,
  maxPresencePerSecond: 0,
  maxPresenceCalls: 5,
  presenceWindowMs: 30_000,
  maxPayloadBytes: 3_000_500,
  maxFrameBytes: 5_000_000,
  maxBufferedBytes: 4_194_304,
  maxQueuedBytes: 16_777_216,
  silenceMs: 60_000,
  channellessMs: 600_000,
  tokenCheckMs: 300_000,
  feedTimeoutMs: 60_000,
  refusalDelayMs: 0,
  joinErrorDelayMs: 0,
};

/** The defaults with what the environment sets over them. */
export function readRealtimeSettings(env: Record<string, string>): RealtimeSettings {
  const given: Record<string, number | boolean> = {};
  for (const [key, fallback] of Object.entries(DEFAULT_SETTINGS)) {
    const name = `BL_REALTIME_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
    const text = env[name];
    if (text === undefined) continue;
    given[key] = typeof fallback === "boolean" ? readSwitch(name, text) : readCount(name, text);
  }
  return { ...DEFAULT_SETTINGS, ...given };
}

function readSwitch(name: string, text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new Fault(`${name} must be true or false: it is "${text}"`);
}

function readCount(name: string, text: string): number {
  // Timers hold 31 bits.
  if (/^\d+$/.test(text) && Number(text) < 2 ** 31) return Number(text);
  throw new Fault(`${name} must be a whole number below 2147483648: it is "${text}"`);
}
