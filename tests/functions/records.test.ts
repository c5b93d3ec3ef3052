// The routes of `records` as HTTP sees them: the matrix, uploads, downloads, the document.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Validator } from "@seriousme/openapi-schema-validator";
import { testEveryRoute } from "./matrix.ts";
import { sampleFile, SAMPLES, sha256 } from "../fixtures/files.ts";
import { seal } from "../support/sealed.ts";
import {
  ANNOUNCED,
  build,
  ENCRYPTION,
  PATH,
  PENDING,
  RECORD_ID,
  SEALED,
  STORAGE_PATH,
  TEXT,
  UPLOAD_ID,
} from "./records_app.ts";
import {
  assertFailure,
  assertSuccess,
  CALLER_ID,
  NOW_MS,
  post,
  raised,
  refused,
  SECRET_KEY,
  SESSION_ID,
  sign,
} from "./support.ts";

const EMPTY_BUNDLE = { resourceType: "Bundle", type: "collection", entry: [] };
const WITHOUT_BODY = {
  withUnknownField: { extra: 1 },
  withWrongType: "1",
  maxBytes: 64 * 1024,
};

testEveryRoute((changes) => build(changes), [
  {
    method: "PUT",
    path: `${PATH}/description`,
    body: { description: "Clear margins" },
    withUnknownField: { description: "Clear margins", title: "x" },
    withWrongType: { description: ["Clear margins"] },
    maxBytes: 256 * 1024,
  },
  {
    path: "/records/descriptions/read",
    body: { record_ids: [RECORD_ID] },
    withUnknownField: { record_ids: [RECORD_ID], reason: "x" },
    withWrongType: { record_ids: RECORD_ID },
    maxBytes: 64 * 1024,
  },
  {
    path: "/records/import",
    body: EMPTY_BUNDLE,
    withUnknownField: { ...EMPTY_BUNDLE, extra: 1 },
    withWrongType: { ...EMPTY_BUNDLE, entry: {} },
    maxBytes: 20 * 1024 * 1024,
  },
  {
    path: `${PATH}/upload-url`,
    body: ANNOUNCED,
    withUnknownField: { ...ANNOUNCED, extra: 1 },
    withWrongType: { ...ANNOUNCED, file_size: "12" },
    maxBytes: 64 * 1024,
  },
  {
    path: `${PATH}/complete`,
    body: SEALED.done,
    withUnknownField: { ...SEALED.done, extra: 1 },
    withWrongType: { ciphertext_sha256: 1 },
    maxBytes: 64 * 1024,
  },
  { path: `${PATH}/download-url`, ...WITHOUT_BODY },
  { path: "/records/sweep", ...WITHOUT_BODY, secretKey: SECRET_KEY },
]);

for (const action of ["upload-url", "complete", "download-url"]) {
  const body = { "upload-url": ANNOUNCED, "complete": SEALED.done }[action];

  Deno.test(`POST /records/:id/${action} answers 400 to an id that is no UUID`, async () => {
    const subject = build();
    for (const id of ["1", "import", `${RECORD_ID}x`, "%00", "..%2f..", `${RECORD_ID}%00`]) {
      const response = await post(subject, `/records/${id}/${action}`, body);
      await assertFailure(response, 400, "invalid_request");
    }
    assertEquals(subject.deps.sql.statements, []);
  });

  Deno.test(`POST /records/:id/${action} answers 404 to a record of somebody else`, async () => {
    const absent = refused(404, "not_found", "No record with this id");
    const subject = build({}, {
      begin_record_upload: absent,
      pending_record_upload: absent,
      authorize_record_download: absent,
    });
    const error = await assertFailure(
      await post(subject, `${PATH}/${action}`, body),
      404,
      "not_found",
    );
    assertEquals(error.message, "No record with this id");
    assertEquals(subject.deps.recordFiles.calls, []);
    // A refusal is logged, which needs the commit.
    assertEquals(subject.deps.sql.ended, ["committed"]);
  });

  Deno.test(`POST /records/:id/${action} answers 503 with Retry-After when Storage is down`, async () => {
    const subject = build();
    subject.deps.recordFiles.is_down = true;
    const response = await post(subject, `${PATH}/${action}`, body);
    await assertFailure(response, 503, "unavailable");
    assertEquals(response.headers.get("retry-after"), "10");
  });

  Deno.test(`POST /records/:id/${action} asks the database as the caller`, async () => {
    const subject = build();
    await assertSuccess(
      await post(subject, `${PATH}/${action}`, body, {
        "x-forwarded-for": "203.0.113.7, 10.0.0.1",
        "user-agent": "Test/1",
        "x-request-id": "req-1",
      }),
    );
    const { sql } = subject.deps;
    const settings = sql.settingsOf(sql.find(RPC_OF[action]!));
    const claims = JSON.parse(settings["request.jwt.claims"]!);
    assertEquals(settings.role, "authenticated");
    assertEquals([claims.sub, claims.session_id], [CALLER_ID, SESSION_ID]);
    assertEquals(JSON.parse(settings["request.headers"]!), {
      "x-forwarded-for": "203.0.113.7",
      "user-agent": "Test/1",
      "x-request-id": "req-1",
    });
  });
}

