// Broadcasts as applications see them: who hears whom, on public and private channels, from sockets,
// from requests and from the database.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  broadcastsOf,
  joined,
  type OwnRealtime,
  RawSocket,
  realtimeTest,
  type Someone,
  Statuses,
} from "../support/realtime.ts";

const PRIVATE = { config: { private: true, broadcast: { ack: true } } };
/** How long a sender waits who is not answered. */
const UNANSWERED = { timeout: 300 };

realtimeTest(
  "a broadcast reaches the others of a private channel, once each and in order",
  async (own) => {
    const topic = "room";
    const [alice, bob] = [await own.member(topic), await own.member(topic)];
    const from = (await own.client(alice)).channel(topic, PRIVATE);
    const tab = (await own.client(alice)).channel(topic, PRIVATE);
    const to = (await own.client(bob)).channel(topic, PRIVATE);
    const [itself, other, heard] = [from, tab, to].map(broadcastsOf);
    await Promise.all([from, tab, to].map(joined));
    for (const x of ["é", "b", "c"]) {
      assertEquals(await from.send({ type: "broadcast", event: "hi", payload: { x } }), "ok");
    }
    for (const heardBy of [heard!, other!]) {
      assertEquals((await heardBy.first(3)).map(({ payload }) => payload.x), ["é", "b", "c"]);
    }
    assertEquals(itself!.all, []);
  },
);

realtimeTest("what is no announcement of a message loses none", async (own) => {
  const channel = (await own.client()).channel("room");
  const heard = broadcastsOf(channel);
  await joined(channel);
  // All in one transaction, so that they are one batch.
  await own.context.admin.begin(async (tx) => {
    for (const text of ["x", "", `${crypto.randomUUID()} soon`]) {
      await tx`select pg_notify('realtime_messages', ${text})`;
      await tx`select realtime.send(${tx.json({ text })}, 'hi', 'room', false)`;
    }
  });
  assertEquals((await heard.first(3)).map(({ payload }) => payload.text)[0], "x");
  assertEquals(heard.all.length, 3);
});

realtimeTest("with self a sender hears itself, and bytes arrive as bytes", async (own) => {
  const channel = (await own.client()).channel("room", { config: { broadcast: { self: true } } });
  const heard = broadcastsOf(channel);
  await joined(channel);
  const payload = Uint8Array.from([0, 200, 7]).buffer;
  await channel.send({ type: "broadcast", event: "bytes", payload } as never);
  const [message] = await heard.first(1);
  assertEquals(new Uint8Array(message!.payload as never), Uint8Array.from([0, 200, 7]));
});

realtimeTest("both versions of the serializer hear each other", async (own) => {
  const older = (await own.client(undefined, { vsn: "1.0.0" })).channel("room");
  const newer = (await own.client(undefined, { vsn: "2.0.0" })).channel("room");
  const [heardByOlder, heardByNewer] = [broadcastsOf(older), broadcastsOf(newer)];
  await Promise.all([joined(older), joined(newer)]);
  await newer.send({ type: "broadcast", event: "bytes", payload: new ArrayBuffer(1) } as never);
  await newer.send({ type: "broadcast", event: "json", payload: { from: "newer" } });
  await older.send({ type: "broadcast", event: "json", payload: { from: "older" } });
  await own.context.admin`select realtime.send('{"from":"database"}', 'json', 'room', false)`;
  // Bytes cannot be put into the older version, and are dropped there.
  const [first, second] = await heardByOlder.first(2);
  assertEquals([first!.payload.from, second!.payload.from], ["newer", "database"]);
  assert(second!.meta?.id);
  const [third, fourth] = await heardByNewer.first(2);
  assertEquals([third!.payload.from, fourth!.payload.from], ["older", "database"]);
});

realtimeTest("a public and a private channel of one name are two rooms", async (own) => {
  const topic = "room";
  const member = await own.member(topic);
  const open = (await own.client()).channel(topic, { config: { broadcast: { ack: true } } });
  const closed = (await own.client(member)).channel(topic, PRIVATE);
  const [heardOutside, heardInside] = [broadcastsOf(open), broadcastsOf(closed)];
  await Promise.all([joined(open), joined(closed)]);
  await closed.send({ type: "broadcast", event: "secret", payload: {} });
  await open.send({ type: "broadcast", event: "public", payload: {} });
  await own.context.admin`select realtime.send('{}', 'to public', ${topic}, false)`;
  await own.context.admin`select realtime.send('{}', 'to private', ${topic}, true)`;
  assertEquals((await heardOutside.first(1)).map(({ event }) => event), ["to public"]);
  assertEquals((await heardInside.first(1)).map(({ event }) => event), ["to private"]);
  assertEquals(heardOutside.all.length, 1);
});

