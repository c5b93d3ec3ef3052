// Presence, rooms, rates, and what a join asks for: the parts of Realtime that need neither sockets nor
// a database.

import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { parseJoin } from "../../supabase/local/realtime/join.ts";
import { PresenceRoom, type PresenceState } from "../../supabase/local/realtime/presence.ts";
import { Rate } from "../../supabase/local/realtime/rates.ts";
import { parseReplay } from "../../supabase/local/realtime/replay.ts";
import { DEFAULT_SETTINGS, readRealtimeSettings } from "../../supabase/local/realtime/settings.ts";

const plain = (state: PresenceState) => JSON.parse(JSON.stringify(state));

Deno.test("a changed payload is a join with the new meta and a leave with the old, in one diff", () => {
  const room = new PresenceRoom<number>();
  const first = plain(room.track(1, "asha", { at: "home" })!.joins).asha.metas[0];
  const diff = plain(room.track(1, "asha", { at: "ward" })! as never);
  assertEquals(diff.leaves, { asha: { metas: [first] } });
  const [second] = diff.joins.asha.metas;
  assertEquals([second.at, second.phx_ref_prev], ["ward", first.phx_ref]);
  assertNotEquals(second.phx_ref, first.phx_ref);
});

Deno.test("the same payload again is no change, whatever the order of its keys", () => {
  const room = new PresenceRoom<number>();
  room.track(1, "k", { a: 1, b: { c: [1, 2], d: null } });
  assertEquals(room.track(1, "k", { b: { d: null, c: [1, 2] }, a: 1 }), undefined);
  assert(room.track(1, "k", { b: { d: null, c: [2, 1] }, a: 1 }));
});

Deno.test("keys that every object inherits are keys like others", () => {
  const room = new PresenceRoom<number>();
  for (const [i, key] of ["__proto__", "constructor", "toString"].entries()) room.track(i, key, {});
  assertEquals(Object.keys(room.state()), ["__proto__", "constructor", "toString"]);
  assertEquals(JSON.stringify(room.state()).match(/metas/g)?.length, 3);
});

Deno.test("whoever applies every diff has the state of the room", () => {
  const act = fc.record({
    channel: fc.integer({ min: 0, max: 4 }),
    key: fc.constantFrom("a", "b"),
    value: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
  });
  fc.assert(fc.property(fc.array(act), (acts) => {
    const room = new PresenceRoom<number>();
    const keys = new Map<number, string>();
    const seen = new Map<string, unknown>();
    for (const { channel, key, value } of acts) {
      keys.set(channel, keys.get(channel) ?? key);
      const diff = value === undefined
        ? room.untrack(channel)
        : room.track(channel, keys.get(channel)!, { value });
      const metas = (state: PresenceState) =>
        Object.entries(state).flatMap(([k, { metas }]) => metas.map((meta) => ({ k, meta })));
      for (const { meta } of metas(diff?.leaves ?? {})) {
        assert(seen.delete(meta.phx_ref as string), "a meta left that had not come");
      }
      for (const { k, meta } of metas(diff?.joins ?? {})) seen.set(meta.phx_ref as string, k);
    }
    const now = Object.entries(room.state())
      .flatMap(([k, { metas }]) => metas.map((meta) => [meta.phx_ref as string, k]));
    assertEquals(new Map([...seen].toSorted()), new Map(now.toSorted() as [string, string][]));
  }));
});

Deno.test("Rate is the average of the last sixty seconds", () => {
  let now = 1_000_000;
  const rate = new Rate(() => now, 2);
  assert(rate.add(120));
  assert(!rate.add());
  assertEquals(rate.average, 121 / 60);
  now += 59_000;
  assert(rate.isOver());
  now += 1000;
  assertEquals([rate.isOver(), rate.average], [false, 0]);
  assertEquals([rate.isOver(120), rate.isOver(121)], [false, true]);
  const free = new Rate(() => now, 0);
  assert(free.add(1e9));
});

Deno.test("parseJoin takes defaults for whatever it cannot read", () => {
  const read = (payload: unknown) => {
    const { presenceKey: _, ...rest } = parseJoin(payload);
    return rest;
  };
  const nothing = read({});
  const { isPrivate, ack, self, presence, changes, replicationReady, token } = nothing;
  assertEquals([isPrivate, ack, self, presence, replicationReady], [
    false,
    false,
    false,
    false,
    false,
  ]);
  assertEquals([changes, token], [[], undefined]);
  const odd = [null, 1, "x", [], { config: 1 }, {
    config: { broadcast: [], presence: 1, private: 1 },
  }];
  for (const payload of odd) assertEquals(read(payload), nothing);
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    parseJoin(value);
    parseJoin({ config: value });
    parseJoin({ config: { broadcast: value, presence: value, postgres_changes: [value] } });
  }));
});

Deno.test("parseJoin takes texts for truth values, and user_token for access_token", () => {
  const { isPrivate, ack, token } = parseJoin({
    config: { private: "true", broadcast: { ack: "true" } },
    user_token: "a.b.c",
  });
  assertEquals([isPrivate, ack, token], [true, true, "a.b.c"]);
  assertEquals(parseJoin({ access_token: "sb_publishable_x" }).token, undefined);
});

Deno.test("parseJoin makes a presence key where none is given", () => {
  const key = (value?: unknown) => parseJoin({ config: { presence: { key: value } } }).presenceKey;
  assertEquals(key("asha"), "asha");
  assertNotEquals(key(), key());
  assertNotEquals(key(""), "");
});

Deno.test("parseReplay keeps to at most 25 messages and to the past", () => {
  const now = 1_700_000_000_000;
  assertEquals(parseReplay({ since: 5 }, now), { since: 5, limit: 25 });
  assertEquals(parseReplay({ since: 5, limit: 100 }, now), { since: 5, limit: 25 });
  assertEquals(parseReplay({ since: 5, limit: 0 }, now), { since: 5, limit: 1 });
  assertEquals(parseReplay({ since: now + 59_000, limit: 2 }, now)?.limit, 2);
  for (
    const wrong of [{}, { since: "5" }, { since: now + 61_000 }, { since: 5, limit: "x" }, {
      since: -1,
    }]
  ) {
    assertEquals(parseReplay(wrong, now), undefined);
  }
});

Deno.test("settings of the environment go over the defaults, and what is none is refused", () => {
  assertEquals(readRealtimeSettings({}), DEFAULT_SETTINGS);
  const set = readRealtimeSettings({
    BL_REALTIME_MAX_CHANNELS: "7",
    BL_REALTIME_PRIVATE_ONLY: "true",
  });
  assertEquals([set.maxChannels, set.privateOnly], [7, true]);
  for (const text of ["-1", "x", "", "1.5", "2147483648"]) {
    assertThrows(
      () => readRealtimeSettings({ BL_REALTIME_MAX_CHANNELS: text }),
      Error,
      "whole number",
    );
  }
  assertThrows(() => readRealtimeSettings({ BL_REALTIME_ENABLED: "1" }), Error, "true or false");
});
