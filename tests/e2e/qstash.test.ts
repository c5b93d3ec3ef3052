// The queue through the unmodified client: what is published arrives as it was published, signed, once
// it is due; what fails is tried again as the protocol says, and ends as a dead letter.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { QstashError } from "@upstash/qstash";
import { withQueueLab } from "../support/queue_lab.ts";

const SECOND = 1000;
const DAY = 86_400_000;

Deno.test("what is published arrives byte for byte, with the queue's headers", async () => {
  await withQueueLab(async ({ client, at, run, arrivals }) => {
    const url = at("/jobs//seal?x=1&y=a%20b&z=%2F");
    const { messageId } = await client.publishJSON({
      url,
      body: { text: "grüezi ✓" },
      headers: { Authorization: "Bearer for-the-receiver", "X-Kind": "a" },
    });
    await client.publish({ url: at("/text"), method: "PUT", body: "one\r\ntwo\0" });
    await client.publish({ url: at("/read?since=1"), method: "GET" });
    assertEquals(await run(), 3);

    const [json, get, text] = arrivals.toSorted((a, b) => a.url < b.url ? -1 : 1)
      .map(({ headers, ...rest }) => ({ ...rest, headers: Object.fromEntries(headers) }));
    assertEquals(json!.url, url);
    assertEquals(json!.method, "POST");
    assertEquals(json!.body, '{"text":"grüezi ✓"}');
    assertEquals(json!.headers["content-type"], "application/json");
    assertEquals(json!.headers["authorization"], "Bearer for-the-receiver");
    assertEquals(json!.headers["x-kind"], "a");
    assertEquals(json!.headers["user-agent"], "Upstash-QStash");
    assertEquals(json!.headers["upstash-message-id"], messageId);
    assertEquals(json!.headers["upstash-retried"], "0");
    assertEquals(json!.headers["upstash-caller-ip"], "127.0.0.1");
    assertMatch(messageId, /^msg_/);
    assertEquals([get!.method, get!.body], ["GET", ""]);
    assertEquals([text!.method, text!.body], ["PUT", "one\r\ntwo\0"]);
    assertEquals(text!.headers["content-type"], "text/plain;charset=UTF-8");
  });
});

Deno.test("a delay and an absolute time are waited for; the absolute time wins", async () => {
  await withQueueLab(async ({ client, at, run, arrivals, now, pass }) => {
    await client.publish({ url: at("/delay"), headers: { "Upstash-Delay": "1h30m" } });
    const notBefore = Math.floor(now() / SECOND) + 60;
    await client.publish({ url: at("/absolute"), notBefore, delay: "1d" });
    assertEquals(await run(), 0);
    pass(61 * SECOND);
    assertEquals(await run(), 1);
    assertEquals(arrivals.map(({ url }) => url), [at("/absolute")]);
    pass(DAY / 24);
    assertEquals(await run(), 0);
    assertEquals(await run("30m"), 1);
    assertEquals(arrivals.length, 2);
  });
});

Deno.test("what becomes due while the queue is looking is not slept through", async () => {
  await withQueueLab(async ({ client, at, arrived }) => {
    const began = performance.now();
    // From 1 to 100 ms, by the factor.
    const delays = Array.from({ length: 100 }, (_, index) => index + 1);
    await client.batch(delays.map((delay) => ({ url: at("/"), delay })));
    await arrived(delays.length);
    // The queue sleeps for half a minute when it believes that nothing is due.
    const took = performance.now() - began;
    assert(took < 20_000, `${took} ms`);
  }, { isRunning: true, waitFactor: 0.001 });
});

