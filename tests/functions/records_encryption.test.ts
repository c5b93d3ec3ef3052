// Keys of files in the function `records`: made, wrapped, handed out and erased, and never told to
// anybody else.

import { assert, assertEquals } from "@std/assert";
import { dataKeyContext } from "../../functions/_shared/data_keys.ts";
import type { Deps } from "../../functions/_shared/deps.ts";
import type { ProblemCode } from "../../functions/_shared/errors.ts";
import { newDataKey, openKeyRing } from "../../functions/_shared/key_ring.ts";
import { sha256 } from "../fixtures/files.ts";
import { seal } from "../support/sealed.ts";
import {
  ANNOUNCED,
  build,
  CONTEXT,
  DATA_KEY,
  ENCRYPTION,
  KEY_RING,
  KEY_ROW,
  PATH,
  RECORD_ID,
  SEALED,
  STORAGE_PATH,
  TEXT,
  UPLOAD_ID,
} from "./records_app.ts";
import {
  type Answer,
  assertFailure,
  assertSuccess,
  KEY_VERSIONS,
  NOW_MS,
  post,
  raised,
  refused,
  sign,
  type Subject,
} from "./support.ts";

async function remove({ app }: Subject): Promise<Response> {
  const headers = { authorization: `Bearer ${await sign()}` };
  return await app.request(`${PATH}/file`, { method: "DELETE", headers });
}

Deno.test("POST /records/:id/upload-url keeps the key of the file wrapped, and no other way", async () => {
  const subject = build();
  const keys = new Set<string>();
  for (let count = 0; count < 3; count++) {
    const { encryption } = await assertSuccess(
      await post(subject, `${PATH}/upload-url`, ANNOUNCED),
    );
    keys.add(encryption.key);
    const { sql } = subject.deps;
    const kept = sql.statements.findLast(({ text }) => text.includes("add_record_file_key"))!;
    assertEquals(sql.settingsOf(kept).role, "records_worker");
    const [upload, key_id, key_version, wrapped] = kept.values;
    assertEquals([upload, key_id, key_version], [UPLOAD_ID, "test", 2]);
    const wrapped_key = Uint8Array.fromHex(String(wrapped));
    const opened = await KEY_RING.unwrap({ key_id: "test", key_version: 2, wrapped_key }, CONTEXT);
    assertEquals(opened.toBase64(), encryption.key);
    assertEquals(opened.length, 32);
    const sent = JSON.stringify(sql.statements);
    for (const form of [encryption.key, opened.toHex()]) assert(!sent.includes(form));
  }
  assertEquals(keys.size, 3);
});

Deno.test("POST /records/:id/upload-url makes no key before the database has allowed it", async () => {
  const absent = refused(404, "not_found", "No record with this id");
  const wrapped: string[] = [];
  const keyRing = {
    ...KEY_RING,
    wrap: (key: Uint8Array<ArrayBuffer>, context: string) => {
      wrapped.push(context);
      return KEY_RING.wrap(key, context);
    },
  };
  await post(build({ keyRing }, { begin_record_upload: absent }), `${PATH}/upload-url`, ANNOUNCED);
  assertEquals(wrapped, []);
  await post(build({ keyRing }), `${PATH}/upload-url`, ANNOUNCED);
  assertEquals(wrapped, [CONTEXT]);
});

Deno.test("POST /records/:id/complete refuses what its key does not open, whatever its digest", async () => {
  const wrong = {
    plaintext: TEXT,
    "another key": (await seal(TEXT, { key: newDataKey().toBase64() }, RECORD_ID)).bytes,
    "another record": (await seal(TEXT, ENCRYPTION, UPLOAD_ID)).bytes,
    "a changed byte": SEALED.bytes.with(20, SEALED.bytes[20]! ^ 1),
    "a changed header": SEALED.bytes.with(0, 0),
  };
  for (const [what, bytes] of Object.entries(wrong)) {
    const subject = build();
    subject.deps.recordFiles.objects.set(STORAGE_PATH, bytes);
    const done = { ciphertext_sha256: await sha256(bytes) };
    const response = await post(subject, `${PATH}/complete`, done);
    const { details } = await assertFailure(response, 422, "file_mismatch");
    const paths = details.map(({ path }: { path: string }) => path);
    assertEquals(paths, what === "plaintext" ? ["file_size", "encryption"] : ["encryption"], what);
    assertEquals(subject.deps.recordFiles.objects.size, 0);
  }
});

Deno.test("POST /records/:id/download-url gives no address when the key was erased meanwhile", async () => {
  const subject = build({}, { record_file_key: [] });
  await assertFailure(await post(subject, `${PATH}/download-url`), 404, "not_found");
  assertEquals(subject.deps.recordFiles.calls, []);
});

