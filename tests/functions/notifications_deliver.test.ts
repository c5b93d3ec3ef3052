// A run of the delivery worker on an outbox in memory: what is claimed, sent and written down, and what
// happens when a provider or the database does not do its part.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../functions/_shared/errors.ts";
import { deliverDue, type RunLimits } from "../../functions/notifications/deliver.ts";
import { Lane } from "../../functions/notifications/lane.ts";
import type {
  Limits,
  Message,
  SendOutcome,
} from "../../functions/notifications/providers/provider.ts";
import { fakeDeps, NOW_MS, raised } from "./support.ts";

const CONTEXT = { request_id: "request-1", ip: null, user_agent: null };
const LIMITS: RunLimits = { run_seconds: 45, lease_seconds: 120, in_flight: 8 };
const FAST: Limits = { concurrency: 4, per_second: 1_000_000 };

interface Due {
  channel?: string;
  address?: object;
  urgency?: string;
}

/** One row as `private.claim_deliveries` gives it. */
function row(number: number, { channel = "email", address, urgency = "normal" }: Due = {}) {
  return {
    id: `delivery-${number}`,
    claim_token: `token-${number}`,
    notification_id: `notification-${number}`,
    channel,
    attempts: 1,
    kind: "care_requested",
    urgency,
    title: "Words of the title",
    body: "Words of the body",
    address: address ?? { email: `person-${number}@example.org` },
    idempotency_key: `delivery-${number}`,
  };
}

type Send = (message: Message<unknown>) => SendOutcome | Promise<SendOutcome>;

interface LabOptions {
  due: object[];
  send?: Send;
  limits?: Limits;
  /** Called before outcomes are taken; may throw. */
  onFinish?: () => void;
  isStale?: (id: string) => boolean;
}

/** An outbox, a clock that moves only when somebody sleeps, and one provider of mails. */
function lab({ due, send, limits = FAST, onFinish, isStale = () => false }: LabOptions) {
  const waiting = [...due];
  const finished: Record<string, unknown>[] = [];
  const claims: { limit: number; lease: number }[] = [];
  const clock = {
    ms: NOW_MS,
    slept: [] as number[],
    alarms: new Map<() => void, number>(),
    now: () => clock.ms,
    sleep(ms: number) {
      clock.slept.push(ms);
      clock.pass(ms);
      return Promise.resolve();
    },
    alarm(ms: number, ring: () => void) {
      clock.alarms.set(ring, clock.ms + ms);
      return () => void clock.alarms.delete(ring);
    },
    /** Lets time pass, and rings what is due by then. */
    pass(ms: number) {
      clock.ms += ms;
      for (const [ring, at] of clock.alarms) {
        if (at <= clock.ms && clock.alarms.delete(ring)) ring();
      }
    },
  };
  const deps = fakeDeps({
    claim_deliveries: ([limit, lease]) => {
      claims.push({ limit: Number(limit), lease: Number(lease) });
      return waiting.splice(0, Number(limit));
    },
    finish_deliveries: ([json]) => {
      onFinish?.();
      const rows = JSON.parse(String(json)) as Record<string, unknown>[];
      finished.push(...rows);
      return [{ applied: rows.filter(({ id }) => !isStale(String(id))).length }];
    },
  });
  const state = { running: 0, most: 0, sent: [] as Message<unknown>[] };
  const provider = {
    name: "resend" as const,
    limits,
    async send(message: Message<unknown>) {
      state.running++;
      state.most = Math.max(state.most, state.running);
      state.sent.push(message);
      try {
        return await (send ?? ok)(message);
      } finally {
        state.running--;
      }
    },
  };
  const email = { provider, lane: new Lane(limits, clock) };
  const senders = { email, sms: null, fcm: null, webpush: null };
  return {
    deps,
    clock,
    waiting,
    finished,
    claims,
    state,
    run: (limits: RunLimits = LIMITS) =>
      deliverDue({ sql: deps.sql, log: deps.log, clock, senders }, CONTEXT, limits),
  };
}

const ok: Send = ({ idempotency_key }) => ({
  outcome: "sent",
  provider_message_id: `message-of-${idempotency_key}`,
});

const rows = (count: number) => Array.from({ length: count }, (_, i) => row(i + 1));

