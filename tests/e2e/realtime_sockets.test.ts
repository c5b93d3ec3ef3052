// Sockets: what they are refused for and closed for, what clients see when the server goes away, and that
// nothing which anybody sends takes it down.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import {
  broadcastsOf,
  Heard,
  inTime,
  joined,
  newId,
  type OwnRealtime,
  RawSocket,
  realtimeTest,
  Statuses,
} from "../support/realtime.ts";

const PRIVATE = { config: { private: true } };

/** Asks for an upgrade as a browser does; answers what a browser cannot see. */
async function upgrade(
  own: OwnRealtime,
  query: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: own.port });
  const lines = {
    host: `127.0.0.1:${own.port}`,
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": btoa("0123456789abcdef"),
    ...headers,
  };
  const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  await connection.write(
    new TextEncoder().encode(`GET /realtime/v1/websocket?${query} HTTP/1.1\r\n${head}\r\n`),
  );
  const buffer = new Uint8Array(4096);
  let text = "";
  while (!text.includes("\r\n\r\n") || text.endsWith("\r\n\r\n") && !text.includes(" 101 ")) {
    const length = await connection.read(buffer);
    if (length === null) break;
    text += new TextDecoder().decode(buffer.subarray(0, length));
  }
  connection.close();
  const [first = "", body = ""] = text.split("\r\n\r\n");
  return { status: Number(first.split(" ")[1]), body };
}

realtimeTest("an upgrade is refused with the reason", async (own) => {
  const { publishable, secret } = own.context.keys;
  const good = (await own.someone()).token;
  const cases: [string, number, string][] = [
    ["vsn=2.0.0", 401, "API key is missing"],
    ["apikey=sb_publishable_other&vsn=2.0.0", 401, "The token provided is not a valid JWT"],
    [`apikey=${good}x&vsn=2.0.0`, 401, "Failed to validate JWT signature"],
    [`apikey=${(await own.someone(-5)).token}`, 401, "Token has expired"],
    [
      `apikey=${await own.sign({ exp: 9_999_999_999 })}`,
      401,
      "Fields `role` and `exp` are required in JWT",
    ],
  ];
  for (const [query, status, error] of cases) {
    const answer = await upgrade(own, query);
    assertEquals([answer.status, JSON.parse(answer.body)], [status, { error }]);
  }
  for (const query of [`apikey=${publishable}`, `apikey=${secret}&vsn=1.0.0`, `apikey=${good}`]) {
    assertEquals((await upgrade(own, query)).status, 101);
  }
  assertEquals((await upgrade(own, "", { "x-api-key": publishable })).status, 101);
  assertEquals(
    (await upgrade(own, `apikey=${publishable}`, { connection: "keep-alive" })).status,
    400,
  );
  const plain = await fetch(`${own.context.apiUrl}/realtime/v1/websocket?apikey=${publishable}`);
  assertEquals([plain.status, await plain.text()], [426, "Upgrade Required"]);
});

realtimeTest("a client whose key is refused is told CHANNEL_ERROR", async (own) => {
  const client = await own.client(undefined, {}, "sb_publishable_other");
  const { error } = await new Statuses(client.channel("room")).next("CHANNEL_ERROR");
  assertStringIncludes(String(error?.message), "transport failure");
});

realtimeTest("nobody connects while Realtime is off", async (own) => {
  const { status, body } = await upgrade(own, `apikey=${own.context.keys.publishable}`);
  assertEquals([status, JSON.parse(body)], [403, {
    error: "Realtime was disabled for this tenant",
  }]);
}, { enabled: false });

realtimeTest("users beyond the limit are refused until one has gone", async (own) => {
  const query = `apikey=${own.context.keys.publishable}`;
  const socket = new RawSocket(own);
  assert(await socket.isAlive());
  const { status, body } = await upgrade(own, query);
  assertEquals([status, JSON.parse(body)], [429, { error: "Too many connected users" }]);
  socket.close();
  await socket.closed;
  while ((await upgrade(own, query)).status !== 101);
}, { maxUsers: 1 });

