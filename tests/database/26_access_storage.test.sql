-- Files of records are reached by signed addresses alone, whatever policy is made on
-- storage.objects by accident: here one allows everybody everything. Pia's file is nobody's, her
-- own included; a file elsewhere shows what the accident would have done.
begin;
select plan(55);

select tests.make_user('pia'), tests.make_user('kim'), tests.make_user('doc', 'doctor'),
  tests.make_user('ada', 'admin');
select tests.make_record('Scan', 'pia');
select tests.make_share('Scan', 'kim', 'download'), tests.open_chart('pia', 'doc');
insert into storage.buckets (id, name, public) values
  ('medical-records', 'medical-records', false), ('elsewhere', 'elsewhere', false)
on conflict do nothing;
insert into storage.objects (bucket_id, name) values
  ('medical-records', tests.id('pia') || '/' || tests.id('Scan') || '/x'), ('elsewhere', 'x');
select set_config('storage.allow_delete_query', 'true', true);
create policy accident on storage.objects to anon, authenticated using (true) with check (true);
create temp table before as select tests.state() as state;

create function pg_temp.statement(p_verb text, p_bucket text) returns text language sql as $$
  select replace(case p_verb
    when 'select' then 'select name from storage.objects where bucket_id = ''BUCKET'''
    when 'insert' then
      'insert into storage.objects (bucket_id, name) values (''BUCKET'', ''a/b/c'')'
    when 'update' then 'update storage.objects set metadata = ''{}'' where bucket_id = ''BUCKET'''
    when 'delete' then 'delete from storage.objects where bucket_id = ''BUCKET'''
  end, 'BUCKET', p_bucket)
$$;

select is(tests.attempt(actor, pg_temp.statement(verb, bucket)), outcome,
  format('%s of %s: %s', verb, bucket, actor))
from unnest(array['pia', 'kim', 'doc', 'ada', 'anon']) as actor
cross join (values
  ('select', 'medical-records', 'nothing'), ('select', 'elsewhere', 'x'),
  ('insert', 'medical-records', '42501 policy'), ('insert', 'elsewhere', '1'),
  ('update', 'medical-records', '0'), ('update', 'elsewhere', '1'),
  ('delete', 'medical-records', '0'), ('delete', 'elsewhere', '1')
) as v (verb, bucket, outcome);

-- Without a condition, which would read the rows, so that the policies of select decided, too.
select is(tests.attempt(actor, statement), outcome, format('%s: %s', actor, statement))
from unnest(array['pia', 'doc', 'anon']) as actor
cross join (values
  ($$ update storage.objects set metadata = '{}' $$, '1'),
  ($$ update storage.objects set bucket_id = 'medical-records', name = 'a/b/c' $$, '42501 policy'),
  ($$ update storage.objects set bucket_id = 'elsewhere', name = 'a/b/c' $$, '1'),
  ('delete from storage.objects', '1')
) as v (statement, outcome);

-- Storage's other tables list files, too; nobody who signs in through the API has a policy there.
select is_empty(
  $$ select tablename, policyname from pg_policies
    where schemaname = 'storage' and tablename <> 'objects' $$,
  'no policy opens buckets or unfinished uploads'
);
select is(tests.attempt('pia', 'select id from storage.buckets'), 'nothing',
  'the list of buckets is not shown');
select is(tests.state(), (select state from before), 'no attempt has changed anything');

select * from finish();
rollback;