Deno.test("deliverDue sends all that is due, and writes down what became of each", async () => {
  const outcomes: Record<string, SendOutcome> = {
    "delivery-1": { outcome: "sent", provider_message_id: "m1" },
    "delivery-2": { outcome: "retry", error_code: "http_500", is_alarm: true },
    "delivery-3": {
      outcome: "retry",
      error_code: "slow",
      is_throttled: true,
      retry_after_seconds: 0,
    },
    "delivery-4": { outcome: "permanent", error_code: "bad", retire_address: true },
  };
  const subject = lab({
    due: rows(4),
    send: ({ idempotency_key }) => outcomes[idempotency_key]!,
  });
  assertEquals(await subject.run(), {
    claimed: 4,
    sent: 1,
    retried: 2,
    refused: 1,
    suppressed: 0,
    deferred: 0,
    stale: 0,
    is_drained: true,
  });
  const own = (number: number) => ({
    id: `delivery-${number}`,
    claim_token: `token-${number}`,
    provider: "resend",
  });
  const inOrder = subject.finished.toSorted((a, b) => String(a.id) < String(b.id) ? -1 : 1);
  assertEquals(inOrder, [
    { ...own(1), outcome: "sent", provider_message_id: "m1" },
    { ...own(2), outcome: "retry", error_code: "http_500" },
    { ...own(3), outcome: "retry", error_code: "slow", retry_after_seconds: 0 },
    { ...own(4), outcome: "permanent", error_code: "bad", retire_address: true },
  ]);
  assertEquals(subject.claims[0], { limit: 8, lease: 120 });
  for (const name of ["claim_deliveries", "finish_deliveries"]) {
    const { role } = subject.deps.sql.settingsOf(subject.deps.sql.find(name));
    assertEquals(role, "notification_worker");
  }
});

Deno.test("deliverDue hands the provider words, address and key, and nothing of the claim", async () => {
  const subject = lab({ due: rows(1) });
  await subject.run();
  const { id: _, claim_token: __, channel: ___, ...message } = row(1);
  assertEquals(subject.state.sent, [message as never]);
});

Deno.test("deliverDue has committed the claim before it calls a provider, and finishes after", async () => {
  const seen: unknown[] = [];
  const subject: ReturnType<typeof lab> = lab({
    due: rows(1),
    send: (message) => {
      const { ended, statements } = subject.deps.sql;
      seen.push(ended[0], statements.some(({ text }) => text.includes("finish_deliveries")));
      return ok(message);
    },
  });
  await subject.run();
  assertEquals(seen, ["committed", false]);
  assertEquals(subject.deps.sql.find("finish_deliveries").transaction > 0, true);
});

Deno.test("deliverDue holds no more than it may, and sends no more at a time than the provider takes", async () => {
  const subject = lab({
    due: rows(100),
    send: async (message) => {
      await Promise.resolve();
      return ok(message);
    },
  });
  const report = await subject.run();
  assertEquals([report.claimed, report.sent, report.is_drained], [100, 100, true]);
  assertEquals(subject.state.most, FAST.concurrency);
  assert(subject.claims.every(({ limit }) => limit >= 4 && limit <= 8));
  assertEquals(new Set(subject.finished.map(({ id }) => id)).size, 100);
});

Deno.test("deliverDue keeps to the provider's rate, and sends nobody away for good", async () => {
  const times: number[] = [];
  const subject: ReturnType<typeof lab> = lab({
    due: rows(8),
    limits: { concurrency: 4, per_second: 10 },
    send: (message) => {
      times.push(subject.clock.ms - NOW_MS);
      return ok(message);
    },
  });
  assertEquals((await subject.run()).sent, 8);
  // Sleepers of one moment share the fake clock; the slots that they were given do not overlap.
  assertEquals(times.length, 8);
  assert(subject.clock.slept.every((ms) => ms > 0 && ms <= 800), String(subject.clock.slept));
});

Deno.test("deliverDue lets those wait whose turn is far, each until a time of its own", async () => {
  const subject = lab({
    due: rows(4),
    // One every ten seconds: more than anybody waits in the queue.
    limits: { concurrency: 4, per_second: 0.1 },
  });
  const report = await subject.run({ ...LIMITS, run_seconds: 5 });
  assertEquals([report.sent, report.deferred, report.is_drained], [1, 3, true]);
  const deferred = subject.finished.filter(({ outcome }) => outcome === "deferred");
  assertEquals(
    deferred.map(({ retry_after_seconds, error_code }) => [retry_after_seconds, error_code]),
    [[20, "provider_busy"], [30, "provider_busy"], [40, "provider_busy"]],
  );
});

Deno.test("deliverDue stops asking a provider that wants a pause", async () => {
  const subject = lab({
    due: rows(3),
    limits: { concurrency: 1, per_second: 1_000 },
    send: () => ({
      outcome: "retry",
      error_code: "http_429",
      is_throttled: true,
      retry_after_seconds: 60,
    }),
  });
  const report = await subject.run();
  assertEquals([report.retried, report.deferred], [1, 2]);
  assertEquals(subject.state.sent.length, 1);
  for (const { outcome, retry_after_seconds } of subject.finished) {
    if (outcome === "deferred") assert(Number(retry_after_seconds) >= 60);
  }
});

