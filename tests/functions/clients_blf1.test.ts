// The format blf1: what is sealed opens again and is laid out as docs/file-encryption.md says; whatever
// is done to the bytes is refused.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  decryptStream,
  encryptStream,
  FormatError,
  type FormatFault,
  FRAME_BYTES,
  HEADER_BYTES,
  importKey,
  SEALED_FRAME_BYTES,
  sealedSize,
  sealWith,
} from "../../clients/blf1.ts";

const RECORD_ID = "0b5f6f1e-6f0e-4d43-9d6a-0f3f3f3f3f3f";
const OTHER_ID = "0b5f6f1e-6f0e-4d43-9d6a-0f3f3f3f3f3e";
const KEY = await importKey(Uint8Array.from({ length: 32 }, (_, at) => at));

/** Bytes that differ from place to place. */
function pattern(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, at) => at * 31 + (at >> 8) * 7);
}

function inPieces(bytes: Uint8Array, pieceLength: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at += pieceLength));
    },
  });
}

type Transform = TransformStream<Uint8Array, Uint8Array<ArrayBuffer>>;

async function through(bytes: Uint8Array, transform: Transform, pieceLength = 10_000) {
  return await new Response(inPieces(bytes, pieceLength).pipeThrough(transform)).bytes();
}

const seal = (bytes: Uint8Array, recordId = RECORD_ID) =>
  through(bytes, encryptStream(KEY, recordId));
const open = (bytes: Uint8Array, recordId = RECORD_ID) =>
  through(bytes, decryptStream(KEY, recordId));

/** Opens what must be refused; answers why. */
async function faultOf(
  sealed: Uint8Array,
  { recordId = RECORD_ID, key = KEY, pieceLength = 10_000 } = {},
): Promise<FormatFault> {
  const transform = decryptStream(key, recordId);
  const error = await assertRejects(() => through(sealed, transform, pieceLength), FormatError);
  return error.fault;
}

function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Header and frames of a sealed file, apart. */
function takeApart(sealed: Uint8Array<ArrayBuffer>) {
  const frames: Uint8Array<ArrayBuffer>[] = [];
  for (let at = HEADER_BYTES; at < sealed.length; at += SEALED_FRAME_BYTES) {
    frames.push(sealed.slice(at, at + SEALED_FRAME_BYTES));
  }
  return { header: sealed.slice(0, HEADER_BYTES), frames };
}

/** Lengths around the ends of frames. */
const LENGTHS = [0, 1, 2, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES, 200_001];
const THREE_FRAMES = pattern(2 * FRAME_BYTES + 100);

Deno.test("a file of any length opens to what was sealed, and is as long as sealedSize says", async () => {
  for (const length of LENGTHS) {
    const sealed = await seal(pattern(length));
    assertEquals(sealed.length, sealedSize(length));
    assertEquals(await open(sealed), pattern(length));
  }
});

Deno.test("the pieces in which a file comes make no difference", async () => {
  const prefix = Uint8Array.of(1, 2, 3, 4, 5, 6, 7);
  const plain = pattern(FRAME_BYTES + 5);
  const expected = await through(plain, sealWith(KEY, RECORD_ID, prefix));
  for (const length of [1, 7, 10, 11, 12, 4096, FRAME_BYTES, SEALED_FRAME_BYTES, 1 << 20]) {
    assertEquals(await through(plain, sealWith(KEY, RECORD_ID, prefix), length), expected);
    assertEquals(await through(expected, decryptStream(KEY, RECORD_ID), length), plain);
  }
});

Deno.test("any file in any pieces goes there and back", async () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 90_000 }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(pieces, fc.uuid(), async (parts, recordId) => {
      const sealed = ReadableStream.from(parts).pipeThrough(encryptStream(KEY, recordId));
      const opened = sealed.pipeThrough(decryptStream(KEY, recordId));
      assertEquals(await new Response(opened).bytes(), join(...parts));
    }),
    { numRuns: 60 },
  );
});

Deno.test("the bytes are those of the test vector", async () => {
  // docs/file-encryption.md has it, too; made with another implementation of AES-GCM.
  const sealed = await through(
    new TextEncoder().encode("Haemoglobin 11.2 g/dL"),
    sealWith(KEY, RECORD_ID, Uint8Array.of(0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6)),
  );
  assertEquals(sealed.toHex(), VECTOR);
  assertEquals(
    new TextDecoder().decode(await open(Uint8Array.fromHex(VECTOR))),
    "Haemoglobin 11.2 g/dL",
  );
});

const VECTOR = "424c4631a0a1a2a3a4a5a6" +
  "3f002c73d7618caf610cb60ffebf956a276c048d8ebc7db467947100fcd3499856a936b93b";

