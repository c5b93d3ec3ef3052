// One life of a delivery worker: says that it is ready, then delivers what is due by the function's own
// code and settings, until nothing is left. Made to be killed; see tests/e2e/notifications_crash.test.ts.
// Usage: deno run -A tests/support/delivery_worker.ts <lease in seconds>

import { openDatabase } from "../../functions/_shared/db.ts";
import { deliverDue } from "../../functions/notifications/deliver.ts";
import { realClock } from "../../functions/notifications/lane.ts";
import { openSenders } from "../../functions/notifications/open_senders.ts";
import { readSettings } from "../../functions/notifications/settings.ts";

const variables = Deno.env.toObject();
const clock = realClock(Date.now);
const deps = {
  sql: openDatabase(variables.SUPABASE_DB_URL ?? ""),
  log: () => {},
  clock,
  senders: openSenders(readSettings(variables), {
    clock,
    fetch,
    twilioReceipts: "https://example.org/receipts",
  }),
};
const context = { request_id: `worker-${Deno.pid}`, ip: null, user_agent: null };
const limits = { run_seconds: 45, lease_seconds: Number(Deno.args[0] ?? 120), in_flight: 20 };

console.log("ready");
const report = await deliverDue(deps, context, limits);
console.log(JSON.stringify(report));
Deno.exit(0);