const RPC_OF: Record<string, string> = {
  "upload-url": "private.begin_record_upload",
  "complete": "private.pending_record_upload",
  "download-url": "private.authorize_record_download",
};

Deno.test("POST /records/:id/upload-url announces the file and signs where to put it", async () => {
  const subject = build();
  const data = await assertSuccess(await post(subject, `${PATH}/upload-url`, ANNOUNCED));
  assertEquals(data, {
    upload_id: UPLOAD_ID,
    url: `https://project.example/storage/v1/object/upload/sign/${STORAGE_PATH}?token=up`,
    token: "up",
    path: STORAGE_PATH,
    expires_at: "2026-03-01T12:10:00.000Z",
    encryption: { ...ENCRYPTION, key: data.encryption.key },
  });
  assertEquals(subject.deps.sql.find("begin_record_upload").values, [
    RECORD_ID,
    "note.txt",
    "text/plain",
    TEXT.length,
    ANNOUNCED.file_sha256,
  ]);
  assertEquals(subject.deps.sql.ended, ["committed", "committed"]);
});

Deno.test("POST /records/:id/upload-url refuses a file that no record may have", async () => {
  const subject = build();
  const wrong = [
    { file_size: 0 },
    { file_size: 50_000_001 },
    { file_size: 1.5 },
    { file_size: -1 },
    { file_type: "text/html" },
    { file_type: "image/svg+xml" },
    { file_type: "constructor" },
    { file_name: "" },
    { file_name: "a".repeat(256) },
    { file_name: "../scan.pdf" },
    { file_name: "a\\b.pdf" },
    { file_name: "a\u0000b" },
    { file_name: "a\nb" },
    { file_name: "half \ud800" },
    { file_sha256: ANNOUNCED.file_sha256.toUpperCase() },
    { file_sha256: ANNOUNCED.file_sha256.slice(1) },
  ];
  for (const change of wrong) {
    const response = await post(subject, `${PATH}/upload-url`, { ...ANNOUNCED, ...change });
    await assertFailure(response, 400, "invalid_request");
  }
  assertEquals(subject.deps.sql.statements, []);
});

Deno.test("POST /records/:id/upload-url takes every type and the largest size", async () => {
  const subject = build();
  for (const file_type of Object.keys(SAMPLES)) {
    const file = { ...ANNOUNCED, file_type, file_size: 50_000_000 };
    await assertSuccess(await post(subject, `${PATH}/upload-url`, file));
  }
});

Deno.test("POST /records/:id/upload-url answers 409 to a record that has its file", async () => {
  const subject = build({}, {
    begin_record_upload: refused(409, "already_uploaded", "The record has its file already"),
  });
  const response = await post(subject, `${PATH}/upload-url`, ANNOUNCED);
  await assertFailure(response, 409, "already_uploaded");
  assertEquals(subject.deps.recordFiles.calls, []);
  assertEquals(subject.deps.sql.ended, ["committed"]);
});

Deno.test("POST /records/:id/complete takes over a file of each type", async () => {
  for (const file of await Promise.all(Object.keys(SAMPLES).map(sampleFile))) {
    const content_type = "APPLICATION/octet-stream; charset=binary";
    const sealed = await seal(file.bytes, ENCRYPTION, RECORD_ID);
    const subject = build({}, {
      pending_record_upload: [{ ...PENDING, ...file.announced, content_type }],
    });
    subject.deps.recordFiles.objects.set(STORAGE_PATH, sealed.bytes);
    const data = await assertSuccess(await post(subject, `${PATH}/complete`, sealed.done));
    assertEquals(data, { record_id: RECORD_ID, ...file.announced });

    const { sql, recordFiles } = subject.deps;
    const done = sql.find("private.complete_record_upload");
    assertEquals(done.values, [UPLOAD_ID, "v1", sealed.done.ciphertext_sha256]);
    assertEquals(sql.settingsOf(done).role, "records_worker");
    assertEquals(JSON.parse(sql.settingsOf(done)["request.jwt.claims"]!).sub, CALLER_ID);
    assertEquals(sql.ended, ["committed", "committed", "committed"]);
    assertEquals(recordFiles.calls, [`open ${STORAGE_PATH}`]);
  }
});

