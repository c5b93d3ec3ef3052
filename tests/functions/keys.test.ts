// The routes of `keys` as HTTP sees them: who may rotate, what a rotation does with the keys it is
// handed, and what the status says of a version's age.

import { assert, assertEquals } from "@std/assert";
import { Validator } from "@seriousme/openapi-schema-validator";
import { SignJWT } from "jose";
import { dataKeyContext } from "../../functions/_shared/data_keys.ts";
import type { Deps } from "../../functions/_shared/deps.ts";
import { newDataKey, openKeyRing } from "../../functions/_shared/key_ring.ts";
import { createApp } from "../../functions/keys/routes.ts";
import { sha256 } from "../fixtures/files.ts";
import { testEveryRoute } from "./matrix.ts";
import {
  type Answer,
  assertFailure,
  assertSuccess,
  CALLER_ID,
  fakeDeps,
  KEY_VERSIONS,
  NOW_MS,
  post,
  PUBLIC_URL,
  QUEUE_KEYS,
  raised,
  sign,
  type Subject,
} from "./support.ts";

const DAY_MS = 86_400_000;
const OLD_RING = openKeyRing(KEY_VERSIONS.slice(0, 1));
const RING = openKeyRing(KEY_VERSIONS);

/** A data key as the database hands it to a rotation, under version 1, and the key itself. */
async function claimed(subject_id = crypto.randomUUID()) {
  const dataKey = newDataKey();
  const about = { id: crypto.randomUUID(), purpose: "record_file" as const, subject_id };
  const { wrapped_key, ...version } = await OLD_RING.wrap(dataKey, dataKeyContext(about));
  return { dataKey, row: { ...about, ...version, wrapped_key: wrapped_key.toHex() } };
}

const KEYS = await Promise.all([claimed(), claimed(), claimed()]);

const VERSION = {
  key_id: "test",
  key_version: 2,
  first_used_at: new Date(NOW_MS - 10 * DAY_MS),
  record_files: 4,
  patient_fields: 2,
  erased: 1,
};

/** Answers that hand out some keys once and then no more. */
function answers(rows: object[] = KEYS.map(({ row }) => row)): Record<string, Answer> {
  const batches = [rows];
  return {
    require_admin: [{}],
    claim_data_keys: () => batches.shift() ?? [],
    store_rewrapped_keys: (values) => [{ count: JSON.parse(String(values[2])).length }],
    key_status: [VERSION],
  };
}

function build(changes: Partial<Deps> = {}, more: Record<string, Answer> = {}): Subject {
  const deps = fakeDeps({ ...answers(), ...more }, changes);
  return { app: createApp(deps), deps };
}

testEveryRoute((changes) => build(changes), [{
  path: "/keys/rotate",
  withUnknownField: { extra: 1 },
  withWrongType: "1",
  maxBytes: 64 * 1024,
}]);

/** A delivery as the queue makes it. */
async function deliver(
  { app }: Subject,
  { body = "{}", key = QUEUE_KEYS.current, url = `${PUBLIC_URL}/functions/v1/keys/rotate` } = {},
): Promise<Response> {
  const now = Math.floor(Date.now() / 1000);
  const digest = Uint8Array.fromHex(await sha256(new TextEncoder().encode(body)));
  const claims = { sub: url, body: digest.toBase64({ alphabet: "base64url" }), jti: "jwt_1" };
  const signature = await new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuer("Upstash").setIssuedAt(now).setNotBefore(now).setExpirationTime(now + 300)
    .sign(new TextEncoder().encode(key));
  return await app.request("/keys/rotate", {
    method: "POST",
    headers: { "upstash-signature": signature, "content-type": "application/json" },
    body: body === "{}" ? body : "{}",
  });
}