Deno.test("a failing receiver is tried again with growing waits, then the message is a dead letter", async () => {
  await withQueueLab(async ({ client, at, run, arrivals, answer, pass }) => {
    answer(() => new Response("no", { status: 500, headers: { "X-Why": "broken" } }));
    const { messageId } = await client.publish({ url: at("/down"), body: "job", retries: 5 });
    await run();
    // The documented waits: 12 s, 2 min 28 s, 30 min 8 s, 6 h 7 min 6 s, 24 h.
    for (const [index, wait] of [12, 148, 1808, 22_026, 86_400].entries()) {
      pass((wait - 1) * SECOND);
      assertEquals(await run(), 0, `retry ${index + 1} came early`);
      pass(2 * SECOND);
      assertEquals(await run(), 1, `retry ${index + 1} did not come`);
    }
    assertEquals(arrivals.map(({ headers }) => headers.get("upstash-retried")), [..."012345"]);
    assertEquals(new Set(arrivals.map(({ headers }) => headers.get("upstash-message-id"))).size, 1);
    const { messages } = await client.dlq.listMessages();
    assertEquals(messages.length, 1);
    const [dead] = messages;
    assertEquals(dead!.messageId, messageId);
    assertEquals(dead!.responseStatus, 500);
    assertEquals(dead!.responseBody, "no");
    assertEquals(dead!.responseHeader?.["x-why"], ["broken"]);
    assertEquals(dead!.body, "job");
    await assertRejects(() => client.messages.get(messageId), QstashError);
  });
});

Deno.test("a receiver that comes back gets the message once", async () => {
  await withQueueLab(async ({ client, at, run, arrivals, answer }) => {
    let calls = 0;
    answer(() => new Response(null, { status: ++calls < 3 ? 503 : 204 }));
    await client.publish({ url: at("/") });
    assertEquals(await run("1d"), 3);
    assertEquals(await run("1d"), 0);
    assertEquals(arrivals.length, 3);
    assertEquals((await client.dlq.listMessages()).messages, []);
  });
});

Deno.test("the receiver's answer and the publisher's expression set the wait", async () => {
  await withQueueLab(async ({ client, at, run, answer, pass, now }) => {
    const asked: [string, string, number][] = [
      ["Retry-After", "30", 30],
      ["Retry-After", new Date(now() + 90 * SECOND).toUTCString(), 90],
      ["X-RateLimit-Reset", "45", 45],
      ["X-RateLimit-Reset-Requests", "1m10s", 70],
      ["X-RateLimit-Reset-Tokens", "20s", 20],
      // Over a day: the usual wait.
      ["Retry-After", "86401", 12],
    ];
    for (const [name, value, seconds] of asked) {
      answer(() => new Response(null, { status: 429, headers: { [name]: value } }));
      const { messageId } = await client.publish({ url: at("/") });
      await run();
      const { logs } = await client.logs({ messageIds: [messageId] });
      const next = logs.find(({ state }) => state === "RETRY")!.nextDeliveryTime!;
      const waits = Math.round((next - logs.find(({ state }) => state === "RETRY")!.time) / SECOND);
      assert(Math.abs(waits - seconds) <= 2, `${name}: ${value} waits ${waits} s`);
      await client.messages.cancel(messageId);
    }
    answer(() => new Response(null, { status: 500 }));
    await client.publish({ url: at("/"), retryDelay: "max(1000, pow(2, retried) * 5000)" });
    await run();
    for (const seconds of [5, 10, 20]) {
      pass((seconds - 1) * SECOND);
      assertEquals(await run(), 0);
      pass(2 * SECOND);
      assertEquals(await run(), 1);
    }
  });
});

Deno.test("489 with its header is final; without it, it is a failure as any other", async () => {
  await withQueueLab(async ({ client, at, run, answer }) => {
    const headers = { "Upstash-NonRetryable-Error": "true" };
    answer(() => new Response(null, { status: 489, headers }));
    await client.publish({ url: at("/") });
    assertEquals(await run("1d"), 1);
    assertEquals((await client.dlq.listMessages()).messages[0]!.responseStatus, 489);
    answer(() => new Response(null, { status: 489 }));
    await client.publish({ url: at("/") });
    assertEquals(await run("1d"), 4);
  });
});

