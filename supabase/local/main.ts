// Command line of the embedded stack: start, stop, status, reset. Settings from the environment:
// BL_API_PORT (54321), BL_DB_PORT (54322), BL_DATA_DIR (.local).

import { parseArgs } from "@std/cli/parse-args";
import { join } from "@std/path";
import { PROJECT } from "./cli.ts";
import { Fault } from "./fault.ts";
import { loadKeys } from "./keys.ts";
import { databaseUrl, stopCluster } from "./postgres.ts";
import type { StackOptions } from "./stack.ts";

/** What a running stack writes beside its data, so that stop and status find it. */
interface RunFile {
  pid: number;
  apiPort: number;
  dbPort: number;
}

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
  return {
    dataDir: Deno.env.get("BL_DATA_DIR") ?? join(PROJECT, ".local"),
    apiPort: port("BL_API_PORT", 54321),
    dbPort: port("BL_DB_PORT", 54322),
    seed: true,
  };
}

const runFilePath = (options: StackOptions) => join(options.dataDir, "run.json");

async function readRunFile(options: StackOptions): Promise<RunFile | undefined> {
  const text = await Deno.readTextFile(runFilePath(options)).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  });
  if (!text) return undefined;
  const run: RunFile = JSON.parse(text);
  return await isOurs(run) ? run : undefined;
}

/** Whether the gateway that the run file names is up; a killed process leaves the file behind. */
async function isOurs(run: RunFile): Promise<boolean> {
  const url = `http://127.0.0.1:${run.apiPort}/_local/health`;
  return await fetch(url, { signal: AbortSignal.timeout(2000) })
    .then(async (response) => (await response.json()).ready === true)
    .catch(() => false);
}

async function start(options: StackOptions): Promise<void> {
  const began = performance.now();
  const { startStack } = await import("./stack.ts");
  const stack = await startStack(options);
  const run: RunFile = { pid: Deno.pid, apiPort: options.apiPort, dbPort: options.dbPort };
  await Deno.writeTextFile(runFilePath(options), JSON.stringify(run));
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`Beautiful Life is ready in ${seconds} s\n`);
  printTable(await describe(options));
  console.log("\nStop with Ctrl-C or `deno task stop`; data stays in", options.dataDir);

  let stopping = false;
  const finish = async () => {
    if (stopping) return;
    stopping = true;
    console.log("Stopping");
    await stack.stop();
    await Deno.remove(runFilePath(options)).catch(() => {}); // gone already after a reset
    Deno.exit(0);
  };
  Deno.addSignalListener("SIGINT", finish);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", finish);
}

async function stop(options: StackOptions): Promise<void> {
  const run = await readRunFile(options);
  if (run) {
    Deno.kill(run.pid, "SIGTERM");
    for (let waited = 0; await isOurs(run); waited += 100) {
      if (waited > 30_000) throw new Fault(`Process ${run.pid} does not stop`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  // Also after a kill that left PostgreSQL alone.
  await stopCluster(join(options.dataDir, "db"));
  console.log(run ? "Stopped" : "Nothing was running");
}

async function status(options: StackOptions, args: string[]): Promise<void> {
  const { output, o } = parseArgs(args, { string: ["output", "o"] });
  const run = await readRunFile(options);
  if (!run) throw new Fault("The stack is not running; start it with `deno task start`");
  const values = await describe({ ...options, ...run });
  const format = o ?? output ?? "pretty";
  if (format === "json") console.log(JSON.stringify(values, null, 2));
  else if (format === "env") {
    for (const [name, value] of Object.entries(values)) console.log(`${name}="${value}"`);
  } else if (format === "pretty") printTable(values);
  else throw new Fault(`Output format must be env or json: it is "${format}"`);
}

async function reset(options: StackOptions): Promise<void> {
  if (await readRunFile(options)) {
    throw new Fault("The stack is running; stop it with `deno task stop` before a reset");
  }
  await stopCluster(join(options.dataDir, "db"));
  for (const name of ["db", "db.partial", "storage", "run.json"]) {
    await Deno.remove(join(options.dataDir, name), { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
  const { startStack } = await import("./stack.ts");
  const stack = await startStack(options);
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
