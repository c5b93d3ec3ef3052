// Commands on hashes, sets and sorted sets.

import { command, type Commands, float, formatFloat, integer } from "./command.ts";
import type { Keyspace } from "./keyspace.ts";
import { notAnInteger, RedisError, type Reply, syntaxError } from "./replies.ts";

function hashSet(keys: Keyspace, [key = "", ...pairs]: string[]): number {
  if (pairs.length % 2 !== 0) {
    throw new RedisError("ERR wrong number of arguments for 'hset' command");
  }
  const hash = keys.open(key, "hash");
  const before = hash.size;
  for (let i = 0; i < pairs.length; i += 2) hash.set(pairs[i]!, pairs[i + 1]!);
  return hash.size - before;
}

const HASHES: Commands = {
  HSET: command(3, hashSet, Infinity),
  HMSET: command(3, (keys, args) => {
    hashSet(keys, args);
    return "OK";
  }, Infinity),
  HSETNX: command(
    3,
    (keys, [key = "", field = "", value = ""]) =>
      keys.get(key, "hash")?.has(field) ? 0 : hashSet(keys, [key, field, value]),
  ),
  HGET: command(2, (keys, [key = "", field = ""]) => keys.get(key, "hash")?.get(field) ?? null),
  HMGET: command(2, (keys, [key = "", ...fields]) => {
    const hash = keys.get(key, "hash");
    return fields.map((field) => hash?.get(field) ?? null);
  }, Infinity),
  HGETALL: command(1, (keys, [key = ""]) => [...keys.get(key, "hash") ?? []].flat()),
  HKEYS: command(1, (keys, [key = ""]) => [...keys.get(key, "hash")?.keys() ?? []]),
  HVALS: command(1, (keys, [key = ""]) => [...keys.get(key, "hash")?.values() ?? []]),
  HLEN: command(1, (keys, [key = ""]) => keys.get(key, "hash")?.size ?? 0),
  HEXISTS: command(
    2,
    (keys, [key = "", field = ""]) => Number(keys.get(key, "hash")?.has(field) ?? false),
  ),
  HDEL: command(2, (keys, [key = "", ...fields]) => {
    const hash = keys.get(key, "hash");
    const deleted = fields.filter((field) => hash?.delete(field)).length;
    keys.trim(key);
    return deleted;
  }, Infinity),
  HINCRBY: command(3, (keys, [key = "", field = "", by]) => {
    const before = keys.get(key, "hash")?.get(field) ?? "0";
    if (!/^-?\d+$/.test(before)) throw new RedisError("ERR hash value is not an integer");
    const value = integer(before) + integer(by);
    if (!Number.isSafeInteger(value)) throw notAnInteger();
    keys.open(key, "hash").set(field, String(value));
    return value;
  }),
};

/** Combines sets into the first key; answers the size of what came of it. */
function store(combine: (sets: Set<string>[]) => Set<string>) {
  return (keys: Keyspace, [target = "", ...sources]: string[]): Reply => {
    const result = combine(sources.map((key) => keys.get(key, "set") ?? new Set()));
    keys.setSet(target, result);
    return result.size;
  };
}

const SETS: Commands = {
  SADD: command(2, (keys, [key = "", ...members]) => {
    const set = keys.open(key, "set");
    const before = set.size;
    for (const member of members) set.add(member);
    return set.size - before;
  }, Infinity),
  SREM: command(2, (keys, [key = "", ...members]) => {
    const set = keys.get(key, "set");
    const removed = members.filter((member) => set?.delete(member)).length;
    keys.trim(key);
    return removed;
  }, Infinity),
  SCARD: command(1, (keys, [key = ""]) => keys.get(key, "set")?.size ?? 0),
  SMEMBERS: command(1, (keys, [key = ""]) => [...keys.get(key, "set") ?? []]),
  SISMEMBER: command(
    2,
    (keys, [key = "", member = ""]) => Number(keys.get(key, "set")?.has(member) ?? false),
  ),
  SMISMEMBER: command(2, (keys, [key = "", ...members]) => {
    const set = keys.get(key, "set");
    return members.map((member) => Number(set?.has(member) ?? false));
  }, Infinity),
  SUNIONSTORE: command(
    2,
    store((sets) => sets.reduce((all, set) => all.union(set), new Set<string>())),
    Infinity,
  ),
  SINTERSTORE: command(
    2,
    store((sets) => sets.reduce((all, set) => all.intersection(set))),
    Infinity,
  ),
  SDIFFSTORE: command(2, store((sets) => sets.reduce((all, set) => all.difference(set))), Infinity),
};

/** Members and scores, by score and then by name. */
function ranked(keys: Keyspace, key: string): [string, number][] {
  return [...keys.get(key, "zset") ?? []].sort(([a, x], [b, y]) =>
    x - y || (a < b ? -1 : a > b ? 1 : 0)
  );
}

