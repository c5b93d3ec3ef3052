// Commands on strings and counters.

import { command, type Commands, float, formatFloat, integer } from "./command.ts";
import type { Keyspace } from "./keyspace.ts";
import { notAnInteger, RedisError, type Reply, syntaxError } from "./replies.ts";

function increment(keys: Keyspace, key: string, by: number): number {
  const value = integer(keys.get(key, "string") ?? "0") + by;
  if (!Number.isSafeInteger(value)) throw notAnInteger();
  keys.setString(key, String(value), keys.expiresAt(key) ?? null);
  return value;
}

/** Milliseconds of a time to live; one that is not above zero is refused. */
function lifetime(text: string | undefined, unit: number): number {
  const count = integer(text);
  if (count <= 0) throw new RedisError("ERR invalid expire time in 'set' command");
  return count * unit;
}

/** `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`. */
function set(keys: Keyspace, [key = "", value = "", ...options]: string[]): Reply {
  let expiresAt: number | null | undefined;
  const seen = new Set<string>();
  while (options.length > 0) {
    const option = options.shift()!.toUpperCase();
    const kind = ["NX", "XX"].includes(option) ? "if" : option === "GET" ? "get" : "ttl";
    if (seen.has(kind)) throw syntaxError();
    seen.add(kind).add(option);
    if (option === "EX") expiresAt = keys.now() + lifetime(options.shift(), 1000);
    else if (option === "PX") expiresAt = keys.now() + lifetime(options.shift(), 1);
    else if (option === "EXAT") expiresAt = lifetime(options.shift(), 1000);
    else if (option === "PXAT") expiresAt = lifetime(options.shift(), 1);
    else if (!["NX", "XX", "GET", "KEEPTTL"].includes(option)) throw syntaxError();
  }
  const before = seen.has("GET") ? keys.get(key, "string") ?? null : null;
  const exists = keys.kindOf(key) !== undefined;
  if (seen.has("NX") && exists || seen.has("XX") && !exists) return before;
  if (seen.has("KEEPTTL")) expiresAt = keys.expiresAt(key);
  keys.setString(key, value, expiresAt ?? null);
  keys.expire(key, expiresAt ?? null);
  return seen.has("GET") ? before : "OK";
}

function readString(keys: Keyspace, key: string): string | null {
  return keys.kindOf(key) === "string" ? keys.get(key, "string")! : null;
}

export const STRINGS: Commands = {
  GET: command(1, (keys, [key = ""]) => keys.get(key, "string") ?? null),
  SET: command(2, set, Infinity),
  SETNX: command(2, (keys, [key = "", value = ""]) => {
    if (keys.kindOf(key) !== undefined) return 0;
    keys.setString(key, value, null);
    return 1;
  }),
  SETEX: command(
    3,
    (keys, [key = "", seconds, value = ""]) => set(keys, [key, value, "EX", seconds!]),
  ),
  PSETEX: command(3, (keys, [key = "", ms, value = ""]) => set(keys, [key, value, "PX", ms!])),
  GETDEL: command(1, (keys, [key = ""]) => {
    const value = keys.get(key, "string") ?? null;
    keys.delete(key);
    return value;
  }),
  GETSET: command(2, (keys, [key = "", value = ""]) => set(keys, [key, value, "GET"])),
  MGET: command(1, (keys, args) => args.map((key) => readString(keys, key)), Infinity),
  MSET: command(2, (keys, args) => {
    if (args.length % 2 !== 0) throw new RedisError("ERR wrong number of arguments for MSET");
    for (let i = 0; i < args.length; i += 2) keys.setString(args[i]!, args[i + 1]!, null);
    return "OK";
  }, Infinity),
  APPEND: command(2, (keys, [key = "", value = ""]) => {
    const whole = (keys.get(key, "string") ?? "") + value;
    keys.setString(key, whole, keys.expiresAt(key) ?? null);
    return new TextEncoder().encode(whole).length;
  }),
  STRLEN: command(
    1,
    (keys, [key = ""]) => new TextEncoder().encode(keys.get(key, "string") ?? "").length,
  ),
  INCR: command(1, (keys, [key = ""]) => increment(keys, key, 1)),
  DECR: command(1, (keys, [key = ""]) => increment(keys, key, -1)),
  INCRBY: command(2, (keys, [key = "", by]) => increment(keys, key, integer(by))),
  DECRBY: command(2, (keys, [key = "", by]) => increment(keys, key, -integer(by))),
  INCRBYFLOAT: command(2, (keys, [key = "", by]) => {
    const value = float(keys.get(key, "string") ?? "0") + float(by);
    keys.setString(key, formatFloat(value), keys.expiresAt(key) ?? null);
    return formatFloat(value);
  }),
};
