// Deliveries out of the app: how many a second the worker claims, sends and writes down against a double
// that answers at once, beside a bare loop that posts the same to the same double.

import postgres from "postgres";
import { openDatabase } from "../../functions/_shared/db.ts";
import { deliverDue } from "../../functions/notifications/deliver.ts";
import { realClock } from "../../functions/notifications/lane.ts";
import { openSenders } from "../../functions/notifications/open_senders.ts";
import { readSettings } from "../../functions/notifications/settings.ts";
import { asAdmin } from "../../supabase/local/database.ts";
import { databaseUrl } from "../../supabase/local/postgres.ts";
import { FCM_EMAIL, FCM_PROJECT, makeProviderKeys } from "../../supabase/local/providers/keys.ts";
import { WebPushDouble } from "../../supabase/local/providers/webpush.ts";
import { Outbox } from "../../supabase/local/outbox.ts";
import { createMigrated } from "../../tools/schema.ts";
import { withCluster } from "../../tools/throwaway.ts";
import { type BenchResult, median, ms, round } from "./harness.ts";

const DATABASE = "bench_delivery";
/** Deliveries of one round; each goes to an account of its own. */
const COUNT = 1_000;
const ROUNDS = 5;
/** Requests that the bare loop has under way, as many as the worker has to one provider. */
const CONCURRENCY = 16;
/** Deliveries a second that the project holds itself to. */
const LEAST_RATE = 500;

const CHANNELS = ["email", "sms", "fcm", "webpush"] as const;
type Channel = typeof CHANNELS[number];

/** What each channel's provider answers to a message that it takes. */
const ANSWERS: Record<Channel, () => Response> = {
  email: () => Response.json({ id: crypto.randomUUID() }),
  sms: () => Response.json({ sid: crypto.randomUUID() }, { status: 201 }),
  fcm: () => Response.json({ name: crypto.randomUUID() }),
  webpush: () => new Response(null, { status: 201, headers: { location: "/m/1" } }),
};

/** Runs every bench of deliveries on one database. */
export async function benchDeliveries(say: (line: string) => void): Promise<BenchResult[]> {
  return await withCluster(async (port) => {
    await createMigrated(port, DATABASE);
    const keys = await makeProviderKeys();
    const server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request) => {
        await request.arrayBuffer();
        const { pathname } = new URL(request.url);
        if (pathname === "/token") {
          return Response.json({ access_token: "token", expires_in: 3600, token_type: "Bearer" });
        }
        return ANSWERS[pathname.split("/")[1] as Channel]();
      },
    );
    const url = `http://127.0.0.1:${server.addr.port}`;
    const clock = realClock(Date.now);
    const settings = readSettings({
      EMAIL_FROM: "care@bench.test",
      RESEND_API_KEY: "re_bench",
      RESEND_URL: `${url}/email`,
      RESEND_PER_SECOND: "100000",
      TWILIO_ACCOUNT_SID: keys.twilio.accountSid,
      TWILIO_AUTH_TOKEN: keys.twilio.authToken,
      TWILIO_FROM: "+15005550006",
      TWILIO_URL: `${url}/sms`,
      TWILIO_PER_SECOND: "100000",
      FCM_SERVICE_ACCOUNT: JSON.stringify({
        project_id: FCM_PROJECT,
        client_email: FCM_EMAIL,
        private_key: keys.fcm.privateKey,
        token_uri: `${url}/token`,
      }),
      FCM_URL: `${url}/fcm`,
      VAPID_PUBLIC_KEY: keys.vapid.publicKey,
      VAPID_PRIVATE_KEY: keys.vapid.privateKey,
      VAPID_SUBJECT: "mailto:care@bench.test",
      WEB_PUSH_HOSTS: `push.bench.test=${url}/webpush`,
      PUSH_PER_SECOND: "100000",
    });
    const senders = openSenders(settings, { clock, fetch, twilioReceipts: `${url}/receipts` });
    const sql = openDatabase(databaseUrl(port, "postgres", DATABASE));
    try {
      await asAdmin(port, DATABASE, (admin) => addAccounts(admin, keys.vapid.publicKey));
      const results: BenchResult[] = [];
      for (const channel of CHANNELS) {
        say(`${COUNT} deliveries by ${channel}`);
        const times = { product: [] as number[], plain: [] as number[] };
        // The first round warms up.
        for (let i = 0; i <= ROUNDS; i++) {
          await asAdmin(port, DATABASE, (admin) => addWork(admin, channel));
          const product = await timed(async () => {
            const { sent } = await deliverDue(
              { sql, log: () => {}, clock, senders },
              { request_id: "bench", ip: null, user_agent: null },
            );
            if (sent !== COUNT) throw new Error(`${sent} deliveries were sent`);
          });
          const plain = await timed(() => postAll(`${url}/${channel}`));
          if (i > 0) {
            times.product.push(product);
            times.plain.push(plain);
          }
        }
        results.push(toResult(channel, times));
      }
      return results;
    } finally {
      await server.shutdown();
    }
  });
}

