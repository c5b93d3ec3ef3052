// Boots a throw-away stack on free ports, runs a command with its addresses in the environment, and
// takes the stack down again; the exit code is the command's.
// Usage: deno run -A tools/with_stack.ts <command> [argument …]
// Example: deno run -A tools/with_stack.ts deno test -A tests/e2e/auth.test.ts

import { join } from "@std/path";
import { stopCluster } from "../supabase/local/postgres.ts";
import { type Stack, startStack } from "../supabase/local/stack.ts";
import { FORGETFUL, freePort, withCleanup, withFolder } from "./throwaway.ts";

/** The environment before a stack puts its functions' own into it, which is no other stack's. */
const GIVEN = Deno.env.toObject();

/** A stack for tests, and what a program needs to know of it. */
export interface TestStack {
  stack: Stack;
  /** Addresses and keys as environment variables; tests/support/env.ts reads them. */
  env: Record<string, string>;
}

/** Runs `work` with a stack of its own: fast and forgetful, its data in a temporary folder. */
export async function withTestStack<T>(work: (stack: TestStack) => Promise<T>): Promise<T> {
  return await withFolder(async (dataDir) => {
    let stack: Stack | undefined;
    const start = async () => {
      stack = await startStack({
        dataDir,
        apiPort: freePort(),
        dbPort: freePort(),
        seed: false,
        settings: FORGETFUL,
      });
      return await work({ stack, env: environment(stack) });
    };
    return await withCleanup(start, async () => {
      await stack?.stop();
      // An interrupted start leaves PostgreSQL behind.
      await stopCluster(join(dataDir, "db"));
    });
  });
}

function environment({ context }: Stack): Record<string, string> {
  return {
    SUPABASE_URL: context.apiUrl,
    SUPABASE_PUBLISHABLE_KEY: context.keys.publishable,
    SUPABASE_SECRET_KEY: context.keys.secret,
    SUPABASE_DB_URL: context.dbUrl,
    BL_LOCAL_ADMIN_URL: context.adminUrl,
    BL_LOCAL_ENCRYPTION_KEYS: context.keys.encryption,
  };
}

if (import.meta.main) {
  const [command, ...args] = Deno.args;
  if (!command) {
    console.error("Usage: with_stack.ts <command> [argument …]");
    Deno.exit(2);
  }
  const code = await withTestStack(async ({ env }) => {
    const child = new Deno.Command(command, {
      args,
      clearEnv: true,
      env: { ...GIVEN, ...env },
      stdin: "null",
    }).spawn();
    return await withCleanup(async () => (await child.status).code, async () => {
      try {
        child.kill();
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // has ended
      }
      await child.status;
    });
  });
  Deno.exit(code);
}
