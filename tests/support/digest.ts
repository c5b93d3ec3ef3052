// What a refused request must leave as it was: a digest of every row that has to do with a person.

import { assertEquals } from "@std/assert";
import type postgres from "postgres";
import { withDatabase } from "./people.ts";

/** Tables of the product with the number of their rows and a digest of them. */
export type Digest = Record<string, string>;

/**
 * Reads all that the database holds of some people: each row of the product's tables in which one
 * of their ids stands, audit included, and their stored objects. Tables are found in the catalogue,
 * so those of later domains count, too. Of the audit the rows that log a refusal do not count: they
 * change nothing about anybody.
 */
export async function digestOf(...ids: string[]): Promise<Digest> {
  return await withDatabase(async (sql) => {
    const tables = await sql<{ name: string; columns: string[] }[]>`
      select format('%I.%I', n.nspname, c.relname) as name,
        array_agg(format('%I', a.attname) order by a.attnum) as columns
      from pg_class as c
      join pg_namespace as n on n.oid = c.relnamespace
      join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where n.nspname in ('public', 'private') and c.relkind in ('r', 'p')
        and not c.relispartition and a.atttypid = 'uuid'::regtype
      group by 1`;
    const parts = tables.map(({ name, columns }) => {
      const isAbout = columns.map((column) => `${column} = any ($1)`).join(" or ");
      const isRefusal = name === "public.audit_events"
        ? "action ~ '^refuse_'"
        : String(name === "private.unlisted_refusals");
      return digestQuery(name, `(${isAbout}) and not (${isRefusal})`);
    });
    parts.push(digestQuery("storage.objects", "split_part(name, '/', 1) = any ($1::text[])"));
    const rows = await sql.unsafe<{ name: string; digest: string }[]>(
      parts.join(" union all "),
      [ids],
    );
    return Object.fromEntries(rows.map(({ name, digest }) => [name, digest]));
  });
}

function digestQuery(table: string, condition: string): string {
  return `
    select '${table}' as name,
      count(*) || ' rows, ' || md5(coalesce(string_agg(line, ',' order by line), '')) as digest
    from (
      select (to_jsonb(t) - 'last_active_at')::text as line from ${table} as t where ${condition}
    ) as lines`;
}

/** Runs `work`, and fails when it has changed anything about these people. */
export async function assertUnchanged(ids: string[], work: () => Promise<void>): Promise<void> {
  const before = await digestOf(...ids);
  await work();
  assertEquals(await digestOf(...ids), before);
}

/** Rows of the audit trail about a patient, oldest first. */
export async function auditOf(patientId: string): Promise<postgres.Row[]> {
  return await withDatabase(async (sql) => [
    ...await sql`
      select action, resource_type, resource_id, actor_id, purpose from public.audit_events
      where patient_id = ${patientId} order by id`,
  ]);
}
