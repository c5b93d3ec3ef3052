// Redis of the embedded stack through the unmodified client: values come back as they went, keys live as
// long as they may, pipelines and transactions keep their order, scripts run in a real Lua.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { withRedisLab } from "../support/redis_lab.ts";

const VALUES: Record<string, unknown> = {
  text: "two words",
  number: 42.5,
  big: "9007199254740993",
  object: { a: [1, null, "x"], b: { c: true } },
  emoji: "🙂 ✓ grüezi",
  fine: "OK",
  empty: "",
  lines: "a\r\nb\0c",
};

Deno.test("values of every kind come back, with base64 and without, alone and in pipelines", async () => {
  await withRedisLab(async ({ client }) => {
    for (const responseEncoding of ["base64", false] as const) {
      for (const enableAutoPipelining of [true, false]) {
        const redis = client({ responseEncoding, enableAutoPipelining });
        for (const [key, value] of Object.entries(VALUES)) {
          assertEquals<unknown>(await redis.set(key, value), "OK");
          assertEquals(await redis.get(key), value, `${key}, ${responseEncoding}`);
        }
        const names = Object.keys(VALUES);
        assertEquals(
          await Promise.all(names.map((name) => redis.get(name))),
          Object.values(VALUES),
        );
        assertEquals<unknown>(await redis.mget(...names), Object.values(VALUES));
        assertEquals(await redis.get("nobody"), null);
      }
    }
  });
});

Deno.test("a key lives as long as it may; SET keeps to its conditions", async () => {
  await withRedisLab(async ({ redis, pass }) => {
    await redis.set("a", "1", { ex: 10 });
    assertEquals(await redis.ttl("a"), 10);
    pass(9_999);
    assertEquals(await redis.get("a"), 1);
    pass(1);
    assertEquals(await redis.get("a"), null);
    assertEquals(await redis.ttl("a"), -2);

    assertEquals(await redis.set("b", "1", { nx: true, px: 500 }), "OK");
    assertEquals(await redis.set("b", "2", { nx: true }), null);
    assertEquals(await redis.set("b", "3", { xx: true, get: true, keepTtl: true }), 1);
    assertEquals(await redis.pttl("b"), 500);
    assertEquals(await redis.persist("b"), 1);
    assertEquals(await redis.ttl("b"), -1);
    assertEquals(await redis.incrby("b", -5), -2);
    assertEquals(await redis.pexpire("b", 100), 1);
    assertEquals(await redis.incr("b"), -1);
    pass(100);
    assertEquals(await redis.exists("b"), 0);
    assertEquals(await redis.set("c", "1", { xx: true }), null);
    await redis.setex("d", 5, "x");
    assertEquals(await redis.getdel("d"), "x");
    assertEquals(await redis.setnx("e", "1"), 1);
    assertEquals(await redis.setnx("e", "2"), 0);
    assertEquals(await redis.expire("nobody", 5), 0);
    assertEquals(await redis.expire("e", -1), 1);
    assertEquals(await redis.dbsize(), 0);
  });
});

