// Builds the databases of the embedded cluster: a template that looks like a fresh hosted project,
// and from it the main database and any number of scratch ones. Migrations are applied by the
// Supabase CLI as the role `postgres`, exactly as on a hosted project.

import { join } from "@std/path";
import { getAuthSchemaSql } from "@supabase/lite";
import postgres from "postgres";
import { PROJECT, supabaseCli } from "./cli.ts";
import { databaseUrl, PASSWORD, SUPERUSER } from "./postgres.ts";

const TEMPLATE = "platform_template";
const MIGRATIONS = join(PROJECT, "supabase", "migrations");

/** A pool of one connection for administrative work; end it after use. */
export function adminConnection(port: number, database = "template1", role = SUPERUSER) {
  return postgres(databaseUrl(port, role, database), { max: 1, onnotice: () => {} });
}

/** Runs `work` on one administrative connection and closes it. */
export async function asAdmin<T>(
  port: number,
  database: string,
  work: (sql: postgres.Sql) => Promise<T>,
): Promise<T> {
  const sql = adminConnection(port, database);
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

/**
 * Makes or refreshes the template database. Its content is known by a digest, kept as its comment,
 * so a changed platform builds a new template; databases made earlier are brought up by
 * {@link applyPlatform}.
 */
export async function ensureTemplate(port: number): Promise<void> {
  const digest = await platformDigest();
  await asAdmin(port, "template1", async (admin) => {
    const [found] = await admin`
      select shobj_description(oid, 'pg_database') = ${digest} as fresh
      from pg_database where datname = ${TEMPLATE}`;
    if (found?.fresh) return;
    if (found) await dropTemplate(admin);
    await admin.unsafe(`create database ${TEMPLATE}`);
    await applyPlatform(port, TEMPLATE);
    await admin.unsafe(`comment on database ${TEMPLATE} is '${digest}'`);
    await admin.unsafe(`alter database ${TEMPLATE} is_template true allow_connections false`);
  });
}

async function dropTemplate(admin: postgres.Sql): Promise<void> {
  await admin.unsafe(`alter database ${TEMPLATE} is_template false`);
  await admin.unsafe(`drop database ${TEMPLATE} with (force)`);
}

/** Creates `name` as a fresh hosted-like database without the product's schema. */
export async function createDatabase(
  port: number,
  name: string,
  template = TEMPLATE,
): Promise<void> {
  await asAdmin(port, "template1", async (admin) => {
    await admin`create database ${admin(name)} template ${admin(template)} owner postgres`;
    // Settings made with `alter database` are not copied from the template.
    for (const setting of DATABASE_SETTINGS) {
      await admin.unsafe(`alter database "${name}" set ${setting}`);
    }
  });
}

const DATABASE_SETTINGS = [
  `search_path = "$user", public, extensions`,
  `pgrst.db_schemas = 'public'`,
];

/** Drops `name`, ending whatever is connected to it. */
export async function dropDatabase(port: number, name: string): Promise<void> {
  await asAdmin(port, "template1", async (admin) => {
    // `force` ends connections, but not one that reads a replication slot: a slot is in use until its
    // server process has gone, which is a moment after its client has.
    for (let tries = 0;; tries++) {
      await admin`
        select pg_terminate_backend(active_pid, 5000) from pg_replication_slots
        where database = ${name} and active_pid is not null`;
      try {
        await admin`drop database if exists ${admin(name)} with (force)`;
        return;
      } catch (error) {
        const isInUse = error instanceof postgres.PostgresError && error.code === "55006";
        if (!isInUse || tries === 9) throw error;
      }
    }
  });
}

/** Whether the cluster has a database called `name`. */
export async function hasDatabase(port: number, name: string): Promise<boolean> {
  return await asAdmin(port, "template1", async (admin) => {
    const rows = await admin`select 1 from pg_database where datname = ${name}`;
    return rows.length > 0;
  });
}

/** Runs the platform's SQL, which may be repeated, in `database`, in one transaction. */
export async function applyPlatform(port: number, database: string): Promise<void> {
  const scripts = await platformScripts();
  await asAdmin(port, "template1", async (admin) => {
    // The first login of `postgres` needs a password; the platform scripts create the role.
    await admin.unsafe(`
      do $$ begin
        if not exists (select 1 from pg_roles where rolname = 'postgres') then
          create role postgres login createrole createdb bypassrls replication;
        end if;
      end $$`);
  });
  await asAdmin(port, database, async (sql) => {
    await sql.begin(async (tx) => {
      for (const script of scripts) await tx.unsafe(script);
      for (const role of ["postgres", "authenticator"]) {
        await tx.unsafe(`alter role ${role} password '${PASSWORD}'`);
      }
    });
  });
}

async function platformScripts(): Promise<string[]> {
  const read = (name: string) => Deno.readTextFile(new URL(name, import.meta.url));
  return [
    await read("./platform.sql"),
    getAuthSchemaSql(false),
    await read("./auth.sql"),
    await read("./storage.sql"),
    await read("./realtime.sql"),
    await read("./rest.sql"),
    await read("./qstash.sql"),
  ];
}

/** SHA-256 of the platform's SQL, in hexadecimal. */
export async function platformDigest(): Promise<string> {
  const bytes = new TextEncoder().encode((await platformScripts()).join("\n"));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Versions (`YYYYMMDDhhmmss`) of the migrations in the checkout that `database` has not seen. */
export async function pendingMigrations(port: number, database: string): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(MIGRATIONS)) {
    const version = /^(\d{14})_.+\.sql$/.exec(entry.name)?.[1];
    if (version) files.push(version);
  }
  return await asAdmin(port, database, async (sql) => {
    const [history] = await sql`select to_regclass('supabase_migrations.schema_migrations') as t`;
    if (!history?.t) return files.sort();
    const applied = await sql`select version from supabase_migrations.schema_migrations`;
    const seen = new Set(applied.map((row) => row.version));
    return files.filter((version) => !seen.has(version)).sort();
  });
}

/** Applies pending migrations with `supabase db push`, as `postgres`; the CLI's text if it fails. */
export async function pushMigrations(
  port: number,
  database: string,
  seed: boolean,
  project = PROJECT,
): Promise<void> {
  const args = ["db", "push", `--remote=${databaseUrl(port, "postgres", database)}`, "--yes"];
  if (seed) args.push("--include-seed");
  await supabaseCli(args, { workdir: project });
}
