// The life of an embedded stack as a person sees it: start, stop, status, reset, and what stays.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { loadKeys } from "../../supabase/local/keys.ts";
import { Site, until } from "../support/stack_process.ts";

const CLEAN = "database system is shut down";
const UNCLEAN = /was not properly shut down|was interrupted/;

Deno.test("start makes a database, stop ends it cleanly, and the next start finds the data", async () => {
  await Site.use(async (site) => {
    const first = site.start();
    await first.ready();
    assert(await site.isReady());
    await site.query("create table public.keepsake as select 42 as answer");

    const stopped = await site.run("stop");
    assertEquals(stopped.code, 0, stopped.text);
    assertEquals((await first.ended).code, 0);
    assertStringIncludes(await site.serverLog(), CLEAN);

    const second = site.start();
    await second.ready();
    assertEquals(await site.query("select answer from public.keepsake"), [{ answer: 42 }]);
    assert(!UNCLEAN.test(await site.serverLog()), "the first stop was not clean");

    second.signal("SIGINT");
    assertEquals((await second.ended).code, 0);
    assert((await site.serverLog()).trimEnd().endsWith(CLEAN));
  });
});

Deno.test("start says how long it took", async () => {
  await Site.usePrepared(async (site) => {
    const process = site.start();
    await process.ready();
    process.signal("SIGTERM");
    const { text } = await process.ended;
    assert(/is ready in \d+\.\d s/.test(text));
  });
});

Deno.test("a signal during the start ends the stack cleanly as soon as it is up", async () => {
  await Site.usePrepared(async (site) => {
    const process = site.start();
    // PostgreSQL is up before the stack is.
    await until(async () => await site.postmasterPid().then(() => true, () => false));
    process.signal("SIGINT");
    assertEquals((await process.ended).code, 0);
    assert((await site.serverLog()).trimEnd().endsWith(CLEAN));
  });
});

Deno.test("a request that does not end keeps nobody from stopping", async () => {
  await Site.usePrepared(async (site) => {
    const process = site.start();
    await process.ready();
    const { secret } = await loadKeys(site.dataDir);
    await site.withQuery("lock table auth.users", async () => {
      const url = `http://127.0.0.1:${site.apiPort}/auth/v1/admin/users`;
      const headers = { apikey: secret, authorization: `Bearer ${secret}` };
      const stuck = fetch(url, { headers }).then((answer) => answer.status, () => "cut off");
      await until(async () => {
        const waiting = await site.query("select from pg_locks where not granted");
        return waiting.length > 0;
      });

      process.signal("SIGINT");

      const { code, text } = await process.ended;
      assertEquals(code, 0);
      assertStringIncludes(text, "Cut off after 5 s: requests under way");
      assertEquals(await stuck, "cut off");
    });
    assert((await site.serverLog()).trimEnd().endsWith(CLEAN));
  });
});

Deno.test("sockets hear that the stack restarts, and do not make its stop wait", async () => {
  await Site.usePrepared(async (site) => {
    const process = site.start();
    await process.ready();
    const { publishable } = await loadKeys(site.dataDir);
    const url = `ws://127.0.0.1:${site.apiPort}/realtime/v1/websocket`;
    const socket = new WebSocket(`${url}?apikey=${publishable}&vsn=1.0.0`);
    const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
    // Its answer shows that the server knows the socket.
    const heard = new Promise<unknown>((resolve) => socket.onmessage = resolve);
    socket.onopen = () =>
      socket.send(JSON.stringify({ topic: "phoenix", event: "heartbeat", payload: {}, ref: "1" }));
    await heard;

    process.signal("SIGINT");

    const { code, reason } = await closed;
    assertEquals({ code, reason }, { code: 1012, reason: "Service restart" });
    const ended = await process.ended;
    assertEquals(ended.code, 0);
    assert(!ended.text.includes("Cut off"), ended.text);
  });
});

Deno.test("stop without a stack says so and succeeds", async () => {
  await Site.use(async (site) => {
    const { code, text } = await site.run("stop");
    assertEquals(code, 0);
    assertStringIncludes(text, "Nothing was running");
  });
});

Deno.test("status prints addresses and keys under the names that the Supabase CLI uses", async () => {
  await Site.usePrepared(async (site) => {
    const before = await site.run("status");
    assertEquals(before.code, 1);
    assertStringIncludes(before.text, "The stack is not running");

    const process = site.start();
    await process.ready();
    const json = JSON.parse((await site.run("status", "-o", "json")).text);
    assertEquals(json.API_URL, `http://127.0.0.1:${site.apiPort}`);
    assertEquals(json.REST_URL, `${json.API_URL}/rest/v1`);
    assertEquals(json.FUNCTIONS_URL, `${json.API_URL}/functions/v1`);
    assertEquals(
      json.DB_URL,
      `postgresql://postgres:postgres@127.0.0.1:${site.dbPort}/postgres`,
    );
    assertMatch(json.PUBLISHABLE_KEY, /^sb_publishable_/);
    assertMatch(json.SECRET_KEY, /^sb_secret_/);

    const env = (await site.run("status", "-o", "env")).text.trim().split("\n");
    const fromEnv = env.map((line) => /^(\w+)="(.*)"$/.exec(line)!.slice(1));
    assertEquals(Object.fromEntries(fromEnv), json);

    const wrong = await site.run("status", "-o", "yaml");
    assertEquals(wrong.code, 1);
    assertStringIncludes(wrong.text, 'Output format must be env or json: it is "yaml"');
  });
});

Deno.test("reset makes a new database, and refuses while the stack runs", async () => {
  await Site.usePrepared(async (site) => {
    const process = site.start();
    await process.ready();
    await site.query("create table public.keepsake as select 42 as answer");

    const refused = await site.run("reset");
    assertEquals(refused.code, 1);
    assertStringIncludes(refused.text, "The stack is running");
    assertEquals(await site.query("select answer from public.keepsake"), [{ answer: 42 }]);

    await site.run("stop");
    const done = await site.run("reset");
    assertEquals(done.code, 0, done.text);
    const fresh = site.start();
    await fresh.ready();
    const [found] = await site.query("select to_regclass('public.keepsake') as keepsake");
    assertEquals(found, { keepsake: null });
  });
});

Deno.test({
  name: "an ordinary user may start and stop the stack",
  // Whoever is not root is an ordinary user in every other test of this file.
  ignore: Deno.uid() !== 0,
  fn: async () => {
    await Site.use(async (site) => {
      const nobody = 65534;
      await Deno.mkdir(site.dataDir);
      await Deno.chown(site.dataDir, nobody, nobody);

      const process = await site.runAs(nobody, "start");
      await process.ready();
      assertEquals((await Deno.stat(join(site.dataDir, "db"))).uid, nobody);
      const stopped = await (await site.runAs(nobody, "stop")).ended;
      assertEquals(stopped.code, 0, stopped.text);
      assertEquals((await process.ended).code, 0);
    });
  },
});
