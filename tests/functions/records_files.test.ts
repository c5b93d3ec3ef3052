// Whether a file is what it was announced to be, found while it streams by.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { findDifferences } from "../../functions/records/file_check.ts";
import { checkType, type FileType, isFileType } from "../../functions/records/file_type.ts";
import { DICOM_WITH, sampleFile, SAMPLES, sha256 } from "../fixtures/files.ts";

const encoder = new TextEncoder();
const TYPES = Object.keys(SAMPLES).filter(isFileType);
const TEXT_TYPES: FileType[] = ["text/plain", "application/json"];

/** Feeds a file in pieces of some length. */
async function isOfType(type: FileType, bytes: Uint8Array, pieceLength = 7): Promise<boolean> {
  const check = checkType(type);
  for (let at = 0; at < bytes.length; at += pieceLength) {
    check.push(bytes.subarray(at, at + pieceLength));
  }
  return await check.matches();
}

/** A stream that gives a file in pieces, and remembers how much was asked for. */
function streamOf(bytes: Uint8Array<ArrayBuffer>, pieceLength = 1000) {
  const seen = { bytes: 0, is_cancelled: false };
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (seen.bytes >= bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(seen.bytes, seen.bytes + pieceLength));
      seen.bytes += pieceLength;
    },
    cancel() {
      seen.is_cancelled = true;
    },
  }, { highWaterMark: 0 });
  return { stream, seen };
}

Deno.test("a sample of each type is of its type and of no other binary one", async () => {
  for (const type of TYPES) {
    for (const other of TYPES) {
      // A JSON file is plain text, too.
      const expected = type === other || (type === "application/json" && other === "text/plain");
      const { bytes } = await sampleFile(type);
      assertEquals(await isOfType(other, bytes), expected, `${type} as ${other}`);
    }
  }
});

Deno.test("a type is found whatever the pieces a file comes in", async () => {
  for (const type of TYPES) {
    const { bytes } = await sampleFile(type);
    for (const pieceLength of [1, 2, 3, 64, 4096, 1 << 20]) {
      assert(await isOfType(type, bytes, pieceLength), `${type} in pieces of ${pieceLength}`);
    }
  }
});

Deno.test("a text may be in any script, and has no control characters", async () => {
  const texts = ["", "a", "a\tb\r\nc\f", "नमस्ते", "\u{1f600}", "\ufeffmarked", "x".repeat(100_000)];
  for (const text of texts) {
    assert(await isOfType("text/plain", encoder.encode(text)), text.slice(0, 9));
  }
  for (
    const text of [
      "\0",
      "a\0",
      "\u0007",
      "\u001b[31m",
      "\u007f",
      "\u0085",
      "a".repeat(9_000) + "\0",
    ]
  ) {
    assert(!await isOfType("text/plain", encoder.encode(text)), JSON.stringify(text.slice(0, 9)));
  }
});

Deno.test("a text is UTF-8 to its last byte", async () => {
  const wrong = [[0xff], [0x61, 0x80], [0xc3], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x98], [
    0xc0,
    0xaf,
  ]];
  for (const bytes of wrong) assert(!await isOfType("text/plain", Uint8Array.from(bytes)));
});

Deno.test("a JSON file is one value and nothing else", async () => {
  const good = [
    "{}",
    "[]",
    " [1, 2.5e3, null] \n",
    '"text"',
    "7",
    "true",
    '{"a":{"b":[{}]}}',
    '{"a":1,"a":2}',
  ];
  for (const text of good) {
    for (const pieceLength of [1, 3, 100]) {
      assert(await isOfType("application/json", encoder.encode(text), pieceLength), text);
    }
  }
  const wrong = [
    "",
    " ",
    "{",
    "[1,]",
    "[1 2]",
    '{"a"}',
    "{'a':1}",
    "nul",
    "{} {}",
    "[]]",
    "1,2",
    '"a',
    "01",
    "NaN",
    '{"a":1}\0',
  ];
  for (const text of wrong) {
    assert(!await isOfType("application/json", encoder.encode(text)), text);
  }
});

