// Broadcasts as applications see them: who hears whom, on public and private channels, from sockets,
// from requests and from the database.

import { assertEquals } from "@std/assert";
import { broadcastsOf, joined, realtimeTest } from "../support/realtime.ts";

realtimeTest(
  "a broadcast reaches the others of a private channel, once each and in order",
  async (own) => {
    const topic = "room";
    const [alice, bob] = [await own.member(topic), await own.member(topic)];
    const config = { config: { private: true, broadcast: { ack: true } } };
    const from = (await own.client(alice)).channel(topic, config);
    const to = (await own.client(bob)).channel(topic, config);
    const heard = broadcastsOf(to);
    const own_ = broadcastsOf(from);
    await Promise.all([joined(from), joined(to)]);
    for (const x of ["é", "b", "c"]) {
      assertEquals(await from.send({ type: "broadcast", event: "hi", payload: { x } }), "ok");
    }
    assertEquals((await heard.first(3)).map(({ payload }) => payload.x), ["é", "b", "c"]);
    assertEquals(own_.all, []);
  },
);

realtimeTest(
  "realtime.send is heard with meta.id when its transaction commits, and never otherwise",
  async (own) => {
    const topic = "room";
    const to = (await own.client(await own.member(topic))).channel(topic, {
      config: { private: true },
    });
    const heard = broadcastsOf(to);
    await joined(to);
    await own.context.admin.begin(async (tx) => {
      await tx`select realtime.send('{"n":0}', 'e', ${topic}, true)`;
      throw new Error("undo");
    }).catch(() => {});
    await own.context.admin.begin(async (tx) => {
      await tx`select realtime.send('{"n":1}', 'e', ${topic}, true)`;
      await tx`select realtime.send('{"n":2}', 'e', ${topic}, true)`;
    });
    const [first, second] = await heard.first(2);
    assertEquals([first!.payload.n, second!.payload.n], [1, 2]);
    assertEquals(first!.payload.id, first!.meta!.id);
  },
);
