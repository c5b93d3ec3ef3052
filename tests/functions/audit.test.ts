// The routes of `audit` as HTTP sees them: who may seal, and what becomes of the signed head.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { exportJWK, flattenedVerify, generateKeyPair, importJWK } from "jose";
import { createHeadSigner, type HeadSigner } from "../../functions/audit/heads.ts";
import { createApp } from "../../functions/audit/routes.ts";
import type { Deps } from "../../functions/_shared/deps.ts";
import { createQueueReceiver } from "../../functions/_shared/queue.ts";
import { signDelivery } from "../support/queue.ts";
import { testEveryRoute } from "./matrix.ts";
import {
  type Answer,
  assertFailure,
  assertSuccess,
  fakeDeps,
  FakeStore,
  post,
  PUBLIC_URL,
  QUEUE_KEYS,
  raised,
  type Subject,
} from "./support.ts";

const PATH = "/audit/seal";
const URL_OF_PATH = `${PUBLIC_URL}/functions/v1${PATH}`;

const HEAD = {
  seal_id: 7,
  hash: "ab".repeat(32),
  merkle_root: "cd".repeat(32),
  sealed_at: "2026-03-01T12:00:00.000001Z",
  canonical: '["audit_seal/1", 7]',
};

/** Answers with which sealing succeeds. */
const ANSWERS: Record<string, Answer> = {
  require_admin: [{}],
  list_refusals: [{}],
  seal_audit: [{ is_busy: false, seals: 1, events: 3, is_drained: true }],
  audit_head: [HEAD],
};

interface AuditSubject extends Subject {
  heads: FakeStore;
}

/** An app, with a key for heads unless `signHead` is null. */
function build(
  changes: Partial<Deps> = {},
  answers: Record<string, Answer> = {},
  signHead: HeadSigner | null = (head) =>
    Promise.resolve(JSON.stringify({ protected: "e30", payload: base64(head), signature: "" })),
): AuditSubject {
  const deps = fakeDeps({ ...ANSWERS, ...answers }, changes);
  const heads = new FakeStore();
  return { app: createApp({ ...deps, heads, signHead }), deps, heads };
}

function base64(value: unknown): string {
  return new TextEncoder().encode(JSON.stringify(value))
    .toBase64({ alphabet: "base64url", omitPadding: true });
}

/** Sends a delivery of the queue. */
async function deliver({ app }: Subject, signature: string, body?: string): Promise<Response> {
  return await app.request(PATH, {
    method: "POST",
    headers: { "upstash-signature": signature, "content-type": "application/json" },
    body,
  });
}

/** Names of the functions that were called, and the role each ran as. */
function calls({ deps }: Subject): string[] {
  return deps.sql.statements.flatMap((statement) => {
    const name = /private\.(require_admin|list_refusals|seal_audit|audit_head)/.exec(statement.text)
      ?.[1];
    return name ? [`${name} as ${deps.sql.settingsOf(statement).role}`] : [];
  });
}

testEveryRoute((changes) => build(changes), [{
  path: PATH,
  withUnknownField: { extra: 1 },
  withWrongType: "1",
  maxBytes: 64 * 1024,
}]);

Deno.test("POST /audit/seal seals and publishes for an administrator", async () => {
  const subject = build({}, { require_admin: [{}] });
  const data = await assertSuccess(await post(subject, PATH));
  assertEquals(data, {
    is_busy: false,
    seals: 1,
    events: 3,
    is_drained: true,
    head: { seal_id: 7, hash: HEAD.hash, status: "published" },
  });
  assertEquals(subject.deps.sql.statements.at(-1)?.text.includes("audit_head"), true);
  assertEquals(subject.deps.sql.ended, Array(4).fill("committed"));
  assertEquals([...subject.heads.objects.keys()], ["7.json"]);
});

Deno.test("POST /audit/seal answers 403 forbidden to who is no administrator, and seals nothing", async () => {
  const subject = build({}, { require_admin: raised("PT403", "forbidden", "Only administrators") });
  await assertFailure(await post(subject, PATH), 403, "forbidden");
  assert(!subject.deps.sql.statements.some(({ text }) => text.includes("seal_audit")));
  assertEquals(subject.heads.calls, []);
});

for (const [name, key] of Object.entries(QUEUE_KEYS)) {
  Deno.test(`POST /audit/seal seals for the queue, signed with its ${name} key`, async () => {
    const subject = build();
    const signature = await signDelivery({ url: URL_OF_PATH, key });
    assertEquals((await assertSuccess(await deliver(subject, signature))).seals, 1);
    assertEquals(calls(subject), [
      "list_refusals as audit_worker",
      "seal_audit as audit_worker",
      "audit_head as audit_worker",
    ]);
  });
}

Deno.test("POST /audit/seal bears a delivery that comes twice", async () => {
  const subject = build();
  const signature = await signDelivery({ url: URL_OF_PATH, key: QUEUE_KEYS.current, body: "{}" });
  assertEquals(
    (await assertSuccess(await deliver(subject, signature, "{}"))).head.status,
    "published",
  );
  assertEquals(
    (await assertSuccess(await deliver(subject, signature, "{}"))).head.status,
    "already_published",
  );
});