Deno.test("redirects, refused connections and silence are failures", async () => {
  await withQueueLab(async ({ client, at, run, answer }) => {
    const held: (() => void)[] = [];
    answer(({ url }) =>
      url.endsWith("/away")
        ? Response.redirect(at("/"))
        : new Promise((resolve) => held.push(() => resolve(new Response())))
    );
    await client.publish({ url: at("/away"), retries: 0 });
    await client.publish({ url: at("/silent"), retries: 0, timeout: 1 });
    await client.publish({ url: "http://127.0.0.1:1/", retries: 0 });
    assertEquals(await run(), 3);
    held.forEach((release) => release());
    const { messages } = await client.dlq.listMessages();
    assertEquals(
      Object.fromEntries(messages.map(({ url, responseStatus }) => [url, responseStatus])),
      { [at("/away")]: 302, [at("/silent")]: undefined, "http://127.0.0.1:1/": undefined },
    );
  });
});

Deno.test("a repeat within the window is not published: by id, and by content", async () => {
  await withQueueLab(async ({ client, at, run, arrivals, pass }) => {
    const byId = (body: string) =>
      client.publish({ url: at("/id"), body, deduplicationId: "payment-7" });
    const first = await byId("one");
    const again = await byId("two");
    assertEquals(again, { ...first, deduplicated: true });
    await run();
    // The window does not depend on the delivery.
    assertEquals((await byId("three")).deduplicated, true);
    pass(10 * 60 * SECOND);
    assertEquals((await byId("four")).deduplicated, undefined);

    const byContent = (path: string, body: string, kind = "a") =>
      client.publish({
        url: at(path),
        body,
        headers: { "X-Kind": kind },
        contentBasedDeduplication: true,
      });
    await byContent("/a", "x");
    assertEquals((await byContent("/a", "x")).deduplicated, true);
    for (
      const other of [byContent("/b", "x"), byContent("/a", "y"), byContent("/a", "x", "b")]
    ) assertEquals((await other).deduplicated, undefined);
    await run();
    assertEquals(arrivals.map(({ body }) => body).toSorted(), ["four", "one", "x", "x", "x", "y"]);

    const many = await Promise.all(
      Array.from({ length: 20 }, () => client.publish({ url: at("/"), deduplicationId: "race" })),
    );
    assertEquals(many.filter(({ deduplicated }) => !deduplicated).length, 1);
    assertEquals(new Set(many.map(({ messageId }) => messageId)).size, 1);
  });
});

Deno.test("a batch is published in order, and a wrong element stops no other", async () => {
  await withQueueLab(async ({ client, at, run, arrivals }) => {
    await client.urlGroups.addEndpoints({
      name: "two",
      endpoints: [{ url: at("/g1"), name: "first" }, { url: at("/g2") }],
    });
    const answers = await client.batchJSON([
      { url: at("/one"), body: { n: 1 }, headers: { "X-N": "1" } },
      { url: "ftp://nowhere", body: {} },
      { urlGroup: "two", body: { n: 2 } },
      { url: at("/queued"), body: {}, queueName: "line" },
    ]) as unknown[];
    assertMatch((answers[0] as { messageId: string }).messageId, /^msg_/);
    assertMatch((answers[1] as { error: string }).error, /Destination/);
    assertEquals((answers[2] as unknown[]).length, 2);
    assertEquals((await client.queue({ queueName: "line" }).get()).lag, 1);
    await run();
    const found = Object.fromEntries(arrivals.map(({ url, ...rest }) => [url, rest]));
    assertEquals(Object.keys(found).length, 4);
    assertEquals(found[at("/one")]!.body, '{"n":1}');
    assertEquals(found[at("/one")]!.headers.get("x-n"), "1");
    assertEquals(found[at("/g1")]!.headers.get("upstash-topic-name"), "two");
  });
});

