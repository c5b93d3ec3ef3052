// Compares the migrations with the declared files: as SQL that would bring the one to the other
// (pg-delta, inside the Supabase CLI), and as catalogue facts, which see what pg-delta leaves out.

import { PROJECT, supabaseCli } from "../supabase/local/cli.ts";
import { compareCatalogs, describeDrift, type Drift, readCatalog } from "./catalog.ts";
import { type BothSchemas, urlOf } from "./schema.ts";

/** How migrations and declared files differ. */
export interface SchemaDiff {
  /** SQL that makes the migrated database like the declared one; empty when there is none. */
  sql: string;
  /** Facts that differ, before: migrations, after: declared files. */
  drifts: Drift[];
}

/** Compares two databases built by `withBothSchemas`. */
export async function diffSchemas(both: BothSchemas, project = PROJECT): Promise<SchemaDiff> {
  const [sql, before, after] = await Promise.all([
    pgDelta(both, project),
    readCatalog(both.migrated),
    readCatalog(both.declared),
  ]);
  return { sql, drifts: compareCatalogs(before, after) };
}

async function pgDelta({ migrated, declared }: BothSchemas, project: string): Promise<string> {
  const { stdout } = await supabaseCli([
    ...["db", "diff", "--from", urlOf(migrated), "--to", urlOf(declared)],
    ...["--output-format", "json"],
  ], { workdir: project });
  const { diff }: { diff: string } = JSON.parse(stdout);
  return guardRoles(diff.trim());
}

/**
 * Lets `create role` pass where the role is there already: a role belongs to the cluster, so it
 * outlives a database that was dropped and built anew.
 */
function guardRoles(sql: string): string {
  return sql.replace(/^create role ("?)([^\s"]+)\1[^;]*;$/gim, (statement, _quote, name) =>
    [
      "do $$ begin",
      `  if not exists (select 1 from pg_catalog.pg_roles where rolname = '${name}') then`,
      `    ${statement}`,
      "  end if;",
      "end $$;",
    ].join("\n"));
}

/** Writes what differs for a person; empty when nothing does. */
export function describeDiff({ sql, drifts }: SchemaDiff): string {
  // Its SQL is only worth reading when the facts are equal; else it says the same again at length.
  if (drifts.length === 0) {
    return sql && `pg-delta sees a difference that the catalogue facts do not show:\n${sql}`;
  }
  return [
    `${drifts.length} ${
      drifts.length === 1 ? "fact differs" : "facts differ"
    } (- supabase/migrations, + sql/ and policies/):`,
    ...drifts.map(describeDrift),
  ].join("\n");
}
