// Order and measure: queues, flow control, callbacks that hold a queue's place, dead letters, cancelling,
// the log, and many that deliver at once.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { QstashError } from "@upstash/qstash";
import { type Arrival, withQueueLab } from "../support/queue_lab.ts";
import { until } from "../support/stack_process.ts";

const MINUTE = 60_000;

/** Answers that the test gives out one by one. */
function gate() {
  const held: { arrival: Arrival; open: (status?: number) => void }[] = [];
  return {
    held,
    answer: (arrival: Arrival) =>
      new Promise<Response>((resolve) => {
        held.push({
          arrival,
          open: (status = 200) => resolve(new Response(null, { status })),
        });
      }),
  };
}

Deno.test("a queue delivers one after the other; a failing message keeps its place", async () => {
  await withQueueLab(async ({ client, at, arrivals, answer, run }) => {
    let calls = 0;
    answer(() => new Response(null, { status: ++calls === 1 ? 500 : 200 }));
    const queue = client.queue({ queueName: "line" });
    for (const n of [1, 2, 3]) await queue.enqueueJSON({ url: at(`/${n}`), body: { n } });
    assertEquals((await queue.get()).lag, 3);
    assertEquals((await queue.get()).parallelism, 1);
    assertEquals(await run(), 1); // the first waits for its retry, and all others for it
    assertEquals(await run("15s"), 3);
    assertEquals(arrivals.map(({ body }) => body), ['{"n":1}', '{"n":1}', '{"n":2}', '{"n":3}']);
    assertEquals((await queue.get()).lag, 0);
  });
});

Deno.test("a message that gives up lets its queue go on", async () => {
  await withQueueLab(async ({ client, at, arrivals, answer, run }) => {
    answer(({ url }) => new Response(null, { status: url.endsWith("/1") ? 500 : 200 }));
    const queue = client.queue({ queueName: "line" });
    await queue.enqueue({ url: at("/1"), retries: 0 });
    await queue.enqueue({ url: at("/2") });
    assertEquals(await run(), 2);
    assertEquals(arrivals.map(({ url }) => url), [at("/1"), at("/2")]);
  });
});

Deno.test("a queue has as many in flight as its parallelism says, and none while paused", async () => {
  await withQueueLab(async ({ client, at, arrivals, answer, arrived }) => {
    const { held, answer: wait } = gate();
    answer(wait);
    const queue = client.queue({ queueName: "wide" });
    await queue.upsert({ parallelism: 2, paused: true });
    for (const n of [1, 2, 3, 4]) await queue.enqueue({ url: at(`/${n}`) });
    await client.publish({ url: at("/other") });
    await arrived(1);
    assertEquals(arrivals.map(({ url }) => url), [at("/other")]);
    await queue.resume();
    await arrived(3);
    assertEquals((await client.queue().list()).map(({ name, paused }) => [name, paused]), [
      ["wide", false],
    ]);
    held[1]!.open();
    await arrived(4);
    await queue.pause();
    held[2]!.open();
    held[3]!.open();
    assertEquals((await queue.get()).paused, true);
    await until(async () => (await queue.get()).lag === 1);
    await client.publish({ url: at("/last") });
    await arrived(5);
    assertEquals(arrivals.at(-1)!.url, at("/last"));
    await queue.delete();
    await assertRejects(() => queue.get(), QstashError);
    held.forEach(({ open }) => open());
    const states = (await client.logs({ filter: { state: "CANCELED" } })).logs;
    assertEquals(states.map(({ url }) => url), [at("/4")]);
  }, { isRunning: true });
});

Deno.test("a callback is a signed message of its own, after each attempt, and holds its queue", async () => {
  await withQueueLab(async ({ client, at, arrivals, answer, run, now }) => {
    answer(({ url }) => {
      if (!url.endsWith("/job")) return new Response(null);
      return new Response("went wrong ✗", { status: 500, headers: { "X-Why": "a" } });
    });
    const queue = client.queue({ queueName: "line" });
    const { messageId } = await queue.enqueueJSON({
      url: at("/job"),
      body: { n: 1 },
      retries: 1,
      callback: at("/called"),
      failureCallback: at("/failed"),
      headers: {
        "Upstash-Callback-Forward-X-Mine": "yes",
        "Upstash-Callback-Method": "PUT",
        "Upstash-Failure-Callback-Retries": "0",
      },
    });
    await queue.enqueue({ url: at("/next"), retries: 0 });
    await run("1h");
    const paths = arrivals.map(({ url }) => new URL(url).pathname);
    assertEquals(paths, ["/job", "/called", "/job", "/called", "/failed", "/next"]);
    const [, first, , last, failed] = arrivals;
    assertEquals([first!.method, first!.headers.get("x-mine")], ["PUT", "yes"]);
    assert(first!.headers.get("upstash-message-id") !== messageId);
    const called = JSON.parse(first!.body);
    const { messages: [dead] } = await client.dlq.listMessages();
    assert(Math.abs(called.createdAt - now()) < MINUTE);
    assertEquals(called, {
      status: 500,
      header: called.header,
      body: new TextEncoder().encode("went wrong ✗").toBase64(),
      retried: 0,
      maxRetries: 1,
      sourceMessageId: messageId,
      topicName: "",
      endpointName: "",
      url: at("/job"),
      method: "POST",
      sourceHeader: { "content-type": ["application/json"] },
      sourceBody: btoa('{"n":1}'),
      notBefore: called.createdAt,
      createdAt: called.createdAt,
      scheduleId: "",
      callerIP: "127.0.0.1",
    });
    assertEquals(called.header["x-why"], ["a"]);
    assertEquals(JSON.parse(last!.body).retried, 1);
    assertEquals(JSON.parse(failed!.body).dlqId, dead!.dlqId);
    assertEquals(failed!.headers.get("x-mine"), null);
  });
});