realtimeTest("joins over the rate are refused, and the socket is closed", async (own) => {
  const socket = new RawSocket(own);
  for (let i = 0; i < 60; i++) await socket.join(`realtime:${i}`);
  const [, , , , { response }] = await socket.ask("realtime:60", "phx_join", {});
  assertEquals(response, { reason: "ClientJoinRateLimitReached: Too many joins per second" });
  assertEquals((await socket.closed).code, 1001);
  const { body } = await upgrade(own, `apikey=${own.context.keys.publishable}`);
  assertEquals(JSON.parse(body), { error: "Too many joins per second" });
}, { maxJoinsPerSecond: 1 });

realtimeTest("a socket has at most 100 channels, and leaving makes room", async (own) => {
  const socket = new RawSocket(own);
  for (let i = 0; i < 100; i++) await socket.join(`realtime:${i}`);
  const [, , , , { response }] = await socket.ask("realtime:100", "phx_join", {});
  assertEquals(response, { reason: "ChannelRateLimitReached: Too many channels" });
  await socket.join("realtime:1"); // again: the old one is closed for it
  await socket.ask("realtime:1", "phx_leave", {});
  await socket.join("realtime:100");
  socket.close();
});

realtimeTest("a project may refuse public channels", async (own) => {
  const member = await own.member("room");
  const client = await own.client(member);
  const { error } = await new Statuses(client.channel("other")).next("CHANNEL_ERROR");
  assertEquals(error?.message, "PrivateOnly: This project only allows private channels");
  await joined(client.channel("room", PRIVATE));
}, { privateOnly: true });

realtimeTest("topics that are none, or not joined, are answered and open nothing", async (own) => {
  const socket = new RawSocket(own);
  const unmatched = { status: "error", response: { reason: "unmatched topic" } };
  const ask = async (topic: string, event: string, payload: unknown = {}) =>
    (await socket.ask(topic, event, payload))[4];
  assertEquals(await ask("realtime:", "phx_join"), {
    status: "error",
    response: { reason: "TopicNameRequired: You must provide a topic name" },
  });
  for (const topic of ["room", "private:room", "phoenix", ""]) {
    assertEquals(await ask(topic, "phx_join"), unmatched);
  }
  for (const event of ["broadcast", "presence", "access_token", "anything"]) {
    assertEquals(await ask("realtime:room", event), unmatched);
  }
  assertEquals(await ask("phoenix", "anything"), unmatched);
  assertEquals(await ask("realtime:room", "phx_leave"), { status: "ok", response: {} });
  // The name of the room that private channels have inside is not one that can be joined.
  const member = await own.member("room");
  const inside = (await own.client(member)).channel("room", PRIVATE);
  await joined(inside);
  for (const topic of ["realtime:private:room", "realtime:room", "realtime:realtime:room"]) {
    await socket.join(topic);
  }
  await own.context.admin`select realtime.send('{}', 'e', 'room', true)`;
  await own.context.admin`select realtime.send('{}', 'last', 'room', false)`;
  await inside.unsubscribe();
  const text = (message: unknown) => JSON.stringify(message);
  const rest = new RawSocket(own);
  const join = await rest.join("realtime:room", { broadcast: { ack: true } });
  await rest.ask("realtime:room", "broadcast", { event: "mark", payload: {} }, join);
  await socket.message(([, , , event, payload]) =>
    event === "broadcast" && payload.event === "mark"
  );
  assert(!socket.heard.all.some((message) => text(message).includes('"event":"e"')));
  socket.close();
  rest.close();
});

