// Presence as applications see it: who is there, under which key, with how many tabs.

import { assert, assertEquals } from "@std/assert";
import type { RealtimeChannel } from "@supabase/supabase-js";
import {
  Heard,
  joined,
  type OwnRealtime,
  RawSocket,
  realtimeTest,
  type Someone,
  systemOf,
} from "../support/realtime.ts";

/** What a channel was told, as `join asha {"at":"home"}`, and who is there after each time. */
interface Watch {
  channel: RealtimeChannel;
  told: Heard<string>;
  states: Heard<string[]>;
}

const values = (presences: { presence_ref: string }[]) =>
  JSON.stringify(presences.map(({ presence_ref: _, ...rest }) => rest));

function watch(channel: RealtimeChannel): Watch {
  const [told, states] = [new Heard<string>(), new Heard<string[]>()];
  channel
    .on("presence", { event: "join" }, ({ key, newPresences }) => {
      told.add(`join ${key} ${values(newPresences)}`);
    })
    .on("presence", { event: "leave" }, ({ key, leftPresences }) => {
      told.add(`leave ${key} ${values(leftPresences)}`);
    })
    .on("presence", { event: "sync" }, () => {
      const state = Object.entries(channel.presenceState());
      states.add(state.map(([key, metas]) => `${key} ${metas.length}`).toSorted());
    });
  return { channel, told, states };
}

async function present(own: OwnRealtime, key: string, person?: Someone): Promise<Watch> {
  const config = { private: person !== undefined, presence: { key } };
  const watched = watch((await own.client(person)).channel("room", { config }));
  await joined(watched.channel);
  return watched;
}

realtimeTest("two tabs under one key are two metas, and closing one is a leave", async (own) => {
  const [tab, other] = [await present(own, "asha"), await present(own, "asha")];
  const bob = await present(own, "bob");
  assertEquals((await bob.states.first(1))[0], [], "the state comes although nobody is there");
  assertEquals(await tab.channel.track({ tab: 1 }), "ok");
  assertEquals(await other.channel.track({ tab: 2 }), "ok");
  await bob.told.first(2);
  assertEquals(bob.states.all.at(-1), ["asha 2"]);

  await other.channel.unsubscribe();

  assertEquals(await bob.told.first(3), [
    'join asha [{"tab":1}]',
    'join asha [{"tab":2}]',
    'leave asha [{"tab":2}]',
  ]);
  await bob.states.first(4);
  assertEquals(bob.states.all.at(-1), ["asha 1"]);
  const late = await present(own, "late");
  assertEquals((await late.states.first(1))[0], ["asha 1"]);
});

realtimeTest("a changed payload is a join and a leave, the same one is nothing", async (own) => {
  const [asha, bob] = [await present(own, "asha"), await present(own, "bob")];
  await asha.channel.track({ at: "home" });
  await asha.channel.track({ at: "home" });
  await asha.channel.track({ at: "ward" });
  await asha.channel.untrack();
  const told = [
    'join asha [{"at":"home"}]',
    'join asha [{"at":"ward"}]',
    'leave asha [{"at":"home"}]',
    'leave asha [{"at":"ward"}]',
  ];
  assertEquals(await bob.told.first(4), told);
  assertEquals(await asha.told.first(4), told, "whoever tracks is told, too");
});

realtimeTest("a socket that is gone is a leave", async (own) => {
  const bob = await present(own, "bob");
  const socket = new RawSocket(own);
  const join = await socket.join("realtime:room", { presence: { key: "asha", enabled: true } });
  await socket.ask("realtime:room", "presence", { event: "TRACK", payload: { a: 1 } }, join);
  await bob.told.first(1);
  socket.close();
  assertEquals((await bob.told.first(2))[1], 'leave asha [{"a":1}]');
});

