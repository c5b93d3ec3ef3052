// The adapters of the providers: what each sends, and what it makes of every answer that the provider
// documents. The mail server is a double; the others answer from a script.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { createECDH, randomBytes } from "node:crypto";
import ece from "http_ece";
import { importSPKI, jwtVerify } from "jose";
import { createCall, readRetryAfter } from "../../functions/notifications/providers/call.ts";
import { createFcm } from "../../functions/notifications/providers/fcm.ts";
import { createTokenSource } from "../../functions/notifications/providers/google_token.ts";
import type { Message } from "../../functions/notifications/providers/provider.ts";
import { createResend } from "../../functions/notifications/providers/resend.ts";
import { createSmtp } from "../../functions/notifications/providers/smtp.ts";
import { createTwilio, referenceOf } from "../../functions/notifications/providers/twilio.ts";
import {
  createWebPush,
  PUSH_HOSTS,
  resolveEndpoint,
} from "../../functions/notifications/providers/web_push.ts";
import { readSettings } from "../../functions/notifications/settings.ts";
import { Outbox } from "../../supabase/local/outbox.ts";
import { makeProviderKeys } from "../../supabase/local/providers/keys.ts";
import { HANG_UP } from "../../supabase/local/providers/double.ts";
import { serveDoubles } from "../../supabase/local/providers/server.ts";
import { startSmtp } from "../../supabase/local/providers/smtp.ts";
import { NOW_MS } from "./support.ts";

const KEYS = await makeProviderKeys();
const LIMITS = { concurrency: 4, per_second: 1000 };
const now = () => NOW_MS;

function message<Address>(
  address: Address,
  changes: Partial<Message<unknown>> = {},
): Message<Address> {
  return {
    notification_id: "a1b2c3d4-0000-4000-8000-0000000000b1",
    kind: "emergency_access",
    urgency: "emergency",
    title: "A notification",
    body: "Something waits for you in the app",
    idempotency_key: "a1b2c3d4-0000-4000-8000-0000000000c1",
    attempts: 1,
    ...changes,
    address,
  };
}

/** One answer of a script. */
type Step = { status: number; json?: unknown; headers?: HeadersInit } | "reset" | "hang";

/** A provider that answers one thing after the other, and keeps what it was sent. */
function scripted(...script: Step[]) {
  const requests: { url: string; method: string; headers: Headers; body: string }[] = [];
  const bodies: Uint8Array[] = [];
  const inner: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const bytes = new Uint8Array(await request.arrayBuffer());
    bodies.push(bytes);
    const { url, method, headers } = request;
    requests.push({ url, method, headers, body: new TextDecoder().decode(bytes) });
    assertEquals(request.redirect, "manual");
    const step = script[Math.min(requests.length, script.length) - 1]!;
    if (step === "reset") throw new TypeError("connection reset");
    if (step === "hang") {
      return await new Promise((_, reject) => {
        init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
      });
    }
    const { status, json, headers: answered } = step;
    const body = json === undefined ? null : JSON.stringify(json);
    return new Response(body, { status, headers: answered });
  };
  const policy = {
    timeoutMs: 300,
    retries: 0,
    backoffMs: { initialDelay: 1, maxDelay: 1 },
    breakAfterFailures: 5,
    breakSeconds: 10,
  };
  return { requests, bodies, call: createCall(inner, now, policy) };
}

const resend = (...script: Step[]) => {
  const { call, requests } = scripted(...script);
  const provider = createResend({
    url: "https://resend.example",
    apiKey: "re_key",
    from: "Care <care@us.example>",
    limits: LIMITS,
    call,
  });
  return { requests, send: () => provider.send(message({ email: "asha@example.org" })) };
};

const twilio = (...script: Step[]) => {
  const { call, requests } = scripted(...script);
  const provider = createTwilio({
    url: "https://twilio.example",
    accountSid: "AC1",
    authToken: "token",
    from: "+15005550006",
    statusCallback: "https://us.example/receipts",
    limits: LIMITS,
    now,
    call,
  });
  const send = (changes: Partial<Message<unknown>> = {}) =>
    provider.send(message({ phone: "+919876543210" }, changes));
  return { requests, send };
};

const ACCOUNT = {
  project_id: "project-1",
  client_email: "sender@project-1.iam.gserviceaccount.com",
  private_key: KEYS.fcm.privateKey,
  token_uri: "https://oauth2.example/token",
};

