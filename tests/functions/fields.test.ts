// Sealing of fields: what was sealed for a place opens there, and nowhere else; unwrapped keys are
// kept for a while, and open nothing by themselves.

import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { AppError } from "../../functions/_shared/errors.ts";
import {
  createFieldVault,
  keyContext,
  type Place,
  type StoredKey,
} from "../../functions/_shared/fields.ts";
import { type KeyRing, newDataKey, openKeyRing } from "../../functions/_shared/key_ring.ts";
import { KEY_VERSIONS } from "./support.ts";

const PATIENT = "a1b2c3d4-0000-4000-8000-000000000001";
const OTHER = "a1b2c3d4-0000-4000-8000-000000000002";
const PLACE: Place = { column: "patients.phone", row_id: PATIENT };
const PHONE = "+91 98450 00117";

/** A ring that counts what it unwraps. */
class CountingRing implements KeyRing {
  readonly unwrapped: string[] = [];
  readonly #ring = openKeyRing(KEY_VERSIONS);
  readonly current = this.#ring.current;
  is_down = false;

  wrap(...given: Parameters<KeyRing["wrap"]>) {
    return this.#ring.wrap(...given);
  }

  unwrap(...given: Parameters<KeyRing["unwrap"]>) {
    this.unwrapped.push(given[1]);
    if (this.is_down) return Promise.reject(new AppError("unavailable", "No key now"));
    return this.#ring.unwrap(...given);
  }
}

async function newKey(ring: KeyRing, patientId = PATIENT): Promise<StoredKey> {
  const data_key_id = crypto.randomUUID();
  const { key_id, key_version, wrapped_key } = await ring.wrap(
    newDataKey(),
    keyContext(data_key_id, patientId),
  );
  return { data_key_id, key_id, key_version, wrapped_key: wrapped_key.toHex() };
}

/** A vault, its ring, a clock that only the test moves, and a key of the patient. */
async function setUp(options: { maxKeys?: number; keptForMs?: number } = {}) {
  const keyRing = new CountingRing();
  const clock = { ms: 0 };
  const vault = createFieldVault({ keyRing, now: () => clock.ms, ...options });
  return { keyRing, clock, vault, key: await newKey(keyRing) };
}

Deno.test("a vault opens what it sealed, whatever the text", async () => {
  const { vault, key } = await setUp();
  for (const text of [PHONE, "x", "घर 12, पुणे", "👩‍⚕️".repeat(500), "\ufeff mark", "'; drop --"]) {
    const sealed = await vault.seal(PATIENT, key, PLACE, text);
    assertEquals(await vault.open(PATIENT, [key], PLACE, sealed), text);
  }
});

Deno.test("a sealed text names its key and has the form that the database takes", async () => {
  const { vault, key } = await setUp();
  const sealed = await vault.seal(PATIENT, key, PLACE, PHONE);
  const [version, keyId, base64 = ""] = sealed.split(".");
  assertEquals([version, keyId], ["v1", key.data_key_id]);
  assertEquals(Uint8Array.fromBase64(base64).length, 12 + PHONE.length + 16);
  assertMatch(sealed, /^v1\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[A-Za-z0-9+/]+={0,2}$/);
  assert(!sealed.includes(btoa(PHONE).slice(0, 8)));
});

Deno.test("a text is sealed in AES-256-GCM under the very data key, by another implementation", async () => {
  const { vault, keyRing } = await setUp();
  const dataKey = newDataKey();
  const data_key_id = crypto.randomUUID();
  const wrapped = await keyRing.wrap(dataKey.slice(), keyContext(data_key_id, PATIENT));
  const key = { ...wrapped, data_key_id, wrapped_key: wrapped.wrapped_key.toHex() };
  const imported = await crypto.subtle.importKey("raw", dataKey, "AES-GCM", false, [
    "encrypt",
    "decrypt",
  ]);
  const algorithm = (iv: Uint8Array<ArrayBuffer>) => ({
    name: "AES-GCM",
    iv,
    additionalData: new TextEncoder().encode(`v1|patients.phone|${PATIENT}`),
  });

  const sealed = Uint8Array.fromBase64(
    (await vault.seal(PATIENT, key, PLACE, PHONE)).split(".")[2]!,
  );
  const text = await crypto.subtle.decrypt(
    algorithm(sealed.slice(0, 12)),
    imported,
    sealed.slice(12),
  );
  assertEquals(new TextDecoder().decode(text), PHONE);

  const iv = crypto.getRandomValues(new Uint8Array(12));
  const theirs = await crypto.subtle.encrypt(
    algorithm(iv),
    imported,
    new TextEncoder().encode(PHONE),
  );
  const value = new Uint8Array([...iv, ...new Uint8Array(theirs)]).toBase64();
  assertEquals(await vault.open(PATIENT, [key], PLACE, `v1.${data_key_id}.${value}`), PHONE);
});

