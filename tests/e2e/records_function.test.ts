// Files of records through the gateway, from announcement to download, and everybody who may not.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { asWorker, openDatabase } from "../../functions/_shared/db.ts";
import { AppError } from "../../functions/_shared/errors.ts";
import { sampleFile, SAMPLES, sha256 } from "../fixtures/files.ts";
import { bundleOf, condition } from "../functions/bundles.ts";
import { present } from "../support/auth.ts";
import { testEnv } from "../support/env.ts";
import { databaseTest, must, newCaregiver, newPatient, withDatabase } from "../support/people.ts";
import {
  call,
  newFile,
  newRecord,
  objectExists,
  recordsOf,
  upload,
} from "../support/records_calls.ts";
import { unseal } from "../support/sealed.ts";

const ABSENT_ID = "00000000-0000-4000-8000-000000000000";
const ACTIONS = ["upload-url", "complete", "download-url"];

/** A proper body of one of the actions. */
function bodyOf(action: string, announced: { file_sha256: string }): object {
  if (action === "upload-url") return announced;
  return action === "complete" ? { ciphertext_sha256: announced.file_sha256 } : {};
}

Deno.test("a file of each type goes from announcement to download, byte for byte", async () => {
  const person = await newPatient();
  for (const type of Object.keys(SAMPLES)) {
    const recordId = await newRecord(person);
    const { bytes, announced } = await sampleFile(type);
    const { path, done } = await upload(person, recordId, announced, bytes);

    const completed = await call(person, `${recordId}/complete`, done);
    assertEquals([completed.status, completed.data], [200, { record_id: recordId, ...announced }]);
    const { data: record } = await person.client.from("medical_records")
      .select("file_name, file_type, file_size, file_sha256").eq("id", recordId).single();
    assertEquals(record, announced);

    const { status, data } = await call(person, `${recordId}/download-url`);
    assertEquals(status, 200);
    const { url, expires_at, encryption, ...file } = data;
    assertEquals(file, announced);
    assert(Date.parse(expires_at) > Date.now() && Date.parse(expires_at) <= Date.now() + 60_000);
    const response = await fetch(url);
    const sealed = await response.bytes();
    assertEquals(await sha256(sealed), done.ciphertext_sha256);
    assertEquals(await unseal(sealed, encryption, recordId), bytes);
    assertEquals(response.headers.get("content-type"), "application/octet-stream");
    assertEquals(
      response.headers.get("content-disposition"),
      `attachment; filename=record-${recordId}.blf1; filename*=UTF-8''record-${recordId}.blf1;`,
    );
    assert(path.startsWith(`${person.id}/${recordId}/`));
  }
});

Deno.test("the unmodified client reaches the function by invoke", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const { announced } = await sampleFile("image/png");
  const { data, error } = await person.client.functions.invoke(`records/${recordId}/upload-url`, {
    body: announced,
  });
  assertEquals(error, null);
  assertEquals(data.success, true);
  const refused = await person.client.functions.invoke(`records/${recordId}/complete`, {
    body: { ciphertext_sha256: announced.file_sha256 },
  });
  assertEquals(refused.error.context.status, 409);
});

Deno.test("a file that is not the announced one is refused and removed; a right one follows", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const { bytes, announced } = await sampleFile("application/pdf");
  const text = SAMPLES["text/plain"];
  const wrong: [object, Uint8Array<ArrayBuffer>, string[]][] = [
    [announced, bytes.slice(0, -1), ["file_size", "file_sha256"]],
    [announced, new Uint8Array([...bytes, 10]), ["file_size"]],
    [{ ...announced, file_sha256: await sha256(text) }, bytes, ["file_sha256"]],
    [{ ...announced, file_size: text.length, file_sha256: await sha256(text) }, text, [
      "file_type",
    ]],
  ];
  for (const [declared, uploaded, differences] of wrong) {
    const { path, done } = await upload(person, recordId, declared, uploaded);
    const { status, code, error } = await call(person, `${recordId}/complete`, done);
    assertEquals([status, code], [422, "file_mismatch"]);
    assertEquals(error.details.map((detail: { path: string }) => detail.path), differences);
    assertEquals(await objectExists(path), false);
    assertEquals((await call(person, `${recordId}/complete`, done)).code, "upload_missing");
    assertEquals((await recordsOf(person))[0]?.file_name, null);
  }
  const { done } = await upload(person, recordId, announced, bytes);
  assertEquals((await call(person, `${recordId}/complete`, done)).status, 200);
});

