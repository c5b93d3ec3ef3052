// Compares the lists of policies/README.md with the product: which functions run with their owner's
// rights, and which files of the edge functions act as a worker role.

import { join, relative } from "@std/path";
import { PROJECT } from "../supabase/local/cli.ts";
import { asSuperuser, type Database } from "./schema.ts";

/** What is listed and what is there. */
export interface AccessLists {
  /** Text of policies/README.md. */
  readme: string;
  /** Definer functions with their argument types, for example `private.is_admin()`. */
  definers: string[];
  /** Files that import `asWorker`, for example `functions/records/routes.ts`. */
  workerFiles: string[];
}

/** Answers what the lists lack and what they name in vain; empty when they are right. */
export async function compareAccessLists(database: Database): Promise<string> {
  return describeDifferences({
    readme: await Deno.readTextFile(join(PROJECT, "policies", "README.md")),
    definers: await findDefiners(database),
    workerFiles: await findWorkerFiles(join(PROJECT, "functions")),
  });
}

/** The comparison itself; one line a difference. */
export function describeDifferences({ readme, definers, workerFiles }: AccessLists): string {
  const rows = readme.split("\n").filter((line) => line.startsWith("|"));
  const listedFunctions = rows.flatMap((row) =>
    /^\|\s*`(private\.\w+\(.*?\))`/.exec(row)?.[1] ?? []
  );
  const listedFiles = rows.flatMap((row) => row.match(/functions\/[\w/]+\.ts/g) ?? []);
  return [
    ...missing(definers, listedFunctions).map((name) =>
      `${name} runs with its owner's rights and has no row in policies/README.md`
    ),
    ...missing(listedFunctions, definers).map((name) =>
      `policies/README.md lists ${name}, which is no definer function`
    ),
    ...missing(workerFiles, listedFiles).map((file) =>
      `${file} imports asWorker and is not among the worker roles of policies/README.md`
    ),
    ...missing(listedFiles, workerFiles).map((file) =>
      `policies/README.md lets ${file} act as a worker, which it does not`
    ),
  ].join("\n");
}

function missing(names: string[], among: string[]): string[] {
  return [...new Set(names)].filter((name) => !among.includes(name));
}

async function findDefiners(database: Database): Promise<string[]> {
  return await asSuperuser(database, async (sql) => {
    const rows = await sql<{ name: string }[]>`
      select format('%s.%s(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)) as name
      from pg_catalog.pg_proc as p
      join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
      where p.prosecdef and n.nspname in ('public', 'private')
      order by 1`;
    return rows.map((row) => row.name);
  });
}

async function findWorkerFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) files.push(...await findWorkerFiles(path));
    else if (entry.name.endsWith(".ts") && importsAsWorker(await Deno.readTextFile(path))) {
      files.push(relative(PROJECT, path).replaceAll("\\", "/"));
    }
  }
  return files.sort();
}

/** Whether a module's text imports `asWorker`. */
export function importsAsWorker(code: string): boolean {
  return /^import[^;]*\basWorker\b[^;]*\bfrom\b/m.test(code);
}
