-- Verification of clinicians, locks and grants. Ada and abe are administrators; dia, a doctor to
-- be, has asked to be verified; pia is a patient; cora a caregiver; guest signed in anonymously.
begin;
select plan(161);

select tests.make_user('ada', 'admin'), tests.make_user('abe', 'admin'), tests.make_user('pia'),
  tests.make_user('cora', 'caregiver'), tests.make_user('dia'), tests.make_user('veda', 'doctor'),
  tests.make_user('guest', p_anonymous => true);
insert into public.doctors (id, license_number, specialty)
  values (tests.uid('dia'), 'KA-1', 'Oncology');
insert into public.account_grants (user_id, "grant") values (tests.uid('pia'), 'listener');

-- Runs a call and keeps what it does; answers as tests.attempt does.
create function pg_temp.call(p_handle text, p_call text) returns text language plpgsql as $$
begin
  begin
    perform tests.act_as(p_handle);
    execute 'select ' || p_call;
    perform tests.act_as_owner();
    return 'done';
  exception
    when others then return concat_ws(' ', sqlstate, sqlerrm);
  end;
end
$$;
create temp view doctor as
  select tests.attempt('ada', format($$
    select concat_ws(' / ', p.role, p.is_verified, d.license_number, d.specialty, d.organization,
      d.verified_at is not null, d.verified_by = tests.id('ada'), d.rejected_reason)
    from public.doctors as d join public.profiles as p on p.id = d.id where d.id = %L
  $$, tests.id('dia'))) as state;

-- Who may -----------------------------------------------------------------------------------------

create temp table before as select tests.state() as state;
create temp table admin_calls (call text);
insert into admin_calls values
  ($$public.verify_doctor(tests.id('dia'), true)$$),
  ($$public.verify_doctor(tests.id('veda'), false, 'Licence expired')$$),
  ($$public.set_account_active(tests.id('pia'), false, 'Abuse')$$),
  ($$public.set_account_active(tests.id('pia'), true, 'Mistake')$$),
  ($$public.grant_account(tests.id('pia'), 'seller')$$),
  ($$public.revoke_account_grant(tests.id('pia'), 'listener')$$);

select is(tests.attempt(actor, format('select %s%s', prefix, call)), outcome,
  format('%s: %s%s', actor, prefix, call))
from (values
  ('ada', 'done'),
  ('ada@aal1', 'PT403 forbidden'),
  ('pia', 'PT403 forbidden'),
  ('cora', 'PT403 forbidden'),
  ('dia', 'PT403 forbidden'),
  ('veda', 'PT403 forbidden'),
  ('guest', 'PT403 forbidden'),
  ('anon', '42501 grant'),
  ('service_role', '42501 grant')
) as m (actor, outcome)
cross join (select '' as prefix, call from admin_calls) as c;

-- The body behind each is callable in SQL, and decides the same.
select is(tests.attempt(actor, format('select %s', body)), 'PT403 forbidden',
  format('%s: %s', actor, body))
from unnest(array['ada@aal1', 'pia']) as actor
cross join (
  select regexp_replace(
    case when call like '%, true)' then replace(call, ', true)', ', true, null)') else call end,
    '^public', 'private'
  ) as body
  from admin_calls
) as b;

select is(tests.attempt('ada', 'select ' || call, standing), 'PT401 unauthenticated',
  format('an administrator %s: %s', standing, call))
from unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing
cross join admin_calls
where call like '%verify_doctor%true%' or call like '%set_account_active%false%'
  or call like '%grant_account%';

select is(tests.state(), (select state from before), 'nothing of this has changed anything');

-- Asking to be verified --------------------------------------------------------------------------

select is(
  tests.attempt(actor, $$ select public.request_doctor_verification('KA-2', 'Oncology', null) $$,
    standing),
  outcome, format('request_doctor_verification: %s, %s', actor, standing)
)
from (values
  ('pia', 'live', 'done'), ('cora', 'live', 'done'), ('pia', 'signed out', 'PT401 unauthenticated'),
  ('pia', 'locked', 'PT401 unauthenticated'), ('veda', 'live', 'PT409 already_answered'),
  ('guest', 'live', 'PT403 forbidden'), ('guest', 'signed out', 'PT401 unauthenticated'),
  ('anon', 'live', '42501 grant'), ('service_role', 'live', '42501 grant')
) as m (actor, standing, outcome);

select is(tests.attempt('pia', format('select public.request_doctor_verification(%s)', arguments)),
  'PT400 invalid_request', format('request_doctor_verification(%s)', left(arguments, 60)))
