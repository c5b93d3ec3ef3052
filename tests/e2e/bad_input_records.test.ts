// Bad bodies for the function `records`, through the real gateway: each is refused with its code,
// in the envelope, and the patient's rows, files and audit trail are as they were.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { sampleFile } from "../fixtures/files.ts";
import {
  bundleOf,
  condition,
  type Fhir,
  ownBundleText,
  patient as fhirPatient,
} from "../functions/bundles.ts";
import { type Person, tokenOf } from "../support/auth.ts";
import { assertUnchanged } from "../support/digest.ts";
import { databaseTest, must, newPatient } from "../support/people.ts";
import { mustPost, newRecord } from "../support/records.ts";
import { type Answer, refusalOf, send } from "../support/requests.ts";

type Body = string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;

/** What is sent, what is answered, and a type of content other than JSON. */
type BadBody = [what: string, body: Body, expected: [number, string], type?: string];

const INVALID: [number, string] = [400, "invalid_request"];
const TOO_LARGE: [number, string] = [413, "payload_too_large"];
const WRONG_TYPE: [number, string] = [415, "unsupported_media_type"];
const MIB = 1024 * 1024;

/** Blank text in pieces, whose length no header tells. */
function endless(bytes: number): ReadableStream<Uint8Array> {
  const piece = new Uint8Array(64 * 1024).fill(0x20);
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      if (sent >= bytes) return controller.close();
      sent += piece.length;
      controller.enqueue(piece);
    },
  });
}

async function post(
  { client }: Person,
  path: string,
  body: Body,
  type = "application/json",
): Promise<Answer> {
  return await send(`/functions/v1/records/${path}`, {
    method: "POST",
    token: await tokenOf(client),
    body,
    headers: { "content-type": type },
  });
}

/** The failure envelope, whole, and nothing of what was sent. */
function assertFailure(answer: Answer, expected: [number, string], what: string) {
  assertEquals(refusalOf(answer), expected, what);
  const { success, error, timestamp, ...rest } = answer.body;
  assertEquals([success, rest], [false, {}], what);
  assertMatch(timestamp, /^\d{4}-\d\d-\d\dT/);
  assertEquals(answer.headers.get("x-request-id"), error.request_id, what);
  assertEquals(JSON.stringify(error).includes("SECRET"), false, what);
}

/** Bodies that no route takes. */
function malformed(limit: number): BadBody[] {
  return [
    ["malformed JSON", '{"SECRET', INVALID],
    ["two values", "{} {}", INVALID],
    ["text that is not UTF-8", Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d), INVALID],
    ["null", "null", INVALID],
    ["a list", "[]", INVALID],
    ["a bare text", '"SECRET"', INVALID],
    ["an unknown field", '{"no_field": 1}', INVALID],
    ["deep nesting", "[".repeat(30_000) + "]".repeat(30_000), INVALID],
    ["deep nesting in a field", `{"a":${'{"a":'.repeat(5000)}1${"}".repeat(5000)}}`, INVALID],
    ["too many bytes", new Uint8Array(limit + 1).fill(0x20), TOO_LARGE],
    ["too many bytes, uncounted", endless(limit + 1), TOO_LARGE],
    ["plain text", "{}", WRONG_TYPE, "text/plain"],
    ["a form", "a=b", WRONG_TYPE, "application/x-www-form-urlencoded"],
  ];
}

for (const action of ["upload-url", "complete", "download-url"]) {
  databaseTest(`POST /records/:id/${action} refuses bad bodies and changes nothing`, async () => {
    const person = await newPatient();
    const record = await newRecord(person, person.id);
    const { announced } = await sampleFile("text/plain");
    const withFile = (changes: Fhir) => JSON.stringify({ ...announced, ...changes });
    const bad: BadBody[] = malformed(64 * 1024);
    if (action === "upload-url") {
      bad.push(
        ["an empty body", "", INVALID],
        ["an empty object", "{}", INVALID],
        ["a size that is text", withFile({ file_size: "12" }), INVALID],
        ["a size that is no whole number", withFile({ file_size: 1.5 }), INVALID],
        ["no bytes", withFile({ file_size: 0 }), INVALID],
        ["more than 50 MB", withFile({ file_size: 50_000_001 }), INVALID],
        ["a type that no record takes", withFile({ file_type: "text/html" }), INVALID],
        ["a digest in capitals", withFile({ file_sha256: "A".repeat(64) }), INVALID],
        ["a name with a path", withFile({ file_name: "../SECRET" }), INVALID],
        ["a name with NUL", withFile({ file_name: "SECRET\u0000.txt" }), INVALID],
        ["a name with half a pair", withFile({ file_name: "SECRET\ud800.txt" }), INVALID],
        ["a name that is too long", withFile({ file_name: "x".repeat(256) }), INVALID],
        ["another's id beside it", withFile({ patient_id: person.id }), INVALID],
      );
    }
    if (action === "complete") {
      const ciphertext_sha256 = announced.file_sha256;
      bad.push(
        ["an empty body", "", INVALID],
        ["a digest in capitals", JSON.stringify({ ciphertext_sha256: "A".repeat(64) }), INVALID],
        [
          "an id that is none",
          JSON.stringify({ ciphertext_sha256, upload_id: "SECRET" }),
          INVALID,
        ],
      );
    }
    await assertUnchanged([person.id], async () => {
      for (const [what, body, expected, type] of bad) {
        assertFailure(await post(person, `${record}/${action}`, body, type), expected, what);
      }
      for (const id of ["SECRET", "1", `${record}x`, "%00", "..%2f..%2fSECRET"]) {
        const answer = await post(person, `${id}/${action}`, JSON.stringify(announced));
        assertFailure(answer, INVALID, id);
      }
    });
  });
}

