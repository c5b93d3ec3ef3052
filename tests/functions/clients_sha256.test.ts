// SHA-256 piece by piece gives what WebCrypto gives at once.

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Sha256 } from "../../clients/sha256.ts";
import { sha256 } from "../fixtures/files.ts";

const hexOf = (text: string) => new Sha256().update(new TextEncoder().encode(text)).hex();

Deno.test("SHA-256 has the digests of FIPS 180", () => {
  assertEquals(hexOf(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  assertEquals(hexOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assertEquals(
    hexOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
  );
  assertEquals(
    hexOf("a".repeat(1_000_000)),
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
  );
});

Deno.test("SHA-256 is WebCrypto's for every length around the blocks", async () => {
  for (let length = 0; length <= 260; length++) {
    const bytes = crypto.getRandomValues(new Uint8Array(length));
    assertEquals(new Sha256().update(bytes).hex(), await sha256(bytes), `${length} bytes`);
  }
});

Deno.test("SHA-256 does not depend on the pieces", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 })), async (pieces) => {
      const digest = new Sha256();
      for (const piece of pieces) digest.update(piece);
      const whole = Uint8Array.from(pieces.flatMap((piece) => [...piece]));
      assertEquals(digest.hex(), await sha256(whole));
    }),
    { numRuns: 300 },
  );
});