Deno.test("POST /records/:id/download-url refuses a key that stands in another's place", async () => {
  const other = dataKeyContext({ id: UPLOAD_ID, purpose: "record_file", subject_id: RECORD_ID });
  const foreign = dataKeyContext({
    id: ENCRYPTION.key_id,
    purpose: "record_file",
    subject_id: UPLOAD_ID,
  });
  const patients = dataKeyContext({
    id: ENCRYPTION.key_id,
    purpose: "patient_fields",
    subject_id: RECORD_ID,
  });
  for (const context of [other, foreign, patients]) {
    const wrapped = await KEY_RING.wrap(DATA_KEY, context);
    const row = { ...KEY_ROW, wrapped_key: wrapped.wrapped_key.toHex() };
    const subject = build({}, { record_file_key: [row] });
    const response = await post(subject, `${PATH}/download-url`);
    const text = JSON.stringify([await response.json(), subject.deps.logged]);
    assertEquals(response.status, 500);
    assertEquals(subject.deps.recordFiles.calls, []);
    for (const secret of [ENCRYPTION.key, DATA_KEY.toHex(), row.wrapped_key]) {
      assert(!text.includes(secret));
    }
  }
});

Deno.test("POST /records/:id/download-url is 503 when the key's version is not at hand", async () => {
  const subject = build({ keyRing: openKeyRing(KEY_VERSIONS.slice(0, 1)) });
  await assertFailure(await post(subject, `${PATH}/download-url`), 503, "unavailable");
  assertEquals(subject.deps.recordFiles.calls, []);
});

Deno.test("no key is in any log line, whether a request succeeds or fails", async () => {
  const failing: [Partial<Deps>, Record<string, Answer>][] = [
    [{}, {}],
    [{}, { add_record_file_key: raised("23505", "duplicate key", KEY_ROW.wrapped_key) }],
    [{}, { record_file_key: raised("XX000", `broken ${KEY_ROW.wrapped_key}`) }],
    [{}, { complete_record_upload: raised("57014", "canceling statement") }],
    [{ keyRing: openKeyRing(KEY_VERSIONS.slice(0, 1)) }, {}],
  ];
  for (const [changes, answers] of failing) {
    const subject = build(changes, answers);
    const given = await (await post(subject, `${PATH}/upload-url`, ANNOUNCED)).json();
    const failures = [await post(subject, `${PATH}/complete`, SEALED.done)];
    const download = await post(subject, `${PATH}/download-url`);
    if (!download.ok) failures.push(download);
    const texts = await Promise.all(
      failures.filter(({ ok }) => !ok).map((response) => response.text()),
    );
    const said = JSON.stringify(subject.deps.logged) + texts.join();
    const made = given.data?.encryption.key;
    const keys = [ENCRYPTION.key, DATA_KEY.toHex(), KEY_ROW.wrapped_key, ...made ? [made] : []];
    for (const secret of keys) assert(!said.includes(secret));
  }
});

Deno.test("DELETE /records/:id/file erases the key, then removes every object that is left", async () => {
  const rest = `${STORAGE_PATH.slice(0, -1)}5`;
  const erased_at = new Date(NOW_MS);
  const subject = build({}, {
    erase_record_file: [
      { erased_at, storage_path: STORAGE_PATH },
      { erased_at, storage_path: rest },
    ],
  });
  const data = await assertSuccess(await remove(subject));
  assertEquals(data, { record_id: RECORD_ID, erased_at: "2026-03-01T12:00:00.000Z" });
  assertEquals(subject.deps.recordFiles.calls, [`remove ${STORAGE_PATH} ${rest}`]);
  const { sql } = subject.deps;
  assertEquals(sql.settingsOf(sql.find("erase_record_file")).role, "authenticated");
  assertEquals(sql.ended, ["committed"]);
});

Deno.test("DELETE /records/:id/file answers the same when nothing is left", async () => {
  const row = { erased_at: new Date(NOW_MS), storage_path: null };
  const subject = build({}, { erase_record_file: [row] });
  const data = await assertSuccess(await remove(subject));
  assertEquals(data, { record_id: RECORD_ID, erased_at: "2026-03-01T12:00:00.000Z" });
  assertEquals(subject.deps.recordFiles.calls, []);
});

Deno.test("DELETE /records/:id/file is for those whom the database lets", async () => {
  const refusals: [number, ProblemCode][] = [[404, "not_found"], [403, "forbidden"]];
  for (const [status, code] of refusals) {
    const subject = build({}, { erase_record_file: refused(status, code, "No file of theirs") });
    await assertFailure(await remove(subject), status, code);
    assertEquals(subject.deps.sql.ended, ["committed"]);
    assertEquals(subject.deps.recordFiles.calls, []);
  }
  const anonymous = build();
  await assertFailure(
    await anonymous.app.request(`${PATH}/file`, { method: "DELETE" }),
    401,
    "unauthenticated",
  );
  assertEquals(anonymous.deps.sql.statements, []);
  const down = build();
  down.deps.recordFiles.is_down = true;
  await assertFailure(await remove(down), 503, "unavailable");
});
