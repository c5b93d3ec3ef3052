-- Who may do what to profiles, patients, doctors, grants and public faces. The ward: pia, a
-- patient, is surrounded by one person for each way to stand to her (tests.make_ward); omar is
-- another patient; paula has a public face, and so had locke, whose account is locked, as is that
-- of her carer `loxley`.
begin;
select plan(505);

select tests.make_ward();
select tests.make_user('paula'), tests.make_user('locke'), tests.make_user('loxley', 'caregiver');
select tests.make_care('pia', 'loxley');
update public.profiles set is_public = true where id in (tests.uid('paula'), tests.uid('locke'));
update public.profiles set is_active = false where id in (tests.uid('locke'), tests.uid('loxley'));
update public.patients set first_name = 'Pia' where id = tests.uid('pia');
update public.patients set first_name = 'Omar' where id = tests.uid('omar');
insert into public.account_grants (user_id, "grant") values
  (tests.uid('pia'), 'moderator'), (tests.uid('omar'), 'seller');
create temp table before as select tests.state() as state;

-- Tables -----------------------------------------------------------------------------------------

select is(tests.attempt(actor, statement), outcome, format('profiles: %s of %s', verb, actor))
from (values
  ('pia',             'Pia',       '1'),
  ('omar',            'Omar',      '0'),
  ('share_view',      'nothing',   '0'),
  ('carer',           'nothing',   '0'),
  ('doc',             'nothing',   '0'),
  ('doc_stranger',    'nothing',   '0'),
  ('admin',           'Omar, Pia', '0'),
  ('admin@aal1',      'nothing',   '0'),
  ('guest',           'nothing',   '0'),
  ('anon',            '42501 grant', '42501 grant'),
  ('service_role',    '42501 grant', '42501 grant'),
  ('records_worker',  '42501 grant', '42501 grant')
) as m (actor, "select", "update")
cross join lateral (values
  ('select', $$ select display_name from public.profiles where display_name in ('Pia', 'Omar') $$,
    "select"),
  ('insert', $$ insert into public.profiles (id) values (gen_random_uuid()) $$, '42501 grant'),
  ('update', $$ update public.profiles set bio = 'x' where id = tests.id('pia') $$, "update"),
  ('delete', $$ delete from public.profiles where id = tests.id('pia') $$, '42501 grant')
) as v (verb, statement, outcome);

select is(tests.attempt(h, 'select display_name from public.profiles'), initcap(h),
  format('profiles: %s sees one row', h))
from unnest(array['pia', 'omar', 'carer', 'doc', 'doc_unverified', 'admin@aal1', 'guest']) as actor
cross join lateral (select split_part(actor, '@', 1)) as s (h)
where h <> 'admin';
select is(tests.attempt('admin@aal1', 'select display_name from public.profiles'), 'Admin',
  'profiles: an administrator without a second factor sees one row');
select is(
  tests.attempt('admin', 'select count(*) from public.profiles'),
  (select count(*) from public.profiles)::text, 'profiles: an administrator sees every row'
);

select is(tests.attempt(actor, statement), outcome, format('patients: %s of %s', verb, actor))
from (values
  ('pia',             'Pia',     '1'),
  ('omar',            'Omar',    '0'),
  ('share_view',      'nothing', '0'),
  ('share_download',  'nothing', '0'),
  ('share_expired',   'nothing', '0'),
  ('share_revoked',   'nothing', '0'),
  ('carer',           'Pia',     '0'),
  ('carer_sensitive', 'Pia',     '0'),
  ('carer_other',     'nothing', '0'),
  ('carer_closed',    'nothing', '0'),
  ('carer_expired',   'nothing', '0'),
  ('carer_requested', 'nothing', '0'),
  ('carer_declined',  'nothing', '0'),
  ('carer_ended',     'nothing', '0'),
  ('carer_lapsed',    'nothing', '0'),
  ('doc',             'Pia',     '0'),
  ('doc@aal1',        'nothing', '0'),
  ('doc_closed',      'nothing', '0'),
  ('doc_expired',     'nothing', '0'),
  ('doc_requested',   'nothing', '0'),
  ('doc_declined',    'nothing', '0'),
  ('doc_ended',       'nothing', '0'),
  ('doc_lapsed',      'nothing', '0'),
  ('doc_withdrawn',   'nothing', '0'),
  ('doc_unverified',  'nothing', '0'),
  ('doc_stranger',    'nothing', '0'),
  ('admin',           'nothing', '0'),
  ('admin@aal1',      'nothing', '0'),
  ('guest',           'nothing', '0'),
  ('anon',            '42501 grant', '42501 grant'),
  ('service_role',    '42501 grant', '42501 grant'),
  ('records_worker',  '42501 grant', '42501 grant')
) as m (actor, "select", "update")
cross join lateral (values
  ('select', 'select first_name from public.patients where first_name is not null', "select"),
  ('insert', $$ insert into public.patients (id) values (tests.id('carer')) $$, '42501 grant'),
  ('update', $$ update public.patients set city = 'Pune' where id = tests.id('pia') $$, "update"),
  ('delete', $$ delete from public.patients where id = tests.id('pia') $$, '42501 grant')
) as v (verb, statement, outcome);

