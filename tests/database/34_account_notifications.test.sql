-- What is told to whom: the causes of notifications, in the transaction of each. Pia is a patient; doc
-- and carer take part in her care; rel is a relative; ada is an administrator.
begin;
select plan(30);

select tests.make_user('pia'), tests.make_user('rel'), tests.make_user('doc', 'doctor'),
  tests.make_user('carer', 'caregiver'), tests.make_user('ada', 'admin'),
  tests.make_user('new', 'doctor', p_verified => false), tests.make_user('fay', p_anonymous => true);

create function pg_temp.told() returns text language plpgsql as $$
declare
  v_answer text;
begin
  perform tests.act_as_owner();
  select string_agg(
    format('%s %s %s', lower(p.display_name), n.kind, (select string_agg(key, '+' order by key) from jsonb_object_keys(n.data) as key)),
    ', ' order by p.display_name, n.kind
  )
  into v_answer
  from public.notifications as n join public.profiles as p on p.id = n.user_id;
  delete from public.notifications;
  return coalesce(rtrim(v_answer), 'nobody');
end
$$;
select is(pg_temp.told(), 'nobody', 'a sign-up is told to nobody');

-- Care -------------------------------------------------------------------------------------------

-- The one relationship that is open, or was last.
create temp view care as
  select r.id from public.care_relationships as r order by r.status in ('requested', 'active') desc limit 1;
grant select on care to public;
select tests.act_as('doc');
select public.request_care(tests.id('pia'), 'doctor');
select is(pg_temp.told(), 'pia care_requested care_id', 'a doctor asks');
select tests.act_as('pia');
select public.respond_care_request(id, true) from care;
select is(pg_temp.told(), 'doc care_accepted care_id', 'the patient accepts');
select tests.act_as('doc');
select id from public.open_chart(tests.id('pia'), 'treatment');
select is(pg_temp.told(), 'nobody', 'the chart is opened');
insert into public.notification_preferences (user_id, kind, channel) values (tests.id('pia'), 'chart_opened', 'in_app');
select tests.act_as('doc');
select id from public.open_chart(tests.id('pia'), 'treatment');
select is(pg_temp.told(), 'pia chart_opened chart_id+viewer_id', 'the chart is opened, and the patient wants to know');
select tests.act_as('doc');
select public.end_care(id) from care;
select is(pg_temp.told(), 'pia care_ended care_id', 'the doctor ends it');
select tests.act_as('pia');
select public.request_care(tests.id('carer'), 'caregiver', array['records']);
select is(pg_temp.told(), 'carer care_accepted care_id', 'the patient appoints a caregiver');
select tests.act_as('pia');
select public.end_care(id) from care;
select is(pg_temp.told(), 'carer care_ended care_id', 'the patient ends it');
select tests.act_as('carer');
select public.request_care(tests.id('pia'), 'caregiver', array['records']);
select is(pg_temp.told(), 'pia care_requested care_id', 'a caregiver asks');
select tests.act_as('carer');
select public.end_care(id) from care;
select is(pg_temp.told(), 'nobody', 'and takes it back');
select tests.act_as('carer');
select public.request_care(tests.id('pia'), 'caregiver', array['records']);
select tests.act_as('pia');
select public.respond_care_request(id, false) from care;
select is(pg_temp.told(), 'pia care_requested care_id', 'the patient declines');
select tests.act_as('doc', 'aal2');
select tests.attempt('doc', $$ select message from public.open_chart(tests.id('pia'), 'treatment') $$);
select is(pg_temp.told(), 'nobody', 'what is refused is told to nobody');

-- Records, verification, emergencies -----------------------------------------------------------------