Deno.test("flow control: so many in flight, so many starts in a period, for each key", async () => {
  await withQueueLab(async ({ client, at, arrivals, run, pass }) => {
    const publish = (key: string) =>
      client.publish({ url: at(`/${key}`), flowControl: { key, period: "1m", rate: 3 } });
    for (let i = 0; i < 7; i++) await publish("slow");
    await publish("free");
    assertEquals(await run(), 4);
    assertEquals(await run(), 0);
    pass(MINUTE);
    assertEquals(await run(), 3);
    pass(MINUTE);
    assertEquals(await run(), 1);
    assertEquals(arrivals.length, 8);
  });
  await withQueueLab(async ({ client, at, arrivals, answer, arrived }) => {
    const { held, answer: wait } = gate();
    answer(wait);
    const flowControl = { key: "narrow", parallelism: 2 };
    for (let i = 0; i < 5; i++) await client.publish({ url: at("/"), flowControl });
    for (let done = 0; done < 5; done++) {
      await arrived(Math.min(5, done + 2));
      assert(arrivals.length - done <= 2, `${arrivals.length - done} in flight`);
      held[done]!.open();
    }
  }, { isRunning: true });
});

Deno.test("dead letters are listed by page and filter, deleted, and tried again as new messages", async () => {
  await withQueueLab(async ({ client, at, arrivals, answer, run }) => {
    answer(({ url }) => new Response(null, { status: url.endsWith("/404") ? 404 : 500 }));
    const ids: string[] = [];
    for (const path of ["/a", "/b", "/404"]) {
      const sent = await client.publish({
        url: at(path),
        body: path,
        retries: 0,
        label: ["all", path.slice(1)],
      });
      ids.push(sent.messageId);
      await run();
    }
    const { dlq } = client;
    const one = await dlq.listMessages({ count: 2 });
    const two = await dlq.listMessages({ count: 2, cursor: one.cursor! });
    assertEquals(
      [...one.messages, ...two.messages].map(({ messageId }) => messageId),
      ids.toReversed(),
    );
    assertEquals(two.cursor, undefined);
    const found = async (filter: Parameters<typeof dlq.listMessages>[0]) =>
      (await dlq.listMessages(filter)).messages.map(({ body }) => body);
    assertEquals(await found({ filter: { responseStatus: 404 } }), ["/404"]);
    assertEquals(await found({ filter: { url: [at("/a"), at("/b")] } }), ["/b", "/a"]);
    assertEquals(await found({ filter: { label: ["a", "404"] } }), ["/404", "/a"]);
    assertEquals(await found({ filter: { fromDate: new Date(0), toDate: new Date(1) } }), []);
    const dlqIdOf = async (path: string) =>
      (await dlq.listMessages({ filter: { url: at(path) } })).messages[0]!.dlqId;
    assertEquals(await found({ dlqIds: [await dlqIdOf("/b")] }), ["/b"]);

    answer(() => new Response());
    const { responses: [again] } = await dlq.retry(await dlqIdOf("/a"));
    assert(again!.messageId !== ids[0]);
    await run();
    assertEquals(arrivals.at(-1)!.headers.get("upstash-message-id"), again!.messageId);
    assertEquals(arrivals.at(-1)!.body, "/a");
    assertEquals((await dlq.listMessages()).messages.length, 2);
    assertEquals(await dlq.delete(await dlqIdOf("/b")), { deleted: 1 });
    assertEquals((await dlq.delete({ all: true })).deleted, 1);
    assertEquals((await dlq.listMessages()).messages, []);
    await assertRejects(() => dlq.delete("dlq_none"), QstashError);
  });
});