Deno.test("a JSON file agrees with JSON.parse", async () => {
  const text = fc.oneof(
    fc.json(),
    fc.tuple(fc.json(), fc.nat(), fc.string({ maxLength: 2 })).map(([json, at, part]) => {
      const place = at % (json.length + 1);
      return json.slice(0, place) + part + json.slice(place + part.length);
    }),
  ).filter((json) => json.isWellFormed());
  await fc.assert(
    fc.asyncProperty(text, fc.integer({ min: 1, max: 50 }), async (json, pieceLength) => {
      let parses = true;
      try {
        JSON.parse(json);
      } catch {
        parses = false;
      }
      // deno-lint-ignore no-control-regex -- control characters are refused before JSON is read
      const is_text = !/[\u0000-\u0008\u000b\u000e-\u001f\u007f-\u009f]/.test(json);
      const found = await isOfType("application/json", encoder.encode(json), pieceLength);
      assertEquals(found, parses && is_text, json);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("a JSON file that nests without end is refused without growing", async () => {
  for (const text of ["[".repeat(5_000_000), '{"a":'.repeat(500_000)]) {
    assert(!await isOfType("application/json", encoder.encode(text), 65_536));
  }
});

Deno.test("a DICOM file may have a TIFF header in its preamble, and no other file", async () => {
  assert(await isOfType("application/dicom", DICOM_WITH.tiff));
  assert(!await isOfType("application/dicom", DICOM_WITH.windowsProgram));
  assert(!await isOfType("application/dicom", DICOM_WITH.pdf));
  assert(!await isOfType("application/dicom", SAMPLES["application/dicom"].subarray(0, 131)));
});

Deno.test("no file begins with the mark of one binary type and passes for another", async () => {
  const binary = TYPES.filter((type) => !TEXT_TYPES.includes(type));
  const tail = fc.uint8Array({ maxLength: 300 });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...TYPES),
      fc.constantFrom(...TYPES),
      tail,
      async (a, b, bytes) => {
        const file = new Uint8Array([...SAMPLES[a as keyof typeof SAMPLES], ...bytes]);
        const passes = await isOfType(b, file);
        if (passes && binary.includes(a)) assertEquals(b, a);
        if (passes && binary.includes(b)) assertEquals(a, b);
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("no random bytes pass for a binary type", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...TYPES),
      fc.uint8Array({ maxLength: 400 }),
      async (type, bytes) => {
        if (!TEXT_TYPES.includes(type)) assertEquals(await isOfType(type, bytes), false);
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("findDifferences finds nothing in the announced file", async () => {
  for (const type of TYPES) {
    const { bytes, announced } = await sampleFile(type);
    const { stream } = streamOf(bytes, 10);
    assertEquals(await findDifferences(stream, { ...announced, file_type: type }), []);
  }
});

Deno.test("findDifferences stops reading where a file is longer than announced", async () => {
  const bytes = new Uint8Array(1_000_000).fill(0x61);
  const { stream, seen } = streamOf(bytes);
  const declared = {
    file_type: "text/plain" as const,
    file_size: 5_000,
    file_sha256: await sha256(bytes),
  };
  assertEquals(await findDifferences(stream, declared), ["file_size"]);
  assertEquals(seen, { bytes: 6_000, is_cancelled: true });
});

Deno.test("findDifferences names everything that differs in a file that is shorter", async () => {
  const { bytes, announced } = await sampleFile("image/png");
  const { stream } = streamOf(bytes.subarray(0, 10));
  const declared = { ...announced, file_type: "application/pdf" as const };
  assertEquals(await findDifferences(stream, declared), ["file_size", "file_sha256", "file_type"]);
});

Deno.test("findDifferences finds a single byte that differs", async () => {
  const { bytes, announced } = await sampleFile("text/plain");
  await fc.assert(fc.asyncProperty(fc.nat(bytes.length - 1), async (at) => {
    const other = bytes.slice();
    other[at] = other[at]! ^ 1;
    const { stream } = streamOf(other, 3);
    const found = await findDifferences(stream, { ...announced, file_type: "text/plain" });
    assert(found.includes("file_sha256"));
  }));
});

Deno.test("findDifferences holds one piece of a large file at a time", async () => {
  const piece = new Uint8Array(1 << 20).fill(0x61);
  const pieces = 50;
  async function* file() {
    for (let count = 0; count < pieces; count++) yield piece;
  }
  const declared = {
    file_type: "text/plain" as const,
    file_size: pieces * piece.length,
    file_sha256: "0".repeat(64),
  };
  const before = Deno.memoryUsage();
  assertEquals(await findDifferences(file(), declared), ["file_sha256"]);
  const after = Deno.memoryUsage();
  const grown = after.external + after.heapUsed - before.external - before.heapUsed;
  assert(grown < 30 << 20, `${Math.round(grown / 1e6)} MB`);
});