realtimeTest("a second join closes the first, and stale references reach nothing", async (own) => {
  const socket = new RawSocket(own);
  const first = await socket.join("realtime:room");
  const second = await socket.join("realtime:room");
  const order = socket.heard.all.map(([joinRef, ref, , event]) => [joinRef, ref, event]);
  assertEquals(order, [
    [first, first, "phx_reply"],
    [first, first, "phx_close"],
    [second, second, "phx_reply"],
  ]);
  const [, , , , stale] = await socket.ask("realtime:room", "phx_leave", {}, first);
  assertEquals(stale, { status: "ok", response: {} });
  const [, , , , reply] = await socket.ask(
    "realtime:room",
    "presence",
    { event: "untrack" },
    second,
  );
  assertEquals(reply.status, "ok", "the channel is still there");
  await socket.ask("realtime:room", "phx_leave", {}, null);
  const close = await socket.message(([joinRef, , , event]) =>
    event === "phx_close" && joinRef === second
  );
  assertEquals(close, [second, second, "realtime:room", "phx_close", {}]);
  socket.close();
});

realtimeTest(
  "messages of a socket are handled in order, also those that wait for the database",
  async (own) => {
    const member = await own.member("room");
    const listener = (await own.client(member)).channel("room", PRIVATE);
    const heard = broadcastsOf(listener);
    await joined(listener);
    const socket = new RawSocket(own);
    const topic = "realtime:room";
    const frames = [
      ["1", "1", topic, "phx_join", { config: { private: true }, access_token: member.token }],
      ["1", "2", topic, "broadcast", { type: "broadcast", event: "first", payload: {} }],
      ["1", "3", topic, "broadcast", { type: "broadcast", event: "second", payload: {} }],
      ["1", "4", topic, "phx_leave", {}],
      ["1", "5", topic, "broadcast", { type: "broadcast", event: "none", payload: {} }],
      [null, "6", "phoenix", "heartbeat", {}],
    ];
    for (const frame of frames) await socket.frame(JSON.stringify(frame));
    await socket.message(([, ref]) => ref === "6");
    const replies = socket.heard.all.map(([, ref, , event]) => `${ref} ${event}`);
    assertEquals(replies, [
      "1 phx_reply",
      "4 phx_reply",
      "1 phx_close",
      "5 phx_reply",
      "6 phx_reply",
    ]);
    assertEquals((await heard.first(2)).map(({ event }) => event), ["first", "second"]);
    socket.close();
  },
);

realtimeTest("frames that are malformed are dropped, and the socket stays", async (own) => {
  const socket = new RawSocket(own);
  await socket.join("realtime:room", { broadcast: { ack: true, self: true } });
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  const frames = [
    ...["", "{", "null", "[]", "[1,2,3]", '{"topic":1}', '["1","1",null,null,null]', "\0", deep],
    `["1","1","realtime:deep","phx_join",{"config":${deep}}]`,
    `["r1","1","realtime:room","broadcast",{"event":"e","payload":${deep}}]`,
    `["r1","1","realtime:room","presence",{"event":"track","payload":{"x":${deep}}}]`,
    Uint8Array.from([]),
    Uint8Array.from([3, 255, 255]),
    Uint8Array.from([255, 1, 2, 3]),
  ];
  for (const frame of frames) await socket.frame(frame as string);
  assert(await socket.isAlive());
  socket.close();
});