Deno.test("complete answers 409 upload_missing until the file is there", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const { announced } = await sampleFile("image/jpeg");
  const done = { ciphertext_sha256: announced.file_sha256 };
  assertEquals((await call(person, `${recordId}/complete`, done)).code, "upload_missing");
  await call(person, `${recordId}/upload-url`, announced);
  const { status, code } = await call(person, `${recordId}/complete`, done);
  assertEquals([status, code], [409, "upload_missing"]);
});

databaseTest("complete refuses an announcement whose time is long over", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const { bytes, announced } = await sampleFile("image/png");
  const { done } = await upload(person, recordId, announced, bytes);
  await withDatabase((sql) =>
    sql`update private.record_uploads set expires_at = now() - interval '1 day' where record_id = ${recordId}`
  );
  assertEquals((await call(person, `${recordId}/complete`, done)).code, "upload_missing");
  assertEquals((await recordsOf(person))[0]?.file_name, null);
});

databaseTest("completing at once and again takes the file over once", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const { bytes, announced } = await sampleFile("image/jpeg");
  const { done } = await upload(person, recordId, announced, bytes);
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => call(person, `${recordId}/complete`, done)),
  );
  const again = await call(person, `${recordId}/complete`, done);
  for (const { status, data } of [...answers, again]) {
    assertEquals([status, data], [200, { record_id: recordId, ...announced }]);
  }
  const another = await call(person, `${recordId}/upload-url`, announced);
  assertEquals([another.status, another.code], [409, "already_uploaded"]);
  const other = await call(person, `${recordId}/complete`, {
    ciphertext_sha256: announced.file_sha256,
  });
  assertEquals([other.status, other.code], [409, "already_uploaded"]);
  const events = await withDatabase((sql) =>
    sql`select actor_id from public.audit_events
        where resource_id = ${recordId} and action = 'upload_file'`
  );
  assertEquals(events.map(({ actor_id }) => actor_id), [person.id]);
});

Deno.test("records of others and records that are not there look the same", async () => {
  const [owner, stranger] = [await newPatient(), await newPatient()];
  const recordId = await newFile(owner);
  const { announced } = await sampleFile("image/png");
  for (const action of ACTIONS) {
    const body = bodyOf(action, announced);
    const theirs = await call(stranger, `${recordId}/${action}`, body);
    const absent = await call(stranger, `${ABSENT_ID}/${action}`, body);
    assertEquals([theirs.status, theirs.code], [404, "not_found"]);
    assertEquals([absent.status, absent.code, absent.error.message], [
      404,
      "not_found",
      theirs.error.message,
    ]);
  }
  assertEquals((await call(owner, `${recordId}/download-url`)).status, 200);
});

