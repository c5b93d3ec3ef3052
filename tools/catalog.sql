-- Describes everything that DDL made in a database, one row a fact: kind, name, detail. Two databases
-- with equal rows have the same schema. Order of columns is left out, because a migration can only
-- add at the end. Run by the superuser with search_path '', so that every name is written in full.

with schemas as (
  select * from pg_namespace
  where nspname !~ '^pg_' and nspname not in ('information_schema', 'supabase_migrations')
),
member as (
  select classid, objid from pg_depend where deptype = 'e'
),
relations as (
  select
    c.*,
    format('%I.%I', s.nspname, c.relname) as name,
    case c.relkind
      when 'r' then 'table' when 'p' then 'table' when 'v' then 'view'
      when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table'
      else 'composite type'
    end as kind
  from pg_class as c
  join schemas as s on s.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c')
    and ('pg_class'::regclass, c.oid) not in (select * from member)
),
columns as (
  select a.*, r.name as relation, r.kind as relation_kind, r.relowner
  from pg_attribute as a
  join relations as r on r.oid = a.attrelid
  where a.attnum > 0 and not a.attisdropped and r.kind <> 'sequence'
),
functions as (
  select p.*, p.oid::regprocedure::text as name
  from pg_proc as p
  join schemas as s on s.oid = p.pronamespace
  where ('pg_proc'::regclass, p.oid) not in (select * from member)
),
types as (
  select t.*, format('%I.%I', s.nspname, t.typname) as name
  from pg_type as t
  join schemas as s on s.oid = t.typnamespace
  where t.typtype in ('d', 'e', 'r', 'b') and t.typcategory <> 'A'
    and ('pg_type'::regclass, t.oid) not in (select * from member)
),
grants (object, acl) as (
  select format('%s %s', kind, name), coalesce(relacl, acldefault(
    case when kind = 'sequence' then 's'::"char" else 'r' end, relowner))
  from relations where kind <> 'composite type'
  union all
  select format('column %s.%I', relation, attname), attacl from columns where attacl is not null
  union all
  select format('function %s', name), coalesce(proacl, acldefault('f', proowner)) from functions
  union all
  select format('schema %I', nspname), coalesce(nspacl, acldefault('n', nspowner)) from schemas
  union all
  select format('type %s', name), coalesce(typacl, acldefault('T', typowner)) from types
  union all
  select
    format('%s to come by %s%s',
      case defaclobjtype
        when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
        when 'T' then 'types' else 'schemas'
      end,
      defaclrole::regrole,
      ' in schema ' || nullif(defaclnamespace, 0)::regnamespace),
    defaclacl
  from pg_default_acl
)

select 'schema' as kind, quote_ident(nspname) as name, format('owner %s', nspowner::regrole) as detail
from schemas

union all
select kind, name, concat_ws(E'\n',
  format('owner %s', relowner::regrole),
  case relpersistence when 'u' then 'unlogged' when 't' then 'temporary' end,
  case when relrowsecurity then 'row level security' end,
  case when relforcerowsecurity then 'row level security forced' end,
  'options ' || (select string_agg(option, ', ' order by option) from unnest(reloptions) as option),
  'partition by ' || pg_get_partkeydef(oid),
  (
    select format('child of %s %s', i.inhparent::regclass, pg_get_expr(relpartbound, relations.oid))
    from pg_inherits as i where i.inhrelid = relations.oid
  ),
  case when kind = 'table' then format('replica identity %s', relreplident) end,
  case when kind in ('view', 'materialized view') then pg_get_viewdef(oid) end,
  (
    select format('%s from %s by %s between %s and %s cache %s%s', q.seqtypid::regtype, q.seqstart,
      q.seqincrement, q.seqmin, q.seqmax, q.seqcache, case when q.seqcycle then ' cycle' end)
    from pg_sequence as q where q.seqrelid = relations.oid
  ),
  (
    select format('owned by %s.%I', d.refobjid::regclass, a.attname)
    from pg_depend as d
    join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where kind = 'sequence' and d.classid = 'pg_class'::regclass and d.objid = relations.oid
      and d.deptype in ('a', 'i')
  ))
