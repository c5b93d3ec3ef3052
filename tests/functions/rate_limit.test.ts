// Rate limits: whose bucket a request takes from, in PostgreSQL and in Redis, and what happens when
// Redis or both are away.

import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { Redis } from "@upstash/redis";
import { newApp } from "../../functions/_shared/app.ts";
import { ok } from "../../functions/_shared/envelope.ts";
import { AppError } from "../../functions/_shared/errors.ts";
import {
  postgresLimiter,
  pseudonyms,
  rateLimited,
  type RateLimiter,
  redisLimiter,
} from "../../functions/_shared/rate_limit.ts";
import {
  assertFailure,
  assertSuccess,
  fakeDeps,
  FakeSql,
  goodClaims,
  NOW_MS,
  sign,
} from "./support.ts";

const LIMIT = { capacity: 3, refillSeconds: 60 };
const CONTEXT = { request_id: "req-1", ip: null, user_agent: null };
const OTHER_ID = "a1b2c3d4-0000-4000-8000-000000000009";

function build(rateLimiter: RateLimiter) {
  const deps = fakeDeps({}, { rateLimiter });
  const app = newApp(deps, { name: "test", publicPaths: ["/test/open"] });
  app.get("/test/open", rateLimited(deps, LIMIT), (c) => ok(c, {}));
  app.get("/test/items/:id", rateLimited(deps, LIMIT), (c) => ok(c, {}));
  app.post("/test/items/:id", rateLimited(deps, LIMIT), (c) => ok(c, {}));
  return { app, deps };
}

/** A limiter that remembers the keys it is asked for. */
function recorder() {
  const keys: string[] = [];
  const limiter: RateLimiter = {
    take(key) {
      keys.push(key);
      return Promise.resolve({ allowed: true, remaining: 2, reset_seconds: 20 });
    },
  };
  return { keys, limiter };
}

Deno.test("rateLimited gives each account and route a bucket, whatever the id in the path", async () => {
  const { keys, limiter } = recorder();
  const { app } = build(limiter);
  const as = async (sub: string) => ({
    headers: { authorization: `Bearer ${await sign({ ...goodClaims(), sub })}` },
  });
  const [me, other] = [await as(OTHER_ID.replace(/9$/, "1")), await as(OTHER_ID)];
  await app.request("/test/items/1", me);
  await app.request("/test/items/2", me);
  await app.request("/test/items/1", other);
  await app.request("/test/items/1", { ...me, method: "POST" });
  assertEquals(keys[0], keys[1]);
  assertEquals(new Set(keys).size, 3);
  for (const key of keys) assertMatch(key, /^[0-9a-f]{64}$/);
});

Deno.test("rateLimited gives addresses their bucket where nobody is signed in", async () => {
  const { keys, limiter } = recorder();
  const { app } = build(limiter);
  for (const ip of ["203.0.113.7", "203.0.113.8", "203.0.113.7"]) {
    await app.request("/test/open", { headers: { "x-forwarded-for": ip } });
  }
  assertEquals(keys[0], keys[2]);
  assertNotEquals(keys[0], keys[1]);
  assert(!keys.join().includes("203.0.113"));
});

Deno.test("rateLimited says how much is left", async () => {
  const { app } = build(recorder().limiter);
  const { headers } = await app.request("/test/open");
  assertEquals(
    ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after"]
      .map((name) => headers.get(name)),
    ["3", "2", "20", null],
  );
});

Deno.test("rateLimited answers 429 and when to come back", async () => {
  const refused = { allowed: false, remaining: 0, reset_seconds: 17 };
  const { app } = build({ take: () => Promise.resolve(refused) });
  const response = await app.request("/test/open");
  await assertFailure(response, 429, "rate_limited");
  assertEquals(
    ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after"]
      .map((name) => response.headers.get(name)),
    ["3", "0", "17", "17"],
  );
});

Deno.test("rateLimited lets requests through while no limiter can be reached", async () => {
  const { app } = build({ take: () => Promise.reject(new AppError("unavailable", "away")) });
  const response = await app.request("/test/open");
  assertEquals(response.headers.get("ratelimit-limit"), null);
  await assertSuccess(response);
});

