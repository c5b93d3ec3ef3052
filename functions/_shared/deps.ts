// What functions are built from. Tests pass their own; index.ts passes `productionDeps`.

import { Redis } from "@upstash/redis";
import type { AuthSettings } from "./auth.ts";
import { openDatabase, type Sql } from "./db.ts";
import { type Env, readEnv } from "./env.ts";
import { resilientFetch } from "./fetch.ts";
import { type KeyRing, openKeyRing } from "./key_ring.ts";
import { createLog, type Log } from "./log.ts";
import { createQueueReceiver, type QueueKeys, type QueueReceiver } from "./queue.ts";
import { postgresLimiter, pseudonyms, type RateLimiter, redisLimiter } from "./rate_limit.ts";
import { createObjectStore, type ObjectStore } from "./storage.ts";

export interface Deps {
  /** Clock, milliseconds since the epoch. */
  now: () => number;
  log: Log;
  auth: AuthSettings;
  sql: Sql;
  /** The bucket `medical-records`. */
  recordFiles: ObjectStore;
  /** The bucket `chat-attachments`. */
  chatFiles: ObjectStore;
  /** Wraps and unwraps data keys. */
  keyRing: KeyRing;
  /** HMAC key of the blind indexes, 32 bytes. */
  blindIndexKey: Uint8Array<ArrayBuffer>;
  rateLimiter: RateLimiter;
  /** Tells deliveries of the queue by their signature. */
  queue: QueueReceiver;
  /** Digest that names nobody, for keys that stand for a person. */
  pseudonym: (name: string) => Promise<string>;
  /** Web origins that may call; `*` for any. */
  allowedOrigins: string[];
  /** Address of the project as clients reach it, without a slash at its end. */
  publicUrl: string;
}

/**
 * Builds the real dependencies. Connections are made when first used.
 *
 * @throws {Error} One sentence that names what is missing or wrong in the environment.
 */
export function productionDeps(variables: Record<string, string>): Deps {
  const env = readEnv(variables);
  const now = () => Date.now();
  const url = env.SUPABASE_URL.replace(/\/+$/, "");
  const publicUrl = (env.PUBLIC_URL ?? env.SUPABASE_PUBLIC_URL ?? url).replace(/\/+$/, "");
  const secretKey = env.SUPABASE_SECRET_KEYS.default;
  const sql = openDatabase(env.SUPABASE_DB_URL);
  const store = (bucket: string) =>
    createObjectStore({ url, publicUrl, secretKey, bucket, fetch: resilientFetch(fetch) });
  return {
    now,
    log: createLog(env.LOG_LEVEL ?? "info", (line) => console.log(line)),
    auth: {
      issuer: `${publicUrl}/auth/v1`,
      env: {
        url,
        publishableKeys: env.SUPABASE_PUBLISHABLE_KEYS ?? {},
        secretKeys: env.SUPABASE_SECRET_KEYS,
        jwks: env.SUPABASE_JWKS ?? new URL(`${url}/auth/v1/.well-known/jwks.json`),
      },
    },
    sql,
    recordFiles: store("medical-records"),
    chatFiles: store("chat-attachments"),
    keyRing: openKeyRing(env.KEY_ENCRYPTION_KEYS),
    blindIndexKey: env.BLIND_INDEX_KEY,
    rateLimiter: createLimiter(env, sql, now),
    queue: createQueueReceiver(queueKeys(env)),
    pseudonym: pseudonyms(secretKey),
    allowedOrigins: env.ALLOWED_ORIGINS,
    publicUrl,
  };
}

function queueKeys(env: Env): QueueKeys | undefined {
  const { QSTASH_CURRENT_SIGNING_KEY: current, QSTASH_NEXT_SIGNING_KEY: next } = env;
  return current && next ? { current, next } : undefined;
}

function createLimiter(env: Env, sql: Sql, now: () => number): RateLimiter {
  const inPostgres = postgresLimiter(sql);
  const { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token } = env;
  if (!url || !token) return inPostgres;
  return redisLimiter(new Redis({ url, token, retry: false }), inPostgres, now);
}