realtimeTest(
  "whatever frames come, the server goes on and other channels hear each other",
  async (own) => {
    const [from, to] = [(await own.client()).channel("room"), (await own.client()).channel("room")];
    const heard = broadcastsOf(to);
    await Promise.all([joined(from), joined(to)]);
    const socket = new RawSocket(own);
    await socket.join("realtime:fuzz", { presence: { enabled: true } });
    const member = await own.member("fuzz");
    const part = fc.oneof(
      fc.constantFrom<unknown>(null, "r1", "1", "realtime:fuzz", "realtime:room", "phoenix"),
      fc.constantFrom<unknown>("phx_join", "phx_leave", "broadcast", "presence", "access_token"),
      fc.jsonValue(),
    );
    const payload = fc.oneof(
      fc.jsonValue(),
      fc.record({
        config: fc.oneof(
          fc.jsonValue(),
          fc.record({
            private: fc.constantFrom(true, "true", 7),
            presence: fc.jsonValue(),
            broadcast: fc.jsonValue(),
            postgres_changes: fc.array(fc.jsonValue()),
          }),
        ),
        access_token: fc.oneof(fc.jsonValue(), fc.constant(member.token), fc.string()),
      }, { requiredKeys: [] }),
      fc.record({ event: fc.constantFrom("track", "untrack", 1), payload: fc.jsonValue() }),
    );
    const topic = fc.constantFrom(
      "realtime:fuzz",
      "realtime:fuzz",
      "realtime:",
      "realtime:\0x",
      "phoenix",
    );
    const event = fc.constantFrom("phx_join", "phx_leave", "broadcast", "presence", "access_token");
    const frames = fc.oneof(
      fc.tuple(part, part, part, part, fc.jsonValue()).map((frame) => JSON.stringify(frame)),
      fc.tuple(fc.constant(null), fc.string(), topic, event, payload).map((frame) =>
        JSON.stringify(frame)
      ),
      fc.uint8Array({ maxLength: 60 }).map((rest) => Uint8Array.from([3, ...rest])),
      fc.uint8Array({ maxLength: 60 }).map((rest) => Uint8Array.from(rest)),
    );
    for (const frame of fc.sample(frames, 1500)) await socket.frame(frame);
    assert(await socket.isAlive());
    await from.send({ type: "broadcast", event: "after", payload: {} });
    assertEquals((await heard.first(1)).at(-1)!.event, "after");
    socket.close();
  },
  { maxPresenceCalls: 0 },
);

realtimeTest("bytes that are no frames end their own connection only", async (own) => {
  const { publishable } = own.context.keys;
  const key = btoa("0123456789abcdef");
  for (const seed of [1, 2, 3, 4, 5]) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: own.port });
    const text = new TextEncoder();
    await connection.write(text.encode(
      `GET /realtime/v1/websocket?apikey=${publishable} HTTP/1.1\r\nhost: x\r\n` +
        `connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n` +
        `sec-websocket-key: ${key}\r\n\r\n`,
    ));
    await connection.read(new Uint8Array(1000));
    // Unmasked, reserved bits, a length that never comes, UTF-8 that is none, noise.
    const noise = [
      [0x81, 2, 65, 65],
      [0xf1, 0x80, 1, 2, 3, 4],
      [0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4],
      [0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28],
      [...crypto.getRandomValues(new Uint8Array(500))],
    ][seed - 1]!;
    await connection.write(Uint8Array.from(noise));
    connection.close();
  }
  const socket = new RawSocket(own);
  assert(await socket.isAlive());
  socket.close();
});

realtimeTest("a frame that is too large closes its socket with 1009", async (own) => {
  const socket = new RawSocket(own);
  await socket.frame(`["1","1","realtime:room","phx_join",{"x":"${"é".repeat(2_499_900)}"}]`);
  assert(await socket.isAlive());
  await socket.frame(new Uint8Array(5_000_001));
  assertEquals((await socket.closed).code, 1009);
  const other = new RawSocket(own);
  await other.frame("é".repeat(2_500_001));
  assertEquals((await other.closed).code, 1009);
});

realtimeTest("a silent socket is closed, one with heartbeats is not", async (own) => {
  const [silent, beating] = [new RawSocket(own), new RawSocket(own)];
  await Promise.all([silent.join("realtime:room"), beating.join("realtime:room")]);
  let ended = false;
  silent.closed.then(() => ended = true);
  while (!ended) assert(await beating.isAlive());
  assertEquals((await silent.closed).code, 1001);
  assert(await beating.isAlive());
  beating.close();
}, { silenceMs: 300 });

realtimeTest(
  "a socket without a channel for too long is closed, one with a channel is not",
  async (own) => {
    const [empty, joinedOne] = [new RawSocket(own), new RawSocket(own)];
    await joinedOne.join("realtime:room");
    await empty.isAlive();
    await inTime(empty.closed, "the end of the empty socket");
    assert(await joinedOne.isAlive());
    joinedOne.close();
  },
  { channellessMs: 300, silenceMs: 1000 },
);

