// Asks the Supabase advisors (security and performance) about a database, and keeps back the findings
// that mean nothing here, each with its reason.

import { supabaseCli } from "../supabase/local/cli.ts";
import { asSuperuser, type Database, urlOf } from "./schema.ts";

/** One finding of an advisor. */
export interface Finding {
  /** Name of the rule, for example `rls_disabled_in_public`. */
  name: string;
  level: "ERROR" | "WARN" | "INFO";
  detail: string;
  /** What the finding is about. */
  metadata: { schema?: string; name?: string };
}

/** Findings of every level, from information up, that call for a change. */
export async function adviseOn(database: Database): Promise<Finding[]> {
  const { stdout } = await supabaseCli([
    ...["db", "advisors", `--remote=${urlOf(database)}`, "--type", "all", "--level", "info"],
    ...["--fail-on", "none", "--output-format", "json"],
  ]);
  const { results }: { results: Finding[] } = JSON.parse(stdout);
  const closed = await closedTables(database);
  const inner = await innerFunctions(database);
  return results.filter(({ name, metadata }) => {
    // Nothing has queried a scratch database, so that every index is unused.
    if (name === "unused_index") return false;
    // Row level security without a policy is the way a table is closed; what would be wrong is a
    // grant beside it, which promises what no policy allows.
    const object = `${metadata.schema}.${metadata.name}`;
    if (name === "rls_enabled_no_policy") return !closed.has(object);
    // These have the search_path of the definer function around them.
    if (name === "function_search_path_mutable") return !inner.has(object);
    return true;
  });
}

/** Names of the tables on which no API role has a right. */
async function closedTables(database: Database): Promise<Set<string>> {
  return await asSuperuser(database, async (sql) => {
    const rows = await sql<{ name: string }[]>`
      select format('%s.%s', n.nspname, c.relname) as name
      from pg_catalog.pg_class as c
      join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p') and not exists (
        select from unnest(array['anon', 'authenticated', 'service_role']) as role
        where has_any_column_privilege(role, c.oid, 'select, insert, update, references')
          or has_table_privilege(role, c.oid, 'delete, truncate, trigger')
      )`;
    return new Set(rows.map((row) => row.name));
  });
}

/** Names of the functions that run with the caller's rights and that only their owner may call. */
async function innerFunctions(database: Database): Promise<Set<string>> {
  return await asSuperuser(database, async (sql) => {
    const rows = await sql<{ name: string }[]>`
      select format('%s.%s', n.nspname, p.proname) as name
      from pg_catalog.pg_proc as p
      join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
      where not p.prosecdef and not exists (
        select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
        where a.grantee <> p.proowner
      )`;
    return new Set(rows.map((row) => row.name));
  });
}

/** Writes the findings for a person, one line each. */
export function describeFindings(findings: Finding[]): string {
  return findings.map(({ level, name, detail }) => `${level} ${name}: ${detail}`).join("\n");
}