Deno.test("POST /records/:id/complete names what differs, closes the upload, then removes the file", async () => {
  const other = await sha256(new TextEncoder().encode("another file"));
  const cases: [object, string[]][] = [
    [{ file_size: TEXT.length + 1 }, ["file_size"]],
    [{ file_size: TEXT.length - 1 }, ["file_size"]],
    [{ file_sha256: other }, ["file_sha256"]],
    [{ file_type: "application/pdf" }, ["file_type"]],
    [{ file_type: "application/json", file_sha256: other }, ["file_sha256", "file_type"]],
  ];
  for (const [change, differences] of cases) {
    const subject = build({}, { pending_record_upload: [{ ...PENDING, ...change }] });
    const { sql, recordFiles } = subject.deps;
    let endedBeforeRemoval: string[] = [];
    const remove = recordFiles.remove.bind(recordFiles);
    recordFiles.remove = (paths) => {
      endedBeforeRemoval = [...sql.ended];
      return remove(paths);
    };
    const response = await post(subject, `${PATH}/complete`, SEALED.done);
    const { details } = await assertFailure(response, 422, "file_mismatch");
    assertEquals(details.map(({ path }: { path: string }) => path), differences);

    assertEquals(recordFiles.calls, [`open ${STORAGE_PATH}`, `remove ${STORAGE_PATH}`]);
    assertEquals(endedBeforeRemoval, ["committed", "committed", "committed"]);
    const rejected = sql.find("private.reject_record_upload");
    assertEquals(rejected.values, [UPLOAD_ID]);
    assertEquals(sql.settingsOf(rejected).role, "records_worker");
    assertEquals(sql.statements.filter(({ text }) => text.includes("complete_record_upload")), []);
  }
});

Deno.test("POST /records/:id/complete refuses an upload by its headers, without reading it", async () => {
  const cases: [object, string[]][] = [
    [{ content_type: "text/plain" }, ["content_type"]],
    [{ content_type: "application/octet-streams" }, ["content_type"]],
    [{ content_type: null }, ["content_type"]],
    [{ content_encoding: "gzip" }, ["content_encoding"]],
    [{ content_type: "image/png", content_encoding: "br" }, ["content_type", "content_encoding"]],
  ];
  for (const [headers, differences] of cases) {
    const subject = build({}, { pending_record_upload: [{ ...PENDING, ...headers }] });
    const response = await post(subject, `${PATH}/complete`, SEALED.done);
    const { details } = await assertFailure(response, 422, "file_mismatch");
    assertEquals(details.map(({ path }: { path: string }) => path), differences);
    assertEquals(subject.deps.recordFiles.calls, [`remove ${STORAGE_PATH}`]);
    assertEquals(subject.deps.sql.find("private.reject_record_upload").values, [UPLOAD_ID]);
  }
});

Deno.test("POST /records/:id/complete keeps the object of an upload that is not rejected after all", async () => {
  const subject = build({}, {
    pending_record_upload: [{ ...PENDING, file_size: 1 }],
    reject_record_upload: [{ is_rejected: false }],
  });
  await assertFailure(await post(subject, `${PATH}/complete`, SEALED.done), 422, "file_mismatch");
  assertEquals(subject.deps.recordFiles.calls, [`open ${STORAGE_PATH}`]);
});

Deno.test("POST /records/:id/complete removes nothing when the upload cannot be closed", async () => {
  const subject = build({}, {
    pending_record_upload: [{ ...PENDING, file_size: 1 }],
    reject_record_upload: raised("57P01", "terminating connection"),
  });
  await assertFailure(await post(subject, `${PATH}/complete`, SEALED.done), 503, "unavailable");
  assertEquals(subject.deps.recordFiles.calls, [`open ${STORAGE_PATH}`]);
});

Deno.test("POST /records/:id/complete says what differs though the file cannot be removed", async () => {
  const subject = build({}, { pending_record_upload: [{ ...PENDING, file_size: 1 }] });
  subject.deps.recordFiles.remove = () => Promise.reject(new Error("lost connection"));
  await assertFailure(await post(subject, `${PATH}/complete`, SEALED.done), 422, "file_mismatch");
  assertEquals(subject.deps.sql.find("reject_record_upload").values, [UPLOAD_ID]);
});

Deno.test("POST /records/:id/complete answers 409 upload_missing when nothing arrived in time", async () => {
  const subject = build({}, {
    pending_record_upload: [{ ...PENDING, object_version: null, content_type: null }],
  });
  await assertFailure(await post(subject, `${PATH}/complete`, SEALED.done), 409, "upload_missing");
  assertEquals(subject.deps.recordFiles.calls, []);
});