select is(tests.attempt(actor, statement), outcome, format('doctors: %s of %s', verb, actor))
from (values
  ('doc',            'LIC-doc'),
  ('doc_unverified', 'nothing'),
  ('pia',            'nothing'),
  ('omar',           'nothing'),
  ('carer',          'nothing'),
  ('doc_stranger',   'nothing'),
  ('admin',          'LIC-doc'),
  ('admin@aal1',     'nothing'),
  ('guest',          'nothing'),
  ('anon',           '42501 grant'),
  ('service_role',   '42501 grant')
) as m (actor, "select")
cross join lateral (values
  ('select', $$ select license_number from public.doctors where id = tests.id('doc') $$, "select"),
  (
    'insert',
    $$ insert into public.doctors (id, license_number, specialty)
      values (tests.id('pia'), 'LIC', 'ENT') $$,
    '42501 grant'
  ),
  ('update', 'update public.doctors set verified_at = now()', '42501 grant'),
  ('delete', 'delete from public.doctors', '42501 grant')
) as v (verb, statement, outcome);
select is(tests.attempt('doc_unverified', 'select license_number from public.doctors'),
  'LIC-doc_unverified', 'doctors: who has asked to be verified sees the request');

select is(tests.attempt(actor, statement), outcome, format('account_grants: %s of %s', verb, actor))
from (values
  ('pia',          'moderator'),
  ('omar',         'seller'),
  ('doc',          'nothing'),
  ('carer',        'nothing'),
  ('admin',        'moderator, seller'),
  ('admin@aal1',   'nothing'),
  ('guest',        'nothing'),
  ('anon',         '42501 grant'),
  ('service_role', '42501 grant')
) as m (actor, "select")
cross join lateral (values
  ('select', 'select "grant" from public.account_grants', "select"),
  (
    'insert',
    $$ insert into public.account_grants (user_id, "grant") values (tests.id('pia'), 'seller') $$,
    '42501 grant'
  ),
  ('update', $$ update public.account_grants set "grant" = 'listener' $$, '42501 grant'),
  ('delete', 'delete from public.account_grants', '42501 grant')
) as v (verb, statement, outcome);

-- Public faces -----------------------------------------------------------------------------------

-- Each sees oneself; of the others those in care with them or with whom a record is shared.
select is(
  tests.attempt(actor, $$
    select display_name from public.public_profiles
    where id in (select tests.id(h) from unnest(array['pia', 'omar', 'doc']) as h)
      and id <> (select auth.uid())
  $$), faces, format('public faces: those that %s sees', actor)
)
from (values
  ('pia',             'Doc'),
  ('omar',            'nothing'),
  ('doc',             'Pia'),
  ('doc_closed',      'Pia'),
  ('doc_requested',   'nothing'),
  ('doc_declined',    'nothing'),
  ('doc_ended',       'nothing'),
  ('doc_lapsed',      'nothing'),
  ('doc_stranger',    'nothing'),
  ('carer',           'Pia'),
  ('carer_requested', 'nothing'),
  ('carer_ended',     'nothing'),
  ('share_view',      'Pia'),
  ('share_expired',   'nothing'),
  ('share_revoked',   'nothing'),
  ('admin',           'nothing'),
  ('guest',           'nothing'),
  ('anon',            '42501 grant'),
  ('service_role',    '42501 grant')
) as m (actor, faces);

