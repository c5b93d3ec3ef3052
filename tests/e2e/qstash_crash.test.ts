// What the queue keeps when its stack stops, or is killed in the middle of deliveries: every message
// that was accepted arrives, and a repeat carries the same id.

import { assert, assertEquals } from "@std/assert";
import { Client } from "@upstash/qstash";
import { loadKeys } from "../../supabase/local/keys.ts";
import { Site, until } from "../support/stack_process.ts";

const ENV = { BL_SCHEDULES: "off", BL_QUEUE_WAIT_FACTOR: "0.001" };

/** A receiver that counts deliveries by message, and may keep them waiting. */
function receive() {
  const counts = new Map<string, number>();
  let gate = Promise.resolve();
  let open = () => {};
  const abort = new AbortController();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {}, signal: abort.signal },
    async (request) => {
      const id = request.headers.get("upstash-message-id") ?? "";
      counts.set(id, (counts.get(id) ?? 0) + 1);
      await gate;
      return new Response();
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    counts,
    hold: () => ({ promise: gate, resolve: open } = Promise.withResolvers<void>()),
    release: () => open(),
    async [Symbol.asyncDispose]() {
      open();
      abort.abort();
      await server.finished;
    },
  };
}

async function clientOf(site: Site): Promise<Client> {
  const { queueToken } = await loadKeys(site.dataDir);
  const baseUrl = `http://127.0.0.1:${site.apiPort}/qstash`;
  return new Client({ baseUrl, token: queueToken, devMode: false, retry: false });
}

/** What `/_local/qstash` says of messages. */
async function stateOf(site: Site): Promise<{ waiting: number; active: number; dead: number }> {
  const response = await fetch(`http://127.0.0.1:${site.apiPort}/_local/qstash`);
  const { waiting, active, dead } = await response.json();
  return { waiting, active, dead };
}

const DONE = { waiting: 0, active: 0, dead: 0 };

Deno.test("a stop lets deliveries end; messages, queues and schedules are there after it", async () => {
  await Site.usePrepared(async (site) => {
    await using receiver = receive();
    const first = site.start(ENV);
    await first.ready();
    const client = await clientOf(site);
    receiver.hold();
    const { messageId } = await client.publish({ url: receiver.url });
    await until(() => Promise.resolve(receiver.counts.size === 1));
    const queue = client.queue({ queueName: "line" });
    await queue.upsert({ parallelism: 3, paused: true });
    await queue.enqueue({ url: receiver.url });
    await client.schedules.create({
      scheduleId: "kept",
      destination: receiver.url,
      cron: "0 0 1 1 *",
    });
    first.signal("SIGTERM");
    receiver.release();
    assertEquals((await first.ended).code, 0);

    await site.start(ENV).ready();
    assertEquals(receiver.counts.get(messageId), 1);
    assertEquals((await queue.get()).parallelism, 3);
    assertEquals((await client.schedules.list()).map(({ scheduleId }) => scheduleId), ["kept"]);
    await queue.resume();
    await until(async () => (await stateOf(site)).waiting === 0 && receiver.counts.size === 2);
    assertEquals(
      await client.logs({ messageIds: [messageId] }).then(({ logs }) => logs[0]!.state),
      "DELIVERED",
    );
  });
});

Deno.test("after a kill in the middle of deliveries these come again, under their ids", async () => {
  await Site.usePrepared(async (site) => {
    await using receiver = receive();
    const killed = site.start(ENV);
    await killed.ready();
    const client = await clientOf(site);
    receiver.hold();
    const sent = await client.batch(Array.from({ length: 50 }, () => ({ url: receiver.url })));
    await until(() => Promise.resolve(receiver.counts.size >= 20));
    await killed.kill();
    const inFlight = [...receiver.counts.keys()];
    receiver.release();

    await site.start(ENV).ready();
    await until(async () => JSON.stringify(await stateOf(site)) === JSON.stringify(DONE));
    const ids = sent.map((answer) => (answer as { messageId: string }).messageId);
    assertEquals([...receiver.counts.keys()].toSorted(), ids.toSorted());
    for (const [id, count] of receiver.counts) assertEquals(count, inFlight.includes(id) ? 2 : 1);
  });
});

Deno.test("kills of gateway and database under load lose nothing that was accepted", async () => {
  await Site.usePrepared(async (site) => {
    await using receiver = receive();
    const accepted: string[] = [];
    for (let round = 0; round < 3; round++) {
      const process = site.start(ENV);
      await process.ready();
      const client = await clientOf(site);
      const before = receiver.counts.size;
      const publishing = Promise.allSettled(Array.from({ length: 8 }, async () => {
        // Until the stack is gone.
        for (;;) accepted.push((await client.publish({ url: receiver.url })).messageId);
      }));
      await until(() => Promise.resolve(receiver.counts.size >= before + 30));
      await process.kill();
      Deno.kill(await site.postmasterPid(), "SIGKILL");
      await publishing;
    }
    await site.start(ENV).ready();
    await until(async () => JSON.stringify(await stateOf(site)) === JSON.stringify(DONE));
    assert(accepted.length >= 90);
    assertEquals(accepted.filter((id) => !receiver.counts.has(id)), []);
  });
});
