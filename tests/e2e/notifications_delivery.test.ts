// Notifications on their way out of the app, through the function `notifications` to the doubles of the
// providers: what arrives, what is tried again, what is given up, and what receipts say.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Outbox } from "../../supabase/local/outbox.ts";
import { startSmtp } from "../../supabase/local/providers/smtp.ts";
import { present } from "../support/auth.ts";
import { until } from "../support/stack_process.ts";
import { DeliveryLab, type DeliveryRow } from "../support/delivery_lab.ts";

const NOTHING = {
  claimed: 0,
  sent: 0,
  retried: 0,
  refused: 0,
  suppressed: 0,
  deferred: 0,
  stale: 0,
  is_drained: true,
};

/** The only row of a list. */
function only<T>(rows: T[]): T {
  assertEquals(rows.length, 1);
  return rows[0]!;
}

const statusOf = ({ status, last_error }: DeliveryRow) => [status, last_error];

async function everyChannel(lab: DeliveryLab) {
  const member = await lab.newMember();
  const token = await lab.addPhone(member);
  const browser = await lab.addBrowser(member);
  await lab.notify(member, "emergency_access");
  assertEquals(await lab.deliver(), { ...NOTHING, claimed: 4, sent: 4 });
  for (const row of await lab.deliveriesTo(member)) {
    assertEquals(statusOf(row), ["sent", null]);
    assert(row.provider && row.provider_message_id && row.sent_at, JSON.stringify(row));
    assertEquals(row.attempts, 1);
  }
  const addresses = [member.email, member.phone, token, browser.endpoint.split("/").at(-1)!];
  const messages = await Promise.all(addresses.map((to) => lab.messages(to)));
  const [mail, text, app, web] = messages.map(only);
  assertEquals([mail?.provider, text?.provider, app?.provider, web?.provider], [
    "resend",
    "twilio",
    "fcm",
    "webpush",
  ]);
  // The push service has read it with the browser's keys; the words are those of the mail.
  assertEquals([app?.subject, app?.text], [mail?.subject, mail?.text]);
  assertEquals([web?.subject, web?.text], [mail?.subject, mail?.text]);
  assertEquals([web?.urgency, web?.tag?.length, app?.tag?.length], ["high", 32, 32]);
  assertStringIncludes(text!.text, mail!.text);
  assert(/\nRef [0-9A-Z]{8}$/.test(text!.text));
  for (const { subject, text } of messages.flat()) {
    assert(!/chart|doctor|emergency|cancer/i.test(subject + text), "outside channels say little");
  }
  assertEquals(await lab.deliver(), NOTHING);
}

async function throttled(lab: DeliveryLab) {
  const member = await lab.newMember();
  await lab.behave("resend", { mode: "throttle", for_next: 1, retry_after_seconds: 50 });
  await lab.tell(member, "email");
  assertEquals(await lab.deliver(), { ...NOTHING, claimed: 1, retried: 1 });
  const waiting = only(await lab.deliveriesTo(member));
  assertEquals(statusOf(waiting), ["pending", "rate_limit_exceeded"]);
  // Twelve seconds would do; the provider has asked for more.
  assert(waiting.due_in > 45 && waiting.due_in <= 50, String(waiting.due_in));
  assertEquals(await lab.deliver(), NOTHING);

  // The queue in front of the provider keeps to the pause, whoever comes, and counts no try.
  await lab.passTime();
  const report = await lab.deliver();
  assertEquals(report, { ...NOTHING, claimed: 1, deferred: 1 });
  const deferred = only(await lab.deliveriesTo(member));
  assertEquals([deferred.status, deferred.attempts, deferred.failures], ["pending", 1, 1]);
  assertEquals(await lab.messages(member.email), []);
}

async function failing(lab: DeliveryLab) {
  const member = await lab.newMember();
  await lab.tell(member, "sms");
  const [low, high] = [0.8, 1.2];
  for (const [index, seconds] of [12, 150, 1800, 21600, 86400].entries()) {
    await lab.behave("twilio", { mode: "fail", for_next: 1 });
    assertEquals(await lab.deliver(), { ...NOTHING, claimed: 1, retried: 1 });
    const row = only(await lab.deliveriesTo(member));
    assertEquals([row.status, row.failures, row.last_error], ["pending", index + 1, "20500"]);
    assert(row.due_in > seconds * low - 5 && row.due_in <= seconds * high, String(row.due_in));
    await lab.passTime();
  }
  await lab.behave("twilio", { mode: "fail", for_next: 1 });
  assertEquals(await lab.deliver(), { ...NOTHING, claimed: 1, retried: 1 });
  assertEquals(only(await lab.deliveriesTo(member)).status, "dead");
  const told = await lab.sql`select data from public.notifications where kind = 'delivery_dead'`;
  assert(told.length > 0);
  assertEquals(await lab.messages(member.phone), []);
}

