-- Rules of the policies that are more than one policy's, over the whole catalogue.
begin;
select plan(3);

select is_empty(
  $$
    select c.oid::regclass from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
      and not exists (select from pg_policy as p where p.polrelid = c.oid and p.polcmd = 'r')
  $$,
  'every table that the API serves says by a policy who reads it, if only nobody'
);

select is_empty(
  $$
    select p.polrelid::regclass, p.polname, asked[1]
    from pg_policy as p
    cross join lateral regexp_matches(
      pg_get_expr(p.polqual, p.polrelid), '\m(?:private|auth)\.\w+\(', 'g'
    ) as asked
    where p.polcmd = 'w'
      and strpos(coalesce(pg_get_expr(p.polwithcheck, p.polrelid), ''), asked[1]) = 0
  $$,
  'whom an update policy asks about the row as it is, it asks about the row as it becomes'
);

select results_eq(
  $$
    select oid::regclass::text collate "C", relrowsecurity from pg_class
    where relnamespace in ('storage'::regnamespace, 'realtime'::regnamespace) and relkind in ('r', 'p')
      and has_table_privilege('authenticated', oid, 'select')
    order by 1
  $$,
  $$
    values ('realtime.messages' collate "C", true), ('storage.buckets', true), ('storage.objects', true)
  $$,
  'the tables of Storage and Realtime, which the platform opens to every role, have row level security'
);

select * from finish();
rollback;