from unnest(array[
  $$null, 'Oncology'$$, $$'KA-1', null$$, $$'', 'Oncology'$$, $$'  K ', 'Oncology'$$,
  $$'KA-1', 'x'$$,
  $$repeat('1', 61), 'Oncology'$$, $$'KA-1', repeat('x', 121)$$, $$'KA-1', 'Oncology', 'x'$$,
  $$'KA-1', 'Oncology', repeat('x', 201)$$
]) as arguments;

select is(pg_temp.call('dia', $$public.request_doctor_verification(' KA-77 ', ' Oncology', '  ')$$),
  'done',
  'a request may be made again while it is open');
select is((select state from doctor), 'patient / f / KA-77 / Oncology / f',
  'and replaces the first, trimmed; it gives no right');

-- Deciding ---------------------------------------------------------------------------------------

select is(tests.attempt('ada', format('select public.verify_doctor(%s)', arguments)), outcome,
  format('verify_doctor(%s)', left(arguments, 80)))
from (values
  ($$tests.id('pia'), true$$, 'PT404 not_found'),
  ($$gen_random_uuid(), true$$, 'PT404 not_found'),
  ($$null, true$$, 'PT404 not_found'),
  ($$tests.id('dia'), null$$, 'PT400 invalid_request'),
  ($$tests.id('dia'), false$$, 'PT400 invalid_request'),
  ($$tests.id('dia'), false, '  '$$, 'PT400 invalid_request'),
  ($$tests.id('dia'), false, repeat('x', 501)$$, 'PT400 invalid_request'),
  ($$tests.id('dia'), true, repeat('x', 501)$$, 'PT400 invalid_request'),
  ($$tests.id('ada'), true$$, 'PT403 forbidden')
) as c (arguments, outcome);
select is((select state from doctor), 'patient / f / KA-77 / Oncology / f',
  'none of which decides anything');

select is(pg_temp.call('ada', $$public.verify_doctor(tests.id('dia'), false, ' Unknown number ')$$),
  'done',
  'an administrator refuses');
select is((select state from doctor), 'patient / f / KA-77 / Oncology / f / t / Unknown number',
  'the applicant stays what she was, and is told why');
select is(tests.attempt('dia', 'select rejected_reason from public.doctors'), 'Unknown number',
  'and reads it');
select is(pg_temp.call('dia', $$public.request_doctor_verification('KA-78', 'Oncology',
  'City Hospital')$$),
  'done', 'a request may be made again after a refusal');
select is((select state from doctor), 'patient / f / KA-78 / Oncology / City Hospital / f / t',
  'and is open again');

select is(pg_temp.call('ada', $$public.verify_doctor(tests.id('dia'), true,
  'Seen on the register')$$),
  'done', 'an administrator verifies');
select is((select state from doctor), 'doctor / t / KA-78 / Oncology / City Hospital / t / t',
  'the account is a doctor''s, and verified');
select is(pg_temp.call('dia', $$public.request_doctor_verification('KA-79', 'Surgery')$$),
  'PT409 already_answered', 'who is verified cannot ask again');
select is((select state from doctor), 'doctor / t / KA-78 / Oncology / City Hospital / t / t',
  'so that a verified licence is not changed by its holder');

create temp table verified as select verified_at from public.doctors where id = tests.id('dia');
update public.doctors set verified_at = verified_at - interval '1 year' where id = tests.id('dia');
select is(pg_temp.call('abe', $$public.verify_doctor(tests.id('dia'), true)$$), 'done',
  'verifying twice is done');
select is((select d.verified_at = v.verified_at - interval '1 year' from public.doctors as d,
  verified as v
  where d.id = tests.id('dia')), true, 'and keeps the day of the first time');

select is(pg_temp.call('ada', $$public.verify_doctor(tests.id('dia'), false, 'Licence expired')$$),
  'done',
  'an administrator withdraws');
select is((select state from doctor),
  'doctor / f / KA-78 / Oncology / City Hospital / f / t / Licence expired',
  'the account stays a doctor''s and is not verified any more');
select is(pg_temp.call('dia', $$public.request_doctor_verification('KA-80', 'Oncology')$$), 'done',
  'and may ask again');

insert into public.doctors (id, license_number, specialty)
  values (tests.uid('abe'), 'KA-9', 'Oncology');
select is(pg_temp.call('ada', $$public.verify_doctor(tests.id('abe'), true)$$), 'done',
  'an administrator may be a clinician');
select is((select role from public.profiles where id = tests.id('abe')), 'admin',
  'and stays an administrator');

-- Locks ------------------------------------------------------------------------------------------

select is(tests.attempt('ada', format('select public.set_account_active(%s)', arguments)), outcome,
  format('set_account_active(%s)', left(arguments, 80)))
