// The blind index: which values count as equal, and that digests say nothing without the key.

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  normalizePhone,
  normalizePolicyNumber,
  openBlindIndex,
} from "../../functions/_shared/blind_index.ts";

const index = openBlindIndex(new Uint8Array(32).fill(9));

for (
  const [written, international, national] of [
    ["+91 98450 00117", "919845000117", "9845000117"],
    ["+91-98450-00117", "919845000117", "9845000117"],
    ["+91 (98450) 00117 x7", "919845000117", "9845000117"],
    ["0091 98450 00117", "919845000117", "9845000117"],
    ["00 91 98450 00117", "919845000117", "9845000117"],
    ["098450 00117", null, "9845000117"],
    ["98450-00117", null, "9845000117"],
    ["98450.00117x7", null, "9845000117"],
    ["+44 (0)20 7946 0958", "442079460958", "2079460958"],
    ["+44 20 7946 0958", "442079460958", "2079460958"],
    ["(020) 7946 0958", null, "2079460958"],
    ["+1 (415) 555-2671", "14155552671", "4155552671"],
    // Italy keeps its zero; it does not count in comparison.
    ["+39 06 6982 1234", "390669821234", "669821234"],
    ["06 6982 1234", null, "669821234"],
    // No country has this code: it is compared as it stands.
    ["+999 123 456", null, "999123456"],
    ["555-0101", null, "5550101"],
    ["0000", null, null],
    ["x.x.", null, null],
    ["----", null, null],
  ] as const
) {
  Deno.test(`the phone number ${written} is compared as ${international}, ${national}`, () => {
    assertEquals(normalizePhone(written), { international, national });
  });
}

Deno.test("a policy number is compared by its letters and digits, in capitals", () => {
  for (const written of ["HX 204-118/a", "hx204118A", "ＨＸ２０４１１８Ａ", " hx.204.118.a "]) {
    assertEquals(normalizePolicyNumber(written), "HX204118A");
  }
  assertEquals(normalizePolicyNumber("बीमा-7"), normalizePolicyNumber("बीमा 7"));
  assertNotEquals(normalizePolicyNumber("HX204118A"), normalizePolicyNumber("HX204118B"));
  assertEquals(normalizePolicyNumber("-/ "), null);
});

Deno.test("equal values have equal digests of 32 bytes, others have others", async () => {
  const digests = await index.phone("+91 98450 00117");
  assertEquals(digests, await index.phone("0091-98450-00117 x7"));
  assertEquals(Object.keys(digests), ["phone", "phone_national"]);
  for (const digest of Object.values(digests)) assertEquals(Uint8Array.fromHex(digest).length, 32);
  const other = await index.phone("+91 98450 00118");
  assertNotEquals(digests.phone, other.phone);
  assertNotEquals(digests.phone_national, other.phone_national);
  // Known outside the project: HMAC-SHA-256 by another implementation.
  const { createHmac } = await import("node:crypto");
  const expected = createHmac("sha256", new Uint8Array(32).fill(9))
    .update("patients.phone|919845000117").digest("hex");
  assertEquals(digests.phone, expected);
});

Deno.test("a number without country has no digest with one, and the same within it", async () => {
  const [known, unknown] = [
    await index.phone("+91 98450 00117"),
    await index.phone("098450 00117"),
  ];
  assertEquals(unknown, { phone_national: known.phone_national });
});

Deno.test("a value with nothing to compare has no digest", async () => {
  assertEquals(await index.phone("----"), {});
  assertEquals(await index.insurancePolicyNumber("-/"), {});
});

Deno.test("a digest of one field is none of another's", async () => {
  const phone = await index.phone("5550101");
  const policy = await index.insurancePolicyNumber("5550101");
  assertNotEquals(phone.phone_national, policy.insurance_policy_number);
});

Deno.test("another key gives other digests", async () => {
  const other = openBlindIndex(new Uint8Array(32).fill(8));
  const digest = (await index.insurancePolicyNumber("HX1")).insurance_policy_number;
  assert(digest);
  assertNotEquals(digest, (await other.insurancePolicyNumber("HX1")).insurance_policy_number);
});
