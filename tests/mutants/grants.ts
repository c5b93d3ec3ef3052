// Mutants of grants: each right that a role has is taken away and made grantable, each that it lacks
// is given; and of the roles themselves.

import type { Mutant, Query } from "./mutant.ts";

/** Derives the mutants of all grants and of the roles that hold them. */
export async function grantMutants(query: Query): Promise<Mutant[]> {
  return [
    ...await missingOnRelations(query),
    ...await missingOnColumns(query),
    ...await missingOnFunctions(query),
    ...await missingOnSchemas(query),
    ...await given(query),
    ...await roleMutants(query),
  ];
}

/** A privilege on an object, as GRANT and REVOKE write it. */
interface Right {
  role: string;
  privilege: string;
  /** For example `table public.profiles`. */
  object: string;
  subject: string;
}

function granted(kind: string, rights: Right[]): Mutant[] {
  return rights.map(({ role, privilege, object, subject }) => ({
    name: `${privilege} on ${object} granted to ${role}`,
    kind,
    subject,
    sql: `grant ${privilege} on ${object} to ${role}`,
  }));
}

/**
 * Roles of the API: privilege by privilege. PUBLIC and the other roles: all that they lack at once,
 * as with partitions, which are alike and nobody's.
 */
async function missingOnRelations(query: Query): Promise<Mutant[]> {
  const single = await query<Right>(`
    select a.name as role, privilege, 'table ' || r.qualified as object, r.relname as subject
    from pg_temp.our_relations as r
    cross join pg_temp.api_roles as a
    cross join unnest(array[
      'select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger', 'maintain'
    ]) with ordinality as p (privilege, position)
    where r.relkind <> 'S' and not r.relispartition
      and not has_table_privilege(a.oid, r.oid, privilege)
    order by r.qualified, a.name, position`);
  const whole = await query<Right>(`
    select a.name as role, 'all' as privilege,
      case r.relkind when 'S' then 'sequence ' else 'table ' end || r.qualified as object,
      r.relname as subject
    from pg_temp.our_relations as r
    cross join (select name from pg_temp.grantees union all select 'public') as a
    where r.ours
      and (
        r.relispartition or r.relkind = 'S' or a.name not in (select name from pg_temp.api_roles)
      )
    order by r.qualified, a.name`);
  return [...granted("table grant", single), ...granted("table grant", whole)];
}

/** Columns that the clients' roles may not insert or update, one by one. */
async function missingOnColumns(query: Query): Promise<Mutant[]> {
  const rights = await query<Right>(`
    select a.name as role, format('%s (%I)', privilege, c.attname) as privilege,
      'table ' || r.qualified as object, r.relname as subject
    from pg_temp.our_relations as r
    join pg_attribute as c on c.attrelid = r.oid and c.attnum > 0 and not c.attisdropped
    cross join unnest(array['anon', 'authenticated']) as a (name)
    cross join unnest(array['insert', 'update']) as privilege
    where r.relkind <> 'S' and not r.relispartition
      and not has_column_privilege(a.name, r.oid, c.attnum, privilege)
    order by r.qualified, a.name, c.attnum, privilege`);
  return granted("column grant", rights);
}

async function missingOnFunctions(query: Query): Promise<Mutant[]> {
  const rights = await query<Right>(`
    select a.name as role, 'execute' as privilege, 'routine ' || f.qualified as object,
      f.proname as subject
    from pg_temp.our_functions as f
    cross join (select name from pg_temp.grantees union all select 'public') as a
    where not has_function_privilege(a.name, f.oid, 'execute')
    order by f.qualified, a.name`);
  return granted("execute grant", rights);
}

async function missingOnSchemas(query: Query): Promise<Mutant[]> {
  const rights = await query<Right>(`
    select a.name as role, privilege, format('schema %I', s.name) as object, s.name as subject
    from pg_temp.our_schemas as s
    cross join (select name from pg_temp.grantees union all select 'public') as a
    cross join unnest(array['usage', 'create']) as privilege
    where not has_schema_privilege(a.name, s.oid, privilege)
    order by s.name, a.name, privilege`);
  return granted("schema grant", rights);
}

/** What is granted to anybody but the owner, on objects that are the product's. */
async function given(query: Query): Promise<Mutant[]> {
  const rights = await query<Right & { kind: string }>(`
    with acls (kind, object, subject, part, acl) as (
      select 'table revoke', case relkind when 'S' then 'sequence ' else 'table ' end || qualified,
        relname, '', relacl
      from pg_temp.our_relations where ours
      union all
      select 'column revoke', 'table ' || r.qualified, r.relname, format(' (%I)', c.attname),
        c.attacl
      from pg_temp.our_relations as r
      join pg_attribute as c on c.attrelid = r.oid and not c.attisdropped
      where r.ours
      union all
      select 'execute revoke', 'routine ' || qualified, proname, '',
        coalesce(proacl, acldefault('f', proowner))
      from pg_temp.our_functions
      union all
      select 'schema revoke', format('schema %I', name), name, '', nspacl
      from pg_temp.our_schemas where ours
    )
    select kind, object, subject, lower(a.privilege_type) || part as privilege,
      case a.grantee when 0 then 'public' else a.grantee::regrole::text end as role
    from acls, aclexplode(acl) as a
    where a.grantee <> 'postgres'::regrole and not a.is_grantable
    order by object, role, privilege`);
  return rights.flatMap(({ kind, role, privilege, object, subject }) => {
    const revoked = {
      name: `${privilege} on ${object} revoked from ${role}`,
      kind,
      subject,
      sql: `revoke ${privilege} on ${object} from ${role}`,
    };
    // PUBLIC cannot be given the right to grant.
    return role === "public" ? [revoked] : [revoked, {
      name: `${privilege} on ${object} made grantable by ${role}`,
      kind: "grant option",
      subject,
      sql: `grant ${privilege} on ${object} to ${role} with grant option`,
    }];
  });
}

/** What no role of a request and no worker is: see CREATE ROLE. */
async function roleMutants(query: Query): Promise<Mutant[]> {
  const attributes = await query<{ role: string; attribute: string }>(`
    select g.name as role, attribute
    from pg_temp.grantees as g
    join pg_roles as r on r.oid = g.oid
    cross join lateral (values
      ('superuser', r.rolsuper), ('bypassrls', r.rolbypassrls), ('createrole', r.rolcreaterole),
      ('createdb', r.rolcreatedb), ('login', r.rolcanlogin), ('inherit', r.rolinherit)
    ) as a (attribute, has)
    where not has
    order by 1, 2`);
  const memberships = await query<{ role: string; member: string }>(`
    select g.name as role, m.name as member
    from pg_temp.grantees as g
    cross join (select oid, name from pg_temp.grantees
      union all select 'authenticator'::regrole, 'authenticator') as m
    where m.oid <> g.oid and not pg_has_role(m.oid, g.oid, 'member')
      and not pg_has_role(g.oid, m.oid, 'member')
    order by 1, 2`);
  return [
    ...attributes.map(({ role, attribute }) => ({
      name: `role ${role}: ${attribute}`,
      kind: "role attribute",
      subject: role,
      sql: `alter role ${role} ${attribute}`,
    })),
    ...memberships.map(({ role, member }) => ({
      name: `role ${role} granted to ${member}`,
      kind: "membership",
      subject: role,
      sql: `grant ${role} to ${member}`,
    })),
  ];
}
