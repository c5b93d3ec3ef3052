// Private channels: who may join them, for how long a token lets somebody read, and what an answer says.

import { assertEquals, assertMatch } from "@std/assert";
import { SignJWT } from "jose";
import {
  broadcastsOf,
  joined,
  newId,
  RawSocket,
  realtimeTest,
  Statuses,
  systemOf,
} from "../support/realtime.ts";

const PRIVATE = { config: { private: true } };
const UNAUTHORIZED =
  "Unauthorized: You do not have permissions to read from this Channel topic: room";

realtimeTest(
  "members and readers join a private channel, strangers and nobody do not",
  async (own) => {
    const topic = "room";
    const member = await own.member(topic);
    const reader = await own.member(topic, { writes: [] });
    const onlyPresence = await own.member(topic, { reads: ["presence"] });
    const stranger = await own.member("another room");
    for (const person of [member, reader]) {
      await joined(
        (await own.client(person)).channel(topic, PRIVATE),
      );
    }
    for (const person of [stranger, onlyPresence, undefined]) {
      const statuses = new Statuses((await own.client(person)).channel(topic, PRIVATE));
      const { error } = await statuses.next("CHANNEL_ERROR");
      assertEquals(error?.message, UNAUTHORIZED);
    }
    // Reading either feature is enough, when it is asked about.
    const present = (await own.client(onlyPresence)).channel(topic, {
      config: { private: true, presence: { enabled: true } },
    } as never);
    const heard = broadcastsOf(present);
    await joined(present);
    await joined(
      (await own.client(undefined, {}, own.context.keys.secret)).channel(topic, PRIVATE),
    );
    await own.context.admin`select realtime.send('{}', 'e', ${topic}, true)`;
    const witness = await own.client(member);
    const second = witness.channel(
      topic,
      { config: { private: true, broadcast: { replay: { since: 0 } } } } as never,
    );
    await joined(second);
    assertEquals(heard.all, [], "broadcast.read is needed to hear broadcasts");
    const rows = await own.context.admin`select from realtime.messages where event is null`;
    assertEquals(rows.length, 0, "questions leave no rows");
  },
);

realtimeTest(
  "a join before the token is known is judged as anon, and then joined with the token",
  async (own) => {
    const member = await own.member("room");
    const client = await own.client();
    const statuses = new Statuses(client.channel("room", PRIVATE));
    const { error } = await statuses.next("CHANNEL_ERROR");
    assertEquals(error?.message, UNAUTHORIZED);
    await own.signIn(client, member);
    await statuses.next("SUBSCRIBED");
  },
);

realtimeTest(
  "a policy that fails, and a role that no token may name, count as not allowed",
  async (own) => {
    const { admin } = own.context;
    await admin`
    create policy fails on realtime.messages for select to authenticated
      using ((select realtime.topic()) = 'broken' and 1 / (select 0) = 1)`;
    const refused = async (topic: string, token: string) => {
      const socket = new RawSocket(own);
      const config = { private: true };
      const [, , , , { response }] = await socket.ask(`realtime:${topic}`, "phx_join", {
        config,
        access_token: token,
      });
      socket.close();
      return (response as { reason: string }).reason;
    };
    assertMatch(await refused("broken", (await own.someone()).token), /^Unauthorized: /);
    for (const role of ["supabase_admin", "postgres", "nobody"]) {
      assertMatch(
        await refused("room", (await own.someone(60, { role })).token),
        /^Unauthorized: /,
      );
    }
  },
);

realtimeTest(
  "policies see topic, claims and headers, and the topic cannot end what asks for it",
  async (own) => {
    const { admin } = own.context;
    await admin`
    create policy sees on realtime.messages for select to authenticated using (
      realtime.topic() = 'it''s; "x" \\' and topic = 'it''s; "x" \\'
      and current_setting('request.jwt.claim.sub') = auth.uid()::text
      and current_setting('request.jwt.claim.role') = 'authenticated'
      and auth.jwt() ->> 'team' = 'blue'
      and current_setting('request.headers')::json ->> 'x-forwarded-for' = '127.0.0.1'
      and current_setting('request.headers')::json ->> 'x-api-key' is null
    )`;
    const person = await own.someone(60, { team: "blue" });
    await joined((await own.client(person)).channel(`it's; "x" \\`, PRIVATE));
  },
);