Deno.test("POST /records/:id/complete passes on why the database does not take the file over", async () => {
  for (
    const [state, code] of [
      ["PT401", "unauthenticated"],
      ["PT409", "upload_missing"],
    ] as const
  ) {
    const subject = build({}, { complete_record_upload: raised(state, code) });
    await assertFailure(
      await post(subject, `${PATH}/complete`, SEALED.done),
      Number(state.slice(2)),
      code,
    );
    assertEquals(subject.deps.recordFiles.calls, [`open ${STORAGE_PATH}`]);
  }
});

Deno.test("POST /records/:id/complete commits what logs that the database takes no file over", async () => {
  for (const [status, code] of [[404, "not_found"], [409, "already_uploaded"]] as const) {
    const subject = build({}, { complete_record_upload: refused(status, code, "No file") });
    const response = await post(subject, `${PATH}/complete`, SEALED.done);
    await assertFailure(response, status, code);
    assertEquals(subject.deps.sql.ended.at(-1), "committed");
    assertEquals(subject.deps.recordFiles.calls, [`open ${STORAGE_PATH}`]);
  }
});

Deno.test("POST /records/:id/complete answers 409 upload_missing before the upload", async () => {
  const subject = build();
  subject.deps.recordFiles.objects.clear();
  await assertFailure(await post(subject, `${PATH}/complete`, SEALED.done), 409, "upload_missing");
  assertEquals(subject.deps.sql.ended, ["committed", "committed"]);
});

Deno.test("POST /records/:id/complete answers 409 upload_missing without an announcement", async () => {
  const subject = build({}, {
    pending_record_upload: raised("PT409", "upload_missing", "No file has been announced"),
  });
  await assertFailure(await post(subject, `${PATH}/complete`, SEALED.done), 409, "upload_missing");
  assertEquals(subject.deps.recordFiles.calls, []);
});

Deno.test("POST /records/:id/complete answers the same the second time and does nothing", async () => {
  const first = build();
  const second = build({}, {
    pending_record_upload: [{ ...PENDING, completed_at: new Date(NOW_MS), ...SEALED.done }],
  });
  const before = await assertSuccess(await post(first, `${PATH}/complete`, SEALED.done));
  assertEquals(await assertSuccess(await post(second, `${PATH}/complete`, SEALED.done)), before);
  assertEquals(second.deps.recordFiles.calls, []);
  assertEquals(second.deps.sql.statements.length, 2);

  const other = { ciphertext_sha256: "0".repeat(64) };
  await assertFailure(await post(second, `${PATH}/complete`, other), 409, "already_uploaded");
  assertEquals(second.deps.recordFiles.calls, []);
});

Deno.test("POST /records/:id/complete answers 503 when the file breaks off while it is read", async () => {
  const subject = build();
  subject.deps.recordFiles.open = () =>
    Promise.resolve(
      new ReadableStream({
        pull(controller) {
          controller.error(new Error("connection lost"));
        },
      }),
    );
  await assertFailure(await post(subject, `${PATH}/complete`, SEALED.done), 503, "unavailable");
  assertEquals(subject.deps.sql.ended, ["committed", "committed"]);
});

Deno.test("POST /records/:id/download-url signs for a minute, under a name that says nothing", async () => {
  const subject = build();
  const data = await assertSuccess(await post(subject, `${PATH}/download-url`));
  assertEquals(data, {
    url: `https://project.example/storage/v1/object/sign/${STORAGE_PATH}` +
      `?token=down&download=record-${RECORD_ID}.blf1`,
    expires_at: "2026-03-01T12:01:00.000Z",
    ...ANNOUNCED,
    encryption: ENCRYPTION,
  });
  assertEquals(subject.deps.recordFiles.calls, [
    `signDownload ${STORAGE_PATH} record-${RECORD_ID}.blf1 60`,
  ]);
  const { sql } = subject.deps;
  assertEquals(sql.ended, ["committed", "committed"]);
  // The audit row is committed before anybody looks for the key.
  const [decided, opened] = [sql.find("authorize_record_download"), sql.find("record_file_key")];
  assert(decided.transaction < opened.transaction);
  assertEquals(opened.values, [RECORD_ID, STORAGE_PATH]);
  assertEquals(sql.settingsOf(opened).role, "records_worker");
});

