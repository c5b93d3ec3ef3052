// Whether a file is what it was announced to be, found while it streams by.

import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { encryptStream, importKey } from "../../clients/blf1.ts";
import {
  type DeclaredFile,
  type FileDifference,
  findDifferences,
} from "../../functions/records/file_check.ts";
import { checkType, type FileType, isFileType } from "../../functions/records/file_type.ts";
import { DICOM_WITH, sampleFile, SAMPLES, sha256 } from "../fixtures/files.ts";
import { seal } from "../support/sealed.ts";

const encoder = new TextEncoder();
const RECORD_ID = "b1b2c3d4-0000-4000-8000-000000000002";
const KEY = crypto.getRandomValues(new Uint8Array(32));
const IMPORTED = await importKey(KEY);
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

/** What is checked: a file, announced as it is and sealed, and its key. */
async function sealedFile(file: Uint8Array<ArrayBuffer>, file_type: FileType) {
  const sealed = await seal(file, { key: KEY.toBase64() }, RECORD_ID);
  const declared = {
    file_type,
    file_size: file.length,
    file_sha256: await sha256(file),
    ...sealed.done,
  };
  return { bytes: sealed.bytes, declared };
}

const differencesOf = (
  stream: AsyncIterable<Uint8Array>,
  declared: DeclaredFile,
): Promise<FileDifference[]> => findDifferences(stream, declared, IMPORTED, RECORD_ID);

Deno.test("findDifferences finds nothing in the announced file, whatever the pieces", async () => {
  for (const type of TYPES) {
    const { bytes, declared } = await sealedFile(SAMPLES[type], type);
    for (const pieceLength of [1, 10, 1 << 20]) {
      assertEquals(await differencesOf(streamOf(bytes, pieceLength).stream, declared), []);
    }
  }
});

Deno.test("findDifferences stops reading where a file is longer than announced", async () => {
  const bytes = new Uint8Array(1_000_000).fill(0x61);
  const { bytes: sealed, declared } = await sealedFile(bytes, "text/plain");
  const { stream, seen } = streamOf(sealed);
  assertEquals(await differencesOf(stream, { ...declared, file_size: 5_000 }), ["file_size"]);
  assertEquals(seen, { bytes: 6_000, is_cancelled: true });
});

Deno.test("findDifferences names everything that differs in another file", async () => {
  const { bytes } = await sealedFile(SAMPLES["image/png"].subarray(0, 10), "image/png");
  const { declared } = await sealedFile(SAMPLES["image/png"], "application/pdf");
  assertEquals(await differencesOf(streamOf(bytes).stream, declared), [
    "file_size",
    "ciphertext_sha256",
    "file_sha256",
    "file_type",
  ]);
});

Deno.test("findDifferences finds each announcement that is untrue by itself", async () => {
  const { bytes, declared } = await sealedFile(SAMPLES["text/plain"], "text/plain");
  const untrue: [Partial<DeclaredFile>, FileDifference][] = [
    [{ file_size: declared.file_size + 1 }, "file_size"],
    [{ ciphertext_sha256: declared.file_sha256 }, "ciphertext_sha256"],
    [{ file_sha256: declared.ciphertext_sha256 }, "file_sha256"],
    [{ file_type: "application/json" }, "file_type"],
  ];
  for (const [change, difference] of untrue) {
    const found = await differencesOf(streamOf(bytes).stream, { ...declared, ...change });
    assertEquals(found, [difference]);
  }
});

Deno.test("findDifferences finds a single byte that differs, and that it cannot be opened", async () => {
  const { bytes, declared } = await sealedFile(SAMPLES["text/plain"], "text/plain");
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 1), async (at) => {
      const other = bytes.with(at, bytes[at]! ^ 1);
      const { stream } = streamOf(other, 3);
      const expected: FileDifference[] = ["ciphertext_sha256", "encryption"];
      assertEquals(await differencesOf(stream, declared), expected);
    }),
    { numRuns: 60 },
  );
});

Deno.test("findDifferences reads on behind what cannot be opened, and knows the rest", async () => {
  const file = new Uint8Array(200_000).fill(0x61);
  const { bytes, declared } = await sealedFile(file, "text/plain");
  const other = bytes.with(20, bytes[20]! ^ 1);
  const ciphertext_sha256 = await sha256(other);
  const { stream, seen } = streamOf(other);
  assertEquals(await differencesOf(stream, { ...declared, ciphertext_sha256 }), ["encryption"]);
  assert(seen.bytes >= other.length && !seen.is_cancelled);
});

Deno.test("findDifferences opens a file with its own key and for its own record only", async () => {
  const { bytes, declared } = await sealedFile(SAMPLES["image/png"], "image/png");
  const [stream, again] = [streamOf(bytes).stream, streamOf(bytes).stream];
  const other = await importKey(KEY.with(0, KEY[0]! ^ 1));
  assertEquals(await findDifferences(stream, declared, other, RECORD_ID), ["encryption"]);
  const record = "00000000-0000-4000-8000-000000000000";
  assertEquals(await findDifferences(again, declared, IMPORTED, record), ["encryption"]);
});

Deno.test("findDifferences passes on that the file broke off", async () => {
  const { bytes, declared } = await sealedFile(SAMPLES["image/png"], "image/png");
  async function* file() {
    yield bytes.subarray(0, 50);
    await Promise.resolve();
    throw new TypeError("connection lost");
  }
  await assertRejects(() => differencesOf(file(), declared), TypeError, "connection lost");
});

Deno.test("findDifferences holds a few pieces of a large file at a time", async () => {
  const piece = new Uint8Array(1 << 20).fill(0x61);
  const pieces = 150;
  async function* file() {
    for (let count = 0; count < pieces; count++) yield piece;
  }
  const declared = {
    file_type: "text/plain" as const,
    file_size: pieces * piece.length,
    file_sha256: "0".repeat(64),
    ciphertext_sha256: "0".repeat(64),
  };
  const sealed = ReadableStream.from(file()).pipeThrough(encryptStream(IMPORTED, RECORD_ID));
  const before = Deno.memoryUsage();
  assertEquals(await differencesOf(sealed, declared), ["ciphertext_sha256", "file_sha256"]);
  const after = Deno.memoryUsage();
  const grown = after.external + after.heapUsed - before.external - before.heapUsed;
  // Half the file, nearly all of it garbage that nobody has collected yet.
  assert(grown < 75 << 20, `${Math.round(grown / 1e6)} MB`);
});
