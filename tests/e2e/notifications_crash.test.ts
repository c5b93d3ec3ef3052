// A delivery worker that is killed at any moment: nothing is lost, and nobody sees anything twice. The
// workers are processes of their own, on the function's code and settings, and end by SIGKILL.

import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import postgres from "postgres";
import { PROJECT } from "../../supabase/local/cli.ts";
import { Outbox, type OutboxMessage } from "../../supabase/local/outbox.ts";
import { databaseUrl, SUPERUSER } from "../../supabase/local/postgres.ts";
import { makeProviderKeys } from "../../supabase/local/providers/keys.ts";
import { type Doubles, startDoubles } from "../../supabase/local/providers/providers.ts";
import { createMigrated } from "../../tools/schema.ts";
import { withCluster } from "../../tools/throwaway.ts";
import { seeded } from "../support/audit_lab.ts";
import { until } from "../support/stack_process.ts";

const KILLS = 200;
/** Workers at a time. */
const LANES = 3;
/** Longer than a batch takes on a busy machine, and short enough to be waited for. */
const LEASE_SECONDS = 3;
/** How long a double takes over a message. */
const DELAY_MS = 25;
/** A worker lives until so many messages have come, less than this many, and then a little longer. */
const [LIFE_MESSAGES, LIFE_MS] = [16, 60];
/** Deliveries that are to be due while workers live. */
const ENOUGH = 60;

/** An outbox that says when messages come. */
class HeardOutbox extends Outbox {
  readonly #heard: (() => void)[] = [];

  override add(message: Parameters<Outbox["add"]>[0]): void {
    super.add(message);
    for (const hear of this.#heard.splice(0)) hear();
  }

  /** Resolves when so many more have come. */
  async more(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      await new Promise<void>((resolve) => this.#heard.push(resolve));
    }
  }
}

interface Lab {
  sql: postgres.Sql;
  outbox: HeardOutbox;
  spawn: () => Deno.ChildProcess;
}

async function withLab(work: (lab: Lab) => Promise<void>): Promise<void> {
  await withCluster(async (port) => {
    const { name } = await createMigrated(port, "deliveries");
    const outbox = new HeardOutbox(100_000);
    const keys = await makeProviderKeys();
    const doubles = await startDoubles({
      outbox,
      keys,
      apiUrl: "http://127.0.0.1:1",
      now: Date.now,
    });
    const sql = postgres(databaseUrl(port, SUPERUSER, name), {
      max: LANES + 1,
      onnotice: () => {},
    });
    const env = { ...doubles.env, SUPABASE_DB_URL: databaseUrl(port, "postgres", name) };
    const script = join(PROJECT, "tests", "support", "delivery_worker.ts");
    try {
      for (const provider of ["resend", "twilio", "fcm"]) await slow(doubles, provider);
      await work({
        sql,
        outbox,
        spawn: () =>
          new Deno.Command(Deno.execPath(), {
            args: ["run", "-A", "-q", "--no-check", script, String(LEASE_SECONDS)],
            cwd: PROJECT,
            env,
            stdin: "null",
            stdout: "piped",
            stderr: "inherit",
          }).spawn(),
      });
    } finally {
      await sql.end({ timeout: 5 });
      await doubles.close();
    }
  });
}

async function slow(doubles: Doubles, provider: string): Promise<void> {
  const url = `http://127.0.0.1/_local/providers/${provider}/behaviour`;
  const body = JSON.stringify({ mode: "slow", delay_ms: DELAY_MS });
  const response = await doubles.handle(new Request(url, { method: "POST", body }));
  assertEquals(response.status, 200);
}

/** Tells twenty new people something, each by mail, text and push. */
async function addWork(sql: postgres.Sql): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`
      create temporary table people on commit drop as
      select gen_random_uuid() as id, nextval('numbers') as number from generate_series(1, 20)`;
    await tx`
      insert into auth.users (id, aud, role, email, phone, email_confirmed_at, phone_confirmed_at)
      select id, 'authenticated', 'authenticated', 'p' || number || '@example.org',
        (919800000000 + number)::text, now(), now()
      from people`;
    await tx`
      insert into public.device_tokens (user_id, platform, token)
      select id, 'fcm', 'registration-token-of-phone-' || number from people`;
    await tx`select private.notify(id, 'emergency_access', '{}') from people`;
  });
}

