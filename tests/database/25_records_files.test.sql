-- Files in Storage, as policies on storage.objects decide: avatars belong to the owner of the
-- folder, and medical records to nobody, since the function `records` signs each transfer. Pia and
-- omar are patients, doc has pia's chart open, kim has a share of her record; guest signed in
-- anonymously.
begin;
select plan(95);

select tests.make_user('pia'), tests.make_user('omar'), tests.make_user('kim'),
  tests.make_user('doc', 'doctor'),
  tests.make_user('ada', 'admin'), tests.make_user('guest', p_anonymous => true);
select tests.make_record('Scan', 'pia');
select tests.make_share('Scan', 'kim', 'download'), tests.open_chart('pia', 'doc');
insert into storage.buckets (id, name, public) values
  ('avatars', 'avatars', true), ('medical-records', 'medical-records', false),
    ('elsewhere', 'elsewhere', false)
on conflict do nothing;
insert into storage.objects (bucket_id, name) values
  ('avatars', tests.id('pia') || '/me.png'),
  ('avatars', tests.id('omar') || '/me.png'),
  ('avatars', 'me.png'),
  ('medical-records', tests.id('pia') || '/' || tests.id('Scan') || '/x'),
  ('elsewhere', tests.id('pia') || '/me.png');
-- Storage alone deletes rows, and says so.
select set_config('storage.allow_delete_query', 'true', true);
create temp table before as select tests.state() as state;

select is(tests.attempt(actor, replace(statement, 'HER', tests.id('pia')::text)), outcome,
  format('%s of %s: %s', verb, bucket, actor))
from (values
  --            avatars of pia                                      her records
  ('pia',          'avatars/me.png', '1', '1', '1',                     'nothing', '42501 policy',
    '0', '0'),
  ('omar',         'nothing', '42501 policy', '0', '0',                 'nothing', '42501 policy',
    '0', '0'),
  ('kim',          'nothing', '42501 policy', '0', '0',                 'nothing', '42501 policy',
    '0', '0'),
  ('doc',          'nothing', '42501 policy', '0', '0',                 'nothing', '42501 policy',
    '0', '0'),
  ('ada',          'nothing', '42501 policy', '0', '0',                 'nothing', '42501 policy',
    '0', '0'),
  ('guest',        'nothing', '42501 policy', '0', '0',                 'nothing', '42501 policy',
    '0', '0'),
  ('anon',         'nothing', '42501 policy', '0', '0',                 'nothing', '42501 policy',
    '0', '0')
) as m (actor, a_select, a_insert, a_update, a_delete, r_select, r_insert, r_update, r_delete)
cross join lateral (values
  ('avatars', 'select', $$ select bucket_id || '/' || storage.filename(name) from storage.objects
    where bucket_id = 'avatars' and name = 'HER/me.png' $$, a_select),
  ('avatars', 'insert', $$ insert into storage.objects (bucket_id, name)
    values ('avatars', 'HER/new.png') $$, a_insert),
  ('avatars', 'update', $$ update storage.objects set metadata = '{}' where bucket_id = 'avatars'
    and name = 'HER/me.png' $$, a_update),
  ('avatars', 'delete', $$ delete from storage.objects where bucket_id = 'avatars'
    and name = 'HER/me.png' $$, a_delete),
  ('medical-records', 'select', $$ select name from storage.objects
    where bucket_id = 'medical-records' $$, r_select),
  ('medical-records', 'insert', $$ insert into storage.objects (bucket_id, name)
    values ('medical-records', 'HER/a/b') $$, r_insert),
  ('medical-records', 'update', $$ update storage.objects set metadata = '{}'
    where bucket_id = 'medical-records' $$, r_update),
  ('medical-records', 'delete', $$ delete from storage.objects
    where bucket_id = 'medical-records' $$, r_delete)
) as v (bucket, verb, statement, outcome);

-- A folder is the first part of the path, whole, and a row stays in it.
select is(tests.attempt('pia',
  replace(replace(statement, 'HER', tests.id('pia')::text), 'HIS', tests.id('omar')::text)),
  outcome, statement)
from (values
  ('select name from storage.objects where name like ''HIS%''', 'nothing'),
  ('select bucket_id from storage.objects', 'avatars'),
  ($$insert into storage.objects (bucket_id, name) values ('avatars', 'HER/a/b/c.png')$$, '1'),
  ($$insert into storage.objects (bucket_id, name) values ('avatars', 'HIS/me2.png')$$,
    '42501 policy'),
  ($$insert into storage.objects (bucket_id, name) values ('avatars', 'HER.png')$$, '42501 policy'),
  ($$insert into storage.objects (bucket_id, name) values ('avatars', 'HERx/me.png')$$,
    '42501 policy'),
  ($$insert into storage.objects (bucket_id, name) values ('avatars', '/HER/me.png')$$,
    '42501 policy'),
  ($$insert into storage.objects (bucket_id, name) values ('avatars', 'x/HER/me.png')$$,
    '42501 policy'),
  ($$insert into storage.objects (bucket_id, name) values ('elsewhere', 'HER/new.png')$$,
    '42501 policy'),
  ($$update storage.objects set name = 'HIS/stolen.png'$$, '42501 policy'),
  ($$update storage.objects set bucket_id = 'elsewhere', name = 'HER/moved.png'$$, '42501 policy'),
  ($$update storage.objects set bucket_id = 'medical-records'$$, '42501 policy'),
  ($$update storage.objects set name = 'HER/other.png'$$, '1'),
  ('delete from storage.objects', '1')
) as c (statement, outcome);

select is(tests.attempt('pia', replace(statement, 'HER', tests.id('pia')::text), standing), outcome,
  format('%s: %s', standing, statement))
from unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing
cross join (values
  ('select name from storage.objects', 'nothing'),
  ($$insert into storage.objects (bucket_id, name) values ('avatars', 'HER/new.png')$$,
    '42501 policy'),
  ($$update storage.objects set metadata = '{}'$$, '0'),
  ('delete from storage.objects', '0')
) as c (statement, outcome);
select is(tests.state(), (select state from before), 'no attempt has changed anything');

-- The paths that rows of ours name.
select is(tests.attempt('pia',
  replace($$ update public.profiles set avatar_path = 'PATH' $$, 'PATH', path)), outcome,
  'avatar_path ' || path)
from (values
  (tests.id('pia') || '/me.png', '1'), (tests.id('omar') || '/me.png', '23514'),
    ('me.png', '23514'), ('', '23514')
) as c (path, outcome);

select * from finish();
rollback;