Deno.test("hashes, sets and sorted sets", async () => {
  await withRedisLab(async ({ redis }) => {
    assertEquals(await redis.hset("h", { a: 1, b: "two", c: { d: 1 } }), 3);
    assertEquals(await redis.hget("h", "b"), "two");
    assertEquals(await redis.hgetall("h"), { a: 1, b: "two", c: { d: 1 } });
    assertEquals(await redis.hmget("h", "a", "z"), { a: 1, z: null });
    assertEquals(await redis.hincrby("h", "a", 4), 5);
    assertEquals(await redis.hdel("h", "a", "b", "z"), 2);
    assertEquals(await redis.hlen("h"), 1);
    assertEquals(await redis.hdel("h", "c"), 1);
    assertEquals(await redis.exists("h"), 0);

    await redis.sadd("s", "a", "b", "c");
    await redis.sadd("t", "b");
    assertEquals(await redis.smismember("s", ["a", "z"]), [1, 0]);
    assertEquals(await redis.sdiffstore("u", "s", "t"), 2);
    assertEquals(await redis.sunionstore("u", "u", "t"), 3);
    assertEquals((await redis.smembers("u")).toSorted(), ["a", "b", "c"]);

    await redis.zadd("z", { score: 2, member: "b" }, { score: 1, member: "a" });
    assertEquals(await redis.zincrby("z", 1.5, "a"), 2.5);
    assertEquals(await redis.zscore("z", "a"), 2.5);
    assertEquals(await redis.zrange("z", 0, -1), ["b", "a"]);
    assertEquals(await redis.zrange("z", 0, 0, { rev: true, withScores: true }), ["a", 2.5]);
    assertEquals(await redis.zrange("z", "(2", "+inf", { byScore: true }), ["a"]);
    await redis.set("str", "x");
    await assertRejects(() => redis.hget("str", "a"), Error, "WRONGTYPE");
    await assertRejects(() => redis.incr("str"), Error, "not an integer");
    assertEquals(await redis.type("z"), "zset");
    assertEquals((await redis.keys("?")).toSorted(), ["s", "t", "u", "z"]);
    const [cursor, names] = await redis.scan(0, { match: "s*", count: 1 });
    assertEquals([cursor, names.toSorted()], ["0", ["s", "str"]]);
    await redis.flushdb();
    assertEquals(await redis.dbsize(), 0);
  });
});

Deno.test("pipelines report each command; a transaction is all or nothing", async () => {
  await withRedisLab(async ({ redis, call }) => {
    const pipeline = redis.pipeline().set("a", 1).incr("a").get("a");
    assertEquals(await pipeline.exec(), ["OK", 2, 2]);
    assertEquals(await call("/pipeline", [["set", "s", "x"], ["incr", "s"], ["get", "s"]]), [200, [
      { result: "OK" },
      { error: "ERR value is not an integer or out of range" },
      { result: "x" },
    ]]);
    assertEquals(await redis.multi().set("b", 1).incr("b").exec<unknown[]>(), ["OK", 2]);
    const [status] = await call("/multi-exec", [["set", "b", "9"], ["nonsense"]]);
    assertEquals(status, 400);
    assertEquals(await redis.get("b"), 2);
  });
});

Deno.test("paths, tokens, methods and malformed bodies", async () => {
  await withRedisLab(async ({ call, url, token }) => {
    const text = { method: "POST", headers: { authorization: `Bearer ${token}` } };
    assertEquals(await call("/set/a%2Fb", undefined, { ...text, body: "raw text" }), [200, {
      result: "OK",
    }]);
    assertEquals(await call("/get/a%2Fb", undefined, { headers: text.headers, method: "GET" }), [
      200,
      { result: "raw text" },
    ]);
    assertEquals(await call("/set/e/1?EX=100"), [200, { result: "OK" }]);
    assertEquals(await call("", ["TTL", "e"]), [200, { result: 100 }]);
    assertEquals(await call(`/ping?_token=${token}`, undefined, { headers: {} }), [200, {
      result: "PONG",
    }]);
    for (const headers of [{}, { authorization: "Bearer x" }, { authorization: token }]) {
      assertEquals(await call("", ["PING"], { headers: headers as HeadersInit }), [401, {
        error: "WRONGPASS invalid or missing auth token",
      }]);
    }
    assertEquals((await call("", ["PING"], { ...text, method: "PUT", body: "[]" }))[0], 405);
    for (const body of ["{", "[]", "{}", '["set",{}]']) {
      assertEquals((await call("", undefined, { ...text, body }))[0], 400, body);
    }
    assertEquals(await call("", ["LPUSH", "a", "b"]), [400, {
      error: "ERR Command is not available: 'LPUSH'",
    }]);
    assertEquals(await call("", ["GET"]), [400, {
      error: "ERR wrong number of arguments for 'get' command",
    }]);
    assert(url.endsWith("/redis"));
  });
});

