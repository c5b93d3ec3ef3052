// Runs files of Deno tests as one suite: prints their report as it comes and reads the counts from the
// JUnit file that Deno writes beside it. Types are not checked here; `deno task check` does that.

import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { join } from "@std/path";
import { PROJECT } from "../supabase/local/cli.ts";
import type { Outcome, Print } from "./report.ts";
import { withCleanup, withFolder } from "./throwaway.ts";

/** A folder of tests and what they need. */
export interface DenoTests {
  /** Folders or files, relative to the project. */
  paths: string[];
  /** Files of these folders that are left out. */
  ignore?: string[];
  /** Whether the tests talk to a stack: one is booted for them and named in the environment. */
  stack?: boolean;
}

/** After so long whatever hangs is ended, and the suite has failed. */
const TIME_LIMIT_MS = 30 * 60_000;

/** Runs the tests in a process of their own; files run in parallel. */
export async function runDenoTests(
  print: Print,
  { paths, ignore = [], stack }: DenoTests,
): Promise<Outcome> {
  return await withFolder(async (folder) => {
    const junit = join(folder, "junit.xml");
    const deno = Deno.execPath();
    const test = ["test", "-A", "--no-check", "--parallel", `--junit-path=${junit}`];
    if (ignore.length > 0) test.push(`--ignore=${ignore.join(",")}`);
    test.push(...paths);
    const child = new Deno.Command(deno, {
      args: stack ? ["run", "-A", join(PROJECT, "tools", "with_stack.ts"), deno, ...test] : test,
      cwd: PROJECT,
      // A stack writes a line for every request; its errors are enough.
      env: { NO_COLOR: "1", ...(stack ? { LOG_LEVEL: Deno.env.get("LOG_LEVEL") ?? "error" } : {}) },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      signal: AbortSignal.timeout(TIME_LIMIT_MS),
    }).spawn();
    const code = await withCleanup(async () => {
      await Promise.all([printLines(child.stdout, print), printLines(child.stderr, print)]);
      return (await child.status).code;
    }, async () => {
      await child.status; // an interrupt reaches the child, too, and it clears its own stack away
    });
    return readOutcome(await Deno.readTextFile(junit).catch(() => ""), code);
  });
}

async function printLines(stream: ReadableStream<Uint8Array>, print: Print): Promise<void> {
  const lines = createInterface({ input: Readable.from(stream) });
  for await (const line of lines) if (line.trim()) print(line);
}

/**
 * Reads the counts of a JUnit report; ignored tests count as neither.
 *
 * @param junit The report; empty when none was written.
 * @param code Exit code of `deno test`. When it is not zero although no test failed, something outside
 *   a test has: a file that cannot be loaded, or a stack that does not boot.
 */
export function readOutcome(junit: string, code: number): Outcome {
  const attributes = /<testsuites [^>]*>/.exec(junit)?.[0] ?? "";
  const count = (name: string) =>
    Number(new RegExp(` ${name}="(\\d+)"`).exec(attributes)?.[1] ?? 0);
  const ignored = junit.match(/<skipped\/>/g)?.length ?? 0;
  const failed = count("failures") + count("errors");
  const passed = count("tests") - failed - ignored;
  return { passed, failed: failed === 0 && code !== 0 ? 1 : failed };
}
