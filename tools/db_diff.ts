// Writes the migration that brings supabase/migrations up to what sql/ and policies/ declare, applies
// it to a scratch database, and says what of the difference it leaves.
// Usage: deno task db:diff <name_in_snake_case>

import { join } from "@std/path";
import { PROJECT } from "../supabase/local/cli.ts";
import { pushMigrations } from "../supabase/local/database.ts";
import { type BothSchemas, withBothSchemas } from "./schema.ts";
import { describeDiff, diffSchemas } from "./schema_diff.ts";

/** What became of a request for a migration. */
export interface WrittenMigration {
  /** Path of the new file inside the project; undefined when there was nothing to write. */
  file?: string;
  /** What a hand-written migration must carry; empty when declared and migrated schema are equal. */
  remains: string;
}

/** Writes the migration `<timestamp>_<name>.sql` for two databases built by `withBothSchemas`. */
export async function writeMigration(
  both: BothSchemas,
  name: string,
  project = PROJECT,
): Promise<WrittenMigration> {
  const diff = await diffSchemas(both, project);
  if (!diff.sql) return { remains: describeDiff(diff) };
  const folder = join(project, "supabase", "migrations");
  const version = await nextVersion(folder);
  const file = `supabase/migrations/${version}_${name}.sql`;
  await Deno.writeTextFile(join(project, file), `${HEADER}\n${onEveryPartition(diff.sql)}\n`);
  try {
    await pushMigrations(both.migrated.port, both.migrated.name, false, project);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { file, remains: `${file} does not apply as it stands: ${reason}` };
  }
  return { file, remains: describeDiff(await diffSchemas(both, project)) };
}

/**
 * Lets an index of a partitioned table be built on all its partitions. The comparison leaves out the
 * partitions of a month, so that it names the others one by one and would leave those without.
 */
function onEveryPartition(sql: string): string {
  return sql.replaceAll(/^(CREATE (?:UNIQUE )?INDEX \S+ ON) ONLY /gm, "$1 ");
}

const HEADER =
  "-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.\n";

/** Now as `YYYYMMDDhhmmss`, or the second after the newest migration when that is later. */
async function nextVersion(folder: string): Promise<string> {
  const digits = (instant: Temporal.Instant) =>
    instant.toString({ smallestUnit: "second" }).replace(/\D/g, "");
  let version = digits(Temporal.Now.instant());
  for await (const { name } of Deno.readDir(folder)) {
    const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)_/.exec(name)?.slice(1);
    if (!parts || parts.join("") < version) continue;
    const [year, month, day, hour, minute, second] = parts;
    const newest = Temporal.Instant.from(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
    version = digits(newest.add({ seconds: 1 }));
  }
  return version;
}

if (import.meta.main) {
  const [name, ...rest] = Deno.args;
  if (!name || rest.length > 0 || !/^[a-z0-9_]+$/.test(name)) {
    console.error("Usage: deno task db:diff <name_in_snake_case>");
    Deno.exit(2);
  }
  const { file, remains } = await withBothSchemas((both) => writeMigration(both, name));
  if (file) console.log(`Wrote ${file}`);
  else if (!remains) console.log("supabase/migrations builds what sql/ and policies/ declare");
  if (remains) {
    console.log(`A hand-written migration must carry the rest:\n${remains}`);
    Deno.exit(1);
  }
}
