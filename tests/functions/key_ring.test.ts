// Wrapping of data keys: what comes out goes in again, and nothing else does.

import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { AppError } from "../../functions/_shared/errors.ts";
import { newDataKey, openKeyRing, readKeyVersions } from "../../functions/_shared/key_ring.ts";
import { KEY_VERSIONS } from "./support.ts";

const ring = openKeyRing(KEY_VERSIONS);
const CONTEXT = "record_file:0b5f6f1e-6f0e-4d43-9d6a-0f3f3f3f3f3f";

Deno.test("a key ring wraps under the highest version and unwraps what it wrapped", async () => {
  const dataKey = newDataKey();
  const wrapped = await ring.wrap(dataKey, CONTEXT);
  assertEquals([wrapped.key_id, wrapped.key_version], ["test", 2]);
  assertEquals(wrapped.wrapped_key.length, 60);
  assertEquals(await ring.unwrap(wrapped, CONTEXT), dataKey);
});

Deno.test("a key ring wraps one key differently each time", async () => {
  const dataKey = newDataKey();
  const [first, second] = [await ring.wrap(dataKey, CONTEXT), await ring.wrap(dataKey, CONTEXT)];
  assertNotEquals(first.wrapped_key, second.wrapped_key);
});

Deno.test("a key ring unwraps what an older version wrapped", async () => {
  const dataKey = newDataKey();
  const old = await openKeyRing(KEY_VERSIONS.slice(0, 1)).wrap(dataKey, CONTEXT);
  assertEquals(old.key_version, 1);
  assertEquals(await ring.unwrap(old, CONTEXT), dataKey);
});

Deno.test("a key ring refuses another context, another version and changed bytes", async () => {
  const wrapped = await ring.wrap(newDataKey(), CONTEXT);
  await assertRejects(() => ring.unwrap(wrapped, "record_file:another"));
  await assertRejects(() => ring.unwrap({ ...wrapped, key_version: 1 }, CONTEXT));
  for (const position of [0, 12, 59]) {
    const wrapped_key = wrapped.wrapped_key.slice();
    wrapped_key[position] = wrapped_key[position]! ^ 1;
    await assertRejects(() => ring.unwrap({ ...wrapped, wrapped_key }, CONTEXT));
  }
});

Deno.test("a key ring without the version is unavailable", async () => {
  const wrapped = await ring.wrap(newDataKey(), CONTEXT);
  const error = await assertRejects(
    () => openKeyRing(KEY_VERSIONS.slice(0, 1)).unwrap(wrapped, CONTEXT),
    AppError,
  );
  assertEquals(error.code, "unavailable");
});

Deno.test("readKeyVersions reads versions of one key and nothing else", () => {
  const [a, b] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  const [a64, b64] = [a.toBase64(), b.toBase64()];
  assertEquals(readKeyVersions(`main.v1=${a64}, main.v2=${b64}`), [
    { key_id: "main", key_version: 1, key: a },
    { key_id: "main", key_version: 2, key: b },
  ]);
  for (
    const wrong of [
      "",
      "main.v1=",
      a64,
      `main.v0=${a64}`,
      `Main.v1=${a64}`,
      `main.v1=${a64.slice(4)}`,
      `main.v1=${a64},main.v1=${b64}`,
      `main.v1=${a64},other.v2=${b64}`,
      `main.v1=${a64},`,
    ]
  ) assert(readKeyVersions(wrong) === null, `accepted ${JSON.stringify(wrong)}`);
});