Deno.test("two sealings of one file have nothing in common but the first four bytes", async () => {
  const [a, b] = [await seal(THREE_FRAMES), await seal(THREE_FRAMES)];
  assertEquals(a.subarray(0, 4), b.subarray(0, 4));
  const same = a.filter((byte, at) => byte === b[at]).length;
  assert(same < a.length / 100, `${same} of ${a.length} bytes are equal`);
});

Deno.test("a file that is cut off anywhere is refused", async () => {
  const sealed = await seal(THREE_FRAMES);
  const ends = [
    ...[0, 1, 4, 5, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1, HEADER_BYTES + 15],
    ...[1, 2].flatMap((count) =>
      [-16, -1, 0, 1, 15, 16, 17].map((more) => HEADER_BYTES + count * SEALED_FRAME_BYTES + more)
    ),
    ...[-116, -17, -16, -1].map((more) => sealed.length + more),
  ];
  for (const end of ends) {
    for (const pieceLength of [10_000, 1 << 20]) {
      const fault = await faultOf(sealed.subarray(0, end), { pieceLength });
      assert(fault === "truncated" || fault === "not_authentic", `${fault} at ${end}`);
    }
  }
});

Deno.test("a file that ends within its header or a tag is told to be cut off", async () => {
  const sealed = await seal(pattern(FRAME_BYTES + 5));
  for (
    const end of [2, 7, HEADER_BYTES, HEADER_BYTES + 3, HEADER_BYTES + SEALED_FRAME_BYTES + 15]
  ) {
    assertEquals(await faultOf(sealed.subarray(0, end)), "truncated");
  }
});

Deno.test("a file that goes on after its end is refused", async () => {
  for (const length of [0, 100, FRAME_BYTES, 2 * FRAME_BYTES + 100]) {
    const sealed = await seal(pattern(length));
    const { frames } = takeApart(sealed);
    const more = [
      Uint8Array.of(0),
      new Uint8Array(16),
      new Uint8Array(100),
      frames.at(-1)!,
      sealed,
    ];
    for (const tail of more) {
      const fault = await faultOf(join(sealed, tail));
      // What is behind the last whole frame may be too short to be one at all.
      assert(fault === "not_authentic" || fault === "truncated", fault);
    }
  }
});

Deno.test("frames in another order, twice, or left out are refused", async () => {
  const { header, frames: [a, b, c] } = takeApart(await seal(THREE_FRAMES));
  const wrong = [[b, a, c], [a, a, c], [a, b, b], [a, a, b, c], [a, b, c, c], [b, c], [a, c], [c]];
  for (const frames of wrong) {
    assertEquals(await faultOf(join(header, ...frames.map((frame) => frame!))), "not_authentic");
  }
});

Deno.test("frames of another file are refused, under the same key and for the same record, too", async () => {
  const [mine, other] = [takeApart(await seal(THREE_FRAMES)), takeApart(await seal(THREE_FRAMES))];
  for (let at = 0; at < 3; at++) {
    const frames = mine.frames.with(at, other.frames[at]!);
    assertEquals(await faultOf(join(mine.header, ...frames)), "not_authentic");
  }
  assertEquals(await faultOf(join(other.header, ...mine.frames)), "not_authentic");
});

Deno.test("a file of another record is refused", async () => {
  const sealed = await seal(THREE_FRAMES, OTHER_ID);
  assertEquals(await faultOf(sealed), "not_authentic");
  assertEquals(await open(sealed, OTHER_ID), THREE_FRAMES);
  // The id is compared by its bits, not its letters.
  assertEquals(await open(sealed, OTHER_ID.toUpperCase()), THREE_FRAMES);
  const prefix = new Uint8Array(7);
  const first = await through(THREE_FRAMES, sealWith(KEY, RECORD_ID, prefix));
  const second = await through(THREE_FRAMES, sealWith(KEY, OTHER_ID, prefix));
  const frames = takeApart(first).frames.with(1, takeApart(second).frames[1]!);
  assertEquals(await faultOf(join(first.slice(0, HEADER_BYTES), ...frames)), "not_authentic");
});

Deno.test("a file under another key is refused", async () => {
  const sealed = await seal(THREE_FRAMES);
  const key = await importKey(new Uint8Array(32));
  assertEquals(await faultOf(sealed, { key }), "not_authentic");
});

Deno.test("a single bit that differs anywhere is found", async () => {
  const sealed = await seal(pattern(FRAME_BYTES + 50));
  const places = fc.oneof(
    fc.nat(HEADER_BYTES - 1),
    fc.nat(sealed.length - 1),
    fc.integer({ min: HEADER_BYTES + FRAME_BYTES, max: sealed.length - 1 }),
  );
  await fc.assert(
    fc.asyncProperty(places, fc.nat(7), async (at, bit) => {
      const fault = await faultOf(sealed.with(at, sealed[at]! ^ 1 << bit));
      assertEquals(fault, at < 4 ? "not_blf1" : "not_authentic");
    }),
    { numRuns: 150 },
  );
});

