-- The rules of the house style that a query can check, over the whole catalogue. Each test lists what
-- breaks its rule. Exceptions stand in this file, each with its reason, and nowhere else.
begin;
select plan(30);

-- What of the product may be done without signing in. Nothing, so far.
create temp table open_to_anon (object text primary key, reason text not null);

create temp view our_tables as
  select c.oid, n.nspname as schema, c.relname as name, c.oid::regclass::text as qualified,
    c.relrowsecurity, c.relispartition, c.relkind
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  where n.nspname in ('public', 'private') and c.relkind in ('r', 'p');

create temp view our_functions as
  select p.*, n.nspname as schema, p.oid::regprocedure::text as qualified
  from pg_proc as p
  join pg_namespace as n on n.oid = p.pronamespace
  where n.nspname in ('public', 'private');

-- On which tables a policy of ours may stand: ours, and those of Storage and Realtime.
create temp view our_policies as
  select schemaname as schema, tablename as table, policyname as name, permissive = 'PERMISSIVE' as permissive,
    roles, lower(cmd) as command, concat_ws(' ', qual, with_check) as condition, qual, with_check
  from pg_policies where schemaname in ('public', 'private', 'storage', 'realtime');

select isnt_empty('select 1 from our_tables', 'there are tables to look at');
select isnt_empty('select 1 from our_functions', 'there are functions to look at');
select isnt_empty('select 1 from our_policies', 'there are policies to look at');

-- Tables -----------------------------------------------------------------------------------------

select is_empty(
  'select qualified from our_tables where not relrowsecurity',
  'every table and partition has row level security'
);

select is_empty(
  $$
    select t.qualified, role, privilege
    from our_tables as t
    cross join unnest(array['anon', 'authenticated', 'service_role']) as role
    cross join unnest(array['select', 'insert', 'update', 'references']) as privilege
    where t.relispartition and has_any_column_privilege(role, t.oid, privilege)
    union all
    select t.qualified, role, privilege
    from our_tables as t
    cross join unnest(array['anon', 'authenticated', 'service_role']) as role
    cross join unnest(array['delete', 'truncate', 'trigger', 'maintain']) as privilege
    where t.relispartition and has_table_privilege(role, t.oid, privilege)
  $$,
  'no partition is open to an API role: it takes no policy from its parent'
);

select is_empty(
  $$
    select p.qualified, month
    from our_tables as p
    cross join generate_series(
      date_trunc('month', now() at time zone 'UTC'),
      date_trunc('month', now() at time zone 'UTC') + interval '2 months',
      interval '1 month'
    ) as month
    where p.relkind = 'p' and not exists (
      select 1 from pg_inherits as i
      join pg_class as c on c.oid = i.inhrelid
      where i.inhparent = p.oid
        and pg_get_expr(c.relpartbound, c.oid) like format('FOR VALUES FROM (''%s%%', month::date)
    )
  $$,
  'every partitioned table has the partitions of this month and the next two'
);

select is_empty(
  $$
    select c.conrelid::regclass, c.conname
    from pg_constraint as c
    join our_tables as t on t.oid = c.conrelid
    where c.contype = 'f' and c.conparentid = 0 and not exists (
      select 1 from pg_index as i
      where i.indrelid = c.conrelid and i.indisvalid
        and (i.indkey::int2[])[0 : cardinality(c.conkey) - 1] @> c.conkey
        and (i.indkey::int2[])[0 : cardinality(c.conkey) - 1] <@ c.conkey
        and coalesce(pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', (
          select a.attname from pg_attribute as a
          where a.attrelid = c.conrelid and a.attnum = c.conkey[1]
        )), true)
    )
  $$,
  'every foreign key has an index'
);

select is_empty(
  $$
    select c.oid::regclass from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm')
      and c.relname !~ '_\d{4}_\d\d$'
      and obj_description(c.oid, 'pg_class') is null
  $$,
  'every table and view has a comment; partitions of a month need none'
);

