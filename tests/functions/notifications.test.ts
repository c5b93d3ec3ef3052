// The routes of `notifications` as HTTP sees them: who may deliver and look, and how receipts are
// taken. What is sent and how is in notifications_providers.test.ts and notifications_deliver.test.ts.

import { assert, assertEquals } from "@std/assert";
import type { Deps } from "../../functions/_shared/deps.ts";
import { createQueueReceiver } from "../../functions/_shared/queue.ts";
import { createApp } from "../../functions/notifications/routes.ts";
import { resendWebhook, twilioWebhook } from "../../functions/notifications/webhooks.ts";
import { makeProviderKeys } from "../../supabase/local/providers/keys.ts";
import { receiptOf, type ReceiptOrder } from "../../supabase/local/providers/receipts.ts";
import { signDelivery } from "../support/queue.ts";
import { testEveryRoute } from "./matrix.ts";
import {
  type Answer,
  assertFailure,
  assertSuccess,
  fakeDeps,
  NOW_MS,
  post,
  PUBLIC_URL,
  QUEUE_KEYS,
  raised,
  sign,
  type Subject,
} from "./support.ts";

const DELIVER = "/notifications/deliver";
const URL_OF_DELIVER = `${PUBLIC_URL}/functions/v1${DELIVER}`;
const WEBHOOKS = "/notifications/webhooks";

const KEYS = await makeProviderKeys();

const BACKLOG = {
  pending: 3,
  sending: 1,
  due: 2,
  oldest_due_seconds: 7,
  next_attempt_at: new Date(NOW_MS),
  dead: 4,
};

/** Answers with which everything succeeds, and nothing is due. */
const ANSWERS: Record<string, Answer> = {
  require_admin: [{}],
  claim_deliveries: [],
  record_receipt: [{ is_new: true }],
  delivery_backlog: [BACKLOG],
};

function build(
  changes: Partial<Deps> = {},
  answers: Record<string, Answer> = {},
  webhooks = {
    resend: resendWebhook(KEYS.resend.webhookSecret),
    twilio: twilioWebhook(KEYS.twilio.accountSid, KEYS.twilio.authToken),
  } as Record<string, ReturnType<typeof resendWebhook> | null>,
): Subject {
  const deps = fakeDeps({ ...answers, ...ANSWERS, ...answers }, changes);
  const clock = { now: deps.now, sleep: () => Promise.resolve(), alarm: () => () => {} };
  const senders = { email: null, sms: null, fcm: null, webpush: null };
  return { app: createApp({ ...deps, clock, senders, webhooks }), deps };
}

/** Sends a receipt as the provider does, changed by `change`. */
async function receive(
  subject: Subject,
  provider: string,
  order: Partial<ReceiptOrder> = {},
  change: (request: Request) => Request = (request) => request,
): Promise<Response> {
  const url = `${PUBLIC_URL}/functions/v1${WEBHOOKS}/${provider}`;
  const receipt = await receiptOf(
    provider,
    url,
    { ref: "message-1", status: "delivered", signed_at: NOW_MS, ...order },
    KEYS,
  );
  const { method, headers, body } = change(receipt!);
  return await subject.app.request(`${WEBHOOKS}/${provider}`, { method, headers, body });
}

const withHeader = (name: string, value: string | null) => (request: Request) => {
  if (value === null) request.headers.delete(name);
  else request.headers.set(name, value);
  return request;
};
const withBody = (body: string) => (request: Request) =>
  new Request(request.url, { method: "POST", headers: request.headers, body });

/** Receipts that were handed to the database. */
function recorded({ deps }: Subject) {
  return deps.sql.statements.filter(({ text }) => text.includes("record_receipt"))
    .map(({ values }) => values);
}

testEveryRoute((changes) => build(changes), [{
  path: DELIVER,
  withUnknownField: { extra: 1 },
  withWrongType: "1",
  maxBytes: 64 * 1024,
}], [`${WEBHOOKS}/:provider`]);