const GRANTED: Step = {
  status: 200,
  json: { access_token: "ya29.one", expires_in: 3600, token_type: "Bearer" },
};

const fcm = (tokenScript: Step[], ...script: Step[]) => {
  const asked = scripted(...tokenScript);
  const { call, requests } = scripted(...script);
  const clock = { ms: NOW_MS };
  const provider = createFcm({
    url: "https://fcm.example",
    projectId: ACCOUNT.project_id,
    tokens: createTokenSource(ACCOUNT, asked.call, () => clock.ms),
    limits: LIMITS,
    now,
    call,
  });
  const send = (changes: Partial<Message<unknown>> = {}) =>
    provider.send(message({ token: "device-token" }, changes));
  return { requests, asked: asked.requests, clock, send };
};

const webpush = (hosts: string[], ...script: Step[]) => {
  const { call, requests, bodies } = scripted(...script);
  const ecdh = createECDH("prime256v1");
  ecdh.generateKeys();
  const auth = randomBytes(16).toString("base64url");
  const clock = { ms: NOW_MS };
  const provider = createWebPush({
    publicKey: KEYS.vapid.publicKey,
    privateKey: KEYS.vapid.privateKey,
    subject: "mailto:care@us.example",
    hosts,
    limits: LIMITS,
    now: () => clock.ms,
    newCall: () => call,
  });
  const address = {
    endpoint: "https://push.example/send/abc",
    p256dh: ecdh.getPublicKey().toString("base64url"),
    auth,
  };
  const send = (changes: object = {}, others: Partial<Message<unknown>> = {}) =>
    provider.send(message({ ...address, ...changes }, others));
  const decrypt = (body: Uint8Array) =>
    ece.decrypt(Buffer.from(body), { version: "aes128gcm", privateKey: ecdh, authSecret: auth })
      .toString("utf8");
  return { requests, bodies, send, decrypt, clock };
};

const sent = (provider_message_id: string | null) => ({ outcome: "sent", provider_message_id });
const dead = (error_code: string) => ({ outcome: "permanent", error_code, retire_address: true });
const unfit = (error_code: string) => ({ outcome: "permanent", error_code, retire_address: false });
const alarm = (error_code: string) => ({ outcome: "retry", error_code, is_alarm: true });
const later = (error_code: string, retry_after_seconds?: number) => ({
  outcome: "retry",
  error_code,
  ...retry_after_seconds !== undefined && { retry_after_seconds },
});
const pause = (error_code: string, retry_after_seconds: number) => ({
  outcome: "retry",
  error_code,
  is_throttled: true,
  retry_after_seconds,
});

/** An outcome without what is undefined. */
const plain = (outcome: unknown) => JSON.parse(JSON.stringify(outcome));

// Resend --------------------------------------------------------------------------------------------

Deno.test("resend sends one mail to one address, under an idempotency key", async () => {
  const { send, requests } = resend({ status: 200, json: { id: "mail-1" } });
  assertEquals(await send(), sent("mail-1") as never);
  const [{ url, method, headers, body }] = requests as [typeof requests[0]];
  assertEquals([method, url], ["POST", "https://resend.example/emails"]);
  assertEquals(headers.get("authorization"), "Bearer re_key");
  assertEquals(headers.get("idempotency-key"), "a1b2c3d4-0000-4000-8000-0000000000c1");
  assertEquals(JSON.parse(body), {
    from: "Care <care@us.example>",
    to: ["asha@example.org"],
    subject: "A notification",
    text: "Something waits for you in the app",
    headers: { "Auto-Submitted": "auto-generated" },
  });
});