select is(
  tests.attempt('pia', $$
    select display_name from public.public_profiles
    where id <> (select auth.uid()) and id <> tests.id('paula')
  $$),
  'Carer, Carer_Closed, Carer_Expired, Carer_Other, Carer_Requested, Carer_Sensitive, Doc, Doc_Closed, '
    || 'Doc_Expired, Doc_Requested, Doc_Unverified, Doc_Withdrawn, Share_Download, Share_View',
  'public faces: a patient sees who cares for her, who asks to, and with whom she shares'
);

select is(tests.attempt('pia', statement), '42501 grant', format('public faces: %s', statement))
from unnest(array[
  $$ insert into public.public_profiles (id) values (gen_random_uuid()) $$,
  $$ update public.public_profiles set bio = 'x' $$,
  'delete from public.public_profiles',
  $$ update private.visible_profiles set bio = 'x' $$,
  'delete from private.visible_profiles'
]) as statement;

select is(
  tests.attempt(actor, $$ select display_name from public.public_profiles
    where id = tests.id('paula') $$),
  face, format('public faces: a public one, for %s', actor)
)
from (values
  ('pia', 'Paula'), ('doc_stranger', 'Paula'), ('guest', 'Paula'), ('anon', '42501 grant')
) as m (actor, face);
select is(tests.attempt('pia', $$ select display_name from public.profiles where is_public $$),
  'nothing',
  'a public face opens no row of profiles to others');
select is(
  tests.attempt('pia', $$
    select display_name from public.public_profiles where display_name in ('Locke', 'Loxley')
  $$),
  'nothing',
    'public faces: an account that is locked shows none, neither in public nor to its patient'
);

select is(
  (
    select string_agg(a.attname, ', ' order by a.attnum) from pg_attribute as a
    where a.attrelid = 'public.public_profiles'::regclass and a.attnum > 0
  ),
  'id, role, display_name, avatar_path, bio, is_verified',
    'public faces: nothing but the public columns'
);

-- What a session, a lock or a ban ends ------------------------------------------------------------

select is(tests.attempt(actor, statement, standing), outcome,
  format('%s, %s: %s', actor, standing, statement))
from (values ('pia'), ('doc'), ('carer'), ('admin')) as m (actor)
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing
cross join (values
  ('select display_name from public.profiles', 'nothing'),
  ('update public.profiles set bio = ''x''', '0'),
  ('select first_name from public.patients', 'nothing'),
  ('update public.patients set city = ''Pune''', '0'),
  ('select license_number from public.doctors', 'nothing'),
  ('select "grant" from public.account_grants', 'nothing'),
  ('select display_name from public.public_profiles', 'nothing')
) as v (statement, outcome);

create function pg_temp.is_live(p_session_id uuid) returns boolean language plpgsql as $$
declare
  v_is_live boolean;
begin
  perform tests.act_as('pia', p_session_id => p_session_id);
  v_is_live := private.session_is_live();
  perform tests.act_as_owner();
  return v_is_live;
end
$$;
select ok(pg_temp.is_live(tests.session_id('pia')), 'a token counts while its session is there');
select ok(not pg_temp.is_live(tests.session_id('omar')),
  'a token with the session of another counts for nobody');
select ok(not pg_temp.is_live(gen_random_uuid()),
  'a token with a session that never was does not count');
select set_config('request.jwt.claims', (tests.claims('pia') - 'session_id')::text, true);
select ok(not private.session_is_live(), 'a token without a session does not count');
select tests.act_as_owner();

select is(tests.attempt(actor,
  'select concat_ws('' '', private.is_admin(), private.is_verified_doctor())', standing), outcome,
  format('%s, %s: is an administrator, is a verified doctor', actor, standing))
from (values
  ('admin', 'live', 't f'), ('admin@aal1', 'live', 'f f'), ('admin', 'signed out', 'f f'),
    ('admin', 'locked', 'f f'),
  ('pia', 'live', 'f f'), ('doc', 'live', 'f t'), ('doc_withdrawn', 'live', 'f f'),
    ('doc_unverified', 'live', 'f f')
) as m (actor, standing, outcome);