Deno.test("a text is sealed differently each time", async () => {
  const { vault, key } = await setUp();
  const seal = () => vault.seal(PATIENT, key, PLACE, PHONE);
  assertNotEquals(await seal(), await seal());
});

Deno.test("a sealed text opens in no other column and no other row", async () => {
  const { vault, key } = await setUp();
  const sealed = await vault.seal(PATIENT, key, PLACE, PHONE);
  const others: Place[] = [
    { ...PLACE, column: "patients.emergency_contact_phone" },
    { ...PLACE, column: "medical_record_contents.description" },
    { ...PLACE, row_id: OTHER },
  ];
  for (const other of others) {
    const error = await assertRejects(() => vault.open(PATIENT, [key], other, sealed), Error);
    assert(!(error instanceof AppError), "a fault of ours is no failure to act on");
    assert(!error.message.includes(PHONE) && error.message.includes(other.row_id));
  }
  assertEquals(await vault.open(PATIENT, [key], PLACE, sealed), PHONE);
});

Deno.test("a sealed text opens for no other patient, even with the key filed under that one", async () => {
  const { vault, key } = await setUp();
  const sealed = await vault.seal(PATIENT, key, PLACE, PHONE);
  await assertRejects(() => vault.open(OTHER, [key], { ...PLACE, row_id: OTHER }, sealed));
  // Nor in the place where it belongs: the wrapping is bound to the patient, kept key or not.
  await assertRejects(() => vault.open(OTHER, [key], PLACE, sealed));
});

Deno.test("a sealed text under a key that is not among the patient's is refused", async () => {
  const { vault, key, keyRing } = await setUp();
  const sealed = await vault.seal(PATIENT, key, PLACE, PHONE);
  const others = [await newKey(keyRing), await newKey(keyRing, OTHER)];
  await assertRejects(() => vault.open(PATIENT, others, PLACE, sealed), Error, "under no key");
  await assertRejects(() => vault.open(PATIENT, [], PLACE, sealed), Error, "under no key");
  // Its id exchanged for that of a key there is.
  const renamed = sealed.replace(key.data_key_id, others[0]!.data_key_id);
  await assertRejects(() => vault.open(PATIENT, others, PLACE, renamed), Error, "not what was");
});

Deno.test("a sealed text with any byte changed, cut or added is refused", async () => {
  const { vault, key } = await setUp();
  const sealed = await vault.seal(PATIENT, key, PLACE, PHONE);
  const base64 = sealed.split(".")[2]!;
  const bytes = Uint8Array.fromBase64(base64);
  const changed = Array.from(bytes, (_, position) => {
    const copy = bytes.slice();
    copy[position]! ^= 1;
    return copy;
  });
  const longer = new Uint8Array(bytes.length + 1);
  longer.set(bytes);
  const shortened = [...bytes.keys()].slice(1).map((length) => bytes.slice(0, length));
  for (const other of [...changed, ...shortened, bytes.slice(1), longer]) {
    const value = sealed.replace(base64, other.toBase64());
    await assertRejects(() => vault.open(PATIENT, [key], PLACE, value));
  }
});

Deno.test("what is no sealed text is refused, plaintext above all", async () => {
  const { vault, key } = await setUp();
  for (const value of [PHONE, "", "v1..", `v1.${key.data_key_id}.`, `v2.${key.data_key_id}.AAAA`]) {
    await assertRejects(() => vault.open(PATIENT, [key], PLACE, value));
  }
});

Deno.test("nothing opens as nothing", async () => {
  const { vault, key, keyRing } = await setUp();
  assertEquals(await vault.open(PATIENT, [key], PLACE, null), null);
  assertEquals(keyRing.unwrapped, []);
});