Deno.test("what is no file of this format and version is told as such", async () => {
  const sealed = await seal(pattern(10));
  assertEquals(await faultOf(new TextEncoder().encode("%PDF-1.4 some plaintext")), "not_blf1");
  assertEquals(await faultOf(sealed.with(3, 0x32)), "not_blf1"); // BLF2
  assertEquals(await faultOf(new TextEncoder().encode("%PD")), "not_blf1");
  assertEquals(await faultOf(new Uint8Array()), "truncated");
});

Deno.test("a file ends in a frame without content only when it has no content at all", async () => {
  // Sealed by hand: a full frame that does not say it is the last, then an empty one that does.
  const prefix = new Uint8Array(7);
  const whole = await through(pattern(FRAME_BYTES + 1), sealWith(KEY, RECORD_ID, prefix));
  const { header, frames: [first] } = takeApart(whole);
  const iv = new Uint8Array([...prefix, 0, 0, 0, 1, 1]);
  const id = Uint8Array.fromHex(RECORD_ID.replaceAll("-", ""));
  const additionalData = join(header.subarray(0, 4), id, iv.subarray(7));
  const raw = await crypto.subtle.importKey(
    "raw",
    Uint8Array.from({ length: 32 }, (_, at) => at),
    "AES-GCM",
    false,
    ["encrypt"],
  );
  const seals = async (bytes: Uint8Array<ArrayBuffer>) =>
    new Uint8Array(
      await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData }, raw, bytes),
    );
  assertEquals(await faultOf(join(header, first!, await seals(new Uint8Array()))), "not_authentic");
  // The same with a byte is fine, so it is the emptiness that is refused.
  const fine = join(header, first!, await seals(Uint8Array.of(7)));
  assertEquals((await open(fine)).length, FRAME_BYTES + 1);
});

Deno.test("what comes out before a failure is a true beginning, frame by frame", async () => {
  const plain = pattern(20 * FRAME_BYTES);
  const sealed = await seal(plain);
  const at = HEADER_BYTES + 15 * SEALED_FRAME_BYTES + 5;
  const reader = inPieces(sealed.with(at, sealed[at]! ^ 1), 50_000)
    .pipeThrough(decryptStream(KEY, RECORD_ID)).getReader();
  let count = 0;
  await assertRejects(async () => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      assertEquals(part.value, plain.slice(count * FRAME_BYTES, ++count * FRAME_BYTES));
    }
  }, FormatError);
  assert(count <= 15);
});

Deno.test("a piece that is overwritten after it was handed in does no harm", async () => {
  const plain = pattern(5 * FRAME_BYTES);
  const piece = new Uint8Array(FRAME_BYTES / 2);
  let at = 0;
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= plain.length) return controller.close();
      piece.set(plain.subarray(at, at += piece.length));
      controller.enqueue(piece);
    },
  }, { highWaterMark: 0 });
  const sealed = await new Response(source.pipeThrough(encryptStream(KEY, RECORD_ID))).bytes();
  assertEquals(await open(sealed), plain);
});

Deno.test("a reader that goes away ends the stream, and nobody reports a forgotten failure", async () => {
  const sealed = await seal(pattern(30 * FRAME_BYTES));
  const reader = inPieces(sealed.fill(0, 100, 200), 10_000)
    .pipeThrough(decryptStream(KEY, RECORD_ID)).getReader();
  await reader.cancel();
});

Deno.test("a key has 32 bytes, and a record's id is a UUID", async () => {
  for (const length of [0, 16, 31, 33]) {
    await assertRejects(() => importKey(new Uint8Array(length)), RangeError);
  }
  for (const id of ["", "1", `${RECORD_ID}0`, RECORD_ID.replaceAll("-", "")]) {
    assertThrows(() => encryptStream(KEY, id), RangeError);
    assertThrows(() => decryptStream(KEY, id), RangeError);
  }
  await assertRejects(() => crypto.subtle.exportKey("raw", KEY), DOMException);
});

Deno.test("a file of 200 MB passes through with the memory of a few frames", async () => {
  const piece = pattern(1 << 20);
  let pieces = 0;
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (pieces++ === 200) return controller.close();
      controller.enqueue(piece);
    },
  }, { highWaterMark: 0 });
  const opened = source.pipeThrough(encryptStream(KEY, RECORD_ID))
    .pipeThrough(decryptStream(KEY, RECORD_ID));
  let [length, most] = [0, 0];
  const before = Deno.memoryUsage();
  for await (const frame of opened) {
    length += frame.length;
    const { external, heapUsed } = Deno.memoryUsage();
    most = Math.max(most, external + heapUsed - before.external - before.heapUsed);
  }
  assertEquals(length, 200 << 20);
  assert(most < 100 << 20, `${Math.round(most / 1e6)} MB`);
});
