// Builds the product's schema in empty databases, from its two descriptions: the declared files
// (sql/ and policies/) and the migrations that were made from them.

import { join } from "@std/path";
import { PROJECT } from "../supabase/local/cli.ts";
import {
  adminConnection,
  asAdmin,
  createDatabase,
  pushMigrations,
} from "../supabase/local/database.ts";
import { databaseUrl } from "../supabase/local/postgres.ts";
import { runScript } from "./sql_script.ts";
import { withClusters } from "./throwaway.ts";

/** A database of an embedded cluster. */
export interface Database {
  port: number;
  name: string;
}

/** Connection URL of the role `postgres`. */
export function urlOf({ port, name }: Database): string {
  return databaseUrl(port, "postgres", name);
}

/** Makes a database of the platform and the project's migrations, applied by `supabase db push`. */
export async function createMigrated(
  port: number,
  name: string,
  project = PROJECT,
): Promise<Database> {
  await createDatabase(port, name);
  await pushMigrations(port, name, false, project);
  return { port, name };
}

/** Makes a database of the platform and the project's declared files. */
export async function createDeclared(
  port: number,
  name: string,
  project = PROJECT,
): Promise<Database> {
  await createDatabase(port, name);
  const connection = adminConnection(port, name, "postgres");
  try {
    await connection.begin(async (tx) => {
      // Mistakes that PL/pgSQL would otherwise pass over in silence.
      await tx`select set_config('plpgsql.extra_errors', 'shadowed_variables', true)`;
      for (const file of await declaredFiles(project)) {
        await runScript(tx, join(project, file), file);
      }
    });
  } finally {
    await connection.end();
  }
  return { port, name };
}

/** Paths of the declared files in load order: all of sql/ by number, then all of policies/. */
export async function declaredFiles(project = PROJECT): Promise<string[]> {
  const files: string[] = [];
  for (const folder of ["sql", "policies"]) {
    const names: string[] = [];
    for await (const entry of Deno.readDir(join(project, folder))) {
      if (/^\d\d_.+\.sql$/.test(entry.name)) names.push(`${folder}/${entry.name}`);
    }
    files.push(...names.sort());
  }
  return files;
}

/** The same schema, once from each description. */
export interface BothSchemas {
  migrated: Database;
  declared: Database;
}

/**
 * Runs `work` on two databases, one from the migrations and one from the declared files. Each has a
 * cluster of its own, so that roles, which all databases of a cluster share, are compared as well.
 * Partitions made for a month or a day are in neither.
 */
export async function withBothSchemas<T>(
  work: (both: BothSchemas) => Promise<T>,
  project = PROJECT,
): Promise<T> {
  return await withClusters(2, async (ports) => {
    const [declaredPort, migratedPort] = ports as [number, number];
    const [declared, migrated] = await Promise.all([
      createDeclared(declaredPort, "schema", project),
      createMigrated(migratedPort, "schema", project),
    ]);
    await Promise.all([dropTimePartitions(declared), dropTimePartitions(migrated)]);
    return await work({ migrated, declared });
  });
}

/**
 * Drops the partitions that are named for a month or a day. Functions make them as time goes by, so they are
 * no more part of a migration than rows are.
 */
async function dropTimePartitions(database: Database): Promise<void> {
  await asSuperuser(database, async (sql) => {
    const partitions = await sql<{ name: string }[]>`
      select c.oid::regclass::text as name
      from pg_catalog.pg_class as c
      where c.relispartition and c.relkind = 'r' and c.relname ~ '_[0-9]{4}_[0-9]{2}(_[0-9]{2})?$'`;
    for (const { name } of partitions) await sql.unsafe(`drop table ${name}`);
  });
}

/** Runs `work` on a superuser connection to `database`. */
export async function asSuperuser<T>(
  { port, name }: Database,
  work: Parameters<typeof asAdmin<T>>[2],
): Promise<T> {
  return await asAdmin(port, name, work);
}
