// Command line of the embedded stack: start, stop, status, reset. Settings from the environment:
// BL_API_PORT (54321), BL_DB_PORT (54322), BL_DATA_DIR (.local); BL_SCHEDULES (on; off: nothing happens by
// itself), BL_REDIS (off; on: functions count requests in Redis), BL_QUEUE_WAIT_FACTOR (1; less: the
// queue waits shorter).

import { parseArgs } from "@std/cli/parse-args";
import { join, resolve } from "@std/path";
import { PROJECT } from "./cli.ts";
import { Fault } from "./fault.ts";
import { findInstance } from "./instance.ts";
import { loadKeys } from "./keys.ts";
import { databaseUrl, stopCluster } from "./postgres.ts";
import { QSTASH_BASE } from "./qstash/base.ts";
import { REDIS_BASE } from "./redis/base.ts";
import type { StackOptions } from "./stack.ts";

async function main(args: string[]): Promise<void> {
  const options = readOptions();
  switch (args[0]) {
    case "start":
      return await start(options);
    case "stop":
      return await stop(options);
    case "status":
      return await status(options, args.slice(1));
    case "reset":
      return await reset(options);
    default:
      throw new Fault("Usage: deno task start | stop | status [-o env|json] | reset");
  }
}

function readOptions(): StackOptions {
  const port = (name: string, fallback: number) => {
    const text = Deno.env.get(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (Number.isInteger(value) && value > 0 && value < 65536) return value;
    throw new Fault(`${name} must be a port number from 1 to 65535: it is "${text}"`);
  };
  const flag = (name: string, fallback: boolean) => {
    const text = Deno.env.get(name);
    if (text === undefined) return fallback;
    if (text === "on" || text === "off") return text === "on";
    throw new Fault(`${name} must be on or off: it is "${text}"`);
  };
  const factor = (name: string) => {
    const text = Deno.env.get(name) ?? "1";
    const value = Number(text);
    if (/^[0-9.]+$/.test(text) && value >= 0 && value <= 1) return value;
    throw new Fault(`${name} must be a number from 0 to 1: it is "${text}"`);
  };
  return {
    dataDir: resolve(Deno.env.get("BL_DATA_DIR") ?? join(PROJECT, ".local")),
    apiPort: port("BL_API_PORT", 54321),
    dbPort: port("BL_DB_PORT", 54322),
    seed: true,
    schedules: flag("BL_SCHEDULES", true),
    redis: flag("BL_REDIS", false),
    queueWaitFactor: factor("BL_QUEUE_WAIT_FACTOR"),
  };
}

async function start(options: StackOptions): Promise<void> {
  const began = performance.now();
  const interrupted = Promise.withResolvers<void>();
  for (const signal of STOP_SIGNALS) Deno.addSignalListener(signal, interrupted.resolve);
  const { startStack } = await import("./stack.ts");
  const stack = await startStack(options);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`Beautiful Life is ready in ${seconds} s\n`);
  printTable(await describe(options));
  console.log("\nStop with Ctrl-C or `deno task stop`; data stays in", options.dataDir);

  await interrupted.promise; // a signal during the start waits here as well
  console.log("Stopping");
  await stack.stop();
  Deno.exit(0);
}

/** Ctrl-C, `stop`, and the end of the terminal. */
const STOP_SIGNALS: Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

async function stop(options: StackOptions): Promise<void> {
  const instance = await findInstance(options.dataDir);
  if (instance) {
    try {
      Deno.kill(instance.pid, "SIGTERM");
    } catch (error) {
      if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
      throw new Fault(`May not stop process ${instance.pid}; it belongs to another user`);
    }
    for (let waited = 0; await findInstance(options.dataDir); waited += 100) {
      if (waited > 60_000) throw new Fault(`Process ${instance.pid} does not stop`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  // Also after a kill that left PostgreSQL alone.
  const leftover = await stopCluster(join(options.dataDir, "db"));
  console.log(instance || leftover ? "Stopped" : "Nothing was running");
}

async function status(options: StackOptions, args: string[]): Promise<void> {
  const { output, o } = parseArgs(args, { string: ["output", "o"] });
  const instance = await findInstance(options.dataDir);
  if (!instance) throw new Fault("The stack is not running; start it with `deno task start`");
  const values = await describe({ ...options, ...instance });
  const format = o ?? output ?? "pretty";
  if (format === "json") console.log(JSON.stringify(values, null, 2));
  else if (format === "env") {
    for (const [name, value] of Object.entries(values)) console.log(`${name}="${value}"`);
  } else if (format === "pretty") printTable(values);
  else throw new Fault(`Output format must be env or json: it is "${format}"`);
}

async function reset(options: StackOptions): Promise<void> {
  if (await findInstance(options.dataDir)) {
    throw new Fault("The stack is running; stop it with `deno task stop` before a reset");
  }
  await stopCluster(join(options.dataDir, "db"));
  for (const name of ["db", "db.partial", "storage"]) {
    await Deno.remove(join(options.dataDir, name), { recursive: true }).catch((error) => {
      if (error instanceof Deno.errors.PermissionDenied) {
        throw new Fault(`May not delete ${join(options.dataDir, name)}; check who owns it`);
      }
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
  const { startStack } = await import("./stack.ts");
  const stack = await startStack({ ...options, schedules: false });
  await stack.stop();
  console.log("Reset: the database is new and seeded; `deno task start` boots it");
}

/** URLs and keys under the names that `supabase status` uses. */
async function describe(options: StackOptions): Promise<Record<string, string>> {
  const keys = await loadKeys(options.dataDir);
  const apiUrl = `http://127.0.0.1:${options.apiPort}`;
  return {
    API_URL: apiUrl,
    REST_URL: `${apiUrl}/rest/v1`,
    FUNCTIONS_URL: `${apiUrl}/functions/v1`,
    STORAGE_URL: `${apiUrl}/storage/v1`,
    OUTBOX_URL: `${apiUrl}/_local/outbox`,
    DB_URL: databaseUrl(options.dbPort, "postgres"),
    QSTASH_URL: apiUrl + QSTASH_BASE,
    QSTASH_TOKEN: keys.queueToken,
    UPSTASH_REDIS_REST_URL: apiUrl + REDIS_BASE,
    UPSTASH_REDIS_REST_TOKEN: keys.redisToken,
    PUBLISHABLE_KEY: keys.publishable,
    SECRET_KEY: keys.secret,
  };
}

function printTable(values: Record<string, string>): void {
  const width = Math.max(...Object.keys(values).map((name) => name.length));
  for (const [name, value] of Object.entries(values)) {
    console.log(`  ${name.padEnd(width)}  ${value}`);
  }
}

try {
  await main(Deno.args);
} catch (error) {
  if (!(error instanceof Fault)) throw error;
  console.error(error.message);
  Deno.exit(1);
}
