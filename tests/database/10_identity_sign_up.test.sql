-- Sign-up: what the triggers on auth.users make of a new account and of its metadata, which is the
-- client's word. Everything happens as the role of the Auth service, which has no right on our
-- tables.
begin;
select plan(61);

create function pg_temp.sign_up(p_handle text, p_metadata jsonb,
  p_is_anonymous boolean default false)
  returns void language plpgsql as $$
begin
  perform set_config('role', 'supabase_auth_admin', true);
  insert into auth.users (id, aud, role, email, is_anonymous, raw_app_meta_data, raw_user_meta_data)
  values (
    tests.id(p_handle), 'authenticated', 'authenticated',
    case when not p_is_anonymous then p_handle || '@example.com' end, p_is_anonymous, '{}',
      p_metadata
  );
  perform set_config('role', 'none', true);
end
$$;

select ok(
  not has_table_privilege('supabase_auth_admin', 'public.profiles', 'insert')
    and not has_table_privilege('supabase_auth_admin', 'public.patients', 'insert'),
  'the Auth service cannot write our tables itself'
);

-- What metadata may ask for ----------------------------------------------------------------------

create temp table sign_ups (handle text, metadata jsonb, profile text);
insert into sign_ups values
  ('none', null, 'patient/-/en/UTC'),
  ('empty', '{}', 'patient/-/en/UTC'),
  ('patient', '{"role": "patient"}', 'patient/-/en/UTC'),
  ('caregiver', '{"role": "caregiver"}', 'caregiver/-/en/UTC'),
  ('admin', '{"role": "admin"}', 'patient/-/en/UTC'),
  ('doctor', '{"role": "doctor"}', 'patient/-/en/UTC'),
  ('service', '{"role": "service_role"}', 'patient/-/en/UTC'),
  ('capital', '{"role": "Caregiver"}', 'patient/-/en/UTC'),
  ('role list', '{"role": ["caregiver"]}', 'patient/-/en/UTC'),
  ('role object', '{"role": {"role": "admin"}}', 'patient/-/en/UTC'),
  ('role number', '{"role": 1}', 'patient/-/en/UTC'),
  ('role null', '{"role": null}', 'patient/-/en/UTC'),
  ('claims', '{"is_active": false, "is_verified": true, "subscription_tier": "premium",
    "is_public": true, "id": "00000000-0000-0000-0000-000000000000"}', 'patient/-/en/UTC'),
  ('is list', '[{"role": "admin"}]', 'patient/-/en/UTC'),
  ('is number', '1', 'patient/-/en/UTC'),
  ('is null', 'null', 'patient/-/en/UTC'),
  ('named', '{"display_name": " Ananya Rao ", "locale": "hi-IN", "timezone": "Asia/Kolkata"}',
    'patient/Ananya Rao/hi-IN/Asia/Kolkata'),
  ('full name', '{"full_name": "Ananya Rao"}', 'patient/Ananya Rao/en/UTC'),
  ('both names', '{"display_name": "Ananya", "full_name": "Ananya Rao"}', 'patient/Ananya/en/UTC'),
  ('blank', '{"display_name": "   "}', 'patient/-/en/UTC'),
  ('script', '{"display_name": "<script>alert(1)</script>"}',
    'patient/<script>alert(1)</script>/en/UTC'),
  ('unicode', '{"display_name": "राम 🌸 Ω"}', 'patient/राम 🌸 Ω/en/UTC'),
  ('name number', '{"display_name": 42}', 'patient/42/en/UTC'),
  ('name list', '{"display_name": []}', 'patient/[]/en/UTC'),
  ('bad zone', '{"timezone": "Mars/Base"}', 'patient/-/en/UTC'),
  ('zone number', '{"timezone": 5.5}', 'patient/-/en/UTC'),
  ('zone object', '{"timezone": {"name": "UTC"}}', 'patient/-/en/UTC'),
  ('zone offset', '{"timezone": "+05:30"}', 'patient/-/en/UTC'),
  ('zone path', '{"timezone": "../../../etc/passwd"}', 'patient/-/en/UTC'),
  ('bad locale', '{"locale": "english"}', 'patient/-/en/UTC'),
  ('locale line', '{"locale": "en\nhi"}', 'patient/-/en/UTC'),
  ('locale list', '{"locale": ["en"]}', 'patient/-/en/UTC'),
  ('sql', '{"display_name": "''; drop table public.profiles; --"}',
    'patient/''; drop table public.profiles; --/en/UTC');