realtimeTest("who may only read is not answered and not heard", async (own) => {
  const topic = "room";
  const reader = await own.member(topic, { writes: [] });
  const member = await own.member(topic);
  const from = (await own.client(reader)).channel(topic, PRIVATE);
  const to = (await own.client(member)).channel(topic, PRIVATE);
  const heard = broadcastsOf(to);
  await Promise.all([joined(from), joined(to)]);
  const answer = await from.send({ type: "broadcast", event: "no", payload: {} }, UNANSWERED);
  assertEquals(answer, "timed out");
  await own.context.admin`select realtime.send('{}', 'yes', ${topic}, true)`;
  assertEquals((await heard.first(1)).map(({ event }) => event), ["yes"]);
});

realtimeTest(
  "a payload that is too large is answered with the reason and not heard",
  async (own) => {
    const socket = new RawSocket(own);
    const to = (await own.client()).channel("room");
    const heard = broadcastsOf(to);
    await joined(to);
    const join = await socket.join("realtime:room", { broadcast: { ack: true } });
    const send = (size: number) =>
      socket.ask("realtime:room", "broadcast", {
        type: "broadcast",
        event: `${size}`,
        payload: { text: "x".repeat(size) },
      }, join);
    const [, , , , refused] = await send(1100);
    assertEquals(refused, { status: "error", response: "payload_size_exceeded" });
    const [, , , , sent] = await send(900);
    assertEquals(sent, { status: "ok", response: {} });
    assertEquals((await heard.first(1)).map(({ event }) => event), ["900"]);
    socket.close();
  },
  { maxPayloadBytes: 1000 },
);

realtimeTest(
  "realtime.send is heard with meta.id when its transaction commits, and never otherwise",
  async (own) => {
    const topic = "room";
    const to = (await own.client(await own.member(topic))).channel(topic, PRIVATE);
    const heard = broadcastsOf(to);
    await joined(to);
    await assertRejects(() =>
      own.context.admin.begin(async (tx) => {
        await tx`select realtime.send('{"n":0}', 'e', ${topic}, true)`;
        throw new Error("undo");
      })
    );
    await own.context.admin.begin(async (tx) => {
      for (const n of Array(40).keys()) {
        await tx`select realtime.send(jsonb_build_object('n', ${n + 1}::int), 'e', ${topic}, true)`;
      }
    });
    await own.context.admin`select realtime.send_binary('\\x00ff', 'bytes', ${topic}, true)`;
    const messages = await heard.first(41);
    assertEquals(
      messages.slice(0, 40).map(({ payload }) => payload.n),
      [...Array(40).keys()].map((n) => n + 1),
    );
    assertEquals(messages[0]!.payload.id, messages[0]!.meta!.id);
    assertEquals(new Uint8Array(messages[40]!.payload as never), Uint8Array.from([0, 255]));
  },
);

realtimeTest("transactions are heard in the order in which they commit", async (own) => {
  const { admin } = own.context;
  const to = (await own.client()).channel("room");
  const heard = broadcastsOf(to);
  await joined(to);
  const committed = Promise.withResolvers<void>();
  const early = admin.begin(async (tx) => {
    await tx`select realtime.send('{}', 'begun first', 'room', false)`;
    await committed.promise;
  });
  await admin`select realtime.send('{}', 'committed first', 'room', false)`;
  committed.resolve();
  await early;
  const events = (await heard.first(2)).map(({ event }) => event);
  assertEquals(events, ["committed first", "begun first"]);
});