/** Kills one worker after another, each at a random moment: before its first claim, or after. */
async function killWorkers(lab: Lab, isOver: () => boolean, onKill: () => void): Promise<void> {
  while (!isOver()) {
    const [{ due }] = await lab.sql<[{ due: number }]>`
      select count(*)::integer as due from public.notification_deliveries where status = 'pending'`;
    if (due < ENOUGH) await addWork(lab.sql);
    const worker = lab.spawn();
    const reader = worker.stdout.getReader();
    const { done } = await reader.read();
    assert(!done, "the worker ended before it was ready");
    const ended = reader.read(); // it says no more before it ends
    await Promise.race([ended, lab.outbox.more(random.below(LIFE_MESSAGES))]);
    await new Promise((resolve) => setTimeout(resolve, random.below(LIFE_MS)));
    try {
      worker.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // has ended by itself
    }
    await reader.cancel();
    const { signal } = await worker.status;
    if (signal === "SIGKILL") onKill();
  }
}

const random = seeded(20261126);

/** Lets workers finish what is left, once the leases of the dead have ended. */
async function drain({ sql, spawn }: Lab): Promise<void> {
  await until(async () => {
    // A key that was still in use has made its delivery wait.
    await sql`
      update public.notification_deliveries set next_attempt_at = now() where status = 'pending'`;
    const worker = spawn();
    const [{ success }] = await Promise.all([worker.status, worker.stdout.cancel()]);
    assert(success);
    const [{ left }] = await sql<[{ left: number }]>`
      select count(*)::integer as left from public.notification_deliveries
      where status in ('pending', 'sending')`;
    return left === 0;
  });
}

/** Messages by who got them. */
function byReceiver(outbox: Outbox, channel: string): Map<string, OutboxMessage[]> {
  return Map.groupBy(outbox.list().filter((one) => one.channel === channel), ({ to }) => to);
}

Deno.test(`a worker that is killed ${KILLS} times loses nothing and repeats nothing that is seen`, async () => {
  await withLab(async (lab) => {
    const { sql, outbox } = lab;
    await sql`create sequence numbers`;
    let kills = 0;
    const isOver = () => kills >= KILLS;
    await Promise.all(
      Array.from({ length: LANES }, () => killWorkers(lab, isOver, () => kills++)),
    );
    await drain(lab);

    const statuses = await sql`
      select status, count(*)::integer from public.notification_deliveries group by status`;
    const [{ members }] = await sql<[{ members: number }]>`
      select count(*)::integer as members from auth.users where email like 'p%@example.org'`;
    assertEquals([...statuses], [{ status: "sent", count: 3 * members }]);
    // Many were in hand when their worker died, or this shows nothing.
    const [{ again }] = await sql<[{ again: number }]>`
      select count(*)::integer as again from public.notification_deliveries where attempts > 1`;
    assert(kills >= KILLS && again >= KILLS / 2, `${kills} kills, ${again} claimed again`);

    const [mails, texts, pushes] = [
      byReceiver(outbox, "email"),
      byReceiver(outbox, "sms"),
      byReceiver(outbox, "push"),
    ];
    assertEquals([mails.size, texts.size, pushes.size], [members, members, members]);
    // Resend knows the key: once each.
    for (const [to, sent] of mails) assertEquals(sent.length, 1, to);
    // Twilio knows none, and is asked first: at most one repeat.
    for (const [to, sent] of texts) assert(sent.length <= 2, `${to} got ${sent.length}`);
    // A phone shows one of those with the same tag.
    for (const [to, sent] of pushes) assertEquals(new Set(sent.map(({ tag }) => tag)).size, 1, to);
    const repeats = (all: Map<string, OutboxMessage[]>) =>
      [...all.values()].filter((sent) => sent.length > 1).length;
    console.log(
      `${kills} kills, ${3 * members} deliveries, ${again} claimed again; ` +
        `repeats: mail ${repeats(mails)}, SMS ${repeats(texts)}, push ${repeats(pushes)}`,
    );
  });
});
