// Brings the queue's schedules to supabase/schedules.ts: makes what is missing, changes what differs,
// removes those of the product that are listed no more. May be repeated; foreign schedules stay.
// Usage: deno task schedules [--functions-url=<url>] [--dry-run]
// By default for the stack that runs here; elsewhere by QSTASH_URL, QSTASH_TOKEN and the address of the
// functions, https://<project>.supabase.co/functions/v1.

import { parseArgs } from "@std/cli/parse-args";
import { join, resolve } from "@std/path";
import { Client } from "@upstash/qstash";
import { PROJECT } from "../supabase/local/cli.ts";
import { findInstance } from "../supabase/local/instance.ts";
import { loadKeys } from "../supabase/local/keys.ts";
import { QSTASH_BASE } from "../supabase/local/qstash/base.ts";
import { ID_PREFIX, type ProductSchedule, SCHEDULES } from "../supabase/schedules.ts";

/** Where the queue is, and what it is to call. */
export interface ScheduleTarget {
  /** Address of the queue. */
  queueUrl: string;
  token: string;
  /** Address of the functions, without a slash at its end. */
  functionsUrl: string;
}

/** What was done, by the ids without their prefix. */
export interface ScheduleReport {
  created: string[];
  changed: string[];
  removed: string[];
  unchanged: string[];
}

/**
 * Brings the queue to `schedules`. One that is paused stays so.
 *
 * @param options.isDryRun Only says what would be done.
 */
export async function applySchedules(
  { queueUrl, token, functionsUrl }: ScheduleTarget,
  schedules: ProductSchedule[] = SCHEDULES,
  { isDryRun = false }: { isDryRun?: boolean } = {},
): Promise<ScheduleReport> {
  const client = new Client({ baseUrl: queueUrl, token, devMode: false });
  const found = new Map(
    (await client.schedules.list())
      .filter(({ scheduleId }) => scheduleId.startsWith(ID_PREFIX))
      .map((schedule) => [schedule.scheduleId.slice(ID_PREFIX.length), schedule]),
  );
  const report: ScheduleReport = { created: [], changed: [], removed: [], unchanged: [] };
  for (const { id, cron, path, retries } of schedules) {
    const destination = functionsUrl + path;
    const present = found.get(id);
    const isSame = present?.cron === cron && present.destination === destination &&
      present.retries === retries && present.body === BODY;
    const outcome = !present ? "created" : isSame ? "unchanged" : "changed";
    report[outcome].push(id);
    if (isSame || isDryRun) continue;
    const scheduleId = ID_PREFIX + id;
    await client.schedules.create({ scheduleId, cron, destination, retries, body: BODY });
  }
  const listed = new Set(schedules.map(({ id }) => id));
  for (const id of found.keys()) {
    if (listed.has(id)) continue;
    report.removed.push(id);
    if (!isDryRun) await client.schedules.delete(ID_PREFIX + id);
  }
  return report;
}

/** Jobs take no arguments. */
const BODY = "{}";

/** The queue that the environment names, or that of the stack that runs here. */
async function findTarget(functionsUrl: string | undefined): Promise<ScheduleTarget | string> {
  const [queueUrl, token] = [Deno.env.get("QSTASH_URL"), Deno.env.get("QSTASH_TOKEN")];
  if (queueUrl || token) {
    if (!queueUrl || !token) return "QSTASH_URL and QSTASH_TOKEN go together";
    if (!functionsUrl) return "Say where the functions are: --functions-url=<url>";
    return { queueUrl, token, functionsUrl: functionsUrl.replace(/\/+$/, "") };
  }
  const dataDir = resolve(Deno.env.get("BL_DATA_DIR") ?? join(PROJECT, ".local"));
  const instance = await findInstance(dataDir);
  if (!instance) {
    return "The stack is not running; start it, or set QSTASH_URL and QSTASH_TOKEN";
  }
  const url = `http://127.0.0.1:${instance.apiPort}`;
  const { queueToken } = await loadKeys(dataDir);
  return {
    queueUrl: url + QSTASH_BASE,
    token: queueToken,
    functionsUrl: functionsUrl ?? `${url}/functions/v1`,
  };
}

if (import.meta.main) {
  const options = parseArgs(Deno.args, { string: ["functions-url"], boolean: ["dry-run"] });
  const target = await findTarget(options["functions-url"]);
  if (typeof target === "string") {
    console.error(target);
    Deno.exit(1);
  }
  const isDryRun = options["dry-run"];
  const report = await applySchedules(target, SCHEDULES, { isDryRun });
  for (const [outcome, ids] of Object.entries(report)) {
    for (const id of ids) console.log(`${isDryRun ? "would be " : ""}${outcome}: ${id}`);
  }
}
