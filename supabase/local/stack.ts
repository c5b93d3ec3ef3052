// Boots the embedded stack: one gateway in this process plus PostgreSQL. The data folder is claimed
// first: it is what two starts in one moment race for, and only the winner touches the data.

import { join } from "@std/path";
import postgres from "postgres";
import { applySchedules } from "../../tools/schedules.ts";
import { createAuth } from "./auth/auth.ts";
import type { Part, StackContext } from "./context.ts";
import {
  applyPlatform,
  asAdmin,
  createDatabase,
  dropDatabase,
  ensureTemplate,
  hasDatabase,
  pendingMigrations,
  platformDigest,
  pushMigrations,
} from "./database.ts";
import { Fault } from "./fault.ts";
import { mountFunctions } from "./functions.ts";
import { createGateway } from "./gateway.ts";
import { claimDataDir } from "./instance.ts";
import { loadKeys, newQueueKey, saveKeys } from "./keys.ts";
import { createLite } from "./lite.ts";
import { Outbox } from "./outbox.ts";
import { databaseUrl, startCluster, stopCluster, SUPERUSER } from "./postgres.ts";
import { startDoubles } from "./providers/providers.ts";
import { QSTASH_BASE } from "./qstash/base.ts";
import { createQStash } from "./qstash/qstash.ts";
import { createRedis } from "./redis/redis.ts";
import { createRealtime } from "./realtime/realtime.ts";
import { readRealtimeSettings } from "./realtime/settings.ts";
import { createRest } from "./rest.ts";
import { createStorage } from "./storage/storage.ts";

/** How to boot a stack. */
export interface StackOptions {
  /** Folder for everything the stack keeps; made when missing. */
  dataDir: string;
  /** Port of the gateway. */
  apiPort: number;
  /** Port of PostgreSQL. */
  dbPort: number;
  /** Whether a new database gets supabase/seed.sql. */
  seed: boolean;
  /** Whether the product's schedules are made at the start; without them nothing happens by itself. */
  schedules?: boolean;
  /** Whether functions count requests in the stack's Redis instead of PostgreSQL. */
  redis?: boolean;
  /** What the waits of the queue are multiplied by; 1 when left out. */
  queueWaitFactor?: number;
  /** Settings for PostgreSQL beside the usual ones. */
  settings?: Record<string, string>;
}

/** A stack that runs. */
export interface Stack {
  context: StackContext;
  options: StackOptions;
  stop: () => Promise<void>;
}

/** Boots the stack; resolves when every part answers. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { dataDir, apiPort, dbPort } = options;
  await makeDataDir(dataDir);
  const closers: (() => Promise<unknown>)[] = [await claimDataDir(dataDir, { apiPort, dbPort })];
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) {
      // What fails to close keeps nothing else from being closed.
      await close().catch((error) => console.error(error));
    }
  };
  try {
    let handler: Part = () =>
      Response.json({ code: "starting", message: "The stack is starting" }, { status: 503 });
    const closeServer = await listen(apiPort, (request, peer) => handler(request, peer));
    closers.push(closeServer);
    await startCluster({ dataDir: join(dataDir, "db"), port: dbPort, settings: options.settings });
    closers.push(() => stopCluster(join(dataDir, "db")));
    await prepareDatabase(options);

    const adminUrl = databaseUrl(dbPort, SUPERUSER);
    const admin = postgres(adminUrl, { max: 20, onnotice: () => {} });
    closers.push(() => admin.end({ timeout: 5 }));
    const apiUrl = `http://127.0.0.1:${apiPort}`;
    const keys = await loadKeys(dataDir);
    const outbox = new Outbox();
    const doubles = await startDoubles({ outbox, keys: keys.providers, apiUrl, now: Date.now });
    closers.push(doubles.close);
    const context: StackContext = {
      apiUrl,
      dbUrl: databaseUrl(dbPort, "postgres"),
      adminUrl,
      admin,
      keys,
      dataDir,
      outbox,
      now: Date.now,
    };
    const lite = createLite(context);
    closers.push(() => withinGrace("what Auth and Storage were doing", lite.close()));
    const realtime = await createRealtime(context, readRealtimeSettings(Deno.env.toObject()));
    let closing: Promise<void> | undefined;
    const closeRealtime = () => closing ??= withinGrace("Realtime", realtime.close());
    closers.push(closeRealtime);
    const qstash = await createQStash({
      databaseUrl: adminUrl,
      token: keys.queueToken,
      keys: keys.queue,
      saveKeys: (queue) => saveKeys(dataDir, { ...keys, queue }),
      newKey: newQueueKey,
      now: context.now,
      waitFactor: options.queueWaitFactor,
    });
    closers.push(() => qstash.close());
    const redis = createRedis({ token: keys.redisToken, now: context.now });
    closers.push(() => Promise.resolve(redis.close()));
    handler = createGateway(context, {
      auth: createAuth(context, lite),
      rest: createRest(context, lite),
      storage: createStorage(context),
      realtime: realtime.part,
      functions: await mountFunctions(context, doubles, options),
      qstash: qstash.part,
      redis: redis.part,
    }, { qstash: qstash.control, providers: doubles.handle });
    // From now on there are requests, which end before what they need is taken away.
    closers.push(closeServer);
    if (options.schedules) await scheduleProduct(context);
    qstash.start();
    closers.push(() => qstash.close());
    // Before the server, which ends sockets without a word: clients are told to come back.
    closers.push(closeRealtime);
    return { context, options, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Makes the product's schedules, through the queue's own address. */
