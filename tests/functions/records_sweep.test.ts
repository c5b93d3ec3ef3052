// The cleaning job of `records`: who may call it, what it removes, and in which order it notes it.

import { assert, assertEquals } from "@std/assert";
import { createApp } from "../../functions/records/routes.ts";
import { SWEEP_BATCH } from "../../functions/records/sweep.ts";
import {
  type Answer,
  assertFailure,
  assertSuccess,
  fakeDeps,
  post,
  PUBLIC_URL,
  QUEUE_KEYS,
  SECRET_KEY,
  sign,
  type Subject,
} from "./support.ts";
import { type DeliveryClaims, signDelivery } from "../support/queue.ts";

const UPLOAD_ID = "c1b2c3d4-0000-4000-8000-000000000003";
const STORAGE_PATH = "patient/record/file";

const ATTACHMENT = "conversation/file";

/** An app whose database knows one upload of which nothing came. */
function build(answers: Record<string, Answer> = {}): Subject {
  const deps = fakeDeps({
    ended_record_uploads: [{ upload_id: UPLOAD_ID, storage_path: STORAGE_PATH }],
    note_uploads_swept: [{}],
    unused_attachments: [],
    ...answers,
  });
  return { app: createApp(deps), deps };
}

const BY_SECRET_KEY = { apikey: SECRET_KEY, authorization: "" };

Deno.test("POST /records/sweep removes what ended, then notes it, as the worker for nobody", async () => {
  const subject = build();
  const data = await assertSuccess(await post(subject, "/records/sweep", {}, BY_SECRET_KEY));
  assertEquals(data, { swept: 1, has_more: false });
  const { sql, recordFiles } = subject.deps;
  assertEquals(recordFiles.calls, [`remove ${STORAGE_PATH}`]);
  const noted = sql.find("private.note_uploads_swept");
  assertEquals(noted.values, [`{${UPLOAD_ID}}`]);
  assertEquals(sql.settingsOf(noted).role, "records_worker");
  assertEquals(sql.settingsOf(noted)["request.jwt.claims"], "{}");
  assertEquals(sql.ended, ["committed", "committed", "committed"]);
});

Deno.test("POST /records/sweep notes nothing when Storage has not removed the objects", async () => {
  const subject = build();
  subject.deps.recordFiles.is_down = true;
  await assertFailure(
    await post(subject, "/records/sweep", {}, BY_SECRET_KEY),
    503,
    "unavailable",
  );
  assertEquals(subject.deps.sql.statements.filter(({ text }) => text.includes("note_")), []);
});

Deno.test("POST /records/sweep asks Storage for nothing when nothing ended, and for more after a batch", async () => {
  const none = build({ ended_record_uploads: [] });
  assertEquals(
    await assertSuccess(await post(none, "/records/sweep", {}, BY_SECRET_KEY)),
    { swept: 0, has_more: false },
  );
  assertEquals(none.deps.recordFiles.calls, []);
  const full = build({
    ended_record_uploads: ([limit]) =>
      Array.from({ length: Number(limit) }, (_, n) => ({
        upload_id: UPLOAD_ID,
        storage_path: `path ${n}`,
      })),
  });
  assertEquals(
    await assertSuccess(await post(full, "/records/sweep", {}, BY_SECRET_KEY)),
    { swept: SWEEP_BATCH, has_more: true },
  );
  assertEquals(full.deps.recordFiles.calls.length, 1);
});

Deno.test("POST /records/sweep removes the attachments of no message from their own bucket", async () => {
  const subject = build({ unused_attachments: [{ path: ATTACHMENT }] });
  const { sql, recordFiles, chatFiles } = subject.deps;
  const data = await assertSuccess(await post(subject, "/records/sweep", {}, BY_SECRET_KEY));
  assertEquals(data, { swept: 2, has_more: false });
  assertEquals(recordFiles.calls, [`remove ${STORAGE_PATH}`]);
  assertEquals(chatFiles.calls, [`remove ${ATTACHMENT}`]);
  const asked = sql.find("private.unused_attachments");
  assertEquals(asked.values, [SWEEP_BATCH]);
  assertEquals(sql.settingsOf(asked).role, "records_worker");

  const none = build();
  await assertSuccess(await post(none, "/records/sweep", {}, BY_SECRET_KEY));
  assertEquals(none.deps.chatFiles.calls, []);

  const full = build({
    unused_attachments: ([limit]) =>
      Array.from({ length: Number(limit) }, (_, n) => ({ path: `path ${n}` })),
  });
  assertEquals(
    await assertSuccess(await post(full, "/records/sweep", {}, BY_SECRET_KEY)),
    { swept: SWEEP_BATCH + 1, has_more: true },
  );

  const down = build({ unused_attachments: [{ path: ATTACHMENT }] });
  down.deps.chatFiles.is_down = true;
  await assertFailure(
    await post(down, "/records/sweep", {}, BY_SECRET_KEY),
    503,
    "unavailable",
  );
});

Deno.test("POST /records/sweep takes any secret key, and nothing else, whatever its path is spelled like", async () => {
  const token = `Bearer ${await sign()}`;
  const refused: Record<string, string>[] = [
    { apikey: "" },
    { apikey: "", authorization: token },
    { apikey: "sb_publishable_tests", authorization: token },
    { apikey: `${SECRET_KEY}x`, authorization: "" },
    { apikey: SECRET_KEY.slice(0, -1), authorization: token },
    { apikey: "", authorization: `Bearer ${SECRET_KEY}` },
  ];
  for (const path of ["/records/sweep", "/records/sweep/", "/records/sw%65ep", "/records//sweep"]) {
    for (const headers of refused) {
      const subject = build();
      const { status } = await post(subject, path, {}, headers);
      assert(status === 401 || status === 404, `${path} ${JSON.stringify(headers)}: ${status}`);
      assertEquals(subject.deps.sql.statements, []);
    }
  }
  for (const apikey of [SECRET_KEY, `${SECRET_KEY}_next`]) {
    await assertSuccess(
      await post(build(), "/records/sweep", {}, { apikey, authorization: "" }),
    );
  }
  // It opens nothing else.
  await assertFailure(
    await post(build(), `/records/${UPLOAD_ID}/download-url`, {}, BY_SECRET_KEY),
    401,
    "unauthenticated",
  );
});

Deno.test("POST /records/sweep takes a delivery of the queue, and no forged one", async () => {
  const deliver = async (subject: Subject, claims: Partial<DeliveryClaims> = {}) => {
    const url = `${PUBLIC_URL}/functions/v1/records/sweep`;
    const signature = await signDelivery({
      url,
      body: "{}",
      key: QUEUE_KEYS.current,
      ...claims,
    });
    return await post(subject, "/records/sweep", {}, {
      authorization: "",
      "upstash-signature": signature,
    });
  };
  const accepted = build();
  assertEquals(await assertSuccess(await deliver(accepted)), { swept: 1, has_more: false });
  for (const forged of [{ key: "sig_of_somebody" }, { body: "{ }" }, { endsInSeconds: -60 }]) {
    const subject = build();
    await assertFailure(await deliver(subject, forged), 401, "unauthenticated");
    assertEquals(subject.deps.sql.statements, []);
  }
});
