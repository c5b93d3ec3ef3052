// Commands on keys of any kind: their life, their names, and the whole of them.

import { command, type Commands, integer } from "./command.ts";
import { glob } from "./glob.ts";
import type { Keyspace } from "./keyspace.ts";
import { type Reply, syntaxError } from "./replies.ts";

/** `EXPIRE key n [NX | XX | GT | LT]` and its kin. */
function expire(unit: number, isAbsolute: boolean) {
  return (keys: Keyspace, [key = "", count, option]: string[]): Reply => {
    const at = integer(count) * unit + (isAbsolute ? 0 : keys.now());
    const before = keys.expiresAt(key);
    if (before === undefined) return 0;
    const holds = {
      NX: before === null,
      XX: before !== null,
      GT: before !== null && at > before,
      LT: before === null || at < before,
    }[option?.toUpperCase() ?? "NONE"];
    if (option !== undefined && holds === undefined) throw syntaxError();
    return holds === false ? 0 : Number(keys.expire(key, at));
  };
}

function life(unit: number) {
  return (keys: Keyspace, [key = ""]: string[]): Reply => {
    const at = keys.expiresAt(key);
    if (at === undefined) return -2;
    return at === null ? -1 : Math.round((at - keys.now()) / unit);
  };
}

function remove(keys: Keyspace, args: string[]): Reply {
  return args.filter((key) => keys.delete(key)).length;
}

/** `SCAN cursor [MATCH pattern] [COUNT n] [TYPE kind]`: all in one page. */
function scan(keys: Keyspace, [cursor, ...options]: string[]): Reply {
  integer(cursor);
  let names = keys.keys();
  for (let i = 0; i < options.length; i += 2) {
    const [option, value] = [options[i]!.toUpperCase(), options[i + 1]];
    if (value === undefined) throw syntaxError();
    if (option === "MATCH") names = names.filter(glob(value));
    else if (option === "TYPE") names = names.filter((name) => keys.kindOf(name) === value);
    else if (option !== "COUNT" || integer(value) < 1) throw syntaxError();
  }
  return ["0", names];
}

function flush(keys: Keyspace): Reply {
  keys.clear();
  return "OK";
}

export const KEYS: Commands = {
  DEL: command(1, remove, Infinity),
  UNLINK: command(1, remove, Infinity),
  EXISTS: command(
    1,
    (keys, args) => args.filter((key) => keys.kindOf(key) !== undefined).length,
    Infinity,
  ),
  EXPIRE: command(2, expire(1000, false), 3),
  PEXPIRE: command(2, expire(1, false), 3),
  EXPIREAT: command(2, expire(1000, true), 3),
  PEXPIREAT: command(2, expire(1, true), 3),
  PERSIST: command(
    1,
    (keys, [key = ""]) =>
      typeof keys.expiresAt(key) === "number" ? Number(keys.expire(key, null)) : 0,
  ),
  TTL: command(1, life(1000)),
  PTTL: command(1, life(1)),
  TYPE: command(1, (keys, [key = ""]) => keys.kindOf(key) ?? "none"),
  KEYS: command(1, (keys, [pattern = ""]) => keys.keys().filter(glob(pattern))),
  SCAN: command(1, scan, Infinity),
  DBSIZE: command(0, (keys) => keys.keys().length),
  FLUSHDB: command(0, flush, 1),
  FLUSHALL: command(0, flush, 1),
  PING: command(0, (_keys, [text]) => text ?? "PONG", 1),
  ECHO: command(1, (_keys, [text = ""]) => text),
  TIME: command(0, (keys) => {
    const now = keys.now();
    return [String(Math.floor(now / 1000)), String(Math.floor(now % 1000) * 1000)];
  }),
};