from (values
  ($$gen_random_uuid(), false, 'Abuse'$$, 'PT404 not_found'),
  ($$null, false, 'Abuse'$$, 'PT404 not_found'),
  ($$tests.id('pia'), null, 'Abuse'$$, 'PT400 invalid_request'),
  ($$tests.id('pia'), false, null$$, 'PT400 invalid_request'),
  ($$tests.id('pia'), false, ' '$$, 'PT400 invalid_request'),
  ($$tests.id('pia'), false, repeat('x', 501)$$, 'PT400 invalid_request'),
  ($$tests.id('ada'), false, 'Leaving'$$, 'PT403 forbidden')
) as c (arguments, outcome);
select ok((select bool_and(is_active) from public.profiles), 'none of which locks anybody');

select is(pg_temp.call('ada', $$public.set_account_active(tests.id('pia'), false, ' Abuse ')$$),
  'done',
  'an administrator locks an account');
select is(tests.attempt('pia', 'select id from public.patients'), 'nothing',
  'its token shows no clinical row any more');
select is(tests.attempt('pia', $$ select is_active from public.profiles $$), 'nothing',
  'nor its own profile');
select results_eq(
  $$
    select actor_id, resource_id, patient_id, purpose from public.audit_events
    where action = 'lock' and resource_type = 'profile'
  $$,
  $$ values (tests.id('ada'), tests.id('pia'), null::uuid, 'Abuse') $$,
  'the trail says who locked whom and why'
);
select is(pg_temp.call('ada', $$public.set_account_active(tests.id('pia'), true, 'Appeal')$$),
  'done',
  'an administrator unlocks it');
select is(tests.attempt('pia', 'select id from public.patients'), tests.id('pia')::text,
  'and all is back');
select is((select count(*) from public.audit_events where action = 'unlock' and purpose = 'Appeal'),
  1::bigint,
  'the trail says so');

-- Grants -----------------------------------------------------------------------------------------

create temp view grants as
  select string_agg("grant", ', ' order by "grant") as names from public.account_grants
  where user_id = tests.id('pia');
select is(tests.attempt('ada', format('select public.%s', call)), outcome, call)
from (values
  ($$grant_account(gen_random_uuid(), 'seller')$$, 'PT404 not_found'),
  ($$grant_account(tests.id('pia'), 'admin')$$, 'PT400 invalid_request'),
  ($$grant_account(tests.id('pia'), null)$$, 'PT400 invalid_request'),
  ($$grant_account(null, 'seller')$$, 'PT400 invalid_request'),
  ($$revoke_account_grant(tests.id('pia'), 'seller')$$, 'PT404 not_found'),
  ($$revoke_account_grant(gen_random_uuid(), 'listener')$$, 'PT404 not_found'),
  ($$revoke_account_grant(null, null)$$, 'PT404 not_found')
) as c (call, outcome);
select is((select names from grants), 'listener', 'none of which gives or takes anything');

select is(pg_temp.call('ada', $$public.grant_account(tests.id('pia'), 'moderator')$$), 'done',
  'an administrator gives a grant');
select is(pg_temp.call('abe', $$public.grant_account(tests.id('pia'), 'moderator')$$), 'done',
  'giving it twice is as giving it once');
select results_eq(
  $$ select granted_by from public.account_grants where user_id = tests.id('pia')
    and "grant" = 'moderator' $$,
  $$ values (tests.id('ada')) $$, 'the first giver stays'
);
select is(pg_temp.call('ada', $$public.revoke_account_grant(tests.id('pia'), 'listener')$$), 'done',
  'an administrator takes a grant');
select is((select names from grants), 'moderator', 'that one and no other');

-- Activity ---------------------------------------------------------------------------------------

update public.profiles set last_active_at = now() - interval '59 seconds'
  where id = tests.id('cora');
update public.profiles set last_active_at = now() - interval '61 seconds'
  where id = tests.id('veda');
create temp table seen as select id, last_active_at from public.profiles;
select is(pg_temp.call(h, 'public.touch_last_active()'), 'done', h || ' is active')
from unnest(array['pia', 'cora', 'veda']) as h;
select is(
  (
    select string_agg(h, ', ' order by h)
      from unnest(array['pia', 'cora', 'veda', 'dia', 'ada']) as h
    join public.profiles as p on p.id = tests.id(h) and p.last_active_at = now()
  ),
  'pia, veda', 'the stamp is written for the caller alone, and at most once a minute'
);
select is(tests.attempt('anon', 'select public.touch_last_active()'), '42501 grant',
  'touch_last_active is for accounts');

select * from finish();
rollback;