select is_empty(
  $$
    select c.oid::regclass from pg_class as c
    where c.relnamespace = 'public'::regnamespace
      and (c.relkind = 'm' or c.relkind = 'v'
        and not coalesce(c.reloptions && array['security_invoker=true', 'security_invoker=on'], false))
  $$,
  'every view that the API serves runs with the rights of its caller'
);

-- Functions --------------------------------------------------------------------------------------

select is_empty(
  $$
    select f.qualified from our_functions as f
    where has_function_privilege('anon', f.oid, 'execute')
      and f.qualified not in (select object from open_to_anon)
  $$,
  'no function is executable by anon unless listed above'
);

select is_empty(
  $$
    select f.qualified from our_functions as f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) as a
    where a.grantee = 0
  $$,
  'no function is executable by PUBLIC'
);

select is_empty(
  $$ select qualified from our_functions where prosecdef and schema <> 'private' $$,
  'every definer function is in the schema that the API does not serve'
);

select is_empty(
  $$
    select f.qualified from our_functions as f
    where f.prokind in ('f', 'p') and not coalesce('search_path=""' = any (f.proconfig), false)
      -- One that its owner alone may call, with the caller's rights, has the empty search_path of the
      -- definer function around it; without settings of its own it becomes part of the statement.
      and not (
        f.proconfig is null and not f.prosecdef
        and f.prolang = (select l.oid from pg_language as l where l.lanname = 'sql')
        and not exists (
          select from aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) as a
          where a.grantee <> f.proowner
        )
      )
  $$,
  'every function has an empty search_path'
);

select is_empty(
  $$ select qualified from our_functions where obj_description(oid, 'pg_proc') is null $$,
  'every function has a comment'
);

select is_empty(
  $$
    select f.qualified, a.name
    from our_functions as f
    cross join unnest(f.proargnames) with ordinality as a (name, position)
    where coalesce(f.proargmodes[a.position], 'i') in ('i', 'b', 'v') and a.name !~ '^p_'
  $$,
  'every parameter begins with p_'
);

select is_empty(
  $$ select qualified from our_functions where prosrc ~* 'when\s+others' $$,
  'no function swallows every error'
);

select is_empty(
  $$ select qualified from our_functions where prosrc ~* 'select\s+\*' $$,
  'no function selects all columns, whatever they may come to be'
);

-- Policies ---------------------------------------------------------------------------------------

select is_empty(
  $$
    select "table", name from our_policies
    where regexp_replace(condition, '\( SELECT auth\.(\w+)\(\) AS \1\)', '', 'g')
      ~ 'auth\.(uid|jwt|role|email)\('
  $$,
  'no policy calls auth.uid() or its like for every row: always inside (select ...)'
);

select is_empty(
  $$ select "table", name from our_policies where condition ~ '(?<!SELECT )\mprivate\.\w+\(' $$,
  'no policy calls a helper for every row: always inside (select ...)'
);

select is_empty(
  $$ select "table", name from our_policies where condition ~* 'user_metadata' $$,
  'no policy believes what users may write about themselves'
);

select is_empty(
  $$ select "table", name from our_policies where 'public' = any (roles) or cardinality(roles) <> 1 $$,
  'every policy names the one role it is for'
);

select is_empty(
  $$ select "table", name from our_policies where command = 'all' $$,
  'no policy is for all commands'
);

select is_empty(
  $$
    select schema, "table", command, roles, array_agg(name) from our_policies
    where permissive
    group by 1, 2, 3, 4, case
      when schema = 'storage' then regexp_replace(name, format('_%s_%s$', command, roles[1]), '')
    end
    having count(*) > 1
  $$,
  'a table, and a bucket of files, has one permissive policy for a command and a role'
);

select is_empty(
  $$
    select "table", name from our_policies
    where name !~ format(
      '^%s_%s_%s%s$',
      case when schema in ('storage', 'realtime') then '[a-z_]+' else "table" end,
      command, roles[1], case when permissive then '' else '_only' end
    )
  $$,
  'a policy is named <table>_<command>_<role>, a restrictive one with _only after it; what '
    || 'a bucket or a channel is for may stand for the table of Storage or Realtime'
);

