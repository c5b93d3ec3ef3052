// What a mutant is, and how the catalogue is read to derive mutants.

import type postgres from "postgres";

/** One change to the schema that the database suite has to notice. */
export interface Mutant {
  /** What is changed, in words; no two mutants share it, and it stays while the schema stays. */
  name: string;
  /** What sort of change it is: mutants of one sort are mostly noticed by one and the same file. */
  kind: string;
  /** Name of the table, view or function that it touches, without schema and arguments. */
  subject: string;
  /** Statements that make the change; a superuser runs them. */
  sql: string;
}

/** Reads facts of the product's objects, one row of the query a fact. */
export type Query = <Row extends object>(text: string) => Promise<Row[]>;

/**
 * Runs `work` with queries that see the temporary views below, all names written in full:
 *
 * - `our_schemas`: those in which objects are the product's, and whether the schema itself is;
 * - `our_relations`: its tables, views and sequences, and, of other owners, the tables on which a
 *   policy stands or may stand, because their schema has one (`ours` is false), without partitions,
 *   which come and go by the day;
 * - `our_functions`: its functions and procedures;
 * - `api_roles`: the roles that a request may be given; `grantees`: these and every other role to
 *   which the product has granted something.
 *
 * The product's are the objects that the role `postgres` owns and no extension brought.
 */
export async function readingCatalog<T>(
  connection: postgres.Sql,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  const undone: { result?: T } = {};
  const undo = new Error("undo");
  await connection.begin(async (tx) => {
    await tx.unsafe(VIEWS);
    await tx`set local search_path = ''`;
    // Rows are typed by whoever writes the query, as with the client's own `sql<Row[]>`.
    undone.result = await work(async <Row extends object>(text: string) => [
      ...await tx.unsafe<Row[]>(text),
    ]);
    throw undo;
  }).catch((error) => {
    if (error !== undo) throw error;
  });
  return undone.result!;
}

const VIEWS = `
  create temp view brought as
    select classid, objid from pg_depend where deptype = 'e';
  create temp view our_functions as
    select p.*, n.nspname as schema, p.oid::regprocedure::text as qualified
    from pg_proc as p
    join pg_namespace as n on n.oid = p.pronamespace
    where pg_get_userbyid(p.proowner) = 'postgres' and p.prokind in ('f', 'p')
      and ('pg_proc'::regclass, p.oid) not in (select classid, objid from brought)
      and n.nspname !~ '^pg_';
  create temp view owned_relations as
    select c.*, n.nspname as schema
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'S') and pg_get_userbyid(c.relowner) = 'postgres'
      and c.relpersistence <> 't' and n.nspname !~ '^pg_'
      and ('pg_class'::regclass, c.oid) not in (select classid, objid from brought);
  create temp view our_schemas as
    select n.oid, n.nspname as name, pg_get_userbyid(n.nspowner) = 'postgres' as ours, n.nspacl
    from pg_namespace as n
    where n.oid in (
      select relnamespace from owned_relations union select pronamespace from our_functions
    );
  create temp view our_relations as
    select r.oid, r.schema, r.relname, r.oid::regclass::text as qualified, r.relkind, r.relacl,
      r.relowner, r.relispartition, r.relrowsecurity, r.reloptions, true as ours
    from owned_relations as r
    union all
    select c.oid, n.nspname, c.relname, c.oid::regclass::text, c.relkind, c.relacl,
      c.relowner, c.relispartition, c.relrowsecurity, c.reloptions, false
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and not c.relispartition
      and c.oid not in (select oid from owned_relations)
      and c.relnamespace in (
        select d.relnamespace from pg_policy as p join pg_class as d on d.oid = p.polrelid
      );
  create temp view api_roles as
    select m.roleid as oid, m.roleid::regrole::text as name
    from pg_auth_members as m where pg_get_userbyid(m.member) = 'authenticator' and m.set_option;
  create temp view grantees as
    select oid, name from api_roles
    union
    select g.grantee, g.grantee::regrole::text
    from (
      select (aclexplode(relacl)).grantee from owned_relations
      union select (aclexplode(proacl)).grantee from our_functions
      union select (aclexplode(nspacl)).grantee from our_schemas where ours
    ) as g
    where g.grantee <> 0 and pg_get_userbyid(g.grantee) <> 'postgres';
`;