realtimeTest("private presence is told to who may read it, by who may write it", async (own) => {
  const writer = await present(own, "writer", await own.member("room"));
  const silent = await present(own, "silent", await own.member("room", { writes: ["broadcast"] }));
  const blind = await own.member("room", { reads: ["broadcast"] });
  const socket = new RawSocket(own);
  const join = await socket.join("realtime:room", {
    private: true,
    presence: { enabled: true },
  }, blind.token);
  assertEquals(await silent.channel.track({ x: 1 }), "error");
  assertEquals(await writer.channel.track({ x: 2 }), "ok");
  assertEquals(await silent.told.first(1), ['join writer [{"x":2}]']);
  const [, , , , reply] = await socket.ask("realtime:room", "presence", { event: "untrack" }, join);
  assertEquals(reply.status, "ok");
  assert(!socket.heard.all.some(([, , , event]) => event.startsWith("presence_")));
  // Its own tracking is seen by others all the same.
  await socket.ask("realtime:room", "presence", { event: "track", payload: { x: 3 } }, join);
  assertEquals((await silent.told.first(2))[1]!.endsWith('[{"x":3}]'), true);
  assert(!socket.heard.all.some(([, , , event]) => event.startsWith("presence_")));
  socket.close();
});

realtimeTest("whoever may not track stays in the channel when their token is new", async (own) => {
  const reader = await own.member("room", { writes: ["broadcast"] });
  const socket = new RawSocket(own);
  const config = { private: true, presence: { enabled: false } };
  const join = await socket.join("realtime:room", config, reader.token);
  const payload = { type: "presence", event: "track", payload: {} };
  const [, , , , refused] = await socket.ask("realtime:room", "presence", payload, join);
  assertEquals(refused.status, "error");
  const access_token = await own.sign({
    role: "authenticated",
    sub: reader.id,
    exp: Math.floor(Date.now() / 1000) + 3600,
  });
  const token = [join, "t", "realtime:room", "access_token", { access_token }];
  await socket.frame(JSON.stringify(token));
  const [, , , , reply] = await socket.ask("realtime:room", "presence", { event: "untrack" }, join);
  assertEquals(reply.status, "ok");
  assert(!socket.heard.all.some(([, , , event]) => event === "phx_close" || event === "system"));
  socket.close();
});

realtimeTest("tracking turns presence on where a join left it off", async (own) => {
  const member = await own.member("room");
  const first = await present(own, "first", member);
  await first.channel.track({});
  const socket = new RawSocket(own);
  const join = await socket.join("realtime:room", { private: true }, member.token);
  const track = { type: "presence", event: "track", payload: { me: true } };
  await socket.ask("realtime:room", "presence", track, join);
  const [, , , , diff] = await socket.message(([, , , event]) => event === "presence_diff");
  assertEquals(Object.keys(diff.joins as object).length, 1);
  const events = socket.heard.all.map(([joinRef, , , event]) => [joinRef, event]);
  assertEquals(events, [
    [join, "phx_reply"],
    [join, "phx_reply"],
    [join, "presence_state"],
    [null, "presence_diff"],
  ]);
  assertEquals(Object.keys(socket.heard.all[2]![4]), ["first"]);
  socket.close();
});

realtimeTest(
  "a payload that is no object is refused, and the sixth call ends the channel",
  async (own) => {
    const { channel } = await present(own, "asha");
    const socket = new RawSocket(own);
    const join = await socket.join("realtime:room", {});
    const track = (payload: unknown) =>
      socket.ask("realtime:room", "presence", { type: "presence", event: "track", payload }, join);
    for (const payload of ["text", 1, [], true]) {
      assertEquals((await track(payload))[4], {
        status: "error",
        response: { reason: "Presence track payload must be a map" },
      });
    }
    socket.close();

    const system = systemOf(channel);
    for (let i = 0; i < 5; i++) assertEquals(await channel.track({ i }), "ok");
    channel.track({ i: 6 });
    assertEquals((await system.first(1))[0]!.message, "Client presence rate limit exceeded");
  },
);

realtimeTest("a payload that is too large ends the channel", async (own) => {
  const { channel } = await present(own, "asha");
  const system = systemOf(channel);
  channel.track({ text: "x".repeat(2000) });
  assertEquals((await system.first(1))[0]!.message, "Track message size exceeded");
}, { maxPayloadBytes: 1000 });

realtimeTest(
  "too much presence in the project ends the channel that asks for more",
  async (own) => {
    const system = await (async () => {
      const { channel } = await present(own, "asha");
      const heard = systemOf(channel);
      for (let i = 0; i < 61; i++) channel.track({ i });
      return heard;
    })();
    assertEquals((await system.first(1))[0]!.message, "Too many presence messages per second");
  },
  { maxPresencePerSecond: 1, maxPresenceCalls: 0 },
);
