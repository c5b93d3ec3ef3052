// The product on its queue: the schedules that a start makes, `deno task schedules`, jobs that the queue
// calls, and deliveries that are none.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Client } from "@upstash/qstash";
import { PROJECT } from "../../supabase/local/cli.ts";
import { loadKeys, type LocalKeys } from "../../supabase/local/keys.ts";
import { ID_PREFIX, SCHEDULES } from "../../supabase/schedules.ts";
import { applySchedules } from "../../tools/schedules.ts";
import { withQueueLab } from "../support/queue_lab.ts";
import { type DeliveryClaims, signDelivery } from "../support/queue.ts";
import { Site, until } from "../support/stack_process.ts";

/** Something to seal. */
const EVENT = `insert into public.audit_events (actor_role, action, resource_type)
  values ('doctor', 'open_record', 'medical_record')`;
const IDS = SCHEDULES.map(({ id }) => id);

Deno.test("schedules are made, changed and removed as the list says; foreign ones stay", async () => {
  await withQueueLab(async ({ client, url, token, at }) => {
    const target = { queueUrl: url, token, functionsUrl: at("/functions/v1") };
    const none = { created: [], changed: [], removed: [], unchanged: [] };
    await client.schedules.create({
      scheduleId: "foreign",
      destination: at("/"),
      cron: "* * * * *",
    });
    assertEquals(await applySchedules(target, SCHEDULES, { isDryRun: true }), {
      ...none,
      created: IDS,
    });
    assertEquals((await client.schedules.list()).length, 1);
    assertEquals(await applySchedules(target), { ...none, created: IDS });
    assertEquals(await applySchedules(target), { ...none, unchanged: IDS });

    await client.schedules.pause({ schedule: ID_PREFIX + IDS[0] });
    const [first, second, ...rest] = SCHEDULES;
    const changed = [first!, { ...second!, cron: "*/5 * * * *" }, ...rest.slice(1)];
    assertEquals(await applySchedules(target, changed), {
      created: [],
      changed: [second!.id],
      removed: [rest[0]!.id],
      unchanged: [first!.id, ...rest.slice(1).map(({ id }) => id)],
    });
    const left = await client.schedules.list();
    assert(left.some(({ scheduleId }) => scheduleId === "foreign"));
    assertEquals(left.length, SCHEDULES.length);
    const paused = left.filter(({ isPaused }) => isPaused).map(({ scheduleId }) => scheduleId);
    assertEquals(paused, [ID_PREFIX + IDS[0]]);
    assertEquals(
      left.find(({ scheduleId }) => scheduleId === ID_PREFIX + second!.id)!.destination,
      at(`/functions/v1${second!.path}`),
    );
  });
});

/** A stack with the product's schedules, and how to call it. */
interface Product {
  site: Site;
  keys: LocalKeys;
  client: Client;
  url: string;
  /** Lets a schedule tick and its message be delivered; answers the last state of that message. */
  tick: (id: string) => Promise<string>;
  seals: () => Promise<number>;
  /** Keeps the schedule from sealing by the clock, and lets end what it has begun. */
  stopSealing: () => Promise<void>;
}

async function everythingBySchedule({ client, tick, seals, stopSealing, site }: Product) {
  const schedules = await client.schedules.list();
  assertEquals(
    schedules.map(({ scheduleId }) => scheduleId).toSorted(),
    IDS.map((id) => ID_PREFIX + id).toSorted(),
  );
  await stopSealing();
  const before = await seals();
  await site.query(EVENT);
  assertEquals(await tick("audit-seal"), "DELIVERED");
  assertEquals(await seals(), before + 1);
  assertEquals(await tick("keys-rotate"), "DELIVERED");
  assertEquals(await tick("records-sweep"), "DELIVERED");
}

async function fromTheCommandLine({ site, client }: Product) {
  await client.schedules.delete(ID_PREFIX + "audit-seal");
  const run = async (env: Record<string, string>, ...args: string[]) => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "-q", "tools/schedules.ts", ...args],
      cwd: PROJECT,
      env: { NO_COLOR: "1", BL_DATA_DIR: site.dataDir, QSTASH_URL: "", QSTASH_TOKEN: "", ...env },
    }).output();
    return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
  };
  assertStringIncludes((await run({}, "--dry-run")).text, "would be created: audit-seal");
  const made = await run({});
  assertStringIncludes(made.text, "created: audit-seal\n");
  assertStringIncludes(made.text, "unchanged: keys-rotate\n");
  assertEquals(made.code, 0);
  const hosted = await run({ QSTASH_URL: "http://127.0.0.1:1", QSTASH_TOKEN: "x" });
  assertEquals(hosted.code, 1);
  assertStringIncludes(hosted.text, "--functions-url");
  const nowhere = await run({ BL_DATA_DIR: `${site.folder}/nothing` });
  assertEquals(nowhere.code, 1);
  assertStringIncludes(nowhere.text, "not running");
}

