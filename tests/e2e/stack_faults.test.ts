// What stops a start: each time one sentence, a non-zero exit, and nothing lost.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { type Ended, Site } from "../support/stack_process.ts";

/** A refusal is one line for a person: no stack trace, no second line. */
function assertRefused({ code, text }: Ended, sentence: string): void {
  assertEquals(code, 1, text);
  assertStringIncludes(text, sentence);
  assertEquals(text.trim().split("\n").length, 1, text);
}

/** A server of somebody else's on a port; answers how to close it. */
function occupy(port: number): () => Promise<void> {
  const abort = new AbortController();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port, signal: abort.signal, onListen: () => {} },
    () => new Response("not yours"),
  );
  return async () => {
    abort.abort();
    await server.finished;
  };
}

Deno.test("a second start is refused, whatever its ports, and the first keeps serving", async () => {
  await Site.usePrepared(async (site) => {
    const first = site.start();
    await first.ready();
    const sentence = `The stack is running already at http://127.0.0.1:${site.apiPort}`;

    assertRefused(await site.start().ended, sentence);
    assertRefused(await site.start({ BL_API_PORT: "1", BL_DB_PORT: "2" }).ended, sentence);

    assert(await site.isReady());
    assertEquals(await site.query("select 1 as one"), [{ one: 1 }]);
  });
});

Deno.test("of two starts at the same moment exactly one wins", async () => {
  await Site.usePrepared(async (site) => {
    const starts = [site.start(), site.start()];
    const results = await Promise.allSettled(starts.map((start) => start.ready()));

    assertEquals(results.map((result) => result.status).sort(), ["fulfilled", "rejected"]);
    const loser = starts[results.findIndex((result) => result.status === "rejected")]!;
    assertRefused(await loser.ended, "The stack is running already");
    assert(await site.isReady());
    assertEquals(await site.query("select 1 as one"), [{ one: 1 }]);
  });
});

Deno.test("a start beside another stack on the same port names it", async () => {
  await Site.usePrepared(async (site) => {
    await site.start().ready();
    await Site.usePrepared(async (other) => {
      assertRefused(
        await other.start({ BL_API_PORT: String(site.apiPort) }).ended,
        `Another stack is running already at http://127.0.0.1:${site.apiPort}`,
      );
    });
    assert(await site.isReady());
  });
});

Deno.test("a gateway port that a stranger has is named, and no database is started", async () => {
  await Site.usePrepared(async (site) => {
    const free = occupy(site.apiPort);
    const ended = await site.start().ended;
    await free();

    assertRefused(ended, `Port ${site.apiPort} is in use by another program`);
    assertStringIncludes(ended.text, "BL_API_PORT");
    assertEquals(await site.postmasterPid().catch(() => "none"), "none");
    await site.start().ready();
  });
});

Deno.test("a database port that a stranger has is named, and the data stay", async () => {
  await Site.usePrepared(async (site) => {
    const free = occupy(site.dbPort);
    const ended = await site.start().ended;
    await free();

    assertRefused(ended, `Port ${site.dbPort} is in use, and the database needs it`);
    assertStringIncludes(ended.text, "BL_DB_PORT");
    await site.start().ready();
  });
});

Deno.test("a port that is no port is refused with the value", async () => {
  await Site.use(async (site) => {
    assertRefused(
      await site.start({ BL_DB_PORT: "70000" }).ended,
      'BL_DB_PORT must be a port number from 1 to 65535: it is "70000"',
    );
  });
});

Deno.test("a data folder that cannot be written is named", async () => {
  await Site.use(async (site) => {
    // A file in the place of a folder stops root as well as anybody.
    const file = join(site.folder, "file");
    await Deno.writeTextFile(file, "");
    const dataDir = join(file, "data");
    assertRefused(await site.start({ BL_DATA_DIR: dataDir }).ended, `May not write ${dataDir}`);
  });
});

Deno.test({
  name: "a data folder of another user is named",
  ignore: Deno.uid() !== 0, // needs two users
  fn: async () => {
    await Site.use(async (site) => {
      await Deno.mkdir(site.dataDir, { mode: 0o755 });
      const refused = await site.runAs(65534, "start");
      assertRefused(await refused.ended, `May not write ${site.dataDir}`);
    });
  },
});

Deno.test("a data folder without a whole database in it is named and left as it is", async () => {
  await Site.use(async (site) => {
    const kept = join(site.dataDir, "db", "base", "1");
    await Deno.mkdir(join(site.dataDir, "db", "base"), { recursive: true });
    await Deno.writeTextFile(kept, "somebody's rows");

    const ended = await site.start().ended;

    assertRefused(ended, `${join(site.dataDir, "db")} is no PostgreSQL data folder`);
    assertStringIncludes(ended.text, "PG_VERSION is missing");
    assertEquals(await Deno.readTextFile(kept), "somebody's rows");
  });
});

Deno.test("a database that PostgreSQL does not start is named with PostgreSQL's reason", async () => {
  await Site.usePrepared(async (site) => {
    const control = join(site.dataDir, "db", "global", "pg_control");
    const bytes = await Deno.readFile(control);
    await Deno.remove(control);

    const ended = await site.start().ended;

    assertRefused(ended, `PostgreSQL did not start on the data in ${join(site.dataDir, "db")}`);
    assertStringIncludes(ended.text, "pg_control");
    await Deno.writeFile(control, bytes);
    await giveToServer(control);
    await site.start().ready();
  });
});

/** Root's new file is not the server's. */
async function giveToServer(path: string): Promise<void> {
  const { uid, gid } = await Deno.stat(join(path, ".."));
  if (uid !== null && gid !== null) await Deno.chown(path, uid, gid);
}

Deno.test({
  name: "a folder that the system user postgres may not enter is named",
  ignore: Deno.uid() !== 0, // only root's server runs as another user
  fn: async () => {
    await Site.use(async (site) => {
      await Deno.mkdir(site.dataDir);
      await Deno.chmod(site.folder, 0o700);
      assertRefused(
        await site.start().ended,
        "The system user postgres may not enter the folders above",
      );
    });
  },
});

Deno.test("an interrupted first start leaves nothing in the way of the next", async () => {
  await Site.use(async (site) => {
    const partial = join(site.dataDir, "db.partial");
    await Deno.mkdir(partial, { recursive: true });
    await Deno.writeTextFile(join(partial, "PG_VERSION"), "17\n");
    await site.start().ready();
    assertEquals(await Deno.stat(partial).catch(() => "gone"), "gone");
  });
});