from relations

union all
select 'column', format('%s.%I', relation, attname), concat_ws(' ',
  format_type(atttypid, atttypmod),
  (
    select 'collate ' || attcollation::regcollation
    from pg_type as t where t.oid = atttypid and t.typcollation <> attcollation
  ),
  case when attnotnull then 'not null' end,
  case attidentity when 'a' then 'always identity' when 'd' then 'default identity' end,
  (
    select case when attgenerated = '' then 'default ' else 'generated ' end
      || pg_get_expr(d.adbin, d.adrelid)
    from pg_attrdef as d where d.adrelid = attrelid and d.adnum = attnum
  ),
  'statistics ' || nullif(attstattarget, -1),
  'compression ' || nullif(attcompression::text, ''),
  'options ' || array_to_string(attoptions, ', '),
  (
    select format('storage %s', attstorage)
    from pg_type as t where t.oid = atttypid and t.typstorage <> attstorage
  ))
from columns

union all
select 'constraint', format('%I on %s', c.conname, coalesce(r.name, t.name)), concat_ws(' ',
  pg_get_constraintdef(c.oid), case when not c.conislocal then 'inherited' end)
from pg_constraint as c
left join relations as r on r.oid = c.conrelid
left join types as t on t.oid = c.contypid
where r.oid is not null or t.oid is not null

union all
select 'index', format('%s on %s', i.indexrelid::regclass, r.name), concat_ws(' ',
  pg_get_indexdef(i.indexrelid),
  case when not i.indisvalid then 'invalid' end,
  case when i.indisclustered then 'clustered' end,
  case when i.indisreplident then 'replica identity' end)
from pg_index as i
join relations as r on r.oid = i.indrelid

union all
select 'trigger', format('%I on %s', t.tgname, r.name),
  format('%s enabled %s', pg_get_triggerdef(t.oid), t.tgenabled)
from pg_trigger as t
join relations as r on r.oid = t.tgrelid
where not t.tgisinternal

union all
select 'rule', format('%I on %s', u.rulename, r.name),
  format('%s enabled %s', pg_get_ruledef(u.oid), u.ev_enabled)
from pg_rewrite as u
join relations as r on r.oid = u.ev_class
where u.rulename <> '_RETURN'

union all
select 'policy', format('%I on %s', p.polname, r.name), concat_ws(E'\n',
  format('as %s for %s to %s',
    case when p.polpermissive then 'permissive' else 'restrictive' end,
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
      when 'd' then 'delete' else 'all' end,
    array_to_string(array(
      select case role when 0 then 'public' else role::regrole::text end
      from unnest(p.polroles) as role order by 1
    ), ', ')),
  'using ' || pg_get_expr(p.polqual, p.polrelid),
  'with check ' || pg_get_expr(p.polwithcheck, p.polrelid))
from pg_policy as p
join relations as r on r.oid = p.polrelid

union all
select 'function', name, concat_ws(E'\n',
  format('owner %s', proowner::regrole),
  case when prokind <> 'a' then pg_get_functiondef(functions.oid) end,
  (
    select format('aggregate %s over %s, final %s, combine %s, start %s', a.aggtransfn,
      a.aggtranstype::regtype, a.aggfinalfn, a.aggcombinefn, a.agginitval)
    from pg_aggregate as a where a.aggfnoid = functions.oid
  ))
from functions

union all
select 'type', name, concat_ws(E'\n',
  format('owner %s', typowner::regrole),
  case typtype
    when 'e' then (
      select string_agg(e.enumlabel, ', ' order by e.enumsortorder)
      from pg_enum as e where e.enumtypid = types.oid
    )
    when 'r' then (
      select format('range of %s', r.rngsubtype::regtype)
      from pg_range as r where r.rngtypid = types.oid
    )
    when 'd' then concat_ws(' ', 'domain', format_type(typbasetype, typtypmod),
      case when typnotnull then 'not null' end, 'default ' || typdefault)
  end)
