// Everything that is checked without running the product: format, lint, types, schema drift, generated
// types, the lists of who runs with more rights than its caller, advisors.
//
// `supabase db lint` is not among them: it needs the extension plpgsql_check, which PostgreSQL from npm
// does not bring. What of its findings PostgreSQL itself can tell fails the loading of the declared
// files (see createDeclared).
// Usage: deno task check

import { PROJECT } from "../supabase/local/cli.ts";
import { compareAccessLists } from "./access_lists.ts";
import { adviseOn, describeFindings } from "./advisors.ts";
import { staleTypes } from "./gen_types.ts";
import { type Check, type Outcome, type Print, runCheck, runSuites, sum } from "./report.ts";
import { withBothSchemas } from "./schema.ts";
import { describeDiff, diffSchemas } from "./schema_diff.ts";

/** Runs all checks; each counts as one test. */
export async function runChecks(print: Print): Promise<Outcome> {
  const schema = withBothSchemas((both) =>
    runEach([
      { name: "schema drift", run: async () => describeDiff(await diffSchemas(both)) },
      { name: "generated types", run: () => staleTypes(both.declared) },
      { name: "access lists", run: () => compareAccessLists(both.declared) },
      { name: "advisors", run: async () => describeFindings(await adviseOn(both.declared)) },
    ], print)
  );
  const code = runEach([
    { name: "format", run: () => deno("fmt", "--check") },
    { name: "lint", run: () => deno("lint") },
    { name: "types", run: () => deno("check", "--quiet", ".") },
  ], print);
  return sum(await Promise.all([schema, code]));
}

async function runEach(checks: Check[], print: Print): Promise<Outcome> {
  const outcomes: Outcome[] = [];
  for (const check of checks) outcomes.push(await runCheck(check, print));
  return sum(outcomes);
}

/** Runs a subcommand of deno on the project; answers what it printed when it failed. */
async function deno(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: PROJECT,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder();
  return success ? "" : `${text.decode(stdout)}${text.decode(stderr)}`;
}

if (import.meta.main) {
  const passed = await runSuites([{ name: "check", run: runChecks }]);
  if (!passed) Deno.exit(1);
}
