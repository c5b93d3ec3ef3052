// Frames of Realtime: what was recorded from the client decodes, what is encoded the client reads, and
// nothing that is malformed does anything but be dropped.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  decodeFrame,
  encodeBroadcast,
  encodeText,
  isLonger,
  jsonBroadcast,
  SharedFrame,
} from "../../supabase/local/realtime/frames.ts";

const bytes = (...parts: (number[] | string)[]) =>
  Uint8Array.from(
    parts.flatMap((p) => typeof p === "string" ? [...new TextEncoder().encode(p)] : p),
  );
const text = (data: Uint8Array) => new TextDecoder().decode(data);

Deno.test("decodeFrame reads a recorded binary broadcast with multi-byte characters", () => {
  const frame = bytes([3, 1, 1, 15, 2, 0, 1], "67", "realtime:room:1", "hi", '{"x":"é"}');
  const message = decodeFrame("2.0.0", frame)!;
  assertEquals([message.joinRef, message.ref, message.topic], ["6", "7", "realtime:room:1"]);
  assertEquals([message.event, message.broadcast!.event], ["broadcast", "hi"]);
  assertEquals(message.broadcast!.isJson, true);
  assertEquals(text(message.broadcast!.payload), '{"x":"é"}');
});

Deno.test("decodeFrame reads metadata, raw bytes and pushes of kind 0", () => {
  const raw = bytes([3, 0, 0, 10, 1, 16, 0], "realtime:a", "e", '{"persist":true}', [0, 255, 7]);
  assertEquals(decodeFrame("2.0.0", raw)!.broadcast, {
    event: "e",
    payload: bytes([0, 255, 7]),
    isJson: false,
  });
  const push = decodeFrame("2.0.0", bytes([0, 1, 1, 10, 4], "12", "realtime:a", "ping", [9]))!;
  assertEquals([push.joinRef, push.ref, push.topic, push.event], ["1", "2", "realtime:a", "ping"]);
  assertEquals(push.payload, bytes([9]));
});

Deno.test("decodeFrame reads both versions of text", () => {
  const wanted = { joinRef: "1", ref: "2", topic: "t", event: "e", payload: { a: 1 } };
  assertEquals(decodeFrame("2.0.0", '["1","2","t","e",{"a":1}]'), wanted);
  const object = '{"topic":"t","event":"e","payload":{"a":1},"ref":"2","join_ref":"1"}';
  assertEquals(decodeFrame("1.0.0", object), wanted);
});

Deno.test("decodeFrame drops what is malformed", () => {
  const malformed: [string, string | Uint8Array<ArrayBuffer>][] = [
    ["no JSON", "{"],
    ["an object", '{"topic":"t","event":"e","payload":{},"ref":"2"}'],
    ["four parts", '["1","2","t","e"]'],
    ["a topic that is a number", '["1","2",3,"e",{}]'],
    ["a reference that is an object", '[{},"2","t","e",{}]'],
    ["an unknown kind", bytes([4, 1, 1, 0, 1], "ab")],
    ["nothing", bytes([])],
    ["a head that is cut", bytes([3, 1, 1])],
    ["a length beyond the end", bytes([3, 1, 1, 99, 0, 0, 1], "67realtime:a")],
    ["an unknown encoding", bytes([3, 0, 0, 1, 1, 0, 2], "te", "{}")],
    ["JSON that is none", bytes([3, 0, 0, 1, 1, 0, 1], "te", "{")],
    ["UTF-8 that is none", bytes([3, 0, 0, 1, 1, 0, 1], "te", [0x22, 0xff, 0x22])],
    ["metadata that is no object", bytes([3, 0, 0, 1, 1, 1, 1], "te", "1", "{}")],
  ];
  for (const [what, frame] of malformed) assertEquals(decodeFrame("2.0.0", frame), undefined, what);
  assertEquals(decodeFrame("1.0.0", bytes([0, 0, 0, 1, 1], "te")), undefined, "binary in 1.0.0");
  assertEquals(decodeFrame("1.0.0", '["1","2","t","e",{}]'), undefined, "an array in 1.0.0");
});

Deno.test("decodeFrame throws at nothing", () => {
  const frames = fc.oneof(
    fc.uint8Array({ maxLength: 80 }).map((data) => new Uint8Array(data)),
    fc.tuple(fc.constantFrom(0, 3), fc.uint8Array({ maxLength: 80 }))
      .map(([kind, rest]) => Uint8Array.from([kind, ...rest])),
    fc.string(),
    fc.json(),
    fc.array(fc.jsonValue(), { minLength: 4, maxLength: 6 }).map((value) => JSON.stringify(value)),
  );
  fc.assert(
    fc.property(frames, fc.constantFrom("1.0.0", "2.0.0"), (frame, vsn) => {
      const message = decodeFrame(vsn as "2.0.0", frame);
      if (!message) return;
      assertEquals([typeof message.topic, typeof message.event], ["string", "string"]);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("encodeBroadcast lays out a frame of kind 4", () => {
  const frame = encodeBroadcast("realtime:é", jsonBroadcast("hi", '{"x":"ü"}'), { id: "1" })!;
  assertEquals(frame, bytes([4, 11, 2, 10, 1], "realtime:é", "hi", '{"id":"1"}', '{"x":"ü"}'));
  const plain = encodeBroadcast("t", { event: "e", payload: bytes([1, 2]), isJson: false })!;
  assertEquals(plain, bytes([4, 1, 1, 0, 0], "te", [1, 2]));
});

Deno.test("SharedFrame gives each version what it can read", () => {
  const json = SharedFrame.broadcast("t", jsonBroadcast("e", '{"a":1}'), { id: "i" });
  assert(json.forVsn("2.0.0") instanceof Uint8Array);
  assertEquals(
    json.forVsn("1.0.0"),
    '{"topic":"t","event":"broadcast","payload":{"type":"broadcast","event":"e",' +
      '"payload":{"a":1},"meta":{"id":"i"}},"ref":null}',
  );
  const raw = { event: "e", payload: bytes([1]), isJson: false };
  assertEquals(SharedFrame.broadcast("t", raw, undefined).forVsn("1.0.0"), undefined);
  const long = "t".repeat(256);
  assertEquals(
    SharedFrame.broadcast(long, jsonBroadcast("e", "{}"), undefined).forVsn("2.0.0"),
    `[null,null,"${long}","broadcast",{"type":"broadcast","event":"e","payload":{}}]`,
  );
  assertEquals(SharedFrame.broadcast(long, raw, undefined).forVsn("2.0.0"), undefined);
});

Deno.test("SharedFrame encodes once for each version", () => {
  const frame = SharedFrame.broadcast("t", jsonBroadcast("e", "{}"), undefined);
  assert(frame.forVsn("2.0.0") === frame.forVsn("2.0.0"));
});

Deno.test("encodeText writes both versions, the older without join_ref", () => {
  const message = { joinRef: "1", ref: "2", topic: "t", event: "e", payload: { a: 1 } };
  assertEquals(encodeText("2.0.0", message), '["1","2","t","e",{"a":1}]');
  assertEquals(
    encodeText("1.0.0", message),
    '{"topic":"t","event":"e","payload":{"a":1},"ref":"2"}',
  );
});

Deno.test("isLonger counts bytes, not letters", () => {
  assertEquals([isLonger("aaaa", 4), isLonger("aaaaa", 4)], [false, true]);
  assertEquals([isLonger("éé", 4), isLonger("ééa", 4)], [false, true]);
});