from types

union all
select 'operator', o.oid::regoperator::text, format('%s owner %s', o.oprcode, o.oprowner::regrole)
from pg_operator as o
join schemas as s on s.oid = o.oprnamespace
where ('pg_operator'::regclass, o.oid) not in (select * from member)

union all
select 'collation', c.oid::regcollation::text,
  concat_ws(' ', c.collprovider, c.collisdeterministic, c.collcollate, c.colllocale, c.collicurules)
from pg_collation as c
join schemas as s on s.oid = c.collnamespace

union all
select 'statistics', format('%I.%I', s.nspname, e.stxname), pg_get_statisticsobjdef(e.oid)
from pg_statistic_ext as e
join schemas as s on s.oid = e.stxnamespace

union all
select 'extension', e.extname, format('%s in schema %s', e.extversion, e.extnamespace::regnamespace)
from pg_extension as e

union all
select 'event trigger', e.evtname,
  format('%s %s %s enabled %s', e.evtevent, e.evttags, e.evtfoid::regprocedure, e.evtenabled)
from pg_event_trigger as e

union all
select 'publication', p.pubname, concat_ws(E'\n',
  format('owner %s', p.pubowner::regrole),
  format('insert %s update %s delete %s truncate %s all tables %s by root %s', p.pubinsert,
    p.pubupdate, p.pubdelete, p.pubtruncate, p.puballtables, p.pubviaroot),
  (
    select string_agg(format('table %I.%I (%s) where %s', t.schemaname, t.tablename,
      t.attnames, t.rowfilter), E'\n' order by t.schemaname, t.tablename)
    from pg_publication_tables as t where t.pubname = p.pubname
  ))
from pg_publication as p

union all
select 'grant', format('%s to %s', g.object,
    case a.grantee when 0 then 'public' else a.grantee::regrole::text end),
  string_agg(a.privilege_type || case when a.is_grantable then ' with grant option' else '' end,
    ', ' order by a.privilege_type)
from grants as g, aclexplode(g.acl) as a
group by 1, 2

union all
select 'comment', format('%s %s', i.type, i.identity), d.description
from pg_description as d, pg_identify_object(d.classoid, d.objoid, d.objsubid) as i
where d.objoid >= 16384 or d.objoid = 'public'::regnamespace

union all
select 'role', r.rolname, concat_ws(' ',
  case when r.rolcanlogin then 'login' end, case when r.rolsuper then 'superuser' end,
  case when r.rolinherit then 'inherit' end, case when r.rolcreaterole then 'createrole' end,
  case when r.rolcreatedb then 'createdb' end, case when r.rolreplication then 'replication' end,
  case when r.rolbypassrls then 'bypassrls' end, 'limit ' || nullif(r.rolconnlimit, -1),
  (
    select string_agg(array_to_string(x.setconfig, ', '), '; ' order by x.setdatabase)
    from pg_db_role_setting as x where x.setrole = r.oid
  ))
from pg_roles as r
where r.rolname !~ '^pg_'

union all
select 'membership', format('%s in %s', m.member::regrole, m.roleid::regrole),
  string_agg(format('granted by %s admin %s inherit %s set %s', m.grantor::regrole, m.admin_option,
    m.inherit_option, m.set_option), E'\n' order by m.grantor::regrole::text)
from pg_auth_members as m
group by 2

union all
select 'database setting', coalesce(nullif(x.setrole, 0)::regrole::text, 'all roles'),
  array_to_string(array(select unnest(x.setconfig) order by 1), E'\n')
from pg_db_role_setting as x
join pg_database as d on d.oid = x.setdatabase and d.datname = current_database()

order by 1, 2
