// Runs the tests: everything, or the suites that are named.
// Usage: deno task test, or: deno run -A tools/test.ts functions|e2e [file …]

import { runChecks } from "./check.ts";
import { runDenoTests } from "./deno_suite.ts";
import { runSuites, type Suite } from "./report.ts";
import { runDatabaseTests } from "./test_db.ts";
import { runMatrixTests } from "./test_matrix.ts";

function functions(files: string[] = []): Suite {
  const paths = files.length > 0 ? files : ["tests/functions"];
  return { name: "functions", run: (print) => runDenoTests(print, { paths }) };
}

const E2E = "tests/e2e";

/**
 * Files that mostly wait, a minute for a signed address to die. On a stack of their own they run from
 * the beginning beside everything else, and take nothing from it but a few seconds of computing.
 */
const WAITING = [`${E2E}/revocation.test.ts`];

/**
 * Files that bring what they need, or a database beside the stack's, or look at what all connections
 * do: they have a stack apart.
 */
const ALONE = [
  ...["access_model", "auth_settings", "catalog_rules", "files_shredding", "keys_rotation"],
  ...["mutant_tools", "notifications_crash", "page", "qstash", "qstash_crash"],
  ...["qstash_product", "qstash_queues", "qstash_schedules", "realtime_broadcast"],
  ...["realtime_change_feed", "realtime_changes", "realtime_presence", "realtime_private"],
  ...["realtime_restart", "realtime_sockets", "records_export_stream", "redis"],
  ...["reminders_crash", "reminders_oracle", "rest_errors", "schema_tools", "stack"],
  ...["stack_faults", "stack_kills", "test_tools"],
].map((name) => `${E2E}/${name}.test.ts`);

function e2e(files: string[] = []): Suite {
  const paths = files.length > 0 ? files : [E2E];
  return { name: "e2e", run: (print) => runDenoTests(print, { paths, stack: true }) };
}

/** All suites, the longest first; two run at a time, and beside them what only waits. */
function everything(): Suite[] {
  const ignore = [...WAITING, ...ALONE];
  return [
    { ...e2e(WAITING), name: "e2e waits", waits: true },
    { name: "e2e", run: (print) => runDenoTests(print, { paths: [E2E], ignore, stack: true }) },
    { name: "e2e alone", run: (print) => runDenoTests(print, { paths: ALONE, stack: true }) },
    { name: "check", run: runChecks },
    { name: "database", run: runDatabaseTests },
    { name: "matrix", run: runMatrixTests },
    functions(),
  ];
}

const [name, ...files] = Deno.args;
const suites = name === "functions"
  ? [functions(files)]
  : name === "e2e"
  ? [e2e(files)]
  : name === undefined
  ? everything()
  : undefined;
if (!suites) {
  console.error("Usage: test.ts [functions|e2e [file …]]");
  Deno.exit(2);
}
const passed = await runSuites(suites, 2);
Deno.exit(passed ? 0 : 1);