Deno.test("POST /keys/rotate wraps each key under the current version, and only the wrapping changes", async () => {
  const subject = build();
  const data = await assertSuccess(await post(subject, "/keys/rotate"));
  assertEquals(data, {
    current: { key_id: "test", key_version: 2 },
    rewrapped: 3,
    failed: 0,
    remaining: 0,
  });
  const { sql } = subject.deps;
  const claim = sql.find("claim_data_keys");
  assertEquals([claim.values[0], sql.settingsOf(claim).role], [2, "keys_worker"]);
  const stored = sql.find("store_rewrapped_keys");
  assertEquals(sql.settingsOf(stored).role, "keys_worker");
  assertEquals(JSON.parse(sql.settingsOf(stored)["request.jwt.claims"]!).sub, CALLER_ID);
  // No transaction is open while keys are unwrapped: the service that does it may be far away.
  assert(claim.transaction < stored.transaction);
  const [key_id, key_version, list] = stored.values;
  assertEquals([key_id, key_version], ["test", 2]);
  const after: { id: string; was: string; wrapped_key: string }[] = JSON.parse(String(list));
  for (const [index, { dataKey, row }] of KEYS.entries()) {
    const kept = after[index]!;
    assertEquals([kept.id, kept.was], [row.id, row.wrapped_key]);
    const wrapped = {
      key_id: "test",
      key_version: 2,
      wrapped_key: Uint8Array.fromHex(kept.wrapped_key),
    };
    assertEquals(await RING.unwrap(wrapped, dataKeyContext(row)), dataKey);
    assert(!JSON.stringify(sql.statements).includes(dataKey.toHex()));
  }
});

Deno.test("POST /keys/rotate leaves a key that it cannot open as it is, and does the others", async () => {
  const [good, bad, swapped] = await Promise.all([claimed(), claimed(), claimed()]);
  const changed = bad.row.wrapped_key.replace(/^../, (byte) => byte === "00" ? "01" : "00");
  const rows = [
    { ...bad.row, wrapped_key: changed },
    { ...swapped.row, wrapped_key: good.row.wrapped_key },
    { ...good.row, key_id: "lost" },
    good.row,
  ];
  const subject = build({}, answers(rows));
  const { rewrapped, failed } = await assertSuccess(await post(subject, "/keys/rotate"));
  assertEquals([rewrapped, failed], [1, 3]);
  const list = JSON.parse(String(subject.deps.sql.find("store_rewrapped_keys").values[2]));
  assertEquals(list.map(({ id }: { id: string }) => id), [good.row.id]);
  const faults = subject.deps.logged.filter((entry) => "fault" in entry);
  assertEquals(faults.length, 3);
  const said = JSON.stringify(subject.deps.logged);
  for (const { dataKey, row } of [good, bad, swapped]) {
    for (const secret of [dataKey.toHex(), dataKey.toBase64(), row.wrapped_key]) {
      assert(!said.includes(secret));
    }
  }
});

Deno.test("POST /keys/rotate goes on batch by batch, and says what is left", async () => {
  const batches = await Promise.all([claimed(), claimed(), claimed(), claimed()]);
  const rows = batches.map(({ row }) => [row]);
  const subject = build({}, {
    claim_data_keys: () => rows.shift() ?? [],
    key_status: [{ ...VERSION, key_version: 1, record_files: 7, patient_fields: 0 }, VERSION],
  });
  const { rewrapped, remaining } = await assertSuccess(await post(subject, "/keys/rotate"));
  assertEquals([rewrapped, remaining], [4, 7]);
  const stored = subject.deps.sql.statements.filter(({ text }) => text.includes("store_rewrapped"));
  assertEquals(stored.length, 4);
});

Deno.test("POST /keys/rotate counts what the database took, not what it was given", async () => {
  const subject = build({}, { store_rewrapped_keys: [{ count: 1 }] });
  assertEquals((await assertSuccess(await post(subject, "/keys/rotate"))).rewrapped, 1);
});

for (const [path, method] of [["/keys/rotate", "POST"], ["/keys/status", "GET"]] as const) {
  Deno.test(`${method} ${path} is for administrators with a second factor`, async () => {
    const subject = build({}, {
      require_admin: raised("PT403", "forbidden", "Only administrators"),
    });
    const headers = { authorization: `Bearer ${await sign()}` };
    await assertFailure(await subject.app.request(path, { method, headers }), 403, "forbidden");
    const asked = subject.deps.sql.statements.map(({ text }) => text);
    assert(!asked.some((text) => /claim_data_keys|key_status/.test(text)));
    const { sql } = subject.deps;
    assertEquals(sql.settingsOf(sql.find("require_admin")).role, "authenticated");

    const nobody = build();
    await assertFailure(await nobody.app.request(path, { method }), 401, "unauthenticated");
    assertEquals(nobody.deps.sql.statements, []);
  });
}

