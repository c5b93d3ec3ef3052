// What a killed stack leaves: data that the next start finds, and nothing that stops it.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { Site, until } from "../support/stack_process.ts";

const KEEPSAKE = "create table public.keepsake as select 42 as answer";

async function assertKept(site: Site): Promise<void> {
  assertEquals(await site.query("select answer from public.keepsake"), [{ answer: 42 }]);
}

Deno.test("after the gateway was killed the next start takes over its database", async () => {
  await Site.usePrepared(async (site) => {
    const killed = site.start();
    await killed.ready();
    await site.query(KEEPSAKE);
    const left = await site.postmasterPid();
    await killed.kill();
    await assertKept(site); // PostgreSQL runs on alone

    await site.start().ready();

    await assertKept(site);
    assert(await site.postmasterPid() !== left);
  });
});

Deno.test("after the gateway was killed stop ends the database that it left, cleanly", async () => {
  await Site.usePrepared(async (site) => {
    const killed = site.start();
    await killed.ready();
    await killed.kill();

    const stopped = await site.run("stop");

    assertEquals(stopped.code, 0, stopped.text);
    assertStringIncludes(stopped.text, "Stopped");
    const log = (await site.serverLog()).trimEnd();
    assert(log.endsWith("database system is shut down"), log);
  });
});

Deno.test("after gateway and database were killed the next start recovers what was committed", async () => {
  await Site.usePrepared(async (site) => {
    const killed = site.start();
    await killed.ready();
    await site.query(KEEPSAKE);
    await killed.kill();
    const postmaster = await site.postmasterPid();
    Deno.kill(postmaster, "SIGKILL");
    await until(async () => !await isAlive(postmaster));

    await site.start().ready();

    await assertKept(site);
    assertStringIncludes(await site.serverLog(), "automatic recovery in progress");
  });
});

Deno.test("a lock file whose process number another program has now stops nobody", async () => {
  await Site.usePrepared(async (site) => {
    const killed = site.start();
    await killed.ready();
    await site.query(KEEPSAKE);
    await site.run("stop");
    // As after a restart of a container: the number in the file is taken, by a program of the same
    // user as the server's, and nobody listens on the port.
    const lockFile = join(site.dataDir, "db", "postmaster.pid");
    const { uid, gid } = await Deno.stat(join(site.dataDir, "db"));
    const stranger = new Deno.Command("sleep", {
      args: ["300"],
      ...(Deno.uid() === 0 ? { uid: uid!, gid: gid! } : {}),
    }).spawn();
    try {
      const lock = [
        stranger.pid,
        join(site.dataDir, "db"),
        1700000000,
        site.dbPort,
        "",
        "127.0.0.1",
      ];
      await Deno.writeTextFile(lockFile, `${lock.join("\n")}\n`, { mode: 0o600 });
      await Deno.chown(lockFile, uid, gid);

      await site.start().ready();

      await assertKept(site);
      assert(await isAlive(stranger.pid), "the stranger was ended");
    } finally {
      stranger.kill();
      await stranger.status;
    }
  });
});

Deno.test("a run file that a killed stack left makes nobody end a stranger", async () => {
  await Site.usePrepared(async (site) => {
    const stranger = new Deno.Command("sleep", { args: ["300"] }).spawn();
    try {
      const left = { pid: stranger.pid, apiPort: site.apiPort, dbPort: site.dbPort };
      await Deno.writeTextFile(join(site.dataDir, "run.json"), JSON.stringify(left));

      assertEquals((await site.run("status")).code, 1);
      assertStringIncludes((await site.run("stop")).text, "Nothing was running");

      assert(await isAlive(stranger.pid), "the stranger was ended");
    } finally {
      stranger.kill();
      await stranger.status;
    }
  });
});

/** Whether a process runs; one that has ended and is not yet collected does not. */
async function isAlive(pid: number): Promise<boolean> {
  const ps = await new Deno.Command("ps", { args: ["-p", String(pid), "-o", "stat="] }).output();
  const state = new TextDecoder().decode(ps.stdout).trim();
  return state !== "" && !state.startsWith("Z");
}
