// How tools tell what they found: suites that print as they go, then one last line that sums up.

/** Prints one line of a suite. */
export type Print = (line: string) => void;

/** How many tests of a suite passed and failed. */
export interface Outcome {
  passed: number;
  failed: number;
}

/** Something that runs tests. */
export interface Suite {
  name: string;
  run: (print: Print) => Promise<Outcome>;
  /** Whether it waits more than it computes: then it takes no lane, and begins with the first. */
  waits?: boolean;
}

/**
 * Runs the suites, `lanes` of them at a time and those that wait beside them, and prints each line with
 * its suite's name before it. At the end what failed stands once more in one place, as thousands of
 * lines may have come since; the last line is `N passed, N failed`. A suite that throws, or in which
 * nothing ran, has failed.
 *
 * @returns Whether everything passed.
 */
export async function runSuites(suites: Suite[], lanes = 1): Promise<boolean> {
  const width = Math.max(...suites.map(({ name }) => name.length));
  const total: Outcome = { passed: 0, failed: 0 };
  const problems: string[] = [];
  const run = async (suite: Suite) => {
    const prefix = suites.length > 1 ? `${suite.name.padEnd(width)} | ` : "";
    const isOfProblem = problemReader();
    const outcome = await runSuite(suite, (line) => {
      console.log(prefix + line);
      if (isOfProblem(line)) problems.push(prefix + line);
    });
    total.passed += outcome.passed;
    total.failed += outcome.failed;
  };
  const queue = suites.filter(({ waits }) => !waits);
  const runNext = async () => {
    for (let suite = queue.shift(); suite; suite = queue.shift()) await run(suite);
  };
  await Promise.all([
    ...suites.filter(({ waits }) => waits).map(run),
    ...Array.from({ length: lanes }, runNext),
  ]);
  if (suites.length > 1 && problems.length > 0) {
    console.log("\nWhat failed, once more:");
    for (const line of problems.slice(0, REPEATED_LINES)) console.log(line);
  }
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0;
}

/** At most so many lines about failures stand at the end once more. */
const REPEATED_LINES = 400;

/**
 * Tells which lines of a suite are about a failure: `FAIL` with what is indented below it, and what
 * `deno test` says of its errors.
 */
function problemReader(): (line: string) => boolean {
  let open: "indented" | "errors" | null = null;
  return (line) => {
    if (line.startsWith("FAIL ")) open = "indented";
    else if (line.trim() === "ERRORS") open = "errors";
    else if (open === "indented" && !line.startsWith("      ")) open = null;
    const is_of_problem = open !== null;
    if (open === "errors" && line.startsWith("FAILED |")) open = null;
    return is_of_problem;
  };
}

async function runSuite(suite: Suite, print: Print): Promise<Outcome> {
  const began = performance.now();
  const outcome = await suite.run(print).catch((error) => {
    print(`FAIL  ${suite.name} did not finish`);
    printIndented(error instanceof Error ? error.stack ?? error.message : String(error), print);
    return { passed: 0, failed: 1 };
  });
  if (outcome.passed + outcome.failed === 0) {
    print(`FAIL  ${suite.name} ran no test`);
    outcome.failed = 1;
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  print(`${outcome.passed} passed, ${outcome.failed} failed (${seconds} s)`);
  return outcome;
}

/** One check that counts as one test; `run` answers what is wrong, and nothing when all is well. */
export interface Check {
  name: string;
  run: () => Promise<string>;
}

/** At most so many lines of a problem are printed: after the first few dozen a person is lost. */
const PROBLEM_LINES = 80;

/** Runs one check and prints how it went. */
export async function runCheck({ name, run }: Check, print: Print): Promise<Outcome> {
  const began = performance.now();
  const problem = (await run()).trim();
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  print(`${problem ? "FAIL" : "ok  "}  ${name} (${seconds} s)`);
  if (problem) {
    const lines = problem.split("\n");
    const hidden = lines.length - PROBLEM_LINES;
    printIndented(lines.slice(0, PROBLEM_LINES).join("\n"), print);
    if (hidden > 0) printIndented(`… and ${hidden} more lines`, print);
  }
  return problem ? { passed: 0, failed: 1 } : { passed: 1, failed: 0 };
}

/** Prints a text of several lines below the line it explains. */
export function printIndented(text: string, print: Print): void {
  for (const line of text.trimEnd().split("\n")) print(`      ${line}`);
}

/** Adds outcomes up. */
export function sum(outcomes: Outcome[]): Outcome {
  return outcomes.reduce(
    (total, { passed, failed }) => ({
      passed: total.passed + passed,
      failed: total.failed + failed,
    }),
    { passed: 0, failed: 0 },
  );
}