Deno.test("rateLimited does not hide a limiter that is broken", async () => {
  const { app } = build({ take: () => Promise.reject(new AppError("forbidden", "no grant")) });
  await assertFailure(await app.request("/test/open"), 403, "forbidden");
});

Deno.test("postgresLimiter takes a token as its worker", async () => {
  const sql = new FakeSql({
    take_rate_token: [{ allowed: true, remaining: 2, reset_seconds: 20 }],
  });
  const outcome = await postgresLimiter(sql).take("key", LIMIT, CONTEXT);
  assertEquals(outcome, { allowed: true, remaining: 2, reset_seconds: 20 });
  const statement = sql.find("private.take_rate_token");
  assertEquals(statement.values, ["key", 3, 60]);
  assertEquals(sql.settingsOf(statement).role, "rate_limit_worker");
});

/** A Redis whose token bucket never refills, or that fails. */
function fakeRedis(behaviour: "works" | "hangs" | "refuses" = "works") {
  const used = new Map<string, number>();
  let commands = 0;
  const evaluate = (key: string, capacity: number) => {
    const count = (used.get(key) ?? 0) + 1;
    used.set(key, count);
    return count > capacity
      ? [-1, NOW_MS + 60_000, capacity]
      : [capacity - count, NOW_MS + 60_000, capacity];
  };
  const redis = new Redis({
    // deno-lint-ignore no-explicit-any -- the type of the client's own interface
    async request(request): Promise<any> {
      commands++;
      if (behaviour === "hangs") return await new Promise(() => {});
      if (behaviour === "refuses") throw new Error("connection refused");
      const { body } = request;
      const run = (command: unknown[]) => ({
        result: evaluate(String(command[3]), Number(command[4])),
      });
      const is_pipeline = Array.isArray(body) && Array.isArray(body[0]);
      return is_pipeline ? body.map(run) : run(body as unknown[]);
    },
  });
  return { redis, used, commandCount: () => commands };
}

const fallback = () => {
  const calls: string[] = [];
  const limiter: RateLimiter = {
    take(key) {
      calls.push(key);
      return Promise.resolve({ allowed: true, remaining: 0, reset_seconds: 1 });
    },
  };
  return { calls, limiter };
};

Deno.test("redisLimiter lets a bucket's tokens through and no more", async () => {
  const { redis } = fakeRedis();
  const { limiter: other, calls } = fallback();
  const limiter = redisLimiter(redis, other, () => NOW_MS);
  const outcomes = [];
  for (let count = 0; count < 4; count++) outcomes.push(await limiter.take("key", LIMIT, CONTEXT));
  assertEquals(outcomes, [
    { allowed: true, remaining: 2, reset_seconds: 60 },
    { allowed: true, remaining: 1, reset_seconds: 60 },
    { allowed: true, remaining: 0, reset_seconds: 60 },
    { allowed: false, remaining: 0, reset_seconds: 60 },
  ]);
  assertEquals((await limiter.take("another", LIMIT, CONTEXT)).allowed, true);
  assertEquals(calls, []);
});

Deno.test("redisLimiter asks PostgreSQL when Redis refuses or does not answer", async () => {
  for (const behaviour of ["refuses", "hangs"] as const) {
    const { limiter: other, calls } = fallback();
    const limiter = redisLimiter(fakeRedis(behaviour).redis, other, () => NOW_MS);
    const outcome = await limiter.take("key", LIMIT, CONTEXT);
    assertEquals(outcome, { allowed: true, remaining: 0, reset_seconds: 1 });
    assertEquals(calls, ["key"], behaviour);
  }
});

Deno.test("pseudonyms gives the same digest for the same name and secret only", async () => {
  const one = pseudonyms("one");
  assertEquals(await one("a"), await one("a"));
  assertNotEquals(await one("a"), await one("b"));
  assertNotEquals(await one("a"), await pseudonyms("two")("a"));
});