realtimeTest("what was sent before a join is replayed once, the newest 25 at most", async (own) => {
  const topic = "room";
  const member = await own.member(topic);
  const { admin } = own.context;
  for (const n of Array(30).keys()) {
    await admin`select realtime.send(jsonb_build_object('n', ${n}::int), 'e', ${topic}, true)`;
  }
  const replay = { since: Date.now() - 60_000 };
  const config = { private: true, broadcast: { replay } };
  const channel = (await own.client(member)).channel(topic, { config } as never);
  const heard = broadcastsOf(channel);
  // Sent while it joins; live or replayed, it is heard once.
  const statuses = new Statuses(channel);
  await admin`select realtime.send('{"n":30}', 'e', ${topic}, true)`;
  await statuses.next("SUBSCRIBED");
  await admin`select realtime.send('{"n":31}', 'e', ${topic}, true)`;
  const messages = await heard.first(26);
  const numbers = messages.map(({ payload }) => payload.n as number);
  assertEquals(new Set(numbers).size, numbers.length);
  assert(numbers.includes(30));
  assertEquals(numbers.toSorted((a, b) => a - b), numbers);
  assertEquals(messages[0]!.meta!.replayed, true);

  // The client refuses such wishes itself.
  const socket = new RawSocket(own);
  for (
    const [wish, reason] of [
      [{ private: false, broadcast: { replay } }, "Replay is not allowed for public channels"],
      [{ private: true, broadcast: { replay: { since: "x" } } }, "Replay params are not valid"],
    ] as const
  ) {
    const [, , , , { response }] = await socket.ask("realtime:room", "phx_join", {
      config: wish,
      access_token: member.token,
    });
    assertEquals(response, { reason: `UnableToReplayMessages: ${reason}` });
  }
  socket.close();
});

realtimeTest(
  "replication_ready is answered when messages from the database are delivered",
  async (own) => {
    const socket = new RawSocket(own);
    await socket.join("realtime:room", { broadcast: { replication_ready: true } });
    const [, , , , system] = await socket.message(([, , , event]) => event === "system");
    assertEquals(system, {
      extension: "system",
      status: "ok",
      message: "Replication connection established",
      channel: "room",
    });
    socket.close();
  },
);

// HTTP --------------------------------------------------------------------------------------------

async function post(
  own: OwnRealtime,
  path: string,
  body: BodyInit,
  person?: Someone,
  type = "application/json",
): Promise<Response> {
  const key = own.context.keys.publishable;
  return await fetch(`${own.context.apiUrl}/realtime/v1/api/${path}`, {
    method: "POST",
    headers: { apikey: key, authorization: `Bearer ${person?.token ?? key}`, "content-type": type },
    body,
  });
}

const batch = (...messages: Record<string, unknown>[]) => JSON.stringify({ messages });

realtimeTest(
  "a batch by HTTP is heard by everybody in the room; one by a stranger by nobody",
  async (own) => {
    const topic = "room";
    const member = await own.member(topic);
    const to = (await own.client(member)).channel(topic, PRIVATE);
    const heard = broadcastsOf(to);
    await joined(to);
    const message = { topic, payload: {}, private: true };
    const stranger = await own.someone();
    const refused = await post(own, "broadcast", batch({ ...message, event: "no" }), stranger);
    assertEquals([refused.status, await refused.text()], [202, ""]);
    const sent = await post(
      own,
      "broadcast",
      batch({ ...message, event: "1", id: "given" }, { ...message, event: "2" }),
      member,
    );
    assertEquals(sent.status, 202);
    assertEquals(sent.headers.get("access-control-allow-origin"), "*");
    await sent.body?.cancel();
    const messages = await heard.first(2);
    assertEquals(messages.map(({ event, meta }) => [event, meta]), [["1", { id: "given" }], [
      "2",
      undefined,
    ]]);
  },
);

realtimeTest(
  "a channel that is not joined sends by HTTP, and httpSend sends one message",
  async (own) => {
    const to = (await own.client()).channel("a/b ä");
    const heard = broadcastsOf(to);
    await joined(to);
    const unjoined = (await own.client()).channel("a/b ä");
    assertEquals(
      await unjoined.send({ type: "broadcast", event: "batch", payload: { x: 1 } }),
      "ok",
    );
    assertEquals(await unjoined.httpSend("single/ü", { x: 2 }), { success: true });
    await (await post(own, "broadcast/a%2Fb%20%C3%A4/events/list", "[1]")).body?.cancel();
    const messages = await heard.first(3);
    assertEquals(messages.map(({ event, payload }) => [event, payload]), [
      ["batch", { x: 1 }],
      ["single/ü", { x: 2 }],
      ["list", { _json: [1] }],
    ]);
  },
);