Deno.test("POST /audit/seal answers 401 unauthenticated to a delivery that the queue has not signed", async (t) => {
  const good = { url: URL_OF_PATH, key: QUEUE_KEYS.current };
  const forged = {
    "of another key": await signDelivery({ ...good, key: "sig_of_somebody" }),
    "for another address": await signDelivery({ ...good, url: `${URL_OF_PATH}/more` }),
    "of another body": await signDelivery({ ...good, body: '{"a":1}' }),
    "of another issuer": await signDelivery({ ...good, issuer: "Somebody" }),
    "that has ended": await signDelivery({ ...good, endsInSeconds: -60 }),
    "that is none": "x.y.z",
    "that is empty": "",
    "without an algorithm": `${base64({ alg: "none" })}.${base64({ iss: "Upstash" })}.`,
  };
  for (const [name, signature] of Object.entries(forged)) {
    await t.step(`a signature ${name}`, async () => {
      const subject = build();
      await assertFailure(await deliver(subject, signature), 401, "unauthenticated");
      assertEquals(subject.deps.sql.statements, []);
    });
  }
  await t.step("a good one, where no keys are configured", async () => {
    const subject = build({ queue: createQueueReceiver(undefined) });
    await assertFailure(await deliver(subject, await signDelivery(good)), 401, "unauthenticated");
    assertEquals(subject.deps.sql.statements, []);
  });
});

Deno.test("createQueueReceiver keeps to its keys where the library is told to develop", async () => {
  // With this set the library would trust keys that are in its source.
  Deno.env.set("QSTASH_DEV", "true");
  try {
    const receiver = createQueueReceiver(QUEUE_KEYS);
    const signature = await signDelivery({ url: URL_OF_PATH, key: QUEUE_KEYS.current });
    assertEquals(await receiver.accepts({ signature, body: "", url: URL_OF_PATH }), true);
  } finally {
    Deno.env.delete("QSTASH_DEV");
  }
});

Deno.test("POST /audit/seal asks who is signed in no less when a signature is missing", async () => {
  const subject = build();
  const response = await subject.app.request(PATH, { method: "POST" });
  await assertFailure(response, 401, "unauthenticated");
  assertEquals(subject.deps.sql.statements, []);
});

Deno.test("POST /audit/seal says so when no key for heads is configured", async () => {
  const subject = build({}, {}, null);
  const { head } = await assertSuccess(await post(subject, PATH));
  assertEquals(head, { seal_id: 7, hash: HEAD.hash, status: "not_configured" });
  assertEquals(subject.heads.calls, []);
});

Deno.test("POST /audit/seal has no head before the first seal", async () => {
  const subject = build({}, { audit_head: [] });
  assertEquals((await assertSuccess(await post(subject, PATH))).head, null);
});

Deno.test("POST /audit/seal publishes what an earlier call could not", async () => {
  const subject = build({}, {
    seal_audit: [{ is_busy: false, seals: 0, events: 0, is_drained: true }],
  });
  subject.heads.is_down = true;
  await assertFailure(await post(subject, PATH), 503, "unavailable");
  assertEquals(subject.deps.sql.ended, Array(4).fill("committed"));
  subject.heads.is_down = false;
  assertEquals((await assertSuccess(await post(subject, PATH))).head.status, "published");
});

Deno.test("POST /audit/seal answers 409 head_conflict to a published head with another hash, and keeps it", async () => {
  const subject = build();
  await assertSuccess(await post(subject, PATH));
  const published = subject.heads.objects.get("7.json");
  const rewritten = build({}, { audit_head: [{ ...HEAD, hash: "ee".repeat(32) }] });
  rewritten.heads.objects.set("7.json", published!);
  await assertFailure(await post(rewritten, PATH), 409, "head_conflict");
  assertEquals(rewritten.heads.objects.get("7.json"), published);
  assertEquals(
    rewritten.deps.logged.flatMap((entry) => "fault" in entry ? [entry.fault.name] : []),
    ["AuditHeadConflict"],
  );
});

Deno.test("POST /audit/seal takes a file that is no head for a conflict", async () => {
  for (const text of ["", "{}", "null", '{"protected":"e30","payload":"e30","signature":""}']) {
    const subject = build();
    subject.heads.objects.set("7.json", new TextEncoder().encode(text));
    await assertFailure(await post(subject, PATH), 409, "head_conflict");
  }
});

for (const [name, alg, crv] of [["Ed25519", "EdDSA", "Ed25519"], ["P-256", "ES256", undefined]]) {
  Deno.test(`createHeadSigner signs with ${name} what anybody can verify`, async () => {
    const pair = await generateKeyPair(alg!, { extractable: true, ...crv && { crv } });
    const jws = JSON.parse(await createHeadSigner(await exportJWK(pair.privateKey))(HEAD));
    const key = await importJWK(await exportJWK(pair.publicKey), alg!);
    const { payload, protectedHeader } = await flattenedVerify(jws, key);
    assertEquals(JSON.parse(new TextDecoder().decode(payload)), HEAD);
    assertEquals(protectedHeader?.alg, alg);
    const other = await generateKeyPair(alg!, { extractable: true, ...crv && { crv } });
    await assertRejects(() => flattenedVerify(jws, other.publicKey));
  });
}

Deno.test("GET /audit/openapi.json describes every route without a token", async () => {
  const { app } = build();
  const { paths } = await (await app.request("/audit/openapi.json")).json();
  assertEquals(Object.keys(paths).toSorted(), ["/audit/openapi.json", "/audit/seal"]);
});
