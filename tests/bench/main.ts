// `deno task bench [domain …] [--json]`: every measurement that the project makes a claim about, as a
// ratio to the plain way of doing the same. Builds its own database; takes a few minutes.

import { parseArgs } from "@std/cli/parse-args";
import { benchChat } from "./chat.ts";
import { benchExport } from "./export.ts";
import { benchFields } from "./fields.ts";
import { benchAudit } from "./audit.ts";
import { benchFiles } from "./files.ts";
import type { BenchResult } from "./harness.ts";
import { benchNotifications } from "./notifications.ts";
import { benchDeliveries } from "./notifications_delivery.ts";
import { benchRealtime } from "./realtime.ts";
import { benchRecords } from "./records.ts";
import { benchReminders } from "./reminders.ts";

const DOMAINS: Record<string, (say: (line: string) => void) => Promise<BenchResult[]>> = {
  fields: benchFields,
  audit: benchAudit,
  records: benchRecords,
  export: benchExport,
  files: benchFiles,
  reminders: benchReminders,
  chat: benchChat,
  notifications: async (say) => [...await benchNotifications(say), ...await benchDeliveries(say)],
  realtime: benchRealtime,
};

const { _: wanted, json } = parseArgs(Deno.args, { boolean: ["json"] });
const names = wanted.length > 0 ? wanted.map(String) : Object.keys(DOMAINS);
const unknown = names.filter((name: string) => !(name in DOMAINS));
if (unknown.length > 0) {
  console.error(`No bench called ${unknown.join(", ")}; there are: ${Object.keys(DOMAINS)}`);
  Deno.exit(2);
}
const results: BenchResult[] = [];
for (const name of names) {
  results.push(...await DOMAINS[name]!((line) => console.error(`${name}: ${line}`)));
}
if (json) console.log(JSON.stringify(results, null, 2));
else printTable(results);
if (results.some(({ met }) => met === false)) Deno.exit(1);

function printTable(results: BenchResult[]): void {
  const rows = [
    ["what", "ratio", "goal", "met", "spread", "figures"],
    ...results.map(({ name, ratio, goal, met, spread, figures }) => [
      name,
      ratio === null ? "" : ratio.toFixed(2),
      goal ?? "",
      met === null ? "" : met ? "yes" : "no",
      spread === null ? "" : spread.map((value) => value.toFixed(2)).join("–"),
      figures,
    ]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (cells: string[]) => `| ${cells.map((c, i) => c.padEnd(widths[i]!)).join(" | ")} |`;
  console.log(line(rows[0]!));
  console.log(line(widths.map((width) => "-".repeat(width))));
  for (const row of rows.slice(1)) console.log(line(row));
}