realtimeTest("a single message by HTTP says why it is refused", async (own) => {
  const single = "broadcast/room/events/e?private=true";
  const member = await own.member("room");
  const to = (await own.client(member)).channel("room", PRIVATE);
  const heard = broadcastsOf(to);
  await joined(to);
  const answers: [string, Promise<Response>, number, unknown][] = [
    ["a stranger", post(own, single, "{}", await own.someone()), 403, { message: "Unauthorized" }],
    ["nobody", post(own, single, "{}"), 403, { message: "Unauthorized" }],
    ["a form", post(own, single, "x", member, "text/plain"), 415, {
      error: "Unsupported Media Type. Use application/json or application/octet-stream",
    }],
    ["a large payload", post(own, single, JSON.stringify("x".repeat(2000)), member), 422, {
      message: "Payload size exceeds tenant limit",
    }],
    ["a bad token", post(own, single, "{}", { id: "", token: "a.b.c" }), 401, {
      message: "Unauthorized",
    }],
    ["no JSON", post(own, single, "{", member), 400, { message: "Malformed JSON" }],
  ];
  for (const [what, answer, status, body] of answers) {
    const response = await answer;
    assertEquals([response.status, await response.json()], [status, body], what);
  }
  const sent = await post(own, single, Uint8Array.from([1, 2]), member, "application/octet-stream");
  assertEquals([sent.status, await sent.text()], [202, ""]);
  const [only] = await heard.first(1);
  assertEquals(new Uint8Array(only!.payload as never), Uint8Array.from([1, 2]));
}, { maxPayloadBytes: 1000 });

realtimeTest(
  "a batch with a fault is refused whole, with the fault by message and field",
  async (own) => {
    const to = (await own.client()).channel("room");
    const heard = broadcastsOf(to);
    await joined(to);
    const good = { topic: "room", event: "e", payload: {} };
    const blank = ["can't be blank"];
    for (
      const [messages, faults] of [
        [[good, { topic: "room", event: "e" }], [{}, { payload: blank }]],
        [[{ payload: {} }], [{ topic: blank, event: blank }]],
        [[{ ...good, payload: [] }], [{ payload: ["is invalid"] }]],
        [[{ ...good, payload: { x: "x".repeat(2000) } }], [{
          payload: ["Payload size exceeds tenant limit"],
        }]],
      ]
    ) {
      const response = await post(own, "broadcast", JSON.stringify({ messages }));
      assertEquals([response.status, await response.json()], [422, {
        errors: { messages: faults },
      }]);
    }
    await (await post(own, "broadcast", batch({ ...good, event: "last" }))).body?.cancel();
    assertEquals((await heard.first(1)).map(({ event }) => event), ["last"]);
  },
  { maxPayloadBytes: 1000 },
);

realtimeTest(
  "over the rate of the project channels are shut down and requests are refused",
  async (own) => {
    const [from, to] = [(await own.client()).channel("room"), (await own.client()).channel("room")];
    const heard = broadcastsOf(to);
    const [sender, listener] = [await joined(from), await joined(to)];
    const message = { topic: "room", event: "e", payload: {} };
    const large = await post(own, "broadcast", batch(...Array(61).fill(message)));
    assertEquals([large.status, await large.json()], [429, {
      message: "Too many messages to broadcast, please reduce the batch size",
    }]);
    for (let i = 0; i < 61; i++) from.send({ type: "broadcast", event: "e", payload: {} });
    await Promise.all([sender.next("CLOSED"), listener.next("CLOSED")]);
    assertEquals(heard.all.length, 60);
    const refused = await post(own, "broadcast", batch(message));
    assertEquals([refused.status, refused.headers.get("x-rate-limit")], [429, "1"]);
    assertEquals(await refused.json(), { message: "You have exceeded your rate limit" });
  },
  { maxMessagesPerSecond: 1 },
);

realtimeTest("ping answers without a key", async (own) => {
  const response = await fetch(`${own.context.apiUrl}/realtime/v1/api/ping`);
  assertEquals([response.status, await response.json()], [200, { message: "Success" }]);
});
