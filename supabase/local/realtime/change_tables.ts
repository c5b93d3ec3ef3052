// What the catalogue says of tables whose rows have changed: their keys, whether row level security
// is on, and who may read which column.

import type postgres from "postgres";

/** A column as it is now. */
export interface CatalogColumn {
  name: string;
  /** `pg_type.typname`. */
  typeName: string;
  /** The type as SQL writes it, without a length, for comparisons. */
  comparedType: string;
  isKey: boolean;
  /** Those of the roles asked about that may SELECT it. */
  readers: Set<string>;
}

/** A table as it is now. */
export interface CatalogTable {
  oid: number;
  /** As SQL writes it. */
  identifier: string;
  hasRowSecurity: boolean;
  /** By name, in the order of the table. */
  columns: Map<string, CatalogColumn>;
}

/** Reads tables by oid, with what `roles` may do; those that are gone are missing. */
export async function readTables(
  sql: postgres.Sql,
  oids: number[],
  roles: string[],
): Promise<Map<number, CatalogTable>> {
  const rows = await sql<
    (Omit<CatalogTable, "columns"> & Omit<CatalogColumn, "readers"> & { readers: string[] })[]
  >`
    select c.oid, format('%I.%I', n.nspname, c.relname) as identifier,
      c.relrowsecurity as "hasRowSecurity",
      a.attname as name, t.typname as "typeName", format_type(a.atttypid, -1) as "comparedType",
      coalesce(a.attnum = any (k.conkey), false) as "isKey",
      array(
        select r.role from unnest(${roles}::text[]) as r (role)
        where has_column_privilege(r.role, c.oid, a.attnum, 'select')
      ) as readers
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_catalog.pg_type as t on t.oid = a.atttypid
    left join pg_catalog.pg_constraint as k on k.conrelid = c.oid and k.contype = 'p'
    where c.oid = any (${oids}::oid[])
    order by c.oid, a.attnum`;
  const tables = new Map<number, CatalogTable>();
  for (const { oid, identifier, hasRowSecurity, readers, ...column } of rows) {
    const table = tables.get(oid) ?? { oid, identifier, hasRowSecurity, columns: new Map() };
    tables.set(oid, table);
    table.columns.set(column.name, { ...column, readers: new Set(readers) });
  }
  return tables;
}
