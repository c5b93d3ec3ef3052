// Writes the TypeScript types of the declared schema, as supabase-js takes them, with the Supabase
// CLI. The check fails while the file differs from what would be written.
// Usage: deno task gen:types

import { join } from "@std/path";
import { PROJECT, supabaseCli } from "../supabase/local/cli.ts";
import { createDeclared, type Database, urlOf } from "./schema.ts";
import { withCluster } from "./throwaway.ts";

const FILE = "functions/_shared/database.types.ts";

const HEADER =
  "// Types of the tables, views and functions that the API serves, for supabase-js. Made by\n" +
  "// `deno task gen:types` from the database; change sql/, not this file.\n\n";

/** Renders the types of a database's schema `public`. */
export async function renderTypes(database: Database): Promise<string> {
  const { stdout } = await supabaseCli(
    ["gen", "types", "--lang", "typescript", "--schema", "public", `--remote=${urlOf(database)}`],
  );
  // The CLI prints notices about the connection before the code.
  return await formatted(HEADER + stdout.slice(stdout.indexOf("export type Json")));
}

async function formatted(code: string): Promise<string> {
  const fmt = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", "ts", "-"],
    cwd: PROJECT,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = fmt.stdin.getWriter();
  await writer.write(new TextEncoder().encode(code));
  await writer.close();
  const { success, stdout } = await fmt.output();
  if (!success) throw new Error("deno fmt cannot read what `supabase gen types` printed");
  return new TextDecoder().decode(stdout);
}

/** Says so when the file in the checkout is not what the database's types are. */
export async function staleTypes(database: Database): Promise<string> {
  const kept = await Deno.readTextFile(join(PROJECT, FILE)).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  });
  return kept === await renderTypes(database)
    ? ""
    : `${FILE} is stale: run \`deno task gen:types\``;
}

if (import.meta.main) {
  await withCluster(async (port) => {
    const types = await renderTypes(await createDeclared(port, "types"));
    await Deno.writeTextFile(join(PROJECT, FILE), types);
  });
  console.log(`Wrote ${FILE}`);
}