async function refusedAndRetired(lab: DeliveryLab) {
  const member = await lab.newMember();
  const token = await lab.addPhone(member);
  const browser = await lab.addBrowser(member);
  await lab.behave("resend", { mode: "refuse", for_next: 1 });
  await lab.behave("twilio", { mode: "refuse", for_next: 1 });
  await lab.order("fcm", "end", { address: token });
  await lab.order("webpush", "end", { address: browser.endpoint });
  await lab.notify(member, "emergency_access");
  assertEquals(await lab.deliver(), { ...NOTHING, claimed: 4, refused: 4 });
  const rows = await lab.deliveriesTo(member);
  assertEquals(rows.map(({ status }) => status), Array(4).fill("failed"));
  assertEquals(rows.map(({ last_error }) => last_error).toSorted(), [
    "21211",
    "UNREGISTERED",
    "http_410",
    "validation_error",
  ]);
  const devices = await lab.sql`
    select retired_at from public.device_tokens where user_id = ${member.id}`;
  assert(devices.length === 2 && devices.every(({ retired_at }) => retired_at !== null));

  // Nothing goes there again, although the providers would take it now.
  await lab.notify(member, "emergency_access");
  assertEquals((await lab.deliver()).sent, 0);
  for (const address of [member.email, member.phone, token]) {
    assertEquals(await lab.messages(address), []);
  }
}

async function slowOnes(lab: DeliveryLab) {
  const members = await Promise.all(Array.from({ length: 5 }, () => lab.newMember()));
  const delay_ms = 2_000;
  await lab.behave("twilio", { mode: "slow", delay_ms });
  for (const member of members) await lab.tell(member, "sms");
  const began = performance.now();
  assertEquals(await lab.deliver(), { ...NOTHING, claimed: 5, sent: 5 });
  // They are waited for together: one after another would take as long as all delays.
  assert(performance.now() - began < 5 * delay_ms);
  await lab.behave("twilio", { mode: "ok" });
  for (const { phone } of members) only(await lab.messages(phone));
}

/** The provider dies before it does anything, or after, and nobody hears an answer. */
async function dying(lab: DeliveryLab) {
  for (const mode of ["die", "swallow"] as const) {
    const member = await lab.newMember();
    const token = await lab.addPhone(member);
    await lab.notify(member, "emergency_access");
    for (const provider of ["resend", "twilio", "fcm"]) {
      await lab.behave(provider, { mode, for_next: 1 });
    }
    assertEquals(await lab.deliver(), { ...NOTHING, claimed: 3, retried: 3 });
    for (const row of await lab.deliveriesTo(member)) {
      assertEquals(statusOf(row), ["pending", "unreachable"]);
    }
    await lab.passTime();
    assertEquals(await lab.deliver(), { ...NOTHING, claimed: 3, sent: 3 });
    // Once each: the mail by its key, the text because the provider was asked first.
    only(await lab.messages(member.email));
    const text = only(await lab.messages(member.phone));
    const pushes = await lab.messages(token);
    assertEquals(pushes.length, mode === "die" ? 1 : 2);
    // On the device once: the second stands in the place of the first.
    assertEquals(new Set(pushes.map(({ tag }) => tag)).size, 1);
    const sms = (await lab.deliveriesTo(member)).find(({ channel }) => channel === "sms");
    assertEquals(sms?.provider_message_id, text.ref);
  }
}