Deno.test("deliverDue claims again what it sent away, when it is due within its time", async () => {
  let tries = 0;
  const subject: ReturnType<typeof lab> = lab({
    due: rows(1),
    send: (message) => {
      if (++tries > 1) return ok(message);
      subject.waiting.push(row(1));
      return { outcome: "deferred", error_code: "circuit_open", retry_after_seconds: 10 };
    },
  });
  const report = await subject.run();
  assertEquals([report.claimed, report.deferred, report.sent], [2, 1, 1]);
});

Deno.test("deliverDue claims nothing more when its time is up, and finishes what it has", async () => {
  const subject: ReturnType<typeof lab> = lab({
    due: rows(20),
    limits: { concurrency: 1, per_second: 1_000_000 },
    send: (message) => {
      subject.clock.ms += 1_000;
      return ok(message);
    },
  });
  const report = await subject.run({ ...LIMITS, run_seconds: 3, in_flight: 8 });
  assertEquals(report.is_drained, false);
  assertEquals(report.sent + report.deferred, report.claimed);
  assertEquals(subject.finished.length, report.claimed);
  assert(report.sent < 8 && subject.waiting.length >= 12, JSON.stringify(report));
});

Deno.test("deliverDue refuses addresses that are none, and suppresses what nobody carries", async () => {
  const subject = lab({
    due: [
      row(1, { address: { email: "no address" } }),
      row(2, { channel: "sms", address: { phone: "98765" } }),
      row(3, { channel: "push", address: { platform: "pager" } }),
      row(4, { channel: "push", address: { platform: "webpush", endpoint: "https://x" } }),
      row(5, { channel: "sms", address: { phone: "+919876543210" } }),
      row(6, { channel: "push", address: { platform: "fcm", token: "t" } }),
      row(7, {
        channel: "push",
        address: { platform: "webpush", endpoint: "https://x", p256dh: "p", auth: "a" },
      }),
    ],
  });
  const report = await subject.run();
  assertEquals([report.refused, report.suppressed], [4, 3]);
  const said = subject.finished.map(({ outcome, error_code, retire_address, provider }) => [
    outcome,
    error_code,
    retire_address,
    provider,
  ]);
  for (const line of said.slice(0, 4)) {
    assertEquals(line, ["permanent", "invalid_address", true, null]);
  }
  for (const line of said.slice(4)) {
    assertEquals(line, ["suppressed", "not_configured", undefined, null]);
  }
  assertEquals(subject.state.sent, []);
});

Deno.test("deliverDue says once that a provider refuses us, and nothing of persons", async () => {
  const subject = lab({
    due: rows(5),
    send: () => ({ outcome: "retry", error_code: "invalid_api_key", is_alarm: true }),
  });
  await subject.run();
  assertEquals(subject.deps.logged, [{
    timestamp: new Date(NOW_MS).toISOString(),
    level: "error",
    request_id: "request-1",
    function: "notifications",
    fault: { name: "DeliveryAlarm", code: "resend_invalid_api_key", frames: [] },
  }]);
  assert(subject.finished.every(({ outcome }) => outcome === "retry"));
});

Deno.test("deliverDue goes on when one message meets a fault of ours", async () => {
  const subject = lab({
    due: rows(3),
    send: (message) => {
      if (message.idempotency_key === "delivery-2") throw new Error("person-2@example.org");
      return ok(message);
    },
  });
  const report = await subject.run();
  assertEquals([report.sent, report.retried], [2, 1]);
  assert(!JSON.stringify(subject.deps.logged).includes("example.org"));
  assertEquals(subject.deps.logged.length, 1);
});

Deno.test("deliverDue tries again to write down what it has sent", async () => {
  let failures = 2;
  const subject = lab({
    due: rows(2),
    onFinish: () => {
      if (failures-- > 0) throw raised("57P01", "terminating connection");
    },
  });
  const report = await subject.run();
  assertEquals([report.sent, subject.finished.length], [2, 2]);
  assertEquals(subject.state.sent.length, 2);
});

Deno.test("deliverDue fails as unavailable when it cannot write down, and claims no more", async () => {
  const subject = lab({
    due: rows(20),
    onFinish: () => {
      throw raised("57P01", "terminating connection");
    },
  });
  const error = await assertRejects(() => subject.run(), AppError);
  assertEquals(error.code, "unavailable");
  assert(subject.claims.length <= 2 && subject.waiting.length >= 12);
});

