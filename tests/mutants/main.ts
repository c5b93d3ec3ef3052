// Changes one policy, constraint, grant, trigger or function of the schema at a time and runs the
// database suite on it: what no test notices is printed. The last line is `mutants: K of N caught`,
// and the run fails unless K is N.
// Usage: deno task test:mutants [--only <text>] [--suite <folder>] [--verbose]
//   --only     just the mutants whose name contains the text; may be given several times
//   --suite    pgTAP files in place of tests/database
//   --verbose  say for each mutant by what it was noticed

import { parseArgs } from "@std/cli/parse-args";
import { EQUIVALENT } from "./equivalent.ts";
import { runMutants } from "./run.ts";

const { only, suite, verbose } = parseArgs(Deno.args, {
  string: ["only", "suite"],
  collect: ["only"],
  boolean: ["verbose"],
  unknown: (arg: string) => {
    console.error(`Unknown argument: ${arg}`);
    Deno.exit(2);
  },
});
const { caught, total, problems } = await runMutants(console.log, {
  only,
  suite,
  verbose,
  equivalent: EQUIVALENT,
});
for (const problem of problems) console.log(`FAIL  ${problem}`);
console.log(`mutants: ${caught} of ${total} caught`);
Deno.exit(caught === total && problems.length === 0 ? 0 : 1);