/** A bound of scores: `5`, `(5`, `-inf`. */
function bound(text: string | undefined): { value: number; isOpen: boolean } {
  const isOpen = text?.startsWith("(") ?? false;
  return { value: float(isOpen ? text!.slice(1) : text), isOpen };
}

function within(score: number, low: string, high: string): boolean {
  const [from, to] = [bound(low), bound(high)];
  return (from.isOpen ? score > from.value : score >= from.value) &&
    (to.isOpen ? score < to.value : score <= to.value);
}

/** `ZRANGE key start stop [BYSCORE] [REV] [LIMIT offset count] [WITHSCORES]`. */
function range(keys: Keyspace, [key = "", start = "", stop = "", ...options]: string[]): Reply {
  const flags = new Set<string>();
  let limit: [number, number] | undefined;
  while (options.length > 0) {
    const option = options.shift()!.toUpperCase();
    if (option === "LIMIT") limit = [integer(options.shift()), integer(options.shift())];
    else if (["BYSCORE", "REV", "WITHSCORES"].includes(option)) flags.add(option);
    else throw syntaxError();
  }
  if (limit && !flags.has("BYSCORE")) throw syntaxError();
  let members = ranked(keys, key);
  if (flags.has("REV")) members.reverse();
  if (flags.has("BYSCORE")) {
    const [low, high] = flags.has("REV") ? [stop, start] : [start, stop];
    members = members.filter(([, score]) => within(score, low, high));
    if (limit) members = members.slice(limit[0], limit[1] < 0 ? undefined : limit[0] + limit[1]);
  } else {
    const at = (text: string) => {
      const index = integer(text);
      return index < 0 ? Math.max(-1, members.length + index) : index;
    };
    members = members.slice(Math.max(0, at(start)), at(stop) + 1);
  }
  return members.flatMap(([member, score]) =>
    flags.has("WITHSCORES") ? [member, formatFloat(score)] : [member]
  );
}

/** `ZADD key [NX | XX] [CH] score member …`. */
function add(keys: Keyspace, [key = "", ...rest]: string[]): Reply {
  const flags = new Set<string>();
  while (/^(nx|xx|ch)$/i.test(rest[0] ?? "")) flags.add(rest.shift()!.toUpperCase());
  if (rest.length === 0 || rest.length % 2 !== 0 || flags.has("NX") && flags.has("XX")) {
    throw syntaxError();
  }
  const scores = rest.filter((_, index) => index % 2 === 0).map(float);
  const set = keys.open(key, "zset");
  let [added, changed] = [0, 0];
  for (const [index, score] of scores.entries()) {
    const member = rest[index * 2 + 1]!;
    const before = set.get(member);
    if (before === undefined ? flags.has("XX") : flags.has("NX")) continue;
    if (before === undefined) added++;
    else if (before !== score) changed++;
    set.set(member, score);
  }
  keys.trim(key);
  return flags.has("CH") ? added + changed : added;
}

const SORTED_SETS: Commands = {
  ZADD: command(3, add, Infinity),
  ZINCRBY: command(3, (keys, [key = "", by, member = ""]) => {
    const amount = float(by);
    const set = keys.open(key, "zset");
    const score = (set.get(member) ?? 0) + amount;
    set.set(member, score);
    return formatFloat(score);
  }),
  ZSCORE: command(2, (keys, [key = "", member = ""]) => {
    const score = keys.get(key, "zset")?.get(member);
    return score === undefined ? null : formatFloat(score);
  }),
  ZCARD: command(1, (keys, [key = ""]) => keys.get(key, "zset")?.size ?? 0),
  ZCOUNT: command(
    3,
    (keys, [key = "", low = "", high = ""]) =>
      ranked(keys, key).filter(([, score]) => within(score, low, high)).length,
  ),
  ZRANGE: command(3, range, Infinity),
  ZRANK: command(2, (keys, [key = "", member = ""]) => {
    const rank = ranked(keys, key).findIndex(([name]) => name === member);
    return rank < 0 ? null : rank;
  }),
  ZREM: command(2, (keys, [key = "", ...members]) => {
    const set = keys.get(key, "zset");
    const removed = members.filter((member) => set?.delete(member)).length;
    keys.trim(key);
    return removed;
  }, Infinity),
  ZREMRANGEBYSCORE: command(3, (keys, [key = "", low = "", high = ""]) => {
    const gone = ranked(keys, key).filter(([, score]) => within(score, low, high));
    for (const [member] of gone) keys.get(key, "zset")!.delete(member);
    keys.trim(key);
    return gone.length;
  }),
};

export const COLLECTIONS: Commands = { ...HASHES, ...SETS, ...SORTED_SETS };