/** Posts as many bodies of about the same size, and nothing else. */
async function postAll(url: string): Promise<void> {
  const body = JSON.stringify({ to: "somebody@bench.test", text: "x".repeat(200) });
  let left = COUNT;
  await Promise.all(Array.from({ length: CONCURRENCY }, async () => {
    while (left-- > 0) await (await fetch(url, { method: "POST", body })).text();
  }));
}

async function timed(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** Accounts with a mail address, a number, a phone with the app, and a browser. */
async function addAccounts(admin: postgres.Sql, vapidKey: string): Promise<void> {
  await admin.unsafe(`
    insert into auth.users (id, email, phone, email_confirmed_at, phone_confirmed_at, is_anonymous)
    select md5('bench ' || n)::uuid, n || '@bench.test', 919800000000 + n, now(), now(), false
    from generate_series(1, ${COUNT}) as n;
    insert into public.device_tokens (user_id, platform, token)
    select md5('bench ' || n)::uuid, 'fcm', 'registration-token-of-phone-' || n
    from generate_series(1, ${COUNT}) as n`);
  // One browser's keys do for all: what encrypting costs does not depend on whose they are.
  const { keys } = new WebPushDouble(new Outbox(), vapidKey).subscribe();
  await admin`
    insert into public.device_tokens (user_id, platform, endpoint, p256dh, auth)
    select md5('bench ' || n)::uuid, 'webpush', 'https://push.bench.test/' || n, ${keys.p256dh},
      ${keys.auth}
    from generate_series(1, ${COUNT}::integer) as n`;
}

/** Tells every account something, by one channel. */
async function addWork(admin: postgres.Sql, channel: Channel): Promise<void> {
  const column = channel === "fcm" || channel === "webpush" ? "push" : channel;
  await admin`
    select private.notify(md5('bench ' || n)::uuid, 'emergency_access', '{}')
    from generate_series(1, ${COUNT}::integer) as n`;
  await admin`
    delete from public.notification_deliveries as d
    where d.status = 'pending' and (
      d.channel <> ${column}
      or exists (
        select 1 from public.device_tokens as t
        where t.id = d.device_token_id and t.platform <> ${channel}
      )
    )`;
  await admin`analyze public.notification_deliveries`;
}

function toResult(channel: Channel, times: { product: number[]; plain: number[] }): BenchResult {
  const ratios = times.product.map((time, i) => time / times.plain[i]!);
  const [product, plain] = [median(times.product), median(times.plain)];
  const perSecond = Math.round(COUNT / product * 1000);
  return {
    name: `notifications: deliveries by ${channel}, claimed, sent and written down, ` +
      "time against a bare loop of posts",
    ratio: round(median(ratios)),
    goal: `>= ${LEAST_RATE}/s`,
    met: perSecond >= LEAST_RATE,
    rounds: ROUNDS,
    spread: [round(Math.min(...ratios)), round(Math.max(...ratios))],
    figures: `${perSecond}/s against ${Math.round(COUNT / plain * 1000)}/s of the loop ` +
      `(${COUNT} in ${ms(product)})`,
  };
}