Deno.test("deliverDue finishes what it holds when a claim fails", async () => {
  let claims = 0;
  const subject = lab({ due: rows(8) });
  const begin = subject.deps.sql.begin.bind(subject.deps.sql);
  subject.deps.sql.begin = async (work, mode) =>
    await begin((tx) =>
      work(
        ((strings: TemplateStringsArray, ...values: never[]) => {
          if (strings.join("").includes("claim_deliveries") && ++claims === 2) {
            return Promise.reject(raised("57P03", "starting up"));
          }
          return tx(strings, ...values);
        }) as typeof tx,
      ), mode);
  const error = await assertRejects(() => subject.run(), AppError);
  assertEquals(error.code, "unavailable");
  assertEquals(subject.finished.length, 8);
});

Deno.test("deliverDue counts what another run has by now as stale", async () => {
  const subject = lab({ due: rows(4), isStale: (id) => id === "delivery-3" });
  const report = await subject.run();
  assertEquals([report.sent, report.stale], [4, 1]);
});

Deno.test("deliverDue does not let a provider that answers slowly hold what others carry", async () => {
  const answers: PromiseWithResolvers<SendOutcome>[] = [];
  const subject: ReturnType<typeof lab> = lab({
    due: rows(8),
    limits: { concurrency: 2, per_second: 1_000 },
    send() {
      const answer = Promise.withResolvers<SendOutcome>();
      answers.push(answer);
      return answer.promise;
    },
  });
  const run = subject.run();
  while (answers.length < 2 || subject.clock.alarms.size < 6) await settle();
  subject.waiting.push(row(9, { channel: "sms", address: { phone: "+919876543210" } }));
  subject.clock.pass(5_000);
  for (let i = 0; i < 50; i++) await settle();
  const [text] = subject.finished.filter(({ id }) => id === "delivery-9");
  const away = subject.finished.filter(({ outcome }) => outcome === "deferred");
  // The two that are under way end before anything is asserted, so that a failure does not hang.
  for (let i = 0; i < 8; i++) {
    for (const answer of answers) answer.resolve({ outcome: "sent", provider_message_id: null });
    await settle();
  }
  await run;
  assertEquals(text?.outcome, "suppressed", "the text has waited for mails");
  assertEquals([away.length, away[0]?.error_code], [6, "provider_busy"]);
});

Deno.test("a lane gives places to emergencies first, then to what is about security", async () => {
  const { clock } = lab({ due: [] });
  const lane = new Lane({ concurrency: 1, per_second: 1_000_000 }, clock);
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const send = (name: string) => async (): Promise<SendOutcome> => {
    await gate.promise;
    order.push(name);
    return { outcome: "sent", provider_message_id: null };
  };
  const running = (["normal", "normal", "security", "emergency", "security"] as const)
    .map((urgency, i) => lane.run(send(`${urgency} ${i}`), Infinity, urgency));
  gate.resolve();
  await Promise.all(running);
  assertEquals(
    order,
    ["normal 0", "emergency 3", "security 2", "security 4", "normal 1"],
  );
});

Deno.test("a lane that is full of others' messages still takes an emergency, and keeps none behind them", async () => {
  const { clock } = lab({ due: [] });
  const still = { ...clock, now: () => clock.ms, sleep: () => Promise.resolve() };
  const lane = new Lane({ concurrency: 100, per_second: 2 }, still);
  const work = () => Promise.resolve<SendOutcome>({ outcome: "sent", provider_message_id: null });
  const crowd = await Promise.all(
    Array.from({ length: 1_000 }, () => lane.run(work, Infinity)),
  );
  assert(crowd.some(({ outcome }) => outcome === "deferred"));
  assertEquals((await lane.run(work, Infinity, "emergency")).outcome, "sent");
  // While the provider wants a pause it is sent away for that long, and not until the others had their turn.
  const pause: SendOutcome = {
    outcome: "retry",
    error_code: "http_429",
    is_throttled: true,
    retry_after_seconds: 30,
  };
  await lane.run(() => Promise.resolve(pause), Infinity, "emergency");
  const away = await lane.run(work, Infinity, "emergency");
  assert(away.outcome === "deferred" && away.retry_after_seconds <= 32, JSON.stringify(away));
});

Deno.test("deliverDue writes down all outcomes, though one message's id is no text that can be kept", async () => {
  for (const id of ["a\u0000b", "\ud800"]) {
    const subject = lab({
      due: rows(2),
      send: (message) => ({
        outcome: "sent",
        provider_message_id: message.idempotency_key === "delivery-1" ? id : "good",
      }),
    });
    assertEquals((await subject.run()).sent, 2);
    assertEquals(
      subject.finished.map(({ provider_message_id }) => provider_message_id),
      [null, "good"],
    );
  }
});

/** Lets everything go on that waits for nothing but its turn. */
const settle = () => new Promise<void>((resolve) => setTimeout(resolve, 0));