async function whatIsNoDelivery({ keys, url, seals, stopSealing, site }: Product) {
  await stopSealing();
  await site.query(EVENT);
  const before = await seals();
  const address = `${url}/functions/v1/audit/seal`;
  const right: DeliveryClaims = { url: address, body: "{}", key: keys.queue.current };
  const wrong: Record<string, DeliveryClaims> = {
    "another key": { ...right, key: "sig_of_somebody" },
    "another issuer": { ...right, issuer: "Somebody" },
    "expired": { ...right, endsInSeconds: -60 },
    "another address": { ...right, url: `${url}/functions/v1/keys/rotate` },
    "another body": { ...right, body: "{ }" },
  };
  const post = async (signature: string) => {
    const headers = { "content-type": "application/json", "upstash-signature": signature };
    const response = await fetch(address, { method: "POST", headers, body: "{}" });
    await response.body?.cancel();
    return response.status;
  };
  for (const [name, claims] of Object.entries(wrong)) {
    assertEquals(await post(await signDelivery(claims)), 401, name);
  }
  assertEquals(await post("no.jwt.at-all"), 401);
  assertEquals(await seals(), before);
  const signature = await signDelivery({ ...right, key: keys.queue.next });
  assertEquals(await post(signature), 200);
  assertEquals(await seals(), before + 1);
  // Somebody plays it back, once and many times.
  await site.query(EVENT);
  const replays = await Promise.all(Array.from({ length: 5 }, () => post(signature)));
  assertEquals(replays, [401, 401, 401, 401, 401]);
  assertEquals(await seals(), before + 1);
  const racing = await signDelivery(right);
  const statuses = await Promise.all(Array.from({ length: 5 }, () => post(racing)));
  assertEquals(statuses.toSorted(), [200, 401, 401, 401, 401]);
}

async function inRedis({ url, keys }: Product) {
  const redis = async (...command: string[]) => {
    const response = await fetch(`${url}/redis`, {
      method: "POST",
      headers: { authorization: `Bearer ${keys.redisToken}` },
      body: JSON.stringify(command),
    });
    return (await response.json()).result;
  };
  assertEquals(await redis("PING"), "PONG");
  assertEquals(await redis("KEYS", "rate:*"), []);
  const document = await fetch(`${url}/functions/v1/audit/openapi.json`);
  await document.body?.cancel();
  assertEquals(document.headers.get("ratelimit-remaining"), "59");
  assertEquals((await redis("KEYS", "rate:*")).length, 1);
}

async function theEnvironment({ site, keys, url }: Product) {
  const { text } = await site.run("status", "-o", "json");
  const status = JSON.parse(text);
  assertEquals(status.QSTASH_URL, `${url}/qstash`);
  assertEquals(status.QSTASH_TOKEN, keys.queueToken);
  assertEquals(status.UPSTASH_REDIS_REST_URL, `${url}/redis`);
  assertEquals(status.UPSTASH_REDIS_REST_TOKEN, keys.redisToken);
}

Deno.test("the product on its queue", async (t) => {
  await Site.usePrepared(async (site) => {
    const process = site.start();
    await process.ready();
    const keys = await loadKeys(site.dataDir);
    const url = `http://127.0.0.1:${site.apiPort}`;
    const client = new Client({
      baseUrl: `${url}/qstash`,
      token: keys.queueToken,
      devMode: false,
      retry: false,
    });
    const control = async (path: string) => {
      const response = await fetch(`${url}/_local/qstash${path}`, { method: "POST" });
      return await response.json();
    };
    const product: Product = {
      site,
      keys,
      client,
      url,
      async tick(id) {
        const { message_ids } = await control(`/schedules/${ID_PREFIX}${id}/tick`);
        await control("/run");
        // The queue's own round may have taken it first, and have it in hand still.
        let state = "";
        await until(async () => {
          state = (await client.logs({ messageIds: message_ids })).logs[0]!.state;
          return !["CREATED", "ACTIVE", "IN_PROGRESS"].includes(state);
        });
        return state;
      },
      async seals() {
        const [row] = await site.query("select count(*)::integer as n from public.audit_seals");
        return row!.n as number;
      },
      async stopSealing() {
        await client.schedules.pause({ schedule: `${ID_PREFIX}audit-seal` });
        await control("/run");
      },
    };
    await t.step("a start makes the schedules, and what they call does its work", async () => {
      await everythingBySchedule(product);
    });
    await t.step("deno task schedules brings the running stack to the list", async () => {
      await fromTheCommandLine(product);
    });
    await t.step(
      "forged, expired, misdirected and repeated deliveries are refused, without effect",
      async () => {
        await whatIsNoDelivery(product);
      },
    );
    await t.step("status tells where queue and Redis are", () => theEnvironment(product));
    await t.step("functions count requests in Redis when the stack is told so", async () => {
      process.signal("SIGTERM");
      await process.ended;
      await site.start({ BL_REDIS: "on", BL_SCHEDULES: "off" }).ready();
      await inRedis(product);
    });
  });
});
