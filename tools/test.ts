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

function e2e(files: string[] = []): Suite {
  const paths = files.length > 0 ? files : ["tests/e2e"];
  return { name: "e2e", run: (print) => runDenoTests(print, { paths, stack: true }) };
}

/** All suites, the longest first; two run at a time. */
function everything(): Suite[] {
  return [
    e2e(),
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