Deno.test("URL groups: endpoints are added, renamed and removed; the last takes the group along", async () => {
  await withQueueLab(async ({ client, at, run, arrivals }) => {
    const { urlGroups } = client;
    const name = "every-one";
    await urlGroups.addEndpoints({ name, endpoints: [{ url: at("/1") }, { url: at("/2") }] });
    await urlGroups.addEndpoints({ name, endpoints: [{ url: at("/2"), name: "second" }] });
    const { endpoints } = await urlGroups.get(name);
    assertEquals<unknown>(endpoints, [{ url: at("/1") }, { url: at("/2"), name: "second" }]);
    const sent = await client.publish({ urlGroup: name, body: "x", deduplicationId: "once" });
    assertEquals(sent.length, 2);
    const again = await client.publish({ urlGroup: name, body: "x", deduplicationId: "once" });
    assertEquals(again.map(({ deduplicated }) => deduplicated), [true, true]);
    await run();
    assertEquals(arrivals.map(({ url }) => url).toSorted(), [at("/1"), at("/2")]);
    await urlGroups.removeEndpoints({ name, endpoints: [{ name: "second" }] });
    assertEquals((await urlGroups.list())[0]!.endpoints.length, 1);
    await urlGroups.removeEndpoints({ name, endpoints: [{ url: at("/1") }] });
    await assertRejects(() => urlGroups.get(name), QstashError);
    await assertRejects(() => client.publish({ urlGroup: name }), QstashError);
  });
});

Deno.test("who has no token, or asks for what cannot be, is told so and publishes nothing", async () => {
  await withQueueLab(async ({ client, at, run, url, token, control }) => {
    const post = async (path: string, headers: Record<string, string>) => {
      const response = await fetch(`${url}/v2/${path}`, { method: "POST", headers });
      return [response.status, typeof (await response.json()).error];
    };
    const known = { Authorization: `Bearer ${token}` };
    const to = `publish/${at("/")}`;
    for (const headers of [{}, { Authorization: "Bearer x" }, { Authorization: token }]) {
      assertEquals(await post(to, headers as Record<string, string>), [401, "string"]);
    }
    const wrong: Record<string, string> = {
      "Upstash-Delay": "soon",
      "Upstash-Not-Before": "tomorrow",
      "Upstash-Retries": "-1",
      "Upstash-Retry-Delay": "retried + constructor",
      "Upstash-Timeout": "0s",
      "Upstash-Method": "TRACE",
      "Upstash-Callback": "nowhere",
      "Upstash-Failure-Callback": "file:///etc/passwd",
      "Upstash-Flow-Control-Key": "a",
      "Upstash-Queue-Name": "with space",
    };
    for (const [name, value] of Object.entries(wrong)) {
      assertEquals(await post(to, { ...known, [name]: value }), [400, "string"], name);
    }
    assertEquals(await post("publish/ftp://host/x", known), [400, "string"]);
    assertEquals(await post("publish/nobody", known), [404, "string"]);
    assertEquals(await post("nothing", known), [404, "string"]);
    assertEquals(await post("flowControl/x/pause", known), [404, "string"]);
    assertEquals((await control("POST", "/settings", { speed: 1 })).status, 400);
    assertEquals((await control("GET", "/nothing")).status, 404);
    await assertRejects(() => client.messages.get("msg_none"), QstashError);
    assertEquals(await run("1d"), 0);
  });
});

Deno.test("keys are rotated: what is signed by the old next key is accepted by who knows it", async () => {
  await withQueueLab(async ({ client, at, run, keys, url, token, arrivals }) => {
    const before = { ...keys };
    const headers = { Authorization: `Bearer ${token}` };
    assertEquals(await (await fetch(`${url}/v2/keys`, { headers })).json(), before);
    const rotated = await fetch(`${url}/v2/keys/rotate`, { method: "POST", headers });
    assertEquals((await rotated.json()).current, before.next);
    assert(keys.next !== before.next);
    await client.publish({ url: at("/") });
    // The lab's receiver knows the keys from before, and checks.
    assertEquals(await run(), 1);
    assertEquals(arrivals.length, 1);
  });
});