-- Columns ----------------------------------------------------------------------------------------

select is(tests.writable_columns(actor, table_name::regclass, verb), columns,
  format('%s: columns that %s may %s', table_name, actor, verb))
from (values
  ('public.profiles', 'update', 'display_name, avatar_path, bio, is_public, locale, timezone'),
  ('public.profiles', 'insert', null),
  (
    'public.patients', 'update',
    'first_name, last_name, date_of_birth, gender, city, state, postal_code, country, '
      || 'insurance_provider, emergency_contact_name, emergency_contact_relationship, cancer_type, '
      || 'diagnosis_date, treatment_stage, medical_history'
  ),
  ('public.patients', 'insert', null),
  ('public.doctors', 'update', null),
  ('public.doctors', 'insert', null),
  ('public.account_grants', 'update', null),
  ('public.account_grants', 'insert', null)
) as t (table_name, verb, columns)
cross join unnest(array['pia', 'doc', 'admin']) as actor;

-- Values -----------------------------------------------------------------------------------------

select is(tests.attempt('pia', format('update public.%s where id = tests.id(''pia'')', change)),
  outcome,
  format('%s: %s', left(change, 60), outcome))
from (values
  ($$profiles set display_name = 'Ananya'$$, '1'),
  ($$profiles set display_name = null$$, '1'),
  ($$profiles set display_name = ''$$, '23514'),
  ($$profiles set display_name = ' Ananya'$$, '23514'),
  ($$profiles set display_name = repeat('x', 81)$$, '23514'),
  ($$profiles set bio = repeat('x', 501)$$, '23514'),
  ($$profiles set avatar_path = tests.id('pia') || '/me.png'$$, '1'),
  ($$profiles set avatar_path = tests.id('omar') || '/me.png'$$, '23514'),
  ($$profiles set avatar_path = tests.id('pia') || '/../' || tests.id('omar')$$, '23514'),
  ($$profiles set avatar_path = tests.id('pia') || '/' || repeat('x', 263)$$, '1'),
  ($$profiles set avatar_path = tests.id('pia') || '/' || repeat('x', 264)$$, '23514'),
  ($$profiles set locale = 'hi-IN'$$, '1'),
  ($$profiles set locale = 'english'$$, '23514'),
  ($$profiles set timezone = 'Asia/Kolkata'$$, '1'),
  ($$profiles set timezone = 'Mars/Base'$$, '23514'),
  ($$profiles set timezone = null$$, '23502'),
  ($$patients set date_of_birth = '1974-03-09', diagnosis_date = '2025-01-02'$$, '1'),
  ($$patients set date_of_birth = '1879-12-31'$$, '23514'),
  ($$patients set date_of_birth = current_date + 2$$, '23514'),
  ($$patients set date_of_birth = '2000-01-01', diagnosis_date = '1999-12-31'$$, '23514'),
  ($$patients set gender = 'x'$$, '23514'),
  ($$patients set first_name = ''$$, '23514'),
  ($$patients set last_name = repeat('x', 101)$$, '23514'),
  ($$patients set medical_history = repeat('x', 20000)$$, '1'),
  ($$patients set medical_history = repeat('x', 20001)$$, '23514')
) as c (change, outcome);

select is(tests.state(), (select state from before), 'no attempt has changed anything');

-- Rules behind the grants -------------------------------------------------------------------------

-- Were the columns open by mistake, the policies would still keep a row with its owner.
grant update (id) on public.profiles, public.patients to authenticated;
select is(tests.attempt('pia', format('update public.%s set id = tests.id(''none'')', name)),
  '42501 policy',
  name || ': a row stays with its owner')
from unnest(array['profiles', 'patients']) as name;

select throws_ok(format('update public.%s', change), '23514', null, 'nobody writes ' || change)
from unnest(array[
  $$profiles set role = 'superuser' where id = tests.id('pia')$$,
  $$profiles set subscription_tier = 'gold' where id = tests.id('pia')$$,
  $$doctors set verified_at = now(), rejected_reason = 'Licence expired'
    where id = tests.id('doc')$$,
  $$account_grants set "grant" = 'admin' where user_id = tests.id('pia')$$
]) as change;

select * from finish();
rollback;