Deno.test("resend's refusals are told apart", async () => {
  const refusal = (status: number, name: string, message = "", headers?: HeadersInit): Step => ({
    status,
    json: { statusCode: status, name, message },
    headers,
  });
  const cases: [Step, object][] = [
    [refusal(422, "validation_error", "Invalid `to` field."), dead("validation_error")],
    [refusal(422, "validation_error", "Invalid `text` field."), unfit("validation_error")],
    [refusal(422, "invalid_from_address", "Invalid `from`"), alarm("invalid_from_address")],
    [refusal(400, "invalid_idempotency_key"), unfit("invalid_idempotency_key")],
    [refusal(409, "invalid_idempotent_request"), unfit("invalid_idempotent_request")],
    [refusal(409, "concurrent_idempotent_requests"), later("concurrent_idempotent_requests")],
    [refusal(401, "missing_api_key"), alarm("missing_api_key")],
    [refusal(401, "restricted_api_key"), alarm("restricted_api_key")],
    [refusal(403, "invalid_api_key"), alarm("invalid_api_key")],
    [refusal(403, "validation_error", "`to`"), alarm("validation_error")],
    [
      refusal(429, "rate_limit_exceeded", "", { "retry-after": "3" }),
      pause("rate_limit_exceeded", 3),
    ],
    [refusal(429, "rate_limit_exceeded"), pause("rate_limit_exceeded", 1)],
    [refusal(429, "daily_quota_exceeded"), pause("daily_quota_exceeded", 3600)],
    [refusal(451, "security_error"), unfit("security_error")],
    [refusal(500, "application_error"), later("application_error")],
    [{ status: 503, headers: { "retry-after": "9" } }, later("http_503", 9)],
    [{ status: 502 }, later("http_502")],
    [{ status: 302, headers: { location: "https://elsewhere.example" } }, later("http_302")],
    [{ status: 418 }, later("http_418")],
    ["reset", later("unreachable")],
    ["hang", later("timeout")],
  ];
  for (const [step, outcome] of cases) {
    const { send, requests } = resend(step);
    assertEquals(plain(await send()), outcome, JSON.stringify(step));
    assertEquals(requests.length, 1, "no try within a try");
  }
});

Deno.test("a provider that is down is left alone, and what was not tried does not count", async () => {
  const { send, requests } = resend("reset");
  for (let i = 0; i < 5; i++) assertEquals(plain(await send()), later("unreachable"));
  assertEquals(plain(await send()), {
    outcome: "deferred",
    error_code: "circuit_open",
    retry_after_seconds: 10,
  });
  assertEquals(requests.length, 5);
});

Deno.test("an answer that is no JSON, or without end, is no fault", async () => {
  const endless = () =>
    new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(16 * 1024)),
    });
  for (const body of ["<html>", "", endless()]) {
    const call = createCall(() => Promise.resolve(new Response(body)), now);
    const called = await call("https://x.example/", { headers: {} });
    assertEquals("answer" in called && [called.answer.status, called.answer.json], [
      200,
      undefined,
    ]);
  }
});

Deno.test("a request whose answer is lost goes out once, also on a connection that was kept", async () => {
  let requests = 0;
  let hangs = false;
  const server = await serveDoubles(() => {
    requests++;
    return Promise.resolve(hangs ? HANG_UP : new Response("{}"));
  });
  try {
    const call = createCall(fetch, now);
    const send = () => call(server.url, { method: "POST", headers: {}, body: "To=1" });
    assert("answer" in await send());
    hangs = true;
    assertEquals(plain(await send()), { outcome: later("unreachable") });
    assertEquals(requests, 2);
  } finally {
    await server.close();
  }
});

Deno.test("readRetryAfter reads seconds and dates, and never a pause without end", () => {
  const cases: [string | null, number | undefined][] = [
    [null, undefined],
    ["7", 7],
    ["0", 0],
    ["99999999", 86400],
    [new Date(NOW_MS + 5000).toUTCString(), 5],
    [new Date(NOW_MS - 5000).toUTCString(), 0],
    ["soon", undefined],
    ["", undefined],
  ];
  for (const [value, seconds] of cases) assertEquals(readRetryAfter(value, NOW_MS), seconds);
});

// SMTP ----------------------------------------------------------------------------------------------