-- Too large to write out.
insert into sign_ups
select 'long ' || key, jsonb_build_object(key, repeat('x', 10000)), 'patient/-/en/UTC'
from unnest(array['role', 'locale', 'timezone', 'first_name']) as key;
insert into sign_ups values
  ('long name', jsonb_build_object('display_name', repeat('é', 10000)),
    'patient/' || repeat('é', 80) || '/en/UTC'),
  ('long blank', jsonb_build_object('display_name', 'x' || repeat(' ', 100) || 'y'),
    'patient/x/en/UTC'),
  ('nested', (repeat('{"display_name":', 500) || '1' || repeat('}', 500))::jsonb,
    'patient/' || left((repeat('{"display_name": ', 499) || '1' || repeat('}', 499)), 80)
      || '/en/UTC');

select lives_ok(format('select pg_temp.sign_up(%L, %L)', handle, metadata), 'signs up: ' || handle)
from sign_ups;

select results_eq(
  $$
    select s.handle, p.role || '/' || coalesce(p.display_name,
      '-') || '/' || p.locale || '/' || p.timezone
    from sign_ups as s left join public.profiles as p on p.id = tests.id(s.handle) order by s.handle
  $$,
  'select handle, profile from sign_ups order by handle',
  'metadata chooses between patient and caregiver and suggests words; what does not fit is left out'
);

select is_empty(
  $$
    select s.handle from sign_ups as s join public.profiles as p on p.id = tests.id(s.handle)
    where not p.is_active or p.is_verified or p.is_public or p.subscription_tier <> 'free'
  $$,
  'metadata sets nothing else'
);

select results_eq(
  $$
    select s.handle, p.id is not null, coalesce(p.created_by = p.id, false)
    from sign_ups as s left join public.patients as p on p.id = tests.id(s.handle) order by s.handle
  $$,
  $$ select handle, handle <> 'caregiver', handle <> 'caregiver' from sign_ups order by handle $$,
  'every patient has a registry row, of her own making, and a caregiver has none'
);

-- Names of the registry --------------------------------------------------------------------------

select pg_temp.sign_up('rao', '{"first_name": " Ananya ", "last_name": "Rao"}'),
  pg_temp.sign_up('odd', jsonb_build_object('first_name', repeat('x', 10000), 'last_name', '  ')),
  pg_temp.sign_up('typed', '{"first_name": 1, "last_name": {"a": 1}}');
select results_eq(
  $$
    select first_name, last_name from public.patients
    where id in (tests.id('rao'), tests.id('odd'), tests.id('typed'))
      order by length(first_name) desc
  $$,
  $$ values (repeat('x', 100), null), ('Ananya', 'Rao'), ('1', '{"a": 1}') $$,
  'the registry takes the names that metadata gives, cut to what fits'
);

-- Afterwards metadata decides nothing.
update auth.users set raw_user_meta_data = '{"role": "admin", "display_name": "Boss"}'
where id = tests.id('rao');
select results_eq(
  $$ select role, display_name from public.profiles where id = tests.id('rao') $$,
  $$ values ('patient', null::text) $$, 'metadata that is changed later changes no profile'
);
update auth.users set raw_app_meta_data = '{"role": "admin"}' where id = tests.id('rao');
select is((select role from public.profiles where id = tests.id('rao')), 'patient',
  'nor does the metadata that Auth keeps');

select throws_ok(
  format('select pg_temp.sign_up(%L, %L)', 'rao', '{}'), '23505', null, 'an account is made once');