select is_empty(
  $$ select "table", name from our_policies where command = 'update' and (qual is null or with_check is null) $$,
  'every update policy says which rows and what they may become'
);

-- Clinical is what speaks of a patient: by a column of that name, or by a reference to the registry.
create temp view clinical_tables as
  select t.oid, t.schema, t.name from our_tables as t
  where t.schema = 'public' and not t.relispartition and (
    t.name = 'patients'
    or exists (
      select 1 from pg_attribute as a
      where a.attrelid = t.oid and a.attname = 'patient_id' and not a.attisdropped
    )
    or exists (
      select 1 from pg_constraint as c
      where c.conrelid = t.oid and c.contype = 'f' and c.confrelid = 'public.patients'::regclass
    )
  );
select isnt_empty('select 1 from clinical_tables', 'there are clinical tables to look at');
select is_empty(
  $$
    select t.name, verb
    from clinical_tables as t
    cross join unnest(array['select', 'insert', 'update', 'delete']) as verb
    where case when verb = 'delete' then has_table_privilege('authenticated', t.oid, verb)
        else has_any_column_privilege('authenticated', t.oid, verb) end
      and not exists (
        select 1 from our_policies as p
        where p.schema = t.schema and p.table = t.name and p.command = verb
          and not p.permissive and 'authenticated' = any (p.roles)
          and (verb = 'insert' or p.qual ~ 'private\.(may_see_clinical_rows|reachable_patient_ids)\(\)')
          and (verb in ('select', 'delete') or p.with_check ~ 'private\.may_see_clinical_rows\(\)')
      )
  $$,
  'whatever is granted on a clinical table asks, by a restrictive policy, for a live session and for '
    || 'the second factor of a clinician'
);

-- Grants -----------------------------------------------------------------------------------------

select is_empty(
  $$
    select c.oid::regclass, privilege
    from pg_class as c
    cross join unnest(array['select', 'insert', 'update', 'references']) as privilege
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
      and c.relkind in ('r', 'p', 'v', 'm') and has_any_column_privilege('anon', c.oid, privilege)
      and c.oid::regclass::text not in (select object from open_to_anon)
    union all
    select c.oid::regclass, privilege
    from pg_class as c
    cross join unnest(array['anon', 'authenticated']) as role
    cross join unnest(array['truncate', 'trigger', 'maintain']) as privilege
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
      and c.relkind in ('r', 'p', 'v', 'm') and has_table_privilege(role, c.oid, privilege)
    union all
    select c.oid::regclass, privilege
    from pg_class as c
    cross join unnest(array['usage', 'select', 'update']) as privilege
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
      and c.relkind = 'S' and has_sequence_privilege('anon', c.oid, privilege)
  $$,
  'anon has no right on any table, view or sequence, and nobody signed in has more than rows of them'
);

select is_empty(
  $$
    select t.qualified, verb, has_grant, has_policy
    from our_tables as t
    cross join unnest(array['select', 'insert', 'update', 'delete']) as verb
    cross join lateral (
      select
        case when verb = 'delete' then has_table_privilege('authenticated', t.oid, verb)
          else has_any_column_privilege('authenticated', t.oid, verb) end as has_grant,
        exists (
          select 1 from our_policies as p
          where p.schema = t.schema and p.table = t.name and p.command = verb
            and p.permissive and 'authenticated' = any (p.roles)
            and p.condition <> 'false' -- says no in so many words
        ) as has_policy
    ) as found
    where has_grant <> has_policy
  $$,
  'whoever is signed in has a grant where there is a policy, and a policy where there is a grant'
);

select is_empty(
  $$
    select role, privilege
    from unnest(array['anon', 'authenticated', 'service_role']) as role
    cross join unnest(array['insert', 'update', 'delete', 'truncate', 'trigger']) as privilege
    where has_table_privilege(role, 'public.audit_events', privilege)
      or privilege in ('insert', 'update')
        and has_any_column_privilege(role, 'public.audit_events', privilege)
  $$,
  'no API role, service_role included, writes the audit trail'
);

select * from finish();
rollback;