select tests.make_record('Scan', 'pia');
select tests.act_as('pia');
select public.share_medical_record(tests.id('Scan'), tests.id('rel'), 'view', now() + interval '1 day');
select is(pg_temp.told(), 'rel record_shared record_id+share_id', 'a record is shared');
select tests.act_as('ada');
select public.verify_doctor(tests.id('new'), false, 'No such licence');
select is(pg_temp.told(), 'new doctor_rejected', 'a verification is refused');
select tests.act_as('ada');
select public.verify_doctor(tests.id('new'), true);
select is(pg_temp.told(), 'new doctor_verified', 'and given');
select tests.act_as('doc');
select id from public.break_glass(tests.id('pia'), 'Found unconscious at the station');
select is(pg_temp.told(), 'ada emergency_review_due chart_id, pia emergency_access chart_id+viewer_id', 'an emergency');

-- Sign-ins -----------------------------------------------------------------------------------------

create function pg_temp.sign_in(p_handle text) returns void language sql as $$
  insert into auth.sessions (id, user_id) values (gen_random_uuid(), tests.id(p_handle))
$$;
select pg_temp.sign_in('pia');
select is(pg_temp.told(), 'pia new_sign_in session_id', 'a second session');
delete from auth.sessions where user_id = tests.id('rel');
select pg_temp.sign_in('rel');
select is(pg_temp.told(), 'nobody', 'the first session there ever was');
delete from auth.sessions where user_id = tests.id('rel');
update auth.users set last_sign_in_at = now() - interval '1 year' where id = tests.id('rel');
select pg_temp.sign_in('rel');
select is(pg_temp.told(), 'rel new_sign_in session_id', 'the only one of who had signed in before');
select pg_temp.sign_in('fay');
select is(pg_temp.told(), 'nobody', 'anonymous accounts have no sign-in');
update auth.sessions set aal = 'aal2';
select is(pg_temp.told(), 'nobody', 'nor is a second factor one');

-- Second factors -----------------------------------------------------------------------------------

insert into auth.mfa_factors (id, user_id, factor_type, status, created_at, updated_at)
select tests.id('factor ' || n), tests.id('pia'), 'totp', 'unverified', now(), now() from generate_series(1, 2) as n;
select is(pg_temp.told(), 'nobody', 'a factor that is not proved');
update auth.mfa_factors set status = 'verified' where id = tests.id('factor 1');
select is(pg_temp.told(), 'pia mfa_changed factor_id', 'a factor that is');
update auth.mfa_factors set status = 'verified', last_challenged_at = now() where id = tests.id('factor 1');
select is(pg_temp.told(), 'nobody', 'proving it again');
delete from auth.mfa_factors where id = tests.id('factor 2');
select is(pg_temp.told(), 'nobody', 'removing one that was never proved');
delete from auth.mfa_factors where id = tests.id('factor 1');
select is(pg_temp.told(), 'pia mfa_changed factor_id', 'removing the other');
insert into auth.mfa_factors (id, user_id, factor_type, status, created_at, updated_at)
values (tests.id('factor 3'), tests.id('fay'), 'totp', 'verified', now(), now());
delete from realtime.messages;
select lives_ok($$ delete from auth.users where id = tests.id('fay') $$, 'an account goes with its factors');
select is_empty('select 1 from realtime.messages', 'and nobody is told');

-- Auth has no rights on these rows of ours, and needs none.
create function pg_temp.as_auth(p_statement text) returns text language plpgsql as $$
begin
  set local role supabase_auth_admin;
  execute p_statement;
  reset role;
  return pg_temp.told();
end
$$;
grant all on function tests.id(text) to supabase_auth_admin;
select is(pg_temp.as_auth($$ insert into auth.sessions (id, user_id) values (gen_random_uuid(), tests.id('pia')) $$),
  'pia new_sign_in session_id', 'as Auth signs in');
insert into auth.mfa_factors (id, user_id, factor_type, status, created_at, updated_at)
values (tests.id('factor 4'), tests.id('pia'), 'totp', 'unverified', now(), now());
select is(pg_temp.as_auth($$ update auth.mfa_factors set status = 'verified' $$), 'pia mfa_changed factor_id', 'as Auth verifies');

select * from finish();
rollback;