select is((select count(*) from public.patients where id = tests.id('rao')), 1::bigint,
  'and has one registry row');

-- Anonymous accounts -----------------------------------------------------------------------------

select pg_temp.sign_up('guest', '{"role": "patient"}', true),
  pg_temp.sign_up('helper', '{"role": "caregiver"}', true);
select results_eq(
  $$
    select p.role, t.id is not null from public.profiles as p left
      join public.patients as t on t.id = p.id
    where p.id in (tests.id('guest'), tests.id('helper')) order by 1
  $$,
  $$ values ('caregiver', false), ('patient', false) $$,
  'an anonymous account has a profile and no registry row'
);

select set_config('role', 'supabase_auth_admin', true);
update auth.users set email = id || '@example.com', is_anonymous = false
where id in (tests.id('guest'), tests.id('helper'));
select set_config('role', 'none', true);
select results_eq(
  $$
    select p.role, t.created_by = p.id from public.profiles as p left
      join public.patients as t on t.id = p.id
    where p.id in (tests.id('guest'), tests.id('helper')) order by 1
  $$,
  $$ values ('caregiver', null), ('patient', true) $$,
  'when it becomes a permanent one, a patient gets the registry row'
);
update public.patients set first_name = 'Gita' where id = tests.id('guest');
update auth.users set is_anonymous = true where id = tests.id('guest');
update auth.users set is_anonymous = false where id = tests.id('guest');
select is((select first_name from public.patients where id = tests.id('guest')), 'Gita',
  'becoming one again leaves the row as it is');

-- Bans and deletions end sessions -----------------------------------------------------------------

select tests.make_user('ben'), tests.make_user('ann'), tests.make_user('old'),
  tests.make_user('gone');
insert into auth.sessions (id, user_id)
  values (tests.id('second session of ben'), tests.uid('ben'));
create function pg_temp.sessions() returns text language sql as $$
  select string_agg(h, ', ' order by h)
  from unnest(array['ben', 'ann', 'old', 'gone']) as h
  join auth.sessions as s on s.user_id = tests.id(h)
$$;
select is(pg_temp.sessions(), 'ann, ben, ben, gone, old', 'four people have sessions');

select set_config('role', 'supabase_auth_admin', true);
update auth.users set banned_until = now() + interval '1 day' where id = tests.id('ben');
select set_config('role', 'none', true);
select is(pg_temp.sessions(), 'ann, gone, old',
  'a ban ends every session of the account, and no other''s');

update auth.users set banned_until = now() - interval '1 second' where id = tests.id('old');
select is(pg_temp.sessions(), 'ann, gone, old', 'a ban that is over ends none');

insert into auth.sessions (id, user_id) values (tests.id('third session of ben'), tests.uid('ben'));
update auth.users set banned_until = null where id = tests.id('ben');
select is(pg_temp.sessions(), 'ann, ben, gone, old', 'lifting a ban ends none');

select set_config('role', 'supabase_auth_admin', true);
update auth.users set deleted_at = now() where id = tests.id('gone');
select set_config('role', 'none', true);
select is(pg_temp.sessions(), 'ann, ben, old', 'deleting an account softly ends its sessions');

update auth.users set last_sign_in_at = now(), phone = '1' where id = tests.id('ann');
select is(pg_temp.sessions(), 'ann, ben, old', 'other changes of an account end none');

-- Deletion of an account -------------------------------------------------------------------------

delete from auth.users where id = tests.id('ann');
select is_empty($$
  select id from public.profiles where id = tests.id('ann')
  union all select id from public.patients where id = tests.id('ann')
$$, 'an account without records is deleted with its profile and registry row');

select tests.make_record('Scan', 'ben');
select throws_ok($$ delete from auth.users where id = tests.id('ben') $$, '23503', null,
  'an account with records cannot be deleted');
select isnt_empty($$ select id from public.medical_records where id = tests.id('Scan') $$,
  'and the records stay');

select * from finish();
rollback;