Deno.test("smtp sends mails that a mailbox shows once, and tells refusals apart", async () => {
  const outbox = new Outbox();
  const account = { user: "care", password: "p@ss/word" };
  const server = await startSmtp(outbox, account);
  const from = "Care <care@us.example>";
  const limits = { concurrency: 1, per_second: 100 };
  const provider = createSmtp({ url: server.url, from, limits, timeoutMs: 2_000 });
  const stranger = createSmtp({ url: server.url.replace("care", "mallory"), from, limits });
  const nobody = createSmtp({ url: "smtp://127.0.0.1:1", from, limits });
  const hindi = { title: "आपके लिए सूचना", body: "ऐप में आपके लिए कुछ है" };
  const send = () => provider.send(message({ email: "asha@example.org" }, hindi));
  const id = "<a1b2c3d4-0000-4000-8000-0000000000c1@us.example>";
  try {
    assertEquals(await send(), sent(id) as never);
    assertEquals(await send(), sent(id) as never);
    assertEquals(server.received, new Map([[id, 2]]));
    assertEquals(
      outbox.list().map(({ to, subject, text }) => [to, subject, text]),
      [["asha@example.org", hindi.title, hindi.body]],
    );
    const cases = [
      ["refuse", dead("smtp_550")],
      ["throttle", later("smtp_451")],
      ["fail", later("unreachable")], // 421: the server ends the connection
      ["die", later("unreachable")],
      ["swallow", later("unreachable")],
    ] as const;
    for (const [mode, outcome] of cases) {
      server.behave({ mode, for_next: 1 });
      assertEquals(plain(await send()), outcome, mode);
    }
    assertEquals(await send(), sent(id) as never);
    const as = (other: typeof provider) => other.send(message({ email: "asha@example.org" }));
    assertEquals(plain(await as(stranger)), alarm("smtp_535"));
    assertEquals(plain(await as(nobody)), later("unreachable"));
  } finally {
    for (const one of [provider, stranger, nobody]) await one.close();
    await server.close();
  }
});

Deno.test("smtp writes no headers that come from words", async () => {
  const outbox = new Outbox();
  const server = await startSmtp(outbox, { user: "u", password: "p" });
  const limits = { concurrency: 1, per_second: 100 };
  const provider = createSmtp({ url: server.url, from: "care@us.example", limits });
  try {
    const title = "Hello\r\nBcc: everybody@example.org";
    await provider.send(message({ email: "asha@example.org" }, { title }));
    const [mail] = outbox.list();
    assertEquals(outbox.list().length, 1);
    assertEquals([mail?.to, mail?.subject], [
      "asha@example.org",
      "Hello Bcc: everybody@example.org",
    ]);
  } finally {
    await provider.close();
    await server.close();
  }
});

Deno.test("smtp gives a server that never comes to an end up, and does without its connection", async () => {
  let connections = 0;
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const connection of listener) {
      connections++;
      (async () => {
        // A greeting of many lines, each soon enough after the one before.
        const line = new TextEncoder().encode("220-wait\r\n");
        for (;;) {
          await connection.write(line);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      })().catch(() => connection.close());
    }
  })();
  const provider = createSmtp({
    url: `smtp://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`,
    from: "care@us.example",
    limits: { concurrency: 1, per_second: 100 },
    timeoutMs: 60_000,
    totalMs: 300,
  });
  for (const tries of [1, 2]) {
    const outcome = await provider.send(message({ email: "asha@example.org" }));
    assertEquals([plain(outcome), connections], [later("timeout"), tries]);
  }
  await provider.close();
  listener.close();
  await serving;
});

// Twilio --------------------------------------------------------------------------------------------

Deno.test("twilio sends a text that ends with a reference, and asks for receipts", async () => {
  const { send, requests } = twilio({ status: 201, json: { sid: "SM1" } });
  assertEquals(await send(), sent("SM1") as never);
  assertEquals(requests.length, 1);
  const [{ url, method, headers, body }] = requests as [typeof requests[0]];
  assertEquals(
    [method, url],
    ["POST", "https://twilio.example/2010-04-01/Accounts/AC1/Messages.json"],
  );
  assertEquals(headers.get("authorization"), `Basic ${btoa("AC1:token")}`);
  const reference = await referenceOf(message({}));
  assert(/^Ref [0-9A-HJKMNP-TV-Z]{8}$/.test(reference), reference);
  assertEquals(Object.fromEntries(new URLSearchParams(body)), {
    To: "+919876543210",
    From: "+15005550006",
    Body: `A notification\nSomething waits for you in the app\n${reference}`,
    StatusCallback: "https://us.example/receipts",
  });
});