Deno.test("POST /records/:id/download-url answers 403 to a share for viewing", async () => {
  const subject = build({}, {
    authorize_record_download: refused(403, "forbidden", "The record is shared for viewing"),
  });
  const error = await assertFailure(await post(subject, `${PATH}/download-url`), 403, "forbidden");
  assertEquals(error.message, "The record is shared for viewing");
  assertEquals(subject.deps.recordFiles.calls, []);
  assertEquals(subject.deps.sql.ended, ["committed"]);
});

Deno.test("POST /records/:id/download-url answers 404 to a record without a file", async () => {
  const subject = build({}, {
    authorize_record_download: raised("PT404", "not_found", "The record has no file"),
  });
  const error = await assertFailure(await post(subject, `${PATH}/download-url`), 404, "not_found");
  assertEquals(error.message, "The record has no file");
});

Deno.test("POST /records/:id/download-url answers 500 to a refusal that is not of the list", async () => {
  const subject = build({}, {
    authorize_record_download: refused(403, "of_no_list", "Ananya Rao"),
  });
  const error = await assertFailure(await post(subject, `${PATH}/download-url`), 500, "internal");
  assertEquals(JSON.stringify(error).includes("Ananya"), false);
  assertEquals(subject.deps.recordFiles.calls, []);
});

Deno.test("POST /records/import refuses a query that it does not know", async () => {
  const subject = build();
  for (
    const query of [
      "patient_id=1",
      "patient=x",
      "source_system=",
      "source_system=a%20b",
      "source_system=a%00b",
      "source_system=a&source_system=b",
      `source_system=${"x".repeat(501)}`,
    ]
  ) {
    const response = await post(subject, `/records/import?${query}`, EMPTY_BUNDLE);
    await assertFailure(response, 400, "invalid_request");
  }
  assertEquals(subject.deps.sql.statements, []);
});

Deno.test("GET /records/openapi.json is a valid OpenAPI 3.1 document, without a token", async () => {
  const { app } = build();
  const response = await app.request("/records/openapi.json");
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("cache-control"), "public, max-age=300");
  const document = await response.json();
  assertEquals(document.openapi, "3.1.0");
  const result = await new Validator().validate(structuredClone(document));
  assertEquals(result, { valid: true });
});

Deno.test("GET /records/openapi.json describes every route with its schemas", async () => {
  const { app } = build();
  const { paths, servers } = await (await app.request("/records/openapi.json")).json();
  const described = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations as object).map((method) => `${method} ${path}`)
  );
  const routes = app.routes.filter(({ method }) => method !== "ALL").map(({ method, path }) =>
    `${method.toLowerCase()} ${path.replace(/:(\w+)/g, "{$1}")}`
  );
  assertEquals(new Set(described), new Set(routes));
  assertEquals(servers, [{ url: "https://project.example/functions/v1" }]);

  const upload = paths["/records/{id}/upload-url"].post;
  assertEquals(upload.security, [{ user: [] }]);
  const body = upload.requestBody.content["application/json"].schema;
  assertEquals(body.additionalProperties, false);
  assertEquals(body.properties.file_size.maximum, 50_000_000);
  assertEquals(upload.parameters[0].in, "path");
  assertStringIncludes(upload.responses["409"].description, "already_uploaded");
  assert(paths["/records/import"].post.requestBody.content["application/fhir+json"]);
  const bundle = paths["/records/export"].get;
  assertEquals(Object.keys(bundle.responses["200"].content), ["application/fhir+json"]);
  assertEquals(
    bundle.parameters.map(({ name, required }: Record<string, unknown>) => [name, !!required]),
    [["patient_id", false], ["_since", false], ["_type", false]],
  );
  assertEquals(paths["/records/openapi.json"].get.security, []);
  assertEquals(paths["/records/sweep"].post.security, [{ secret_key: [] }]);
});

Deno.test("GET /records/openapi.json is limited by address", async () => {
  const keys: string[] = [];
  const { app } = build({
    rateLimiter: {
      take(key) {
        keys.push(key);
        return Promise.resolve({ allowed: true, remaining: 1, reset_seconds: 1 });
      },
    },
  });
  for (const ip of ["203.0.113.7", "203.0.113.8", "203.0.113.7"]) {
    await app.request("/records/openapi.json", { headers: { "x-forwarded-for": ip } });
  }
  assertEquals(keys[0], keys[2]);
  assert(keys[0] !== keys[1]);
});

Deno.test("a path that does not exist needs a token, too, and is 404 with one", async () => {
  const { app } = build();
  await assertFailure(await app.request("/records/nowhere"), 401, "unauthenticated");
  const headers = { authorization: `Bearer ${await sign()}` };
  await assertFailure(await app.request("/records/nowhere", { headers }), 404, "not_found");
});
