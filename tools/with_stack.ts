// Boots a throw-away stack on free ports, runs a command with its addresses in the environment, and
// takes the stack down again; the exit code is the command's.
// Usage: deno run -A tools/with_stack.ts <command> [argument …]
// Example: deno run -A tools/with_stack.ts deno test -A tests/e2e/auth.test.ts

import { startStack } from "../supabase/local/stack.ts";

/** Finds a TCP port on loopback that nobody listens on. */
export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}

/** Boots a stack for tests: fast and forgetful, its data in a temporary folder. */
export async function startTestStack() {
  const dataDir = await Deno.makeTempDir({ prefix: "beautiful-life-" });
  // Root's temporary folders are closed to the user that PostgreSQL runs as.
  await Deno.chmod(dataDir, 0o755).catch(() => {});
  const stack = await startStack({
    dataDir,
    apiPort: freePort(),
    dbPort: freePort(),
    seed: false,
    settings: { fsync: "off", synchronous_commit: "off", full_page_writes: "off" },
  });
  const { context } = stack;
  const env: Record<string, string> = {
    SUPABASE_URL: context.apiUrl,
    SUPABASE_PUBLISHABLE_KEY: context.keys.publishable,
    SUPABASE_SECRET_KEY: context.keys.secret,
    SUPABASE_DB_URL: context.dbUrl,
    BL_LOCAL_ADMIN_URL: context.adminUrl,
  };
  const stop = async () => {
    await stack.stop();
    await Deno.remove(dataDir, { recursive: true });
  };
  return { stack, env, stop };
}

if (import.meta.main) {
  const [command, ...args] = Deno.args;
  if (!command) {
    console.error("Usage: with_stack.ts <command> [argument …]");
    Deno.exit(2);
  }
  const { env, stop } = await startTestStack();
  const child = new Deno.Command(command, { args, env, stdin: "null" }).spawn();
  const { code } = await child.status;
  await stop();
  Deno.exit(code);
}