Deno.test("scripts run as Redis runs them", async () => {
  await withRedisLab(async ({ redis, call }) => {
    const run = (script: string, keys: string[] = [], args: unknown[] = []) =>
      redis.eval(script, keys, args);
    assertEquals(await run("return {1, 2.9, -2.9, 'x', false, true, nil, 4}"), [
      1,
      2,
      -2,
      "x",
      null,
      1,
    ]);
    assertEquals(await run("return {}"), []);
    assertEquals(await run("return KEYS[1] .. ARGV[2]", ["é"], ["a", "✓"]), "é✓");
    assertEquals(await run("return redis.call('SET', KEYS[1], 10 / 2)", ["n"]), "OK");
    assertEquals(await redis.get("n"), 5);
    assertEquals(await run("return redis.call('GET', 'nobody') == false"), 1);
    assertEquals(await run("return unpack({7, 8})"), 7);
    // What 32 bits do not hold.
    assertEquals(
      await run("return ARGV[1] * 1000 + tonumber(ARGV[1])", [], ["1767225600000"]),
      1767225600000 * 1001,
    );
    await redis.set("text", "x");
    assertEquals(
      await run("return redis.pcall('INCR', KEYS[1]).err", ["text"]),
      "ERR value is not an integer or out of range",
    );
    await assertRejects(() => run("return redis.call('INCR', 'text')"), Error, "not an integer");
    await assertRejects(() => run("return nothing.at.all"), Error, "user_script");
    await assertRejects(() => run("return ("), Error, "compiling script");
    await assertRejects(
      () => run("return redis.call('EVAL', 'return 1', 0)"),
      Error,
      "not allowed",
    );
    await assertRejects(
      () => run("return redis.error_reply('MINE is mine')"),
      Error,
      "MINE is mine",
    );
    await assertRejects(() => run("return os.getenv('HOME')"), Error, "nil value");
    assertEquals(await run("#!lua flags=allow-key-locking\nreturn 1"), 1);
    await assertRejects(() => run("#!js\nreturn 1"), Error, "Unexpected engine");

    await assertRejects(() => redis.evalsha("0".repeat(40), [], []), Error, "NOSCRIPT");
    const sha = await redis.scriptLoad("return ARGV[1]");
    assertEquals(await redis.evalsha(sha, [], ["back"]), "back");
    assertEquals(await redis.scriptExists(sha, "0".repeat(40)), [1, 0]);
    await redis.scriptFlush();
    await assertRejects(() => redis.evalsha(sha, [], []), Error, "NOSCRIPT");
    assertEquals((await call("", ["EVAL", "return 1", "1"]))[0], 400);
  });
});

Deno.test("a script is one step: what others do comes before it or after it", async () => {
  await withRedisLab(async ({ client }) => {
    const script = `local n = tonumber(redis.call('GET', KEYS[1]) or '0')
      redis.call('SET', KEYS[1], n + 1)
      return n`;
    const clients = Array.from({ length: 10 }, () => client({ enableAutoPipelining: false }));
    const seen = await Promise.all(
      Array.from(
        { length: 100 },
        (_, i) => clients[i % 10]!.eval(script, ["n"], []) as Promise<number>,
      ),
    );
    assertEquals(seen.toSorted((a, b) => a - b), Array.from({ length: 100 }, (_, i) => i));
  });
});

Deno.test("what is published is heard by who has subscribed, by name and by pattern", async () => {
  await withRedisLab(async ({ redis, url, token }) => {
    const listen = async (path: string) => {
      const response = await fetch(`${url}/${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, accept: "text/event-stream" },
      });
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      return { next: async () => (await reader.read()).value, end: () => reader.cancel() };
    };
    const byName = await listen("subscribe/news");
    const byPattern = await listen("psubscribe/n*");
    assertEquals(await byName.next(), "data: subscribe,news,1\n\n");
    assertEquals(await byPattern.next(), "data: psubscribe,n*,1\n\n");
    assertEquals(await redis.publish("news", "hello"), 2);
    assertEquals(await redis.publish("other", "hello"), 0);
    assertEquals(await byName.next(), "data: message,news,hello\n\n");
    assertEquals(await byPattern.next(), "data: pmessage,n*,news,hello\n\n");
    await byName.end();
    await byPattern.end();
  });
});