realtimeTest("a request that wants to be upgraded cannot say from where it comes", async (own) => {
  await own.context.admin`
    create policy near on realtime.messages for insert to authenticated with check (
      current_setting('request.headers')::json ->> 'x-forwarded-for' = '9.9.9.9'
    )`;
  const { token } = await own.someone();
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: own.port });
  const lines = [
    "POST /realtime/v1/api/broadcast/room/events/e?private=true HTTP/1.1",
    `Host: 127.0.0.1:${own.port}`,
    `Authorization: Bearer ${token}`,
    "Content-Type: application/json",
    "Content-Length: 2",
    "Connection: close",
    "Upgrade: x",
    "X-Forwarded-For: 9.9.9.9",
  ];
  await connection.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n{}`));
  const answer = await new Response(connection.readable).text();
  assertMatch(answer, /^HTTP\/1\.1 403 /);
  assertMatch(answer, /access-control-allow-origin/i);
});

realtimeTest("a join says what is wrong with its token", async (own) => {
  const socket = new RawSocket(own);
  const good = await own.someone();
  const foreign = await new SignJWT({ role: "authenticated", exp: 9_999_999_999 })
    .setProtectedHeader({ alg: "HS256" }).sign(new Uint8Array(32));
  const [head, , signature] = good.token.split(".");
  const forged = btoa(JSON.stringify({ role: "service_role", exp: 9_999_999_999 })).replace(
    /=+$/,
    "",
  );
  const fields = "InvalidJWTToken: Fields `role` and `exp` are required in JWT";
  const cases: [string, RegExp][] = [
    ["nonsense", /^MalformedJWT: The token provided is not a valid JWT$/],
    ["a.b.c", /^MalformedJWT: The token provided is not a valid JWT$/],
    [foreign, /^JwtSignatureError: Failed to validate JWT signature$/],
    [`${head}.${forged}.${signature}`, /^JwtSignatureError: Failed to validate JWT signature$/],
    [await own.sign({ role: "authenticated" }), new RegExp(`^${fields}$`)],
    [await own.sign({ exp: 9_999_999_999 }), new RegExp(`^${fields}$`)],
    [
      await own.sign({ role: "authenticated", exp: "soon" as never }),
      /^InvalidJWTToken: Token expiration time is invalid$/,
    ],
    [
      (await own.someone(-30)).token,
      /^InvalidJWTToken: Token has expired (29|3\d) seconds ago$/,
    ],
  ];
  for (const [access_token, reason] of cases) {
    const [, , , , reply] = await socket.ask("realtime:room", "phx_join", {
      config: {},
      access_token,
    });
    assertEquals(reply.status, "error");
    assertMatch((reply.response as { reason: string }).reason, reason);
  }
  // Keys in place of a token stand for the token of the socket.
  await socket.join("realtime:room", {}, "sb_publishable_whatever");
  socket.close();
});

realtimeTest(
  "who is removed hears on until a new token comes, and then the channel is closed",
  async (own) => {
    const topic = "room";
    const bob = await own.member(topic);
    const client = await own.client(bob);
    const channel = client.channel(topic, PRIVATE);
    const [heard, system] = [broadcastsOf(channel), systemOf(channel)];
    const statuses = await joined(channel);
    await own.removeMember(topic, bob.id);
    await own.context.admin`select realtime.send('{}', 'still', ${topic}, true)`;
    assertEquals((await heard.first(1))[0]!.event, "still");

    await own.signIn(client, bob); // the same token changes nothing
    const fresh = await own.someone(3600, { sub: bob.id });
    await own.signIn(client, fresh);

    await statuses.next("CLOSED");
    assertEquals(system.all.at(-1), {
      extension: "system",
      status: "error",
      message: "You no longer have permission to read from this Channel topic: room",
      channel: "room",
    });
    await own.context.admin`select realtime.send('{}', 'after', ${topic}, true)`;
    const witness = (await own.client(await own.member(topic))).channel(topic, PRIVATE);
    const seen = broadcastsOf(witness);
    await joined(witness);
    await own.context.admin`select realtime.send('{}', 'last', ${topic}, true)`;
    await seen.first(1);
    assertEquals(heard.all.length, 1);
  },
);

realtimeTest("a new token asks for writing again", async (own) => {
  const topic = "room";
  const bob = await own.member(topic, { writes: [] });
  const client = await own.client(bob);
  const config = { config: { private: true, broadcast: { ack: true } } };
  const channel = client.channel(topic, config);
  await joined(channel);
  const send = () => channel.send({ type: "broadcast", event: "e", payload: {} }, { timeout: 300 });
  assertEquals(await send(), "timed out");
  await own.removeMember(topic, bob.id);
  await own.addMember(topic, bob.id);
  assertEquals(await send(), "timed out", "the refusal is remembered");
  await own.signIn(client, await own.someone(3600, { sub: bob.id }));
  assertEquals(await send(), "ok");
});

realtimeTest("a token of two seconds ends its channel and no other of the socket", async (own) => {
  const socket = new RawSocket(own);
  const short = await own.member("short", { seconds: 2 });
  const long = await own.member("long");
  const ended = await socket.join("realtime:short", { private: true }, short.token);
  await socket.join("realtime:long", { private: true }, long.token);
  await socket.join("realtime:open", {});
  const [, ref, topic, , payload] = await socket.message(([, , , event]) => event === "system");
  assertEquals([ref, topic, payload.status], [null, "realtime:short", "error"]);
  assertMatch(String(payload.message), /^Token has expired \d+ seconds ago$/);
  const close = await socket.message(([, , , event]) => event === "phx_close");
  assertEquals(close, [ended, ended, "realtime:short", "phx_close", {}]);
  await own.context.admin`select realtime.send('{}', 'e', 'open', false)`;
  const [, , , , reply] = await socket.ask("realtime:long", "presence", { event: "untrack" });
  assertEquals(reply, { status: "ok", response: {} });
  socket.close();
});

realtimeTest(
  "an access_token event that cannot be accepted ends the channel with the reason",
  async (own) => {
    for (
      const [token, message] of [
        [(await own.someone(-10)).token, /^Token has expired \d+ seconds ago$/],
        ["nonsense", /^The token provided is not a valid JWT$/],
        [await own.sign({ exp: 9_999_999_999 }), /^Fields `role` and `exp` are required in JWT$/],
      ] as const
    ) {
      const socket = new RawSocket(own);
      const join = await socket.join("realtime:room", {});
      // None of these is a new token.
      for (const access_token of [null, "sb_publishable_x", 7, undefined]) {
        await socket.frame(
          JSON.stringify([join, newId(), "realtime:room", "access_token", { access_token }]),
        );
      }
      await socket.ask("realtime:room", "presence", { event: "untrack" }, join);
      await socket.frame(
        JSON.stringify([join, "x", "realtime:room", "access_token", { access_token: token }]),
      );
      const [, , , , payload] = await socket.message(([, , , event]) => event === "system");
      assertMatch(String(payload.message), message);
      await socket.message(([, , , event]) => event === "phx_close");
      socket.close();
    }
  },
);

realtimeTest("a join without a partition for today says so", async (own) => {
  const member = await own.member("room");
  const { admin } = own.context;
  const parts = await admin`
    select inhrelid::regclass::text as name from pg_inherits
    where inhparent = 'realtime.messages'::regclass`;
  for (const { name } of parts) await admin.unsafe(`drop table ${name}`);
  const statuses = new Statuses((await own.client(member)).channel("room", PRIVATE));
  const { error } = await statuses.next("CHANNEL_ERROR");
  assertEquals(
    error?.message,
    "MissingPartition: Realtime was unable to find the expected messages partition",
  );
});