Deno.test("messages are read and cancelled: one, several, by filter, all", async () => {
  await withQueueLab(async ({ client, at, run, arrivals }) => {
    const publish = (path: string, label = "x") =>
      client.publish({
        url: at(path),
        body: "secret",
        delay: 60,
        label,
        headers: { Authorization: "key", "X-Kind": "k" },
        redact: { header: ["authorization"] },
      });
    const first = await publish("/1");
    const message = await client.messages.get(first.messageId);
    assertEquals(message.url, at("/1"));
    assertEquals(message.body, "secret");
    assertEquals(message.maxRetries, 3);
    assertEquals(message.label, "x");
    assertEquals(message.header?.["x-kind"], ["k"]);
    assert(message.header?.["authorization"]?.[0]?.startsWith("REDACTED:"));
    assert(Math.abs(message.notBefore! - message.createdAt - MINUTE) < 2000);

    assertEquals(await client.messages.cancel(first.messageId), { cancelled: 1 });
    await assertRejects(() => client.messages.cancel(first.messageId), QstashError);
    const [a, b] = [await publish("/2"), await publish("/3")];
    assertEquals(await client.messages.cancel([a.messageId, b.messageId, "msg_none"]), {
      cancelled: 2,
    });
    await publish("/4", "left");
    await publish("/5", "gone");
    assertEquals(await client.messages.cancel({ filter: { label: "gone" } }), { cancelled: 1 });
    assertEquals(await client.messages.cancel({ filter: { path: "/nothing" } }), { cancelled: 0 });
    await publish("/6");
    assertEquals(await client.messages.cancel({ filter: { path: ["/6"] } }), { cancelled: 1 });
    assertEquals(await run("1h"), 1);
    assertEquals(arrivals.map(({ url }) => url), [at("/4")]);
    await publish("/7");
    assertEquals(await client.messages.cancel({ all: true }), { cancelled: 1 });
  });
});

Deno.test("a message that is cancelled while it is delivered is not tried again", async () => {
  await withQueueLab(async ({ client, at, answer, run, arrived }) => {
    const { held, answer: wait } = gate();
    answer(wait);
    const { messageId } = await client.publish({ url: at("/"), failureCallback: at("/failed") });
    const running = run("1d");
    await arrived(1);
    await client.messages.cancel(messageId);
    held[0]!.open(500);
    assertEquals(await running, 1);
    assertEquals((await client.dlq.listMessages()).messages, []);
    const { logs } = await client.logs({ messageIds: [messageId] });
    assertEquals(logs.map(({ state }) => state), [
      "CANCELED",
      "CANCEL_REQUESTED",
      "ACTIVE",
      "CREATED",
    ]);
  });
});

Deno.test("the log tells the life of a message, by page, without what is to be hidden", async () => {
  await withQueueLab(async ({ client, at, answer, run }) => {
    let calls = 0;
    answer(() => new Response(null, { status: ++calls < 2 ? 500 : 200 }));
    const { messageId } = await client.publish({
      url: at("/"),
      body: "who has what",
      redact: { body: true, header: true },
      headers: { "X-Name": "somebody" },
    });
    await run("1d");
    const first = await client.logs({ messageIds: [messageId], count: 4 });
    const { logs } = await client.logs({ cursor: first.cursor! });
    const all = [...first.logs, ...logs];
    assertEquals(all.map(({ state }) => state).toReversed(), [
      "CREATED",
      "ACTIVE",
      "ERROR",
      "RETRY",
      "ACTIVE",
      "DELIVERED",
    ]);
    const text = JSON.stringify(all);
    assert(!text.includes("who has what") && !text.includes("somebody"), text);
    assert(text.includes("REDACTED:"));
    assertEquals((await client.logs({ filter: { state: "DELIVERED" } })).logs.length, 1);
    assertEquals((await client.logs({ filter: { host: "elsewhere" } })).logs, []);
  });
});

Deno.test("many deliver from the same tables: each message once, queues in order", async () => {
  await withQueueLab(async ({ client, at, arrivals, arrived }) => {
    const count = 150;
    const line = client.queue({ queueName: "line" });
    await Promise.all([
      client.batch(Array.from({ length: count }, (_, n) => ({ url: at("/free"), body: `${n}` }))),
      (async () => {
        for (let n = 0; n < 20; n++) await line.enqueue({ url: at("/line"), body: `${n}` });
      })(),
    ]);
    await arrived(count + 20);
    const bodies = (path: string) =>
      arrivals.filter(({ url }) => url === at(path)).map(({ body }) => Number(body));
    const numbers = (length: number) => Array.from({ length }, (_, n) => n);
    assertEquals(bodies("/free").toSorted((a, b) => a - b), numbers(count));
    assertEquals(bodies("/line"), numbers(20));
  }, { isRunning: true, peers: 6 });
});
