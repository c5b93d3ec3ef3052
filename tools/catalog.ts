// Reads the catalogue of a database as plain facts and names the facts in which two databases differ.

import { diffLines } from "diff";
import type postgres from "postgres";
import { asSuperuser, type Database } from "./schema.ts";

/** Facts by kind and name, for example `policy visits_select_authenticated on public.visits`. */
export type Catalog = Map<string, string>;

/** One fact that two databases do not share. */
export interface Drift {
  /** Kind and name of the fact. */
  fact: string;
  /** What the first database says; undefined when it has no such thing. */
  before?: string;
  /** What the second database says; undefined when it has no such thing. */
  after?: string;
}

/** Reads everything that DDL made in the database: see catalog.sql. */
export async function readCatalog(database: Database): Promise<Catalog> {
  return await asSuperuser(database, async (sql) => await sql.begin(readCatalogIn));
}

/** As {@link readCatalog}, in a transaction of a superuser, whose own changes it sees. */
export async function readCatalogIn(tx: postgres.TransactionSql): Promise<Catalog> {
  const query = await Deno.readTextFile(new URL("./catalog.sql", import.meta.url));
  await tx`set local search_path = ''`;
  const rows = await tx.unsafe<{ kind: string; name: string; detail: string | null }[]>(query);
  return new Map(rows.map((row) => [`${row.kind} ${row.name}`, row.detail ?? ""]));
}

/** Names what differs between two catalogues, in the order of their names. */
export function compareCatalogs(before: Catalog, after: Catalog): Drift[] {
  const facts = [...new Set([...before.keys(), ...after.keys()])].sort();
  return facts
    .map((fact) => ({ fact, before: before.get(fact), after: after.get(fact) }))
    .filter((drift) => drift.before !== drift.after);
}

/** Writes a drift for a person: a line that names it and the lines that differ. */
export function describeDrift(drift: Drift): string {
  const changes = diffLines(withEnd(drift.before), withEnd(drift.after))
    .filter((part) => part.added || part.removed)
    .flatMap((part) =>
      part.value.trimEnd().split("\n").map((line) => `    ${part.added ? "+" : "-"} ${line}`)
    );
  return [`  ${drift.fact}`, ...changes].join("\n");
}

/** Every line gets its end, else the last line of a text differs from the same line inside one. */
function withEnd(text: string | undefined): string {
  return text ? `${text}\n` : "";
}
