-- Month partitions: where rows go, and what the function that makes partitions leaves behind.
begin;
select plan(22);

create function pg_temp.month(p_ahead integer) returns date language sql as $$
  select (date_trunc('month', now() at time zone 'UTC') + make_interval(months => p_ahead))::date
$$;
create function pg_temp.partition_of(p_at timestamptz) returns text language plpgsql as $$
declare
  v_name text;
begin
  insert into public.audit_events (actor_role, action, resource_type, occurred_at)
  values ('system', 'test', 'partition', p_at)
  returning tableoid::regclass::text into v_name;
  return v_name;
end
$$;
create function pg_temp.name_of(p_month date) returns text language sql as $$
  select 'private.audit_events_' || to_char(p_month, 'YYYY_MM')
$$;

-- Where rows go ----------------------------------------------------------------------------------

select is(pg_temp.partition_of(now()), pg_temp.name_of(pg_temp.month(0)),
  'a row goes to the partition of its month');
set local timezone = 'Asia/Kolkata';
select is(pg_temp.partition_of(pg_temp.month(1)::timestamp at time zone 'UTC' - interval '1 microsecond'),
  pg_temp.name_of(pg_temp.month(0)), 'a month ends at midnight UTC, whatever the session''s zone');
select is(pg_temp.partition_of(pg_temp.month(1)::timestamp at time zone 'UTC'),
  pg_temp.name_of(pg_temp.month(1)), 'and there the next begins');
select is(pg_temp.partition_of('1999-12-31 23:00Z'), 'private.audit_events_default',
  'a row of a month without partition is kept all the same');
select is(
  (select count(*) from pg_inherits where inhparent = 'public.audit_events'::regclass), 14::bigint,
  'there are this month, the next twelve, and the default'
);

-- Making them ------------------------------------------------------------------------------------

create temp view partitions as
  select c.relname, pg_get_expr(c.relpartbound, c.oid) as bounds, c.relrowsecurity, c.relacl,
    obj_description(c.oid) as comment
  from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
  where i.inhparent = 'public.audit_events'::regclass;
create temp table before as select * from partitions;

select lives_ok($$ select private.ensure_month_partitions('public.audit_events', 12) $$,
  'making them twice is fine');
select results_eq('select * from partitions order by 1', 'select * from before order by 1',
  'and leaves those that exist as they are');

set local role postgres;
select private.ensure_month_partitions('public.audit_events', 15);
select set_config('role', 'none', true);
select is((select array_agg(relname::text order by relname) from partitions
  where relname not in (select relname from before)),
  (select array_agg(substr(pg_temp.name_of(pg_temp.month(n)), 9) order by n)
    from generate_series(13, 15) as n),
  'only the months that are missing are made');
set local timezone = 'UTC';
select is_empty(
  $$
    select p.relname, p.bounds from partitions as p
    left join generate_series(0, 15) as n on p.relname = substr(pg_temp.name_of(pg_temp.month(n)),
      9)
    where p.bounds <> case when n is null then 'DEFAULT' else format(
      'FOR VALUES FROM (''%s 00:00:00+00'') TO (''%s 00:00:00+00'')', pg_temp.month(n),
        pg_temp.month(n + 1)
    ) end
  $$,
  'each is one whole month in UTC, made in whatever zone'
);
select is_empty(
  'select relname from partitions where not relrowsecurity or comment is null',
  'each has row-level security and says what it is'
);
select is_empty(
  $$
    select p.relname, a.grantee::regrole from partitions as p cross join aclexplode(p.relacl) as a
    where a.grantee not in (select c.relowner from pg_class as c
      where c.oid = 'public.audit_events'::regclass)
  $$,
  'nobody but the owner has a right on any'
);
select is(
  (
    select count(*) from pg_index as i join pg_class as c on c.oid = i.indrelid
    join partitions as p on p.relname = c.relname
  ),
  (select 5 * count(*) from partitions), 'each has the indexes of the trail'
);

-- As a job does it months later: the default partition holds a row of the month by then.
select pg_temp.partition_of(pg_temp.month(16)::timestamp at time zone 'UTC');
select throws_ok($$ select private.ensure_month_partitions('public.audit_events', 16) $$, '23514',
  null,
  'a month whose rows lie in the default partition cannot be made');
select is((select count(*) from partitions
  where relname = substr(pg_temp.name_of(pg_temp.month(16)), 9)), 0::bigint,
  'and is not half made');
select is(pg_temp.partition_of(pg_temp.month(16)::timestamp at time zone 'UTC'),
  'private.audit_events_default',
  'its rows are kept all the same');

-- Of another table, made by the role of migrations in a schema whose default privileges are wide
-- open.
set local role postgres;
alter default privileges in schema private grant all on tables to anon, authenticated, service_role;
create table public.test_events (at timestamptz not null) partition by range (at);
select private.ensure_month_partitions('public.test_events');
select set_config('role', 'none', true);
select is(
  (
    select array_agg(c.oid::regclass::text order by c.relname) from pg_inherits as i
    join pg_class as c on c.oid = i.inhrelid where i.inhparent = 'public.test_events'::regclass
  ),
  (
    select array_agg('private.test_events_' || to_char(pg_temp.month(n), 'YYYY_MM') order by n)
    from generate_series(0, 3) as n
  ),
  'another table gets this month and the next three'
);
select is_empty(
  $$
    select c.relname from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
    where i.inhparent = 'public.test_events'::regclass and (
      not c.relrowsecurity or exists (
        select 1 from aclexplode(c.relacl) as a where a.grantee <> c.relowner
      )
    )
  $$,
  'as closed as the trail''s'
);
select is(tests.attempt(actor,
  format('select at from private.test_events_%s', to_char(now() at time zone 'UTC', 'YYYY_MM'))),
  '42501 grant', format('%s reads none of it past its parent', actor))
from unnest(array['anon', 'service_role', 'records_worker']) as actor;
select throws_ok(
  format('truncate private.test_events_%s', to_char(now() at time zone 'UTC', 'YYYY_MM')), '42501',
  null,
  'it is not emptied'
);
select is(tests.attempt('service_role',
  $$ select private.ensure_month_partitions('public.audit_events', 1) $$),
  '42501 grant', 'no API role makes partitions');

select * from finish();
rollback;
