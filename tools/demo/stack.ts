// Finds the running stack, by the same words as a person: `deno task status -o json`.

import { join } from "@std/path";
import { z } from "zod";
import { PROJECT } from "../../supabase/local/cli.ts";
import { Fault } from "../../supabase/local/fault.ts";

const Status = z.object({ API_URL: z.url(), DB_URL: z.string(), PUBLISHABLE_KEY: z.string() });

/** Addresses and the public key of the stack that runs. */
export interface RunningStack {
  url: string;
  publishableKey: string;
  /** Connection URL of the role `postgres`. */
  dbUrl: string;
}

/**
 * Asks where the stack listens.
 *
 * @throws {Fault} In the words of `status` when none runs.
 */
export async function findStack(): Promise<RunningStack> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "-q", join(PROJECT, "supabase/local/main.ts"), "status", "-o", "json"],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder();
  if (code !== 0) throw new Fault(text.decode(stderr).trim());
  const { API_URL, DB_URL, PUBLISHABLE_KEY } = Status.parse(JSON.parse(text.decode(stdout)));
  return { url: API_URL, publishableKey: PUBLISHABLE_KEY, dbUrl: DB_URL };
}