async function receipts(lab: DeliveryLab) {
  const member = await lab.newMember();
  await lab.tell(member, "email", "sms");
  await lab.deliver();
  const [mail, text] = await lab.deliveriesTo(member);
  const mailRef = mail!.provider_message_id!;
  const textRef = text!.provider_message_id!;

  const delivered = { ref: mailRef, status: "delivered", event_id: `msg_${mailRef}` };
  assertEquals(await lab.receipt("resend", delivered), 200);
  const { due_in: _, ...before } = present((await lab.deliveriesTo(member))[0]);
  assert(before.delivered_at);
  // The same again changes nothing.
  assertEquals(await lab.receipt("resend", delivered), 200);
  const { due_in: __, ...after } = (await lab.deliveriesTo(member))[0]!;
  assertEquals(after, before);
  // One that was signed long ago, and one that was not signed by Resend.
  const old = { ref: mailRef, status: "bounced", error_code: "Permanent" };
  assertEquals(await lab.receipt("resend", { ...old, signed_at: Date.now() - 600_000 }), 401);
  const forged = await fetch(`${lab.url}/functions/v1/notifications/webhooks/resend`, {
    method: "POST",
    headers: { "svix-id": "1", "svix-timestamp": "1", "svix-signature": "v1,AAAA" },
    body: "{}",
  });
  assertEquals((await forged.json()).error.code, "unauthenticated");
  assertEquals((await lab.deliveriesTo(member))[0]?.status, "sent");

  // Out of order: what cannot have arrived has not, whichever is heard first.
  const failed = { ref: textRef, status: "undelivered", error_code: "30005" };
  assertEquals(await lab.receipt("twilio", failed), 200);
  assertEquals(await lab.receipt("twilio", { ref: textRef, status: "delivered" }), 200);
  assertEquals(await lab.receipt("twilio", { ref: textRef, status: "sent" }), 200);
  assertEquals(statusOf((await lab.deliveriesTo(member))[1]!), ["failed", "30005"]);

  // A number that is no number any more is told nothing again, and a mail that bounced neither.
  assertEquals(await lab.receipt("resend", old), 200);
  assertEquals(statusOf((await lab.deliveriesTo(member))[0]!), ["failed", "bounce_permanent"]);
  await lab.notify(member, "care_requested");
  assertEquals((await lab.deliver()).sent, 0);
  assertEquals((await lab.messages(member.email)).length, 1);
  assertEquals((await lab.messages(member.phone)).length, 1);

  const unknown = await fetch(`${lab.url}/functions/v1/notifications/webhooks/nobody`, {
    method: "POST",
  });
  assertEquals((await unknown.json()).error.code, "not_found");
}

async function quietHours(lab: DeliveryLab) {
  const member = await lab.newMember("Asia/Kolkata");
  const [{ now }] = await lab.sql<[{ now: string }]>`
    select to_char(now() at time zone 'Asia/Kolkata', 'HH24:MI') as now`;
  // Two hours around now, wherever in the day that is.
  const at = (hours: number) => `${(Number(now.slice(0, 2)) + hours + 24) % 24}${now.slice(2)}`;
  const quiet = { quiet_from: at(-1), quiet_to: at(1) };
  await lab.prefer(member, "care_requested", ["email"], quiet);
  await lab.prefer(member, "new_sign_in", ["email"], quiet);
  await lab.notify(member, "care_requested");
  assertEquals(await lab.deliver(), NOTHING);
  const waiting = only(await lab.deliveriesTo(member));
  assert(waiting.due_in > 50 * 60 && waiting.due_in <= 60 * 60, String(waiting.due_in));
  // Whoever claims it too early puts it back.
  await lab.passTime();
  assertEquals(await lab.deliver(), NOTHING);
  assertEquals(await lab.messages(member.email), []);
  // Security does not wait.
  await lab.notify(member, "new_sign_in");
  assertEquals(await lab.deliver(), { ...NOTHING, claimed: 1, sent: 1 });
  only(await lab.messages(member.email));
}

async function twoWorkers(lab: DeliveryLab) {
  const members = await Promise.all(Array.from({ length: 40 }, () => lab.newMember()));
  for (const member of members) await lab.tell(member, "email", "sms");
  await lab.behave("twilio", { mode: "slow", delay_ms: 5 });
  const reports = await Promise.all(Array.from({ length: 4 }, () => lab.deliver()));
  await lab.behave("twilio", { mode: "ok" });
  const sum = (name: "sent" | "claimed" | "stale") =>
    reports.reduce((all, report) => all + report[name], 0);
  assertEquals([sum("claimed"), sum("sent"), sum("stale")], [80, 80, 0]);
  for (const { email, phone } of members) {
    only(await lab.messages(email));
    only(await lab.messages(phone));
  }
}

