// EVAL, EVALSHA and SCRIPT: scripts run in a real Lua, a newer one than Redis's: what changed between
// 5.1 and 5.4 and scripts use is put back. A script runs to its end before anything else does.

import { createHash } from "node:crypto";
import { type LuaEngine, LuaFactory } from "wasmoon";
import { integer } from "./command.ts";
import { RedisError, type Reply } from "./replies.ts";

/** Runs one command for a script. */
type Call = (name: string, args: string[]) => Reply;

/** What a script may use, and how one is compiled and run; `__call` is this file's. */
const PRELUDE = `
local raw_call, raw_pcall, raw_error, raw_load = __call, pcall, error, load
local raw_tostring, raw_type, math_type = tostring, type, math.type
__call = nil
redis = { LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3, log = function() end }
function redis.pcall(...) return raw_call(...) end
function redis.call(...)
  local reply = raw_call(...)
  if raw_type(reply) == "table" and reply.err then raw_error(reply, 0) end
  return reply
end
function redis.error_reply(text) return { err = text } end
function redis.status_reply(text) return { ok = text } end
redis.sha1hex = __sha1hex
__sha1hex = nil
unpack, loadstring, table.getn, math.pow =
  table.unpack, load, function(t) return #t end, function(x, y) return x ^ y end
function tostring(value)
  if math_type(value) == "float" and value % 1 == 0 and value > -1e15 and value < 1e15 then
    return string.format("%d", value)
  end
  return raw_tostring(value)
end
local scripts = {}
function __load(sha, source)
  local script, fault = raw_load("local KEYS, ARGV = ...; " .. source, "=user_script", "t")
  if not script then return raw_tostring(fault) end
  scripts[sha] = script
  return nil
end
-- Tables are told apart here, where an empty one is no riddle yet.
local function plain(value)
  if raw_type(value) == "boolean" then return { "b", value } end
  if raw_type(value) == "number" then return { "n", value } end
  if raw_type(value) == "string" then return { "s", value } end
  if raw_type(value) ~= "table" then return { "b", false } end
  if value.err then return { "e", raw_tostring(value.err) } end
  if value.ok then return { "s", raw_tostring(value.ok) } end
  local list = { "l" }
  for index = 1, #value do
    if value[index] == nil then break end
    list[index + 1] = plain(value[index])
  end
  return list
end
function __run(sha, keys, args)
  local ok, value = raw_pcall(scripts[sha], keys, args)
  if ok then return plain(value) end
  if raw_type(value) == "table" and value.err then return { "e", raw_tostring(value.err) } end
  return { "e", "ERR " .. raw_tostring(value) .. " script: " .. sha }
end
os, io, package, require, dofile, loadfile, debug, collectgarbage, print = nil
`;

/** A value as the prelude hands it over. */
type Plain = ["b", boolean] | ["n", number] | ["s", string] | ["e", string] | ["l", ...unknown[]];

/** SHA-1 of a text, in hexadecimal. */
export function sha1(text: string): string {
  return createHash("sha1").update(text).digest("hex");
}

/** Scripts that are known, and the Lua that runs them. */
export class Scripts {
  readonly #sources = new Map<string, string>();
  readonly #loaded = new Set<string>();
  #lua: LuaEngine | undefined;
  #starting: Promise<LuaEngine> | undefined;

  /** @param call Runs a command that a script gives. */
  constructor(readonly call: Call) {}

  /** Makes Lua ready; before it is, scripts cannot run. */
  async ready(): Promise<void> {
    this.#lua = await (this.#starting ??= this.#start());
  }

  close(): void {
    this.#lua?.global.close();
  }

  /** Runs `EVAL`'s or `EVALSHA`'s arguments: numkeys, keys, arguments. */
  run(sha: string, [count, ...rest]: string[]): Reply {
    const keyCount = integer(count);
    if (keyCount < 0) throw new RedisError("ERR Number of keys can't be negative");
    if (keyCount > rest.length) {
      throw new RedisError("ERR Number of keys can't be greater than number of args");
    }
    this.#compile(sha);
    const lua = this.#lua!;
    return reply(lua.global.get("__run")(sha, rest.slice(0, keyCount), rest.slice(keyCount)));
  }

  /** Takes a script; answers its SHA-1. */
  load(source: string): string {
    const sha = sha1(source);
    if (this.#sources.has(sha)) return sha;
    this.#sources.set(sha, source);
    try {
      this.#compile(sha);
    } catch (error) {
      this.#sources.delete(sha);
      throw error;
    }
    return sha;
  }

  has(sha: string): boolean {
    return this.#sources.has(sha);
  }

  clear(): void {
    this.#sources.clear();
  }

  #compile(sha: string): void {
    const source = this.#sources.get(sha);
    if (source === undefined) {
      throw new RedisError("NOSCRIPT No matching script. Please use EVAL.");
    }
    if (this.#loaded.has(sha)) return;
    const fault = this.#lua!.global.get("__load")(sha, withoutShebang(source));
    if (fault) throw new RedisError(`ERR Error compiling script (new function): ${fault}`);
    this.#loaded.add(sha);
  }

  async #start(): Promise<LuaEngine> {
    const lua = await new LuaFactory().createEngine({ injectObjects: false, enableProxy: false });
    lua.global.set("__call", (...args: unknown[]) => this.#callFromLua(args));
    lua.global.set("__sha1hex", sha1);
    lua.doStringSync(PRELUDE);
    return lua;
  }

  #callFromLua(args: unknown[]): unknown {
    try {
      const [name, ...rest] = args.map(argument);
      if (name === undefined) throw new RedisError("ERR Please specify at least one argument");
      return forLua(this.call(name, rest));
    } catch (error) {
      if (error instanceof RedisError) return { err: error.message };
      throw error;
    }
  }
}

/** Scripts may begin with a line that names their language; Lua itself does not know it. */
function withoutShebang(source: string): string {
  const [line] = /^#![^\n]*/.exec(source) ?? [];
  if (line === undefined) return source;
  const engine = /^#!(\S*)/.exec(line)![1];
  if (engine !== "lua") throw new RedisError(`ERR Unexpected engine in script shebang: ${engine}`);
  return source.slice(line.length);
}

function argument(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return String(value);
  throw new RedisError("ERR Lua redis lib command arguments must be strings or integers");
}

/** Nothing is `false` in a script. */
function forLua(value: Reply): unknown {
  if (value === null) return false;
  if (value === "OK") return { ok: "OK" };
  return Array.isArray(value) ? value.map(forLua) : value;
}

/** A reply of what a script returned: numbers lose their fraction, true is 1, false is nothing. */
function reply(value: Plain): Reply {
  switch (value[0]) {
    case "b":
      return value[1] ? 1 : null;
    case "n":
      return Math.trunc(value[1]);
    case "s":
      return value[1];
    case "e":
      throw new RedisError(value[1]);
    case "l":
      return value.slice(1).map((item) => reply(item as Plain));
  }
}