Deno.test("POST /keys/rotate takes a delivery of the queue, by either key, without a token", async () => {
  for (const key of [QUEUE_KEYS.current, QUEUE_KEYS.next]) {
    const subject = build();
    assertEquals((await assertSuccess(await deliver(subject, { key }))).rewrapped, 3);
    const { sql } = subject.deps;
    assertEquals(sql.statements.filter(({ text }) => text.includes("require_admin")), []);
    assertEquals(sql.settingsOf(sql.find("claim_data_keys"))["request.jwt.claims"], "{}");
  }
});

Deno.test("POST /keys/rotate refuses a delivery of another key, body or address", async () => {
  const wrong = [
    { key: "sig_of_somebody" },
    { body: '{"a":1}' },
    { url: `${PUBLIC_URL}/functions/v1/audit/seal` },
  ];
  for (const change of wrong) {
    const subject = build();
    await assertFailure(await deliver(subject, change), 401, "unauthenticated");
    assertEquals(subject.deps.sql.statements, []);
  }
});

async function status(rows: object[], changes: Partial<Deps> = {}) {
  const { app } = build(changes, { key_status: rows });
  const headers = { authorization: `Bearer ${await sign()}` };
  return await assertSuccess(await app.request("/keys/status", { headers }));
}

Deno.test("GET /keys/status says which versions wrap how much, since when, and until when", async () => {
  const first_used_at = new Date(NOW_MS - 40.5 * DAY_MS);
  const old = { ...VERSION, key_version: 1, first_used_at, patient_fields: 0, erased: 0 };
  assertEquals(await status([old, VERSION]), {
    current: { key_id: "test", key_version: 2 },
    current_since: "2026-02-19T12:00:00.000Z",
    due_at: "2026-05-20T12:00:00.000Z",
    is_overdue: false,
    to_rewrap: 4,
    versions: [
      {
        key_id: "test",
        key_version: 1,
        first_used_at: "2026-01-20T00:00:00.000Z",
        age_days: 40,
        is_current: false,
        data_keys: { record_file: 4, patient_fields: 0 },
        erased: 0,
      },
      {
        key_id: "test",
        key_version: 2,
        first_used_at: "2026-02-19T12:00:00.000Z",
        age_days: 10,
        is_current: true,
        data_keys: { record_file: 4, patient_fields: 2 },
        erased: 1,
      },
    ],
  });
});

Deno.test("GET /keys/status is overdue from the 90th day on, and until nothing is left under the old version", async () => {
  const at = (days: number, ms = 0) => new Date(NOW_MS - days * DAY_MS - ms);
  const none = { record_files: 0, patient_fields: 0 };
  const old = { ...VERSION, key_version: 1, first_used_at: at(91) };
  const cases: [string, object[], boolean][] = [
    ["nothing in use", [], false],
    ["90 days to the millisecond", [{ ...VERSION, first_used_at: at(90) }], false],
    ["a millisecond more", [{ ...VERSION, first_used_at: at(90, 1) }], true],
    [
      "old and current, though it wraps nothing",
      [{ ...VERSION, first_used_at: at(91), ...none }],
      true,
    ],
    ["an old version that still wraps", [old, VERSION], true],
    ["an old version that wraps nothing any more", [{ ...old, ...none }, VERSION], false],
    ["a new version that is not used yet", [old], true],
  ];
  for (const [what, rows, expected] of cases) {
    assertEquals((await status(rows)).is_overdue, expected, what);
  }
  const unused = await status([old]);
  assertEquals([unused.current_since, unused.due_at], [null, null]);
});

Deno.test("GET /keys/status has no key in it", async () => {
  const text = JSON.stringify(await status([VERSION]));
  for (const { key } of KEY_VERSIONS) {
    assert(!text.includes(key.toBase64()) && !text.includes(key.toHex()));
  }
  assert(!/wrapped/.test(text));
});

Deno.test("GET /keys/openapi.json is a valid document that describes every route", async () => {
  const { app } = build();
  const document = await (await app.request("/keys/openapi.json")).json();
  assertEquals(await new Validator().validate(structuredClone(document)), { valid: true });
  assertEquals(Object.keys(document.paths).toSorted(), [
    "/keys/openapi.json",
    "/keys/rotate",
    "/keys/status",
  ]);
});
