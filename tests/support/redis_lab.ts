// A Redis of a test's own, in this process, with the unmodified client on it, and a clock for both that
// the test moves.

import { Redis, type RedisConfigNodejs } from "@upstash/redis";
import { REDIS_BASE } from "../../supabase/local/redis/base.ts";
import { createRedis } from "../../supabase/local/redis/redis.ts";

const PEER = { address: "127.0.0.1" };

/** A Redis and what is needed to try it. */
export interface RedisLab {
  redis: Redis;
  url: string;
  token: string;
  /** Another client, for example without base64 or automatic pipelines. */
  client: (options?: Partial<RedisConfigNodejs>) => Redis;
  /** Calls Redis without the client: path, and body if any. */
  call: (path: string, body?: unknown, init?: RequestInit) => Promise<[number, unknown]>;
  /** Every command that has come, in order. */
  commands: string[][];
  /** Moves `Date.now`, which client and Redis go by; it stands still meanwhile. */
  pass: (ms: number) => void;
  /** Takes Redis away; requests are refused. */
  stop: () => Promise<void>;
  /** Makes Redis silent: requests are not answered until the end. */
  hang: () => void;
}

/** Runs `work` with a new Redis. */
export async function withRedisLab(work: (lab: RedisLab) => Promise<void>): Promise<void> {
  const realNow = Date.now;
  let now = realNow();
  Date.now = () => now;
  const token = crypto.randomUUID();
  const redis = createRedis({ token, now: () => Date.now() });
  const commands: string[][] = [];
  const ended = Promise.withResolvers<void>();
  let isHanging = false;
  const abort = new AbortController();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {}, signal: abort.signal },
    async (request) => {
      if (isHanging) await ended.promise;
      const { url, method, headers } = request;
      const text = await request.text();
      if (text.startsWith("[[")) commands.push(...JSON.parse(text));
      else if (text.startsWith("[")) commands.push(JSON.parse(text));
      const body = method === "GET" ? null : text;
      return await redis.part(new Request(url, { method, headers, body }), PEER);
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}${REDIS_BASE}`;
  const client: RedisLab["client"] = (options = {}) =>
    new Redis({ url, token, retry: false, enableTelemetry: false, ...options });
  const stop = async () => {
    ended.resolve();
    abort.abort();
    await server.finished;
  };
  try {
    await work({
      redis: client(),
      url,
      token,
      client,
      commands,
      stop,
      pass: (ms) => now += ms,
      hang: () => isHanging = true,
      async call(path, body, init = {}) {
        const response = await fetch(url + path, {
          method: "POST",
          headers: { authorization: `Bearer ${token}` },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          ...init,
        });
        return [response.status, await response.json()];
      },
    });
  } finally {
    Date.now = realNow;
    await stop();
    redis.close();
  }
}
