// The unmodified limiter on the stack's Redis: each algorithm up to its limit, refused, and free again;
// and the functions' own limiter, with PostgreSQL behind it when Redis goes away.

import { assert, assertEquals } from "@std/assert";
import { Ratelimit } from "@upstash/ratelimit";
import { openDatabase } from "../../functions/_shared/db.ts";
import { postgresLimiter, redisLimiter } from "../../functions/_shared/rate_limit.ts";
import { testEnv } from "../support/env.ts";
import { type RedisLab, withRedisLab } from "../support/redis_lab.ts";

const WINDOW_MS = 60_000;
const LIMIT = 5;

const ALGORITHMS: Record<string, ReturnType<typeof Ratelimit.fixedWindow>> = {
  fixedWindow: Ratelimit.fixedWindow(LIMIT, "60 s"),
  slidingWindow: Ratelimit.slidingWindow(LIMIT, "60 s"),
  tokenBucket: Ratelimit.tokenBucket(LIMIT, "60 s", LIMIT),
};

/** A limiter that asks Redis each time, at the beginning of a window. */
function limiter(lab: RedisLab, name: string, options = {}): Ratelimit {
  lab.pass(WINDOW_MS - Date.now() % WINDOW_MS);
  return new Ratelimit({
    redis: lab.client(),
    limiter: ALGORITHMS[name]!,
    prefix: name,
    ephemeralCache: false,
    ...options,
  });
}

for (const name of Object.keys(ALGORITHMS)) {
  Deno.test(`${name}: up to the limit, refused, free again, refunded, reset`, async () => {
    await withRedisLab(async (lab) => {
      const limit = limiter(lab, name);
      for (let used = 1; used <= LIMIT; used++) {
        const outcome = await limit.limit("a");
        assertEquals([outcome.success, outcome.remaining, outcome.limit], [
          true,
          LIMIT - used,
          LIMIT,
        ]);
      }
      assertEquals((await limit.limit("a")).success, false);
      assertEquals((await limit.limit("b")).success, true);
      await limit.resetUsedTokens("a");
      assertEquals((await limit.getRemaining("a")).remaining, LIMIT);
      assertEquals((await limit.limit("a", { rate: 3 })).remaining, LIMIT - 3);
      assertEquals((await limit.limit("a", { rate: -2 })).remaining, LIMIT - 1);
      assertEquals((await limit.getRemaining("a")).remaining, LIMIT - 1);
      for (let used = 1; used < LIMIT; used++) await limit.limit("a");
      assertEquals((await limit.limit("a")).success, false);
      lab.pass(2 * WINDOW_MS);
      assertEquals((await limit.limit("a")).success, true);
      // Nothing is left behind for ever.
      lab.pass(3 * WINDOW_MS);
      assertEquals(await lab.redis.dbsize(), 0);
    });
  });

  Deno.test(`${name}: fifty at once, and exactly the limit passes`, async () => {
    await withRedisLab(async (lab) => {
      const limit = limiter(lab, name, { redis: lab.client({ enableAutoPipelining: false }) });
      const outcomes = await Promise.all(Array.from({ length: 50 }, () => limit.limit("a")));
      assertEquals(outcomes.filter(({ success }) => success).length, LIMIT);
    });
  });

  Deno.test(`${name}: the limit is changed while it runs, and changed back`, async () => {
    await withRedisLab(async (lab) => {
      const limit = limiter(lab, name, { dynamicLimits: true });
      await limit.setDynamicLimit({ limit: 2 });
      assertEquals(await limit.getDynamicLimit(), { dynamicLimit: 2 });
      assertEquals((await limit.limit("a")).limit, 2);
      await limit.limit("a");
      assertEquals((await limit.limit("a")).success, false);
      await limit.setDynamicLimit({ limit: false });
      assertEquals((await limit.limit("b")).limit, LIMIT);
    });
  });

  Deno.test(`${name}: its scripts are sent once and known by their digests from then on`, async () => {
    await withRedisLab(async (lab) => {
      const limit = limiter(lab, name);
      for (let i = 0; i < 3; i++) {
        await limit.limit("a");
        await limit.getRemaining("a");
        await limit.resetUsedTokens("a");
      }
      const count = (command: string) =>
        lab.commands.filter(([name]) => String(name).toLowerCase() === command).length;
      assertEquals([count("evalsha"), count("eval")], [9, 3]);
    });
  });
}

Deno.test("the sliding window gives back what is used little by little", async () => {
  await withRedisLab(async (lab) => {
    const limit = limiter(lab, "slidingWindow");
    for (let i = 0; i < LIMIT; i++) await limit.limit("a");
    lab.pass(WINDOW_MS + WINDOW_MS / 2);
    // Half of the last window still counts: two of five, rounded down.
    assertEquals((await limit.getRemaining("a")).remaining, 3);
  });
});

Deno.test("analytics are counted", async () => {
  await withRedisLab(async (lab) => {
    const limit = limiter(lab, "fixedWindow", { analytics: true });
    const { pending } = await limit.limit("a");
    await pending;
    const [key] = await lab.redis.keys("fixedWindow:events:*");
    assertEquals((await lab.redis.zrange(key!, 0, -1)).length, 1);
  });
});

Deno.test("the functions' limiter counts in Redis, and in PostgreSQL while Redis is away", async () => {
  const sql = openDatabase(testEnv().dbUrl!);
  const context = { request_id: crypto.randomUUID(), ip: null, user_agent: null };
  const bucket = { capacity: 3, refillSeconds: 3600 };
  for (const way of ["stop", "hang"] as const) {
    await withRedisLab(async (lab) => {
      const limiter = redisLimiter(lab.redis, postgresLimiter(sql), Date.now);
      const key = crypto.randomUUID();
      const take = async () => {
        const { allowed, remaining } = await limiter.take(key, bucket, context);
        return [allowed, remaining];
      };
      assertEquals([await take(), await take()], [[true, 2], [true, 1]]);
      assert(lab.commands.length > 0);
      await lab[way]();
      // PostgreSQL has its own count, and keeps to the same limit.
      assertEquals([await take(), await take(), await take(), await take()], [
        [true, 2],
        [true, 1],
        [true, 0],
        [false, 0],
      ]);
    });
  }
});