Deno.test("a share lets its recipient download when it says so, until it is revoked", async () => {
  const [owner, relative] = [await newPatient(), await newCaregiver()];
  const recordId = await newFile(owner);
  const share = (p_access_level: string) =>
    must(owner.client.rpc("share_medical_record", {
      p_record_id: recordId,
      p_shared_with_id: relative.id,
      p_access_level,
      p_expires_at: new Date(Date.now() + 86_400_000).toISOString(),
    }));
  const viewing = await share("view");
  const refused = await call(relative, `${recordId}/download-url`);
  assertEquals([refused.status, refused.code], [403, "forbidden"]);
  await owner.client.rpc("revoke_record_share", { p_id: viewing });
  assertEquals((await call(relative, `${recordId}/download-url`)).status, 404);

  const downloading = await share("download");
  const { status, data } = await call(relative, `${recordId}/download-url`);
  assertEquals(status, 200);
  const sealed = await (await fetch(data.url)).bytes();
  assertEquals((await unseal(sealed, data.encryption, recordId)).length, data.file_size);
  const uploaded = await call(
    relative,
    `${recordId}/upload-url`,
    (await sampleFile("image/png")).announced,
  );
  assertEquals(uploaded.status, 404);
  await owner.client.rpc("revoke_record_share", { p_id: downloading });
  assertEquals((await call(relative, `${recordId}/download-url`)).status, 404);

  const log = await must(owner.client.rpc("my_access_log", { p_limit: 100 }));
  const downloads = log.filter(({ action }: { action: string }) => action === "download_file");
  assertEquals(downloads.map(({ actor_id }: { actor_id: string }) => actor_id), [relative.id]);
});

Deno.test("a token whose session was signed out opens nothing, though it has not expired", async () => {
  const person = await newPatient();
  const recordId = await newFile(person);
  await person.client.auth.signOut();
  const { announced } = await sampleFile("image/png");
  for (const action of ACTIONS) {
    const body = bodyOf(action, announced);
    const { status, code } = await call(person, `${recordId}/${action}`, body);
    assertEquals([status, code], [401, "unauthenticated"]);
  }
  const { status, code } = await call(person, "import", bundleOf(condition()));
  assertEquals([status, code], [401, "unauthenticated"]);
});

Deno.test("API keys and changed tokens open nothing", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const { access_token } = person.session;
  const [header, body, signature] = access_token.split(".");
  const none = btoa('{"alg":"none","typ":"JWT"}').replace(/=+$/, "");
  const tokens = [
    testEnv().publishableKey,
    testEnv().secretKey,
    `${none}.${body}.`,
    `${header}.${body}.${signature?.split("").toReversed().join("")}`,
    "x",
  ];
  for (const token of tokens) {
    const forged = { ...person, session: { ...person.session, access_token: token } };
    const { status, code } = await call(forged, `${recordId}/download-url`);
    assertEquals([status, code], [401, "unauthenticated"]);
  }
  assertEquals((await call(null, `${recordId}/download-url`)).status, 401);
});

Deno.test("the document of the API is open to everybody", async () => {
  const response = await fetch(`${testEnv().url}/functions/v1/records/openapi.json`);
  assertEquals(response.status, 200);
  const { openapi, servers } = await response.json();
  assertEquals([openapi, servers], ["3.1.0", [{ url: `${testEnv().url}/functions/v1` }]]);
});

Deno.test({
  name: "a statement of a function has 30 seconds, and one that outlives its time is unavailable",
  ignore: !testEnv().dbUrl,
  // The pool lets go of its connection by itself when it has been idle.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const sql = openDatabase(present(testEnv().dbUrl));
    const context = { request_id: "req-1", ip: null, user_agent: null };
    const [limit] = await asWorker(
      sql,
      "rate_limit_worker",
      context,
      (tx) =>
        tx<{ ms: number }>`
        select setting::integer as ms from pg_settings where name = 'statement_timeout'`,
    );
    assertEquals(limit, { ms: 30_000 });

    const began = performance.now();
    const error = await assertRejects(
      () =>
        asWorker(sql, "rate_limit_worker", context, async (tx) => {
          await tx`select set_config('statement_timeout', '50', true)`;
          await tx`select pg_sleep(20)`;
        }),
      AppError,
    );
    assertEquals([error.code, error.retryAfterSeconds], ["unavailable", 5]);
    assert(performance.now() - began < 10_000, "the statement was not ended");
  },
});
