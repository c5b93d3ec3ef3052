// What there is to be declared, and what grants say of it, read from the catalogue of a database.

import type postgres from "postgres";

/** A connection to the database that the matrix is tried on, in a transaction or not. */
export type Connection = postgres.Sql | postgres.TransactionSql;

/** A table, view, sequence or the like. */
export interface CatalogRelation {
  /** With its schema; partitions that are named for a month or a day as `…_*`. */
  name: string;
  /** As SQL writes it, for statements. */
  identifier: string;
  oid: number;
  /** As pg_class.relkind. */
  kind: string;
  /** First column, which any attempt to update names. */
  column: string | null;
}

/** A function or procedure. */
export interface CatalogFunction {
  /** With schema and types of arguments, for example `private.is_admin()`. */
  name: string;
  oid: number;
  /** Whether it answers rows or a composite value; else a scalar or nothing. */
  composite: boolean;
}

/** Objects that PostgreSQL brings, that extensions do (each is declared), and that tests add. */
const OURS = `
  n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'tests')
  and n.nspname !~ '^pg_(toast_)?temp_'
  and not exists (
    select from pg_catalog.pg_depend as d
    join pg_catalog.pg_extension as e on e.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass
    where d.objid = o.oid and d.deptype = 'e'
  )`;

/** Every relation that belongs to no extension. */
export async function readRelations(sql: Connection): Promise<CatalogRelation[]> {
  return await sql.unsafe<CatalogRelation[]>(`
    select n.nspname || '.' || case
        when o.relispartition then regexp_replace(o.relname, '_[0-9]{4}_[0-9]{2}(_[0-9]{2})?$', '_*')
        else o.relname
      end as name,
      format('%I.%I', n.nspname, o.relname) as identifier,
      o.oid::integer, o.relkind as kind, a.attname as column
    from pg_catalog.pg_class as o
    join pg_catalog.pg_namespace as n on n.oid = o.relnamespace
    left join pg_catalog.pg_attribute as a on a.attrelid = o.oid and a.attnum = 1
    where o.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and ${OURS}
    order by 1, o.relname`);
}

/** Every function that belongs to no extension. */
export async function readFunctions(sql: Connection): Promise<CatalogFunction[]> {
  return await sql.unsafe<CatalogFunction[]>(`
    select format('%s.%s(%s)', n.nspname, o.proname, oidvectortypes(o.proargtypes)) as name,
      o.oid::integer, t.typtype = 'c' or o.proretset and o.prorettype = 'record'::regtype as composite
    from pg_catalog.pg_proc as o
    join pg_catalog.pg_namespace as n on n.oid = o.pronamespace
    join pg_catalog.pg_type as t on t.oid = o.prorettype
    where ${OURS}
    order by 1`);
}

/** Ids of all buckets. */
export async function readBuckets(sql: Connection): Promise<string[]> {
  const rows = await sql.unsafe<{ id: string }[]>("select id from storage.buckets order by id");
  return rows.map(({ id }) => id);
}

/** Extensions, and the roles that are no superuser's, PostgreSQL's own left out. */
export async function readRest(
  sql: Connection,
): Promise<{ extensions: string[]; roles: string[] }> {
  const [row] = await sql.unsafe<{ extensions: string[]; roles: string[] }[]>(`
    select
      array(
        select extname::text from pg_catalog.pg_extension
        where extname not in ('plpgsql', 'pgtap') order by 1
      ) as extensions,
      array(
        select rolname::text from pg_catalog.pg_roles where rolname !~ '^pg_' and not rolsuper order by 1
      ) as roles`);
  return row!;
}

/** What grants give: keys are `<object> <action> <role>`. */
export interface Grants {
  /** By relation and action: the columns, `all` of them or a list; missing: none. */
  columns: Map<string, string>;
  /** By function: present when the role may execute it. */
  execute: Set<string>;
  /** Relations on which an API or worker role has more than the four rights. */
  other: Set<string>;
}

/** Reads the rights of roles, through the schema's, as far as grants decide. */
export async function readGrants(
  sql: Connection,
  roles: { relations: string[]; functions: string[] },
  relations: CatalogRelation[],
  functions: CatalogFunction[],
): Promise<Grants> {
  const rights = await sql.unsafe<{ oid: number; action: string; role: string; columns: string }[]>(
    `
    select c.oid::integer, v.action, r.role, case
        when c.relkind = 'S' then case when has_sequence_privilege(r.role, c.oid, 'usage, select, update')
          then 'all' end
        when v.action = 'delete' then case when has_table_privilege(r.role, c.oid, 'delete') then 'all' end
        else (
          select case when bool_and(has_column_privilege(r.role, c.oid, a.attnum, v.action)) then 'all'
            else string_agg(a.attname, ', ' order by a.attnum)
              filter (where has_column_privilege(r.role, c.oid, a.attnum, v.action)) end
          from pg_catalog.pg_attribute as a
          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        )
      end as columns
    from pg_catalog.pg_class as c
    cross join unnest(array['select', 'insert', 'update', 'delete']) as v (action)
    cross join unnest($1::text[]) as r (role)
    where c.oid = any ($2::oid[]) and has_schema_privilege(r.role, c.relnamespace, 'usage')`,
    [roles.relations, relations.map(({ oid }) => oid)],
  );
  const other = await sql.unsafe<{ oid: number }[]>(
    `
    select distinct c.oid::integer
    from pg_catalog.pg_class as c
    cross join unnest($1::text[]) as r (role)
    where c.oid = any ($2::oid[]) and c.relkind <> 'S' and has_schema_privilege(r.role, c.relnamespace, 'usage')
      and has_table_privilege(r.role, c.oid, 'truncate, references, trigger, maintain')`,
    [roles.relations, relations.map(({ oid }) => oid)],
  );
  const may = await sql.unsafe<{ oid: number; role: string }[]>(
    `
    select p.oid::integer, r.role
    from pg_catalog.pg_proc as p
    cross join unnest($1::text[]) as r (role)
    where p.oid = any ($2::oid[]) and has_schema_privilege(r.role, p.pronamespace, 'usage')
      and has_function_privilege(r.role, p.oid, 'execute')`,
    [roles.functions, functions.map(({ oid }) => oid)],
  );
  const nameOf = new Map([...relations, ...functions].map(({ oid, name }) => [oid, name]));
  return {
    columns: new Map(
      rights.filter(({ columns }) => columns).map((right) => [
        `${nameOf.get(right.oid)} ${right.action} ${right.role}`,
        right.columns,
      ]),
    ),
    execute: new Set(may.map(({ oid, role }) => `${nameOf.get(oid)} execute ${role}`)),
    other: new Set(other.map(({ oid }) => nameOf.get(oid)!)),
  };
}