async function deniedRequests(lab: DeliveryLab) {
  const url = `${lab.url}/functions/v1/notifications`;
  const refusals = [
    await fetch(`${url}/deliver`, { method: "POST" }),
    await fetch(`${url}/deliver`, {
      method: "POST",
      headers: { "upstash-signature": "e30.e30.e30" },
    }),
    await fetch(`${url}/deliver`, {
      method: "POST",
      headers: { authorization: `Bearer ${lab.keys.secret}` },
    }),
    await fetch(`${url}/status`),
  ];
  for (const response of refusals) {
    assertEquals([response.status, (await response.json()).error.code], [401, "unauthenticated"]);
  }
  // The doubles' controls are for this machine, under its own name, only.
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: lab.site.apiPort });
  const body = '{"mode":"fail"}';
  await connection.write(new TextEncoder().encode(
    `POST /_local/providers/resend/behaviour HTTP/1.1\r\nHost: stack.example\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  ));
  const answer = await new Response(connection.readable).text();
  assertStringIncludes(answer, "404 Not Found");
  const wrong = await fetch(`${lab.url}/_local/providers/resend/behaviour`, {
    method: "POST",
    body: '{"mode":"explode"}',
  });
  assertEquals((await wrong.json()).code, "invalid_request");
}

Deno.test("deliveries through the doubles of the providers", async (t) => {
  await DeliveryLab.use(async (lab) => {
    const step = (name: string, run: (lab: DeliveryLab) => Promise<void>) =>
      t.step(name, () => run(lab));
    await step("each channel says little, and once", everyChannel);
    await step("a provider that fails is tried six times, then an administrator sees it", failing);
    await step("an address that is refused is told nothing again", refusedAndRetired);
    await step("slow answers are waited for together", slowOnes);
    await step("a provider that dies in the middle loses and doubles nothing", dying);
    await step("receipts count once, in any order, and only when signed", receipts);
    await step("quiet hours hold back what is not urgent", quietHours);
    await step("runs at a time deliver each once", twoWorkers);
    await step("nobody else may deliver", deniedRequests);
    // Last, as the provider's pause holds for a while.
    await step("a provider that throttles is left alone for as long as it asks", throttled);
  });
});

/** Lets the queue call the worker now, and not only at the next full minute. */
async function tick(lab: DeliveryLab): Promise<void> {
  const path = "/_local/qstash/schedules/beautiful-life.notifications-deliver/tick";
  const response = await fetch(lab.url + path, { method: "POST" });
  await response.body?.cancel();
  assertEquals(response.ok, true);
}

Deno.test("a stack delivers by its schedule what is due, and stops while it does", async () => {
  await DeliveryLab.use(async (lab) => {
    const members = await Promise.all(Array.from({ length: 3 }, () => lab.newMember()));
    for (const member of members) await lab.tell(member, "email", "sms");
    await tick(lab);
    await until(async () => {
      const counts = await Promise.all(members.map(({ phone }) => lab.messages(phone)));
      return counts.every(({ length }) => length === 1);
    });
    for (const { email } of members) {
      await until(async () => (await lab.messages(email)).length > 0);
    }
    // It ends cleanly although a run is under way.
    await lab.behave("resend", { mode: "slow", delay_ms: 60_000 });
    await lab.notify(members[0]!, "new_sign_in");
    await tick(lab);
    await until(async () =>
      (await lab.deliveriesTo(members[0]!)).some(({ status }) => status === "sending")
    );
    const stopped = await lab.site.run("stop");
    assertEquals(stopped.code, 0, stopped.text);
  }, { BL_SCHEDULES: "on" });
});

Deno.test("a mail server stands in the place of Resend, and a channel without provider is suppressed", async () => {
  const outbox = new Outbox();
  const server = await startSmtp(outbox, { user: "care", password: "secret" });
  try {
    await DeliveryLab.use(async (lab) => {
      const member = await lab.newMember();
      await lab.tell(member, "email", "sms");
      assertEquals(await lab.deliver(), { ...NOTHING, claimed: 2, sent: 1, suppressed: 1 });
      const [mail, text] = await lab.deliveriesTo(member);
      assertEquals([mail?.status, mail?.provider], ["sent", "smtp"]);
      assertEquals(mail?.provider_message_id, `<${mail?.id}@us.example>`);
      assertEquals(statusOf(text!), ["suppressed", "not_configured"]);
      assertEquals(outbox.list().map(({ to }) => to), [member.email]);
      assertEquals(await lab.deliver(), NOTHING);
    }, { SMTP_URL: server.url, EMAIL_FROM: "Care <care@us.example>" });
  } finally {
    await server.close();
  }
});