Deno.test("twilio asks before a second try whether the first got through", async () => {
  const reference = await referenceOf(message({}));
  const listing = (...messages: object[]): Step => ({ status: 200, json: { messages } });
  const mine = { sid: "SM7", body: `A notification\nx\n${reference}`, status: "sent" };
  const other = { sid: "SM8", body: "A notification\nx\nRef 00000000", status: "sent" };
  const made: Step = { status: 201, json: { sid: "SM9" } };

  const found = twilio(listing(other, mine), made);
  assertEquals(await found.send({ attempts: 2 }), sent("SM7") as never);
  assertEquals(found.requests.length, 1);
  const query = new URL(found.requests[0]!.url).searchParams;
  assertEquals(query.get("To"), "+919876543210");
  assertEquals(query.get("DateSent>"), "2026-02-26");

  for (const list of [listing(), listing(other), listing({ ...mine, status: "failed" })]) {
    const { send, requests } = twilio(list, made);
    assertEquals(await send({ attempts: 2 }), sent("SM9") as never);
    assertEquals(requests.map(({ method }) => method), ["GET", "POST"]);
  }

  // Nobody knows: then nothing is sent.
  const unknown: [Step, object][] = [
    ["reset", later("unreachable")],
    [{ status: 500 }, later("http_500")],
    [{ status: 200, json: {} }, later("http_200")],
    [{ status: 401, json: { code: 20003 } }, alarm("20003")],
  ];
  for (const [step, outcome] of unknown) {
    const { send, requests } = twilio(step, made);
    assertEquals(plain(await send({ attempts: 2 })), outcome);
    assertEquals(requests.length, 1);
  }
});

Deno.test("twilio's refusals are told apart", async () => {
  const refusal = (status: number, code: number, headers?: HeadersInit): Step => ({
    status,
    json: { code, message: "+919876543210 is no good", status },
    headers,
  });
  const cases: [Step, object][] = [
    [refusal(400, 21211), dead("21211")],
    [refusal(400, 21614), dead("21614")],
    [refusal(400, 21610), dead("21610")],
    [refusal(400, 21617), unfit("21617")],
    [refusal(400, 21606), alarm("21606")],
    [refusal(403, 21408), alarm("21408")],
    [refusal(401, 20003), alarm("20003")],
    [refusal(429, 20429, { "retry-after": "4" }), pause("20429", 4)],
    [refusal(429, 20429), pause("20429", 5)],
    [refusal(500, 20500), later("20500")],
    [{ status: 404 }, later("http_404")],
    [{ status: 503 }, later("http_503")],
    ["reset", later("unreachable")],
    ["hang", later("timeout")],
  ];
  for (const [step, outcome] of cases) {
    const { send, requests } = twilio(step);
    assertEquals(plain(await send()), outcome, JSON.stringify(step));
    assertEquals(requests.length, 1, "no try within a try");
  }
});

// FCM -----------------------------------------------------------------------------------------------