Deno.test("POST /notifications/deliver delivers for an administrator, as the worker", async () => {
  const subject = build();
  const report = await assertSuccess(await post(subject, DELIVER));
  assertEquals(report, {
    claimed: 0,
    sent: 0,
    retried: 0,
    refused: 0,
    suppressed: 0,
    deferred: 0,
    stale: 0,
    is_drained: true,
  });
  const claim = subject.deps.sql.find("claim_deliveries");
  assertEquals(subject.deps.sql.settingsOf(claim).role, "notification_worker");
});

Deno.test("POST /notifications/deliver answers 403 forbidden to who is no administrator, and claims nothing", async () => {
  const subject = build({}, { require_admin: raised("PT403", "forbidden", "Only administrators") });
  await assertFailure(await post(subject, DELIVER), 403, "forbidden");
  assert(!subject.deps.sql.statements.some(({ text }) => text.includes("claim_deliveries")));
});

Deno.test("POST /notifications/deliver delivers for the queue, and for nobody who forges it", async (t) => {
  const good = { url: URL_OF_DELIVER, key: QUEUE_KEYS.current };
  const deliver = (subject: Subject, signature: string) =>
    subject.app.request(DELIVER, { method: "POST", headers: { "upstash-signature": signature } });
  for (const key of Object.values(QUEUE_KEYS)) {
    const subject = build();
    await assertSuccess(await deliver(subject, await signDelivery({ ...good, key })));
    assert(!subject.deps.sql.statements.some(({ text }) => text.includes("require_admin")));
  }
  const forged = {
    "of another key": await signDelivery({ ...good, key: "sig_of_somebody" }),
    "for another address": await signDelivery({ ...good, url: `${URL_OF_DELIVER}/more` }),
    "of another body": await signDelivery({ ...good, body: '{"a":1}' }),
    "that has ended": await signDelivery({ ...good, endsInSeconds: -60 }),
    "that is none": "x.y.z",
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

Deno.test("GET /notifications/status tells an administrator the backlog, and nobody else", async () => {
  const headers = { authorization: `Bearer ${await sign()}` };
  const subject = build();
  const status = await subject.app.request("/notifications/status", { headers });
  assertEquals(await assertSuccess(status), {
    ...BACKLOG,
    next_attempt_at: new Date(NOW_MS).toISOString(),
  });
  const read = subject.deps.sql.find("delivery_backlog");
  assertEquals(subject.deps.sql.settingsOf(read).role, "notification_worker");

  const refused = build({}, { require_admin: raised("PT403", "forbidden", "Only administrators") });
  const other = await refused.app.request("/notifications/status", { headers });
  await assertFailure(other, 403, "forbidden");
  assert(!refused.deps.sql.statements.some(({ text }) => text.includes("delivery_backlog")));
  const nobody = build();
  await assertFailure(
    await nobody.app.request("/notifications/status"),
    401,
    "unauthenticated",
  );
  assertEquals(nobody.deps.sql.statements, []);
});

Deno.test("POST /notifications/webhooks keeps a receipt that its provider has signed, in its own words", async () => {
  const cases: [string, Partial<ReceiptOrder>, [string, string | null]][] = [
    ["resend", {}, ["delivered", null]],
    ["resend", { status: "complained" }, ["complained", null]],
    ["resend", { status: "failed" }, ["failed", null]],
    ["resend", { status: "bounced", error_code: "Permanent" }, ["bounced", "bounce_permanent"]],
    ["resend", { status: "bounced", error_code: "Transient" }, ["failed", "bounce_transient"]],
    ["twilio", {}, ["delivered", null]],
    ["twilio", { status: "read" }, ["delivered", null]],
    ["twilio", { status: "undelivered", error_code: "30003" }, ["failed", "30003"]],
    ["twilio", { status: "undelivered", error_code: "30006" }, ["unregistered", "30006"]],
    ["twilio", { status: "failed", error_code: "21610" }, ["complained", "21610"]],
  ];
  for (const [provider, order, [status, error_code]] of cases) {
    const subject = build();
    const event = { event_id: "msg_1", ...order };
    const data = await assertSuccess(await receive(subject, provider, event));
    assertEquals(data, { is_recorded: true });
    const event_id = provider === "resend" ? "msg_1" : `message-1:${order.status ?? "delivered"}`;
    assertEquals(recorded(subject), [[provider, event_id, "message-1", status, error_code]]);
    const statement = subject.deps.sql.find("record_receipt");
    assertEquals(subject.deps.sql.settingsOf(statement).role, "notification_worker");
  }
});

Deno.test("POST /notifications/webhooks answers 200 to an event that is not kept", async () => {
  for (const [provider, status] of [["resend", "opened"], ["twilio", "queued"]] as const) {
    const subject = build();
    const data = await assertSuccess(await receive(subject, provider, { status }));
    assertEquals(data, { is_recorded: false });
    assertEquals(subject.deps.sql.statements, []);
  }
});

Deno.test("POST /notifications/webhooks names a repeat as the first, and answers 200 to it", async () => {
  for (const provider of ["resend", "twilio"]) {
    const subject = build({}, { record_receipt: [{ is_new: false }] });
    for (let i = 0; i < 2; i++) {
      await assertSuccess(await receive(subject, provider, { event_id: "msg_2" }));
    }
    const [first, second] = recorded(subject);
    assertEquals(first, second);
  }
});

Deno.test("POST /notifications/webhooks answers 401 unauthenticated to what the provider has not signed", async (t) => {
  const signedBy = async (keys: typeof KEYS, provider: string) => {
    const url = `${PUBLIC_URL}/functions/v1${WEBHOOKS}/${provider}`;
    const order = { ref: "message-1", status: "delivered", signed_at: NOW_MS };
    return (await receiptOf(provider, url, order, keys))!;
  };
  const others = await makeProviderKeys();
  const [bySomebody, textBySomebody] = [
    await signedBy(others, "resend"),
    await signedBy(
      { ...others, twilio: { ...others.twilio, accountSid: KEYS.twilio.accountSid } },
      "twilio",
    ),
  ];
  // Signed with the right token, for an account that is not ours.
  const otherAccount = await signedBy({
    ...KEYS,
    twilio: { ...KEYS.twilio, accountSid: others.twilio.accountSid },
  }, "twilio");
  type Case = [string, string, Partial<ReceiptOrder>, (request: Request) => Request];
  const same = (request: Request) => request;
  const cases: Case[] = [
    ["resend", "without a signature", {}, withHeader("svix-signature", null)],
    ["resend", "without an id", {}, withHeader("svix-id", null)],
    ["resend", "without a time", {}, withHeader("svix-timestamp", null)],
    ["resend", "with another id", {}, withHeader("svix-id", "msg_other")],
    ["resend", "with another time", {}, withHeader("svix-timestamp", String(NOW_MS / 1000 - 1))],
    ["resend", "with a time that is none", {}, withHeader("svix-timestamp", "soon")],
    ["resend", "with another body", {}, withBody("{}")],
    ["resend", "with a signature that is none", {}, withHeader("svix-signature", "v1,?")],
    ["resend", "with an empty signature", {}, withHeader("svix-signature", "v1,")],
    ["resend", "from six minutes ago", { signed_at: NOW_MS - 360_000 }, same],
    ["resend", "from six minutes ahead", { signed_at: NOW_MS + 360_000 }, same],
    ["resend", "with another key", {}, () => bySomebody],
    ["twilio", "without a signature", {}, withHeader("x-twilio-signature", null)],
    ["twilio", "with a signature that is none", {}, withHeader("x-twilio-signature", "?")],
    ["twilio", "with another body", {}, withBody("MessageSid=SM1&MessageStatus=delivered")],
    ["twilio", "with another key", {}, () => textBySomebody],
    ["twilio", "for another account", {}, () => otherAccount],
  ];
  for (const [provider, name, order, change] of cases) {
    await t.step(`${provider}, ${name}`, async () => {
      const subject = build();
      const response = await receive(subject, provider, order, change);
      await assertFailure(response, 401, "unauthenticated");
      assertEquals(subject.deps.sql.statements, []);
    });
  }
  await t.step("a signature of a bearer of a good token", async () => {
    const subject = build();
    const response = await post(subject, `${WEBHOOKS}/resend`, { type: "email.delivered" });
    await assertFailure(response, 401, "unauthenticated");
    assertEquals(subject.deps.sql.statements, []);
  });
  await t.step("a good one, where receipts are not configured", async () => {
    const subject = build({}, {}, { resend: null, twilio: null });
    await assertFailure(await receive(subject, "resend"), 401, "unauthenticated");
    assertEquals(subject.deps.sql.statements, []);
  });
});

Deno.test("POST /notifications/webhooks takes one good signature of several", async () => {
  const subject = build();
  const response = await receive(subject, "resend", {}, (request) => {
    const good = request.headers.get("svix-signature");
    return withHeader("svix-signature", `v1,${btoa("x".repeat(32))} v2,abc ${good}`)(request);
  });
  await assertSuccess(response);
});

Deno.test("POST /notifications/webhooks checks the signatures that the providers' documents show", async () => {
  // https://www.twilio.com/docs/usage/security, and the tests of Twilio's own libraries.
  const parameters = {
    CallSid: "CA1234567890ABCDE",
    Caller: "+14158675309",
    Digits: "1234",
    From: "+14158675309",
    To: "+18005551212",
  };
  const text = {
    url: "https://mycompany.com/myapp.php?foo=1&bar=2",
    headers: new Headers({ "x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8=" }),
    body: new URLSearchParams(parameters).toString(),
    now: NOW_MS,
  };
  const verdict = (webhook: ReturnType<typeof twilioWebhook>, call: typeof text) =>
    webhook(call).then(() => "kept", (thrown) => thrown.code);
  // The signature holds; the event is no receipt.
  assertEquals(await verdict(twilioWebhook("AC1", "12345"), text), "invalid_request");
  assertEquals(
    await verdict(twilioWebhook("AC1", "12345"), { ...text, url: "https://mycompany.com/" }),
    "unauthenticated",
  );
  // https://docs.svix.com/receiving/verifying-payloads/how-manual
  const svix = resendWebhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  const body = '{"test": 2432232314}';
  const call = {
    url: "",
    headers: new Headers({
      "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
      "svix-timestamp": "1614265330",
      "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }),
    body,
    now: 1614265330_000,
  };
  // The signature holds; the event is none of Resend's.
  assertEquals(await verdict(svix, call), "invalid_request");
  assertEquals(await verdict(svix, { ...call, body: body + " " }), "unauthenticated");
});

Deno.test("POST /notifications/webhooks answers 400 invalid_request to a signed event of another form", async () => {
  const subject = build();
  await assertFailure(
    await receive(subject, "twilio", { ref: "x".repeat(201) }),
    400,
    "invalid_request",
  );
  assertEquals(subject.deps.sql.statements, []);
});

Deno.test("POST /notifications/webhooks answers 404 not_found to a provider that is not known", async () => {
  for (const provider of ["fcm", "webpush", "__proto__", "constructor", crypto.randomUUID()]) {
    const subject = build();
    const response = await subject.app.request(`${WEBHOOKS}/${provider}`, { method: "POST" });
    await assertFailure(response, 404, "not_found");
    assertEquals(subject.deps.sql.statements, []);
  }
});

Deno.test("POST /notifications/webhooks answers 413 payload_too_large", async () => {
  const subject = build();
  const response = await receive(subject, "resend", {}, withBody("x".repeat(64 * 1024 + 1)));
  await assertFailure(response, 413, "payload_too_large");
});

Deno.test("POST /notifications/webhooks answers 503 unavailable while the database is down, so that it is sent again", async () => {
  const subject = build({}, { record_receipt: raised("57P03", "starting up") });
  await assertFailure(await receive(subject, "resend"), 503, "unavailable");
});

Deno.test("GET /notifications/openapi.json describes every route without a token", async () => {
  const { app } = build();
  const { paths } = await (await app.request("/notifications/openapi.json")).json();
  assertEquals(Object.keys(paths).toSorted(), [
    "/notifications/deliver",
    "/notifications/openapi.json",
    "/notifications/status",
    "/notifications/webhooks/{provider}",
  ]);
  const { responses } = paths["/notifications/webhooks/{provider}"].post;
  assert("503" in responses, "a provider that hears it sends the receipt again");
});

Deno.test("nothing but the webhooks is open without a token", async () => {
  const { app } = build();
  for (
    const path of ["/notifications/other", "/notifications/webhook", "/notifications/webhooks"]
  ) {
    await assertFailure(await app.request(path, { method: "POST" }), 401, "unauthenticated");
  }
});