Deno.test("a text whose key was erased is gone, though the key is still kept in memory", async () => {
  const { vault, key, keyRing } = await setUp();
  const sealed = await vault.seal(PATIENT, key, PLACE, PHONE);
  const erased = { ...key, wrapped_key: null };
  assertEquals(await vault.open(PATIENT, [erased], PLACE, sealed), null);
  assertEquals(keyRing.unwrapped.length, 1);
  await assertRejects(() => vault.seal(PATIENT, erased, PLACE, PHONE), Error, "erased");
});

Deno.test("a text sealed under an earlier key opens beside one under a later", async () => {
  const { vault, key, keyRing } = await setUp();
  const later = await newKey(keyRing);
  const [first, second] = [
    await vault.seal(PATIENT, key, PLACE, "first"),
    await vault.seal(PATIENT, later, PLACE, "second"),
  ];
  assertEquals(await vault.open(PATIENT, [later, key], PLACE, first), "first");
  assertEquals(await vault.open(PATIENT, [later, key], PLACE, second), "second");
});

Deno.test("a text opens after its key was wrapped anew under a later version, by the same context", async () => {
  const context = keyContext("b0000000-0000-4000-8000-000000000001", PATIENT);
  assertEquals(context, `patient_fields:b0000000-0000-4000-8000-000000000001:${PATIENT}`);
  const dataKey = newDataKey();
  const wrapUnder = async (versions: typeof KEY_VERSIONS): Promise<StoredKey> => {
    const { wrapped_key, ...version } = await openKeyRing(versions).wrap(dataKey, context);
    const data_key_id = "b0000000-0000-4000-8000-000000000001";
    return { ...version, data_key_id, wrapped_key: wrapped_key.toHex() };
  };
  const [before, after] = [
    await wrapUnder(KEY_VERSIONS.slice(0, 1)),
    await wrapUnder(KEY_VERSIONS),
  ];
  assertEquals([before.key_version, after.key_version], [1, 2]);
  const sealed = await (await setUp()).vault.seal(PATIENT, before, PLACE, PHONE);
  assertEquals(await (await setUp()).vault.open(PATIENT, [after], PLACE, sealed), PHONE);
});

Deno.test("a key is unwrapped once for many texts, also when they are asked for at once", async () => {
  const { vault, key, keyRing } = await setUp();
  const sealed = await Promise.all(
    Array.from({ length: 20 }, (_, i) => vault.seal(PATIENT, key, PLACE, `text ${i}`)),
  );
  const opened = await Promise.all(sealed.map((value) => vault.open(PATIENT, [key], PLACE, value)));
  assertEquals(opened, Array.from({ length: 20 }, (_, i) => `text ${i}`));
  assertEquals(keyRing.unwrapped, [keyContext(key.data_key_id, PATIENT)]);
});

Deno.test("a kept key is unwrapped anew when its time is over", async () => {
  const { vault, key, keyRing, clock } = await setUp({ keptForMs: 1_000 });
  const sealed = await vault.seal(PATIENT, key, PLACE, PHONE);
  clock.ms = 999;
  await vault.open(PATIENT, [key], PLACE, sealed);
  assertEquals(keyRing.unwrapped.length, 1);
  // Use does not lengthen it.
  clock.ms = 1_000;
  await vault.open(PATIENT, [key], PLACE, sealed);
  assertEquals(keyRing.unwrapped.length, 2);
});

Deno.test("of more keys than are kept, the one that was not used for longest goes", async () => {
  const { vault, keyRing } = await setUp({ maxKeys: 2 });
  const [a, b, c] = [await newKey(keyRing), await newKey(keyRing), await newKey(keyRing)];
  for (const key of [a, b, a, c, a]) await vault.seal(PATIENT, key, PLACE, PHONE);
  assertEquals(keyRing.unwrapped.length, 3);
  await vault.seal(PATIENT, b, PLACE, PHONE);
  assertEquals(keyRing.unwrapped.length, 4);
});

Deno.test("a key that could not be unwrapped is asked for again", async () => {
  const { vault, key, keyRing } = await setUp();
  keyRing.is_down = true;
  await assertRejects(() => vault.seal(PATIENT, key, PLACE, PHONE), AppError, "No key now");
  keyRing.is_down = false;
  const sealed = await vault.seal(PATIENT, key, PLACE, PHONE);
  assertEquals(await vault.open(PATIENT, [key], PLACE, sealed), PHONE);
});