realtimeTest("a client that does not read is cut, and the others hear everything", async (own) => {
  const from = (await own.client()).channel("room", { config: { broadcast: { ack: true } } });
  const to = (await own.client()).channel("room");
  const heard = broadcastsOf(to);
  await Promise.all([joined(from), joined(to)]);
  const slow = await Deno.connect({ hostname: "127.0.0.1", port: own.port });
  const write = (text: string) => slow.write(new TextEncoder().encode(text));
  await write(
    `GET /realtime/v1/websocket?apikey=${own.context.keys.publishable}&vsn=2.0.0 HTTP/1.1\r\n` +
      `host: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n` +
      `sec-websocket-key: ${btoa("0123456789abcdef")}\r\n\r\n`,
  );
  await slow.read(new Uint8Array(1000));
  const join = new TextEncoder().encode('["1","1","realtime:room","phx_join",{}]');
  // Masked with zeros.
  await slow.write(Uint8Array.from([0x81, 0x80 | join.length, 0, 0, 0, 0, ...join]));
  await slow.read(new Uint8Array(1000));
  assertEquals(own.realtime.counts().sockets, 3);

  const text = "x".repeat(500_000);
  let sent = 0;
  while (own.realtime.counts().sockets === 3) {
    assert(sent < 100, "it is not cut");
    assertEquals(
      await from.send({ type: "broadcast", event: `${sent++}`, payload: { text } }),
      "ok",
    );
  }
  const events = (await heard.first(sent)).map(({ event }) => event);
  assertEquals(events, [...Array(sent).keys()].map(String));

  // Once it reads, it finds the reason behind what had been sent.
  let tail = new Uint8Array();
  const buffer = new Uint8Array(1_000_000);
  for (let n; (n = await slow.read(buffer).catch(() => null)) !== null;) {
    tail = buffer.slice(Math.max(0, n - 40), n);
    if (new TextDecoder().decode(tail).includes("Client reads too slowly")) break;
  }
  assertStringIncludes(new TextDecoder().decode(tail), "Client reads too slowly");
  slow.close();
});

realtimeTest(
  "when the server stops, channels hear CHANNEL_ERROR, and SUBSCRIBED when it is back",
  async (own) => {
    const member = await own.member("room");
    const client = await own.client(member);
    const channel = client.channel("room", {
      config: { private: true, presence: { key: "asha" } },
    });
    const heard = broadcastsOf(channel);
    const states = new Heard<number>();
    channel.on("presence", { event: "sync" }, () => {
      states.add(Object.keys(channel.presenceState()).length);
    });
    const statuses = await joined(channel);
    const socket = new RawSocket(own);
    await socket.isAlive();

    await own.stop();

    assertEquals(await socket.closed, { code: 1012, reason: "Service restart" });
    const { error } = await statuses.next("CHANNEL_ERROR");
    assertStringIncludes(String(error?.message), "socket closed: 1012");
    const before = statuses.seen.length;
    const synced = states.all.length;
    await own.start();
    await statuses.next("SUBSCRIBED", before);
    await states.first(synced + 1);
    await own.context.admin`select realtime.send('{}', 'again', 'room', true)`;
    assertEquals((await heard.first(1))[0]!.event, "again");
  },
);

realtimeTest("when messages may have been lost, channels are told to join again", async (own) => {
  const { admin } = own.context;
  const channel = (await own.client(await own.member("room"))).channel("room", PRIVATE);
  const heard = broadcastsOf(channel);
  const statuses = await joined(channel);
  const before = statuses.seen.length;
  const cut = await admin`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and query ilike 'listen%'`;
  assertEquals(cut.length, 1);
  await statuses.next("CHANNEL_ERROR", before);
  await statuses.next("SUBSCRIBED", before);
  await admin`select realtime.send('{}', ${newId()}, 'room', true)`;
  await heard.first(1);
});