async function scheduleProduct({ apiUrl, keys }: StackContext): Promise<void> {
  await applySchedules({
    queueUrl: apiUrl + QSTASH_BASE,
    token: keys.queueToken,
    functionsUrl: `${apiUrl}/functions/v1`,
  });
}

/** Brings the main database up to the checkout's platform and migrations. */
async function prepareDatabase({ dbPort, seed }: StackOptions): Promise<void> {
  await ensureTemplate(dbPort);
  const digest = await platformDigest();
  const made = await asAdmin(dbPort, "template1", async (admin) => {
    const [row] = await admin`
      select shobj_description(oid, 'pg_database') as digest
      from pg_database where datname = 'postgres'`;
    return row?.digest as string | null | undefined;
  });
  // initdb leaves an empty database `postgres` behind; ours carries the platform's digest.
  const fresh = !made || !/^[0-9a-f]{64}$/.test(made);
  if (fresh) {
    if (await hasDatabase(dbPort, "postgres")) await dropDatabase(dbPort, "postgres");
    await createDatabase(dbPort, "postgres");
  } else if (made !== digest) {
    await applyPlatform(dbPort, "postgres");
  }
  if (fresh || (await pendingMigrations(dbPort, "postgres")).length > 0) {
    await pushMigrations(dbPort, "postgres", seed && fresh);
  }
  // Last, so that an interrupted first start is seen as fresh again.
  if (made !== digest) {
    await asAdmin(dbPort, "template1", async (admin) => {
      await admin.unsafe(`comment on database postgres is '${digest}'`);
    });
  }
}

async function makeDataDir(dataDir: string): Promise<void> {
  try {
    await Deno.mkdir(dataDir, { recursive: true });
    const probe = await Deno.makeTempFile({ dir: dataDir });
    await Deno.remove(probe);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new Fault(`May not write ${dataDir}; check who owns it (${error.message})`);
  }
}

/** Milliseconds that requests and connections have to end when the stack stops. */
const GRACE_MS = 5000;

/** Waits for `closing`, but no longer than the grace, and says so when that was not enough. */
async function withinGrace(what: string, closing: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      console.log(`Cut off after ${GRACE_MS / 1000} s: ${what}`);
      resolve();
    }, GRACE_MS);
  });
  await Promise.race([closing, over]);
  clearTimeout(timer);
}

/** Listens on the gateway's port; answers how to stop, which may be called again. */
async function listen(port: number, handler: Part): Promise<() => Promise<void>> {
  const abort = new AbortController();
  const underWay = new Set<Promise<void>>();
  let closing = false;
  try {
    const server = Deno.serve(
      { hostname: "127.0.0.1", port, signal: abort.signal, onListen: () => {} },
      (request, { completed, remoteAddr }) => {
        if (closing) return Response.json({ code: "stopping" }, { status: 503 });
        const delivered = completed.catch(() => {}).finally(() => underWay.delete(delivered));
        underWay.add(delivered);
        return handler(request, { address: remoteAddr.hostname });
      },
    );
    return async () => {
      closing = true;
      await withinGrace("requests under way", Promise.all(underWay));
      // `server.shutdown()` would wait for ever, and cannot be cut short once it waits.
      abort.abort();
      await server.finished;
    };
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new Fault(`May not listen on port ${port}; choose another with BL_API_PORT`);
    }
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    throw new Fault(await occupant(port));
  }
}

/** Says who has the gateway's port: another start of this stack, or a stranger. */
async function occupant(port: number): Promise<string> {
  const url = `http://127.0.0.1:${port}`;
  const ours = await fetch(`${url}/_local/health`, { signal: AbortSignal.timeout(2000) })
    .then(async (response) => {
      const body = await response.json();
      return body.ready === true || body.code === "starting";
    })
    .catch(() => false);
  return ours
    ? `Another stack is running already at ${url}; stop it, or choose a port with BL_API_PORT`
    : `Port ${port} is in use by another program; stop that, or choose another with BL_API_PORT`;
}
