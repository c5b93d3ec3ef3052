// Reading JSON with care: the scan against a parser's findings, limits, exact numbers, texts.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { AppError } from "../../functions/_shared/errors.ts";
import {
  findUnstorable,
  parseExactly,
  parseJson,
  readBody,
  scanJson,
} from "../../functions/_shared/json.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** Depth of a parsed value, by recursion. */
function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

/** Number of values in a parsed value, itself included. */
function sizeOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 1;
  return Object.values(value).reduce((sum: number, part) => sum + sizeOf(part), 1);
}

/** Texts that a scanner could take for structure. */
const trickyText = fc.array(
  fc.constantFrom(
    '"',
    "\\",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "1.0",
    "e",
    "é",
    "\u{1f600}",
    "\n",
    "\u2028",
  ),
).map((parts) => parts.join(""));

const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "medium" },
    trickyText,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.constantFrom(null, true, false),
    fc.array(tie("value")),
    fc.dictionary(trickyText, tie("value")),
  ),
})).value;

Deno.test("scanJson finds the depth that a parser finds, in any layout", () => {
  fc.assert(
    fc.property(json, fc.constantFrom(undefined, 2, "\t"), (value, indent) => {
      assertEquals(scanJson(bytes(JSON.stringify(value, null, indent))).depth, depthOf(value));
    }),
    { numRuns: 500 },
  );
});

Deno.test("scanJson never counts fewer values than there are containers and items", () => {
  fc.assert(
    fc.property(json, (value) => {
      const { values } = scanJson(bytes(JSON.stringify(value)));
      assert(2 * values + 1 >= sizeOf(value), `${values} for ${sizeOf(value)}`);
    }),
    { numRuns: 500 },
  );
});

Deno.test("scanJson withstands any bytes and any cut", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (input) => {
    scanJson(input);
  }));
  fc.assert(fc.property(json, fc.nat(), (value, cut) => {
    const text = bytes(JSON.stringify(value));
    scanJson(text.subarray(0, cut % (text.length + 1)));
  }));
});

Deno.test("scanJson notices numbers that a double does not give back", () => {
  const isExact = (text: string) => scanJson(bytes(text)).has_exact_numbers;
  for (
    const text of [
      "1.10",
      "[0.0]",
      '{"a":-2.50}',
      "1e3",
      "1E-7",
      "12345678901234567",
      "0.1234567890123456",
    ]
  ) {
    assert(isExact(text), text);
  }
  for (const text of ["1.1", "10", "[0]", '"1.10"', '{"1.10":2.5}', "true", "-3.25"]) {
    assert(!isExact(text), text);
  }
});

Deno.test("scanJson misses no number whose text changes when it is parsed", () => {
  const digits = (max: number) => fc.stringMatching(new RegExp(`^\\d{1,${max}}$`));
  const number = fc.tuple(
    fc.boolean(),
    digits(17),
    fc.option(digits(17)),
    fc.option(fc.integer({ min: -30, max: 30 })),
  )
    .map(([minus, whole, fraction, exponent]) =>
      `${minus ? "-" : ""}${BigInt(whole)}${fraction ? `.${fraction}` : ""}` +
      (exponent === null ? "" : `e${exponent}`)
    );
  fc.assert(
    fc.property(number, (text) => {
      const changes = Number(JSON.stringify(JSON.parse(text))) !== Number(text) ||
        JSON.stringify(JSON.parse(text)).replace(/^-?0$/, "0") !== text.replace(/^-?0$/, "0");
      // A plain small fraction is written with an exponent by JavaScript; its value is the same.
      const is_small = /^-?0\.0{6}/.test(text);
      if (changes && !is_small) assert(scanJson(bytes(text)).has_exact_numbers, text);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("parseExactly writes every number as it came", () => {
  const text = '{"a":1.10,"b":[2.50,0.000,1e3,12345678901234567],"c":"1.10","d":3.5}';
  assertEquals(JSON.stringify(parseExactly(text)), text);
});

Deno.test("parseExactly leaves numbers that PostgreSQL may refuse to the double", () => {
  const text = `[1e999,-1e999,1e-99999,${"9".repeat(50)}.0]`;
  assertEquals(JSON.stringify(parseExactly(text)), "[null,null,0,1e+50]");
});

Deno.test("parseJson takes a depth of 64 and refuses 65", () => {
  const nested = (depth: number) => bytes("[".repeat(depth) + "]".repeat(depth));
  parseJson(nested(64), 1000);
  const error = assertThrows(() => parseJson(nested(65), 1000), AppError);
  assertEquals(error.code, "invalid_request");
  assertEquals(
    error.message,
    "Cannot read the body as its nesting depth must be <= 64: current value is 65",
  );
});

Deno.test("parseJson refuses a million brackets without growing the stack", () => {
  for (const text of ["[".repeat(1_000_000), '{"a":'.repeat(1_000_000)]) {
    assertEquals(assertThrows(() => parseJson(bytes(text), 1e9), AppError).code, "invalid_request");
  }
});

Deno.test("parseJson refuses more values than are allowed", () => {
  const text = bytes(`[${"1,".repeat(100)}1]`);
  parseJson(text, 101);
  assertEquals(assertThrows(() => parseJson(text, 100), AppError).code, "invalid_request");
});

Deno.test("parseJson refuses what is not JSON in UTF-8", () => {
  const wrong = ["", " ", "{", "{]", "nul", "[1,]", "{'a':1}", "1 2", "\u0000", '"\n"', "NaN"];
  for (const text of wrong) {
    assertEquals(assertThrows(() => parseJson(bytes(text), 100), AppError).code, "invalid_request");
  }
  const halves = [[0x22, 0xed, 0xa0, 0x80, 0x22], [0x22, 0xc0, 0x80, 0x22], [0xff, 0xfe, 0x31, 0]];
  for (const input of halves) {
    const error = assertThrows(() => parseJson(Uint8Array.from(input), 100), AppError);
    assertEquals(error.code, "invalid_request");
  }
});

Deno.test("findUnstorable finds NUL and halves of pairs in texts and keys", () => {
  assertEquals(findUnstorable({ a: ["ok", "\u{1f600}", { b: "x" }] }), undefined);
  assertEquals(findUnstorable({ a: ["ok", { b: "x\u0000" }] }), ["a", 1, "b"]);
  assertEquals(findUnstorable(["\ud83d"]), [0]);
  assertEquals(findUnstorable(["\ude00\ud83d"]), [0]);
  assertEquals(findUnstorable({ a: { "b\u0000": 1 } }), ["a"]);
  assertEquals(findUnstorable("\u0000"), []);
});

Deno.test("readBody gives the bytes of a body in pieces, up to the limit", async () => {
  const request = (pieces: number[][]) =>
    new Request("http://x", {
      method: "POST",
      body: ReadableStream.from(pieces.map((p) => Uint8Array.from(p))),
    });
  assertEquals(await readBody(request([[1, 2], [], [3]]), 3), Uint8Array.of(1, 2, 3));
  assertEquals(await readBody(new Request("http://x"), 3), new Uint8Array());
  const error = await assertRejects(() => readBody(request([[1, 2], [3, 4]]), 3), AppError);
  assertEquals(error.code, "payload_too_large");
});

Deno.test("readBody does not believe a length that is too small", async () => {
  const request = new Request("http://x", {
    method: "POST",
    headers: { "content-length": "1" },
    body: ReadableStream.from([new Uint8Array(10)]),
  });
  const error = await assertRejects(() => readBody(request, 5), AppError);
  assertEquals(error.code, "payload_too_large");
});