Deno.test("fcm sends with a token of the service account, which is kept until it ends", async () => {
  const { send, asked, requests, clock } = fcm([GRANTED], {
    status: 200,
    json: { name: "projects/project-1/messages/1" },
  });
  const all = await Promise.all([send(), send()]);
  all.push(await send({ urgency: "normal" }));
  for (const outcome of all) {
    assertEquals(outcome, sent("projects/project-1/messages/1") as never);
  }
  assertEquals(asked.length, 1);
  const form = new URLSearchParams(asked[0]!.body);
  assertEquals(form.get("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
  const key = await importSPKI(KEYS.fcm.publicKey, "RS256");
  const { payload, protectedHeader } = await jwtVerify(form.get("assertion")!, key, {
    currentDate: new Date(NOW_MS),
  });
  assertEquals(protectedHeader.alg, "RS256");
  assertEquals(payload, {
    iss: ACCOUNT.client_email,
    aud: ACCOUNT.token_uri,
    scope: "https://www.googleapis.com/auth/firebase.messaging",
    iat: NOW_MS / 1000,
    exp: NOW_MS / 1000 + 3600,
  });

  const [{ url, headers, body }] = requests as [typeof requests[0]];
  assertEquals(url, "https://fcm.example/v1/projects/project-1/messages:send");
  assertEquals(headers.get("authorization"), "Bearer ya29.one");
  const tag = JSON.parse(body).message.android.notification.tag;
  assert(/^[\w-]{32}$/.test(tag));
  assertEquals(JSON.parse(body).message, {
    token: "device-token",
    notification: { title: "A notification", body: "Something waits for you in the app" },
    data: {
      notification_id: "a1b2c3d4-0000-4000-8000-0000000000b1",
      kind: "emergency_access",
    },
    android: { priority: "HIGH", ttl: "86400s", notification: { tag } },
    apns: {
      headers: {
        "apns-collapse-id": tag,
        "apns-priority": "10",
        "apns-expiration": String(NOW_MS / 1000 + 86400),
      },
    },
  });
  const priorities = requests.map(({ body }) => {
    const { android, apns } = JSON.parse(body).message;
    return `${android.priority} ${apns.headers["apns-priority"]}`;
  });
  assertEquals(priorities.toSorted(), ["HIGH 10", "HIGH 10", "NORMAL 5"]);

  clock.ms += 3539_000;
  await send();
  assertEquals(asked.length, 1);
  clock.ms += 1_000;
  await send();
  assertEquals(asked.length, 2);
});

Deno.test("fcm asks for another token when one is refused", async () => {
  const refused: Step = { status: 401, json: { error: { code: 401, status: "UNAUTHENTICATED" } } };
  const { send, asked } = fcm([GRANTED], refused, { status: 200, json: { name: "m" } });
  assertEquals(plain(await send()), alarm("UNAUTHENTICATED"));
  assertEquals(await send(), sent("m") as never);
  assertEquals(asked.length, 2);
});

Deno.test("fcm uses a token that was just granted, however soon it ends", async () => {
  const short = { access_token: "ya29.short", expires_in: 0, token_type: "Bearer" };
  const { send, asked } = fcm([{ status: 200, json: short }], {
    status: 200,
    json: { name: "projects/project-1/messages/1" },
  });
  const outcomes = await Promise.all([send(), send()]);
  assertEquals(outcomes.map(({ outcome }) => outcome), ["sent", "sent"]);
  assertEquals(asked.length, 1);
  await send();
  assertEquals(asked.length, 2);
});

Deno.test("fcm sends nothing without a token", async () => {
  const cases: [Step, object][] = [
    [{ status: 400, json: { error: "invalid_grant" } }, alarm("token_http_400")],
    [{ status: 401 }, alarm("token_http_401")],
    [{ status: 200, json: {} }, later("token_http_200")],
    [{ status: 500 }, later("token_http_500")],
    [{ status: 429, headers: { "retry-after": "8" } }, later("token_http_429", 8)],
    ["reset", later("unreachable")],
  ];
  for (const [step, outcome] of cases) {
    const { send, asked, requests } = fcm([step, GRANTED], { status: 200, json: { name: "m" } });
    assertEquals(plain(await send()), outcome);
    assertEquals(requests.length, 0);
    // It was not kept.
    assertEquals(await send(), sent("m") as never);
    assertEquals(asked.length, 2);
  }
});

Deno.test("fcm's refusals are told apart", async () => {
  const refusal = (
    code: number,
    status: string,
    errorCode?: string,
    field?: string,
    headers?: HeadersInit,
  ): Step => ({
    status: code,
    headers,
    json: {
      error: {
        code,
        status,
        message: "device-token is no good",
        details: [
          ...errorCode
            ? [{ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", errorCode }]
            : [],
          ...field
            ? [{
              "@type": "type.googleapis.com/google.rpc.BadRequest",
              fieldViolations: [{ field, description: "Invalid" }],
            }]
            : [],
        ],
      },
    },
  });
  const cases: [Step, object][] = [
    [refusal(404, "NOT_FOUND", "UNREGISTERED"), dead("UNREGISTERED")],
    [refusal(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), dead("SENDER_ID_MISMATCH")],
    [
      refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.token"),
      dead("INVALID_ARGUMENT"),
    ],
    [
      refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.android.ttl"),
      unfit("INVALID_ARGUMENT"),
    ],
    [refusal(400, "INVALID_ARGUMENT"), unfit("INVALID_ARGUMENT")],
    [refusal(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), alarm("THIRD_PARTY_AUTH_ERROR")],
    [refusal(403, "PERMISSION_DENIED"), alarm("PERMISSION_DENIED")],
    [refusal(404, "NOT_FOUND"), alarm("NOT_FOUND")],
    [refusal(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), pause("QUOTA_EXCEEDED", 60)],
    [
      refusal(429, "RESOURCE_EXHAUSTED", undefined, undefined, { "retry-after": "30" }),
      pause("RESOURCE_EXHAUSTED", 30),
    ],
    [refusal(500, "INTERNAL", "INTERNAL"), later("INTERNAL")],
    [{ status: 503, headers: { "retry-after": "20" } }, later("http_503", 20)],
    ["reset", later("unreachable")],
    ["hang", later("timeout")],
  ];
  for (const [step, outcome] of cases) {
    const { send, requests } = fcm([GRANTED], step);
    assertEquals(plain(await send()), outcome, JSON.stringify(step));
    assertEquals(requests.length, 1, "no try within a try");
  }
});

// Web Push ------------------------------------------------------------------------------------------

Deno.test("webpush sends what only the browser can read, and says who sends it", async () => {
  const { send, requests, bodies, decrypt } = webpush(["push.example"], {
    status: 201,
    headers: { location: "https://push.example/m/7" },
  });
  assertEquals(await send(), sent("7") as never);
  const [{ url, headers }] = requests as [typeof requests[0]];
  assertEquals(url, "https://push.example/send/abc");
  assertEquals(
    ["ttl", "urgency", "content-encoding"].map((name) => headers.get(name)),
    ["86400", "high", "aes128gcm"],
  );
  const topic = headers.get("topic");
  assert(/^[\w-]{32}$/.test(topic!));
  assertEquals(JSON.parse(decrypt(bodies[0]!)), {
    title: "A notification",
    body: "Something waits for you in the app",
    tag: topic,
    data: {
      notification_id: "a1b2c3d4-0000-4000-8000-0000000000b1",
      kind: "emergency_access",
    },
  });
  assert(!new TextDecoder().decode(bodies[0]!).includes("notification"));
  const vapid = /^vapid t=([\w.-]+), k=([\w-]+)$/.exec(headers.get("authorization")!);
  assertEquals(vapid?.[2], KEYS.vapid.publicKey);
  const claims = JSON.parse(
    new TextDecoder().decode(
      Uint8Array.fromBase64(vapid![1]!.split(".")[1]!, { alphabet: "base64url" }),
    ),
  );
  assertEquals(claims, {
    aud: "https://push.example",
    sub: "mailto:care@us.example",
    exp: NOW_MS / 1000 + 12 * 3600,
  });

  await send({}, { urgency: "normal", idempotency_key: "another" });
  assertEquals(requests[1]!.headers.get("urgency"), "normal");
  assert(requests[1]!.headers.get("topic") !== topic);
});

Deno.test("webpush proves who sends once an hour to each service", async () => {
  const { send, requests, clock } = webpush(["*.push.example"], { status: 201 });
  const proofOf = async (endpoint: string) => {
    await send({ endpoint });
    return requests.at(-1)!.headers.get("authorization");
  };
  const first = await proofOf("https://a.push.example/1");
  assertEquals(await proofOf("https://a.push.example/2"), first);
  // It is made out to one service; another gets its own.
  const other = await proofOf("https://b.push.example/1");
  assert(other !== first);
  clock.ms += 3600_000;
  assert(await proofOf("https://a.push.example/1") !== first);
});

Deno.test("webpush leaves alone the one service that is down, and no other below the same name", async () => {
  const ecdh = createECDH("prime256v1");
  ecdh.generateKeys();
  const inner: typeof fetch = (input) =>
    new URL(String(input)).hostname === "gone.push.example"
      ? Promise.reject(new TypeError("no such name"))
      : Promise.resolve(new Response(null, { status: 201 }));
  const provider = createWebPush({
    publicKey: KEYS.vapid.publicKey,
    privateKey: KEYS.vapid.privateKey,
    subject: "mailto:care@us.example",
    hosts: ["*.push.example"],
    limits: LIMITS,
    now,
    newCall: () => createCall(inner, now),
  });
  const send = async (host: string) => {
    const { outcome } = await provider.send(message({
      endpoint: `https://${host}.push.example/1`,
      p256dh: ecdh.getPublicKey().toString("base64url"),
      auth: randomBytes(16).toString("base64url"),
    }));
    return outcome;
  };
  for (let i = 0; i < 5; i++) assertEquals(await send("gone"), "retry");
  assertEquals(await send("gone"), "deferred");
  assertEquals(await send("web"), "sent");
});

Deno.test("webpush calls push services only, whatever address a client gives", async () => {
  const { send, requests } = webpush(PUSH_HOSTS, { status: 201 });
  const refused = [
    "http://fcm.googleapis.com/fcm/send/x",
    "https://fcm.googleapis.com:8443/fcm/send/x",
    "https://fcm.googleapis.com.evil.example/x",
    "https://evil.example/fcm.googleapis.com",
    "https://fcm.googleapis.com@evil.example/x",
    "https://user:password@fcm.googleapis.com/x",
    "https://evilpush.apple.com/x",
    "https://push.apple.com/x",
    "https://169.254.169.254/latest/meta-data",
    "http://127.0.0.1:54321/",
    "https://localhost/",
    "file:///etc/passwd",
    "nothing",
    "",
  ];
  for (const endpoint of refused) {
    assertEquals(plain(await send({ endpoint })), dead("endpoint_not_allowed"), endpoint);
  }
  assertEquals(requests.length, 0);
  const taken = [
    "https://fcm.googleapis.com/fcm/send/x",
    "https://updates.push.services.mozilla.com/wpush/v2/x",
    "https://web.push.apple.com/x",
    "https://wns2-by3p.notify.windows.com/w/?token=x",
  ];
  for (const endpoint of taken) assertEquals(await send({ endpoint }), sent(null) as never);
  assertEquals(requests.map(({ url }) => url), taken);
  const via = "push.example=http://127.0.0.1:8080/double/";
  assertEquals(
    resolveEndpoint("https://push.example/a?b=c", via),
    "http://127.0.0.1:8080/double/a?b=c",
  );
  assertEquals(resolveEndpoint("http://127.0.0.1:8080/double/a", via), undefined);
});

Deno.test("webpush's refusals are told apart", async () => {
  const cases: [Step, object][] = [
    [{ status: 404 }, dead("http_404")],
    [{ status: 410 }, dead("http_410")],
    [{ status: 400 }, unfit("http_400")],
    [{ status: 413 }, unfit("http_413")],
    [{ status: 401 }, alarm("http_401")],
    [{ status: 403 }, alarm("http_403")],
    [{ status: 429, headers: { "retry-after": "11" } }, pause("http_429", 11)],
    [{ status: 307, headers: { location: "http://127.0.0.1/" } }, later("http_307")],
    [{ status: 500 }, later("http_500")],
    [{ status: 503, headers: { "retry-after": "2" } }, later("http_503", 2)],
    ["reset", later("unreachable")],
    ["hang", later("timeout")],
  ];
  for (const [step, outcome] of cases) {
    const { send, requests } = webpush(["push.example"], step);
    assertEquals(plain(await send()), outcome, JSON.stringify(step));
    assertEquals(requests.length, 1, "no try within a try");
  }
  for (const bad of [{ p256dh: "AAAA" }, { auth: "AAAA" }, { p256dh: "?", auth: "" }]) {
    const { send, requests } = webpush(["push.example"], { status: 201 });
    assertEquals(plain(await send(bad)), dead("invalid_subscription"));
    assertEquals(requests.length, 0);
  }
});

// Settings ------------------------------------------------------------------------------------------

Deno.test("readSettings takes providers whole or not at all, and repeats no value", () => {
  assertEquals(readSettings({}).RESEND_PER_SECOND, 2);
  assertEquals(readSettings({ WEB_PUSH_HOSTS: "" }).WEB_PUSH_HOSTS, PUSH_HOSTS);
  const wrong: [Record<string, string>, string][] = [
    [{ RESEND_API_KEY: "s3cret" }, "EMAIL_FROM"],
    [{ SMTP_URL: "smtp://u:s3cret@mail.example" }, "EMAIL_FROM"],
    [{ SMTP_URL: "https://s3cret.example", EMAIL_FROM: "a@b.example" }, "SMTP_URL"],
    [
      { RESEND_API_KEY: "s3cret", SMTP_URL: "smtp://mail.example", EMAIL_FROM: "a@b.example" },
      "SMTP_URL",
    ],
    [{ TWILIO_AUTH_TOKEN: "s3cret" }, "TWILIO_ACCOUNT_SID"],
    [{ VAPID_PUBLIC_KEY: KEYS.vapid.publicKey }, "VAPID_PRIVATE_KEY"],
    [{ VAPID_PUBLIC_KEY: "s3cret" }, "VAPID_PUBLIC_KEY"],
    [{ FCM_SERVICE_ACCOUNT: '{"private_key":"s3cret"}' }, "FCM_SERVICE_ACCOUNT"],
    [{ RESEND_WEBHOOK_SECRET: "s3cret" }, "RESEND_WEBHOOK_SECRET"],
    [{ RESEND_PER_SECOND: "0" }, "RESEND_PER_SECOND"],
  ];
  for (const [variables, name] of wrong) {
    const { message } = assertThrows(() => readSettings(variables), Error);
    assert(message.includes(name), message);
    assert(!message.includes("s3cret"), message);
  }
});
