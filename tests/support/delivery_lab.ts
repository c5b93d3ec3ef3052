// A stack on which deliveries are tried: people with addresses, notifications, the worker on demand, and
// the doubles of the providers, which can be told to misbehave.

import postgres from "postgres";
import { loadKeys, type LocalKeys } from "../../supabase/local/keys.ts";
import type { OutboxMessage } from "../../supabase/local/outbox.ts";
import { databaseUrl, SUPERUSER } from "../../supabase/local/postgres.ts";
import type { Behaviour } from "../../supabase/local/providers/double.ts";
import type { ReceiptOrder } from "../../supabase/local/providers/receipts.ts";
import type { Subscription } from "../../supabase/local/providers/webpush.ts";
import type { DeliveryReport } from "../../functions/notifications/deliver.ts";
import { signDelivery } from "./queue.ts";
import { Site } from "./stack_process.ts";

/** Somebody with addresses outside the app. */
export interface Member {
  id: string;
  email: string;
  phone: string;
}

/** A delivery as the table has it. */
export interface DeliveryRow {
  id: string;
  channel: string;
  status: string;
  attempts: number;
  failures: number;
  last_error: string | null;
  provider: string | null;
  provider_message_id: string | null;
  sent_at: Date | null;
  delivered_at: Date | null;
  /** Seconds until the next attempt. */
  due_in: number;
}

let numbers = 0;

/** A stack with doubles that delivers when it is told to. */
export class DeliveryLab {
  private constructor(
    readonly site: Site,
    readonly keys: LocalKeys,
    readonly sql: postgres.Sql,
  ) {}

  /** Runs `work` with a lab of its own; `env` goes to the stack. */
  static async use(
    work: (lab: DeliveryLab) => Promise<void>,
    env: Record<string, string> = {},
  ): Promise<void> {
    await Site.usePrepared(async (site) => {
      await site.start({ BL_SCHEDULES: "off", LOG_LEVEL: "error", ...env }).ready();
      const sql = postgres(databaseUrl(site.dbPort, SUPERUSER), { max: 2, onnotice: () => {} });
      try {
        // What the seed has to say is not what is tested.
        await sql`delete from public.notification_deliveries`;
        await work(new DeliveryLab(site, await loadKeys(site.dataDir), sql));
      } finally {
        await sql.end({ timeout: 5 });
      }
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.site.apiPort}`;
  }

  /** Makes somebody with an address and a number that nobody else has. */
  async newMember(zone = "UTC"): Promise<Member> {
    const id = crypto.randomUUID();
    const email = `member-${id}@example.org`;
    const phone = `+9198${String(++numbers).padStart(8, "0")}`;
    await this.sql`
      insert into auth.users (id, aud, role, email, phone, email_confirmed_at, phone_confirmed_at)
      values (${id}, 'authenticated', 'authenticated', ${email}, ${phone.slice(1)}, now(), now())`;
    await this.sql`update public.profiles set timezone = ${zone} where id = ${id}`;
    return { id, email, phone };
  }

  /** Gives somebody a phone with the app. */
  async addPhone({ id }: Member): Promise<string> {
    const token = `fcm-${crypto.randomUUID()}`;
    await this.sql`
      insert into public.device_tokens (user_id, platform, token) values (${id}, 'fcm', ${token})`;
    return token;
  }

  /** Gives somebody a browser that takes pushes. */
  async addBrowser({ id }: Member): Promise<Subscription> {
    const subscription = await this.order("webpush", "subscriptions", {}) as Subscription;
    const { endpoint, keys: { p256dh, auth } } = subscription;
    await this.sql`
      insert into public.device_tokens (user_id, platform, endpoint, p256dh, auth)
      values (${id}, 'webpush', ${endpoint}, ${p256dh}, ${auth})`;
    return subscription;
  }

  /** Wants, or does not want, a kind on some channels only. */
  async prefer({ id }: Member, kind: string, channels: string[], more: object = {}): Promise<void> {
    for (const channel of ["email", "sms", "push"]) {
      const row = {
        user_id: id,
        kind,
        channel,
        enabled: channels.includes(channel),
        ...channels.includes(channel) ? more : {},
      };
      await this.sql`insert into public.notification_preferences ${this.sql(row)}`;
    }
  }

  /** Tells somebody something by the channels alone that are named. */
  async tell(member: Member, ...channels: string[]): Promise<void> {
    await this.prefer(member, "care_requested", channels);
    await this.notify(member, "care_requested");
  }

  async notify({ id }: Member, kind: string): Promise<void> {
    await this.sql`select private.notify(${id}, ${kind}, '{}')`;
  }

  /** Calls the worker as the queue does. */
  async deliver(): Promise<DeliveryReport> {
    const url = `${this.url}/functions/v1/notifications/deliver`;
    const response = await fetch(url, {
      method: "POST",
      headers: { "upstash-signature": await signDelivery({ url, key: this.keys.queue.current }) },
    });
    const { data, error } = await response.json();
    if (error) throw new Error(`deliver answered ${error.code}`);
    return data;
  }

  /** Makes what waits for another try due now, as if the time had passed. */
  async passTime(): Promise<void> {
    await this.sql`
      update public.notification_deliveries set next_attempt_at = now()
      where status = 'pending' and next_attempt_at > now()`;
  }

  /** Deliveries to somebody, by channel. */
  async deliveriesTo({ id }: Member): Promise<DeliveryRow[]> {
    return await this.sql<DeliveryRow[]>`
      select id, channel, status, attempts, failures, last_error, provider, provider_message_id,
        sent_at, delivered_at, extract(epoch from next_attempt_at - now())::float as due_in
      from public.notification_deliveries where user_id = ${id} order by channel, created_at, id`;
  }

  /** What came to an address, or to everybody. */
  async messages(to?: string): Promise<OutboxMessage[]> {
    const query = to === undefined ? "" : `?to=${encodeURIComponent(to)}`;
    return await (await fetch(`${this.url}/_local/outbox${query}`)).json();
  }

  /** Tells a double how to answer. */
  async behave(provider: string, behaviour: Partial<Behaviour>): Promise<void> {
    await this.order(provider, "behaviour", behaviour);
  }

  /** Has a double send a receipt; gives the status of the function's answer. */
  async receipt(provider: string, order: ReceiptOrder): Promise<number> {
    const response = await this.#post(provider, "receipt", order);
    await response.body?.cancel();
    return response.status;
  }

  async order(provider: string, what: string, body: object): Promise<unknown> {
    const response = await this.#post(provider, what, body);
    const answer = await response.json();
    if (!response.ok) throw new Error(`The double ${provider} answered ${response.status}`);
    return answer;
  }

  async #post(provider: string, what: string, body: object): Promise<Response> {
    return await fetch(`${this.url}/_local/providers/${provider}/${what}`, {
      method: "POST",
      body: JSON.stringify(body),
    });
  }
}