const entry = JSON.stringify({ resource: condition() });
const bundle = (entries: string, fields = "") =>
  `{"resourceType":"Bundle","type":"collection"${fields},"entry":[${entries}]}`;

const BAD_BUNDLES: BadBody[] = [
  ...malformed(20 * MIB),
  ["an empty body", "", INVALID],
  ["an empty object", "{}", INVALID],
  ["a resource that is no bundle", JSON.stringify(fhirPatient()), INVALID],
  ["a bundle of search results", bundle(entry).replace("collection", "searchset"), INVALID],
  ["an unknown field", bundle(entry, ',"SECRET":1'), INVALID],
  ["entries that are no list", bundle("").replace("[]", "{}"), INVALID],
  ["100,000 entries", bundle(Array(100_000).fill(entry).join()), INVALID],
  ["a million values", bundle(`{"a":[${"1,".repeat(2_000_000)}1]}`), INVALID],
  ["a deep entry", bundle("[".repeat(1_000_000) + "]".repeat(1_000_000)), INVALID],
  [
    "two patients",
    JSON.stringify(bundleOf(fhirPatient(), fhirPatient({ id: "p2" }))),
    [422, "wrong_patient"],
  ],
];

databaseTest("POST /records/import refuses bad bodies and changes nothing", async () => {
  // An account may import ten times a minute.
  for (let from = 0; from < BAD_BUNDLES.length; from += 9) {
    const person = await newPatient();
    await assertUnchanged([person.id], async () => {
      for (const [what, body, expected, type] of BAD_BUNDLES.slice(from, from + 9)) {
        assertFailure(await post(person, "import", body, type), expected, what);
      }
    });
    const { imported } = await mustPost(person.client, "import", await ownBundleText());
    assertEquals(imported, 24);
  }
});

databaseTest("POST /records/import refuses a bad query and changes nothing", async () => {
  const person = await newPatient();
  const queries = [
    "patient_id=SECRET",
    "patient_id=",
    `patient_id=${person.id}&patient_id=${person.id}`,
    "source_system=",
    "source_system=two%20words",
    `source_system=${"x".repeat(501)}`,
    "source_system=a%00b",
    "limit=1",
  ];
  await assertUnchanged([person.id], async () => {
    for (const query of queries) {
      const answer = await post(person, `import?${query}`, JSON.stringify(bundleOf(condition())));
      assertFailure(answer, INVALID, query);
    }
  });
});

databaseTest("POST /records/import leaves out what cannot be stored, and says where", async () => {
  const person = await newPatient();
  const nul = condition({ id: "nul", note: [{ text: "SECRET\u0000" }] });
  const half = condition({ id: "half", note: [{ text: "SECRET\udfff" }] });
  const key = condition({ id: "key", "SECRET\u0000": 1 });
  const wrongType = condition({ id: "type", code: "SECRET" });
  const noSubject = condition({ id: "none", subject: undefined });
  const bad = [nul, half, key, wrongType, noSubject];
  await assertUnchanged([person.id], async () => {
    const { imported } = await mustPost(person.client, "import", bundleOf(...bad));
    assertEquals(imported, 0);
  });
  const fine = condition({ id: "fine" });
  const { imported, error_count, errors } = await mustPost(
    person.client,
    "import",
    bundleOf(fhirPatient(), ...bad, fine),
  );
  assertEquals([imported, error_count], [1, 5]);
  assertEquals(errors.map(({ index }: Fhir) => index), [1, 2, 3, 4, 5]);
  assertEquals(JSON.stringify(errors).includes("SECRET"), false);
  const kept = await must(person.client.from("medical_records").select("source_id"));
  assertEquals(kept, [{ source_id: "Condition/fine" }]);
});

databaseTest("a path or method that is none is refused in the envelope", async () => {
  const person = await newPatient();
  const record = await newRecord(person, person.id);
  const ask = async (method: string, path: string) =>
    refusalOf(
      await send(`/functions/v1/records/${path}`, { method, token: await tokenOf(person.client) }),
    );
  await assertUnchanged([person.id], async () => {
    assertEquals(await ask("GET", "import"), [405, "method_not_allowed"]);
    assertEquals(await ask("DELETE", `${record}/upload-url`), [405, "method_not_allowed"]);
    assertEquals(await ask("POST", `${record}/share`), [404, "not_found"]);
    assertEquals(await ask("POST", ""), [404, "not_found"]);
  });
  const unknown = await send("/functions/v1/nothing", { method: "POST" });
  assert(unknown.status === 404);
});
