// `/redis` of the embedded stack: Upstash Redis's REST protocol over keys in memory, for the unmodified
// `@upstash/redis` and `@upstash/ratelimit`. One command, script, or transaction at a time: nothing
// awaits within one.

import { z } from "zod";
import type { Part } from "../context.ts";
import { REDIS_BASE } from "./base.ts";
import { Channels } from "./channels.ts";
import { COLLECTIONS } from "./collections.ts";
import { type Command, command, type Commands } from "./command.ts";
import { KEYS } from "./keys.ts";
import { Keyspace } from "./keyspace.ts";
import { encodeReply, RedisError, type Reply } from "./replies.ts";
import { Scripts } from "./scripts.ts";
import { STRINGS } from "./strings.ts";

/** What Redis is built from. */
export interface RedisOptions {
  token: string;
  now: () => number;
}

/** A Redis that runs. */
export interface Redis {
  /** Answers requests below the base path. */
  part: Part;
  close: () => void;
}

/** Largest body that is taken. */
const MAX_BODY_BYTES = 10 * 1024 * 1024;

const Argument = z.union([z.string(), z.number(), z.boolean(), z.null()]).transform(String);
const CommandBody = z.array(Argument).min(1);
const CommandsBody = z.array(CommandBody);

const OF_SCRIPTS = /^(eval|evalsha|script)$/i;

/** Builds it, empty. */
export function createRedis({ token, now }: RedisOptions): Redis {
  const keys = new Keyspace(now);
  const channels = new Channels();
  const scripts = new Scripts((name, args) => {
    if (OF_SCRIPTS.test(name)) {
      throw new RedisError("ERR This Redis command is not allowed from script");
    }
    return run([name, ...args]);
  });
  const commands = new Map<string, Command>(
    Object.entries({
      ...STRINGS,
      ...KEYS,
      ...COLLECTIONS,
      ...withScripts(scripts),
      ...{
        PUBLISH: command(2, (_keys, [channel = "", text = ""]) => channels.publish(channel, text)),
      },
    }),
  );

  const find = ([name = "", ...args]: string[]): Command => {
    const found = commands.get(name.toUpperCase());
    if (!found) throw new RedisError(`ERR Command is not available: '${name.toUpperCase()}'`);
    if (args.length < found.min || args.length > found.max) {
      throw new RedisError(
        `ERR wrong number of arguments for '${name.toLowerCase()}' command`,
      );
    }
    return found;
  };
  const run = ([name = "", ...args]: string[]): Reply => {
    keys.sweep();
    return find([name, ...args]).run(keys, args);
  };
  const attempt = (line: string[], encode: (reply: Reply) => Reply) => {
    try {
      return { result: encode(run(line)) };
    } catch (error) {
      if (error instanceof RedisError) return { error: error.message };
      throw error;
    }
  };

  const answer = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    const given = request.headers.get("authorization") ??
      `Bearer ${url.searchParams.get("_token")}`;
    url.searchParams.delete("_token");
    if (given !== `Bearer ${token}`) {
      return refuse(401, "WRONGPASS invalid or missing auth token");
    }
    if (request.method !== "POST" && request.method !== "GET") {
      return refuse(405, "ERR method is not allowed");
    }
    const encode = request.headers.get("upstash-encoding") === "base64"
      ? encodeReply
      : (reply: Reply) => reply;
    const path = url.pathname.slice(REDIS_BASE.length).replace(/^\/|\/$/g, "");
    const [first = "", ...rest] = path.split("/").map(decodeURIComponent);
    if (["subscribe", "psubscribe"].includes(first.toLowerCase()) && rest.length === 1) {
      return channels.subscribe(rest[0]!, first.toLowerCase() === "psubscribe");
    }
    const text = await readText(request);
    if (path === "pipeline" || path === "multi-exec") {
      const lines = parse(CommandsBody, text);
      await readyFor(lines, scripts);
      if (path === "multi-exec") lines.forEach(find);
      return Response.json(lines.map((line) => attempt(line, encode)));
    }
    const line = path === ""
      ? parse(CommandBody, text)
      : [first, ...rest, ...[...url.searchParams].flat(), ...(text === "" ? [] : [text])];
    await readyFor([line], scripts);
    const outcome = attempt(line, encode);
    return Response.json(outcome, { status: "error" in outcome ? 400 : 200 });
  };

  return {
    close: () => scripts.close(),
    async part(request) {
      try {
        return await answer(request);
      } catch (error) {
        if (error instanceof RedisError) return refuse(400, error.message);
        if (error instanceof URIError) return refuse(400, "ERR path is not encoded");
        throw error;
      }
    },
  };
}

/** Commands on scripts. */
function withScripts(scripts: Scripts): Commands {
  return {
    EVAL: command(
      2,
      (_keys, [source = "", ...rest]) => scripts.run(scripts.load(source), rest),
      Infinity,
    ),
    EVALSHA: command(
      2,
      (_keys, [sha = "", ...rest]) => scripts.run(sha.toLowerCase(), rest),
      Infinity,
    ),
    SCRIPT: command(1, (_keys, [name = "", ...args]) => {
      const kind = name.toUpperCase();
      if (kind === "LOAD" && args.length === 1) return scripts.load(args[0]!);
      if (kind === "EXISTS") return args.map((sha) => Number(scripts.has(sha.toLowerCase())));
      if (kind !== "FLUSH") throw new RedisError(`ERR unknown subcommand '${name}'`);
      scripts.clear();
      return "OK";
    }, Infinity),
  };
}

/** Lua is made when the first script comes; from then on nothing is waited for. */
async function readyFor(lines: string[][], scripts: Scripts): Promise<void> {
  if (lines.some(([name]) => OF_SCRIPTS.test(name ?? ""))) await scripts.ready();
}

function parse<T extends z.ZodType>(schema: T, text: string): z.infer<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new RedisError("ERR failed to parse command");
  }
  const result = schema.safeParse(value);
  if (!result.success) throw new RedisError("ERR failed to parse command");
  return result.data;
}

async function readText(request: Request): Promise<string> {
  if (Number(request.headers.get("content-length")) > MAX_BODY_BYTES) throw tooLarge();
  const bytes = await request.arrayBuffer();
  if (bytes.byteLength > MAX_BODY_BYTES) throw tooLarge();
  return new TextDecoder().decode(bytes);
}

const tooLarge = () => new RedisError(`ERR max request size exceeded: ${MAX_BODY_BYTES} bytes`);

function refuse(status: number, error: string): Response {
  return Response.json({ error }, { status });
}
