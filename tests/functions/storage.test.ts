// The bucket: what is asked of Storage, and what its answers become.

import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../functions/_shared/errors.ts";
import { createObjectStore } from "../../functions/_shared/storage.ts";

const INNER = "http://kong:8000";
const PUBLIC = "https://api.example";
const PATH = "patient/record/file";

/** A store on a Storage that gives one answer to everything. */
function store(answer: () => Response | Promise<Response>) {
  const requests: { method: string; url: string; body: string; headers: Headers }[] = [];
  const files = createObjectStore({
    url: INNER,
    publicUrl: PUBLIC,
    secretKey: "sb_secret_x",
    bucket: "medical-records",
    fetch: async (input, init) => {
      const request = new Request(input, init);
      const { method, url, headers } = request;
      requests.push({ method, url, headers, body: await request.text() });
      return await answer();
    },
  });
  return { files, requests };
}

const json = (value: object, status = 200) => () => Response.json(value, { status });

/** How Storage says that an object is not there, in its older and newer versions. */
const ABSENT = [
  json({ statusCode: "404", error: "not_found", message: "Object not found" }, 400),
  json({ statusCode: "404", error: "not_found", message: "Object not found" }, 404),
];
const DOWN = [
  json({ statusCode: "500", error: "internal", message: "Ananya Rao" }, 500),
  () => new Response("<html>bad gateway</html>", { status: 502 }),
  () => Promise.reject(new TypeError("connection refused")),
];

Deno.test("signUpload asks with the secret key and gives the public address", async () => {
  const { files, requests } = store(
    json({ url: `/object/upload/sign/medical-records/${PATH}?token=t0k` }),
  );
  assertEquals(await files.signUpload(PATH), {
    url: `${PUBLIC}/storage/v1/object/upload/sign/medical-records/${PATH}?token=t0k`,
    token: "t0k",
  });
  const [request] = requests;
  assertEquals(request?.method, "POST");
  assertEquals(request?.url, `${INNER}/storage/v1/object/upload/sign/medical-records/${PATH}`);
  assertEquals(request?.headers.get("apikey"), "sb_secret_x");
  assertEquals(request?.headers.get("authorization"), "Bearer sb_secret_x");
  assertEquals(request?.headers.get("x-upsert"), null);
});

Deno.test("signDownload signs for the seconds and encodes the name once", async () => {
  const { files, requests } = store(
    json({ signedURL: `/object/sign/medical-records/${PATH}?token=t0k` }),
  );
  const url = new URL(await files.signDownload(PATH, "röntgen & co.pdf", 60));
  assertEquals(
    url.origin + url.pathname,
    `${PUBLIC}/storage/v1/object/sign/medical-records/${PATH}`,
  );
  assertEquals(url.searchParams.get("download"), "röntgen & co.pdf");
  assertEquals(url.searchParams.get("token"), "t0k");
  assertEquals(JSON.parse(requests[0]?.body ?? ""), { expiresIn: 60 });
});

Deno.test("open gives the object as a stream, and null when there is none", async () => {
  const { files, requests } = store(() => new Response("content"));
  const stream = await files.open(PATH);
  assertEquals(await new Response(stream).text(), "content");
  assertEquals(requests[0]?.url, `${INNER}/storage/v1/object/medical-records/${PATH}`);
  for (const absent of ABSENT) assertEquals(await store(absent).files.open(PATH), null);
});

Deno.test("remove names the objects, and is content when there is none", async () => {
  const { files, requests } = store(json([]));
  await files.remove([PATH, `${PATH}2`]);
  const [request] = requests;
  assertEquals([request?.method, request?.url], [
    "DELETE",
    `${INNER}/storage/v1/object/medical-records`,
  ]);
  assertEquals(JSON.parse(request?.body ?? ""), { prefixes: [PATH, `${PATH}2`] });
  for (const absent of ABSENT) await store(absent).files.remove([PATH]);
});

Deno.test("every method says unavailable when Storage is down, without its words", async () => {
  for (const down of DOWN) {
    const { files } = store(down);
    const attempts = [
      () => files.signUpload(PATH),
      () => files.signDownload(PATH, "x", 60),
      () => files.open(PATH),
      () => files.remove([PATH]),
    ];
    for (const attempt of attempts) {
      const error = await assertRejects(attempt, AppError);
      assertEquals([error.code, error.retryAfterSeconds], ["unavailable", 10]);
      assertEquals(error.message.includes("Ananya"), false);
    }
  }
});

Deno.test("a refusal by Storage is a mistake of ours, not an outage", async () => {
  const { files } = store(json({ statusCode: "403", error: "Unauthorized", message: "no" }, 403));
  const error = await assertRejects(() => files.signUpload(PATH), Error);
  assertEquals(error instanceof AppError, false);
});
