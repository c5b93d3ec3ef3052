-- Closing one's account: what the account gave and was given ends at once, and nothing is erased.
-- `p` closes; `doc` has p's chart open, `kin` is shared a record of p and shares one with p, and with
-- `aunt`; doc has kin's chart open, too.
begin;
select plan(16);

select tests.make_user('p'), tests.make_user('kin'), tests.make_user('aunt'), tests.make_user('doc', 'doctor');
select tests.make_care('p', 'doc');
select tests.open_chart('p', 'doc');
select tests.make_record('of p', 'p'), tests.make_record('of kin', 'kin');
select tests.make_share('of p', 'kin'), tests.make_share('of kin', 'p'), tests.make_share('of kin', 'aunt');
select tests.open_chart('kin', 'doc');

select tests.act_as('doc');
select isnt_empty('select 1 from public.medical_records', 'before, the doctor sees the record');

select tests.act_as('p');
select lives_ok('select public.close_account()', 'the patient closes the account');
select is_empty('select 1 from public.medical_records', 'the token shows nothing any more');
select throws_ok(
  'select public.close_account()', 'PT401', 'unauthenticated', 'nor closes anything again'
);

select tests.act_as('doc');
select results_eq('select id from public.medical_records', array[tests.id('of kin')],
  'the doctor sees nothing of them, and the other patient''s record as before');
select results_eq(
  format('select message from public.open_chart(%L, %L)', tests.id('p'), 'treatment'),
  array['not_found'], 'nor opens the chart again'
);
select tests.act_as('kin');
select results_eq(
  'select id from public.medical_records', array[tests.id('of kin')],
  'the relative sees their own record only'
);

select tests.act_as('aunt');
select results_eq('select id from public.medical_records', array[tests.id('of kin')], 'a share of others stands');

select tests.act_as_owner();
select results_eq(
  $$ select status from public.care_relationships where patient_id = tests.id('kin') $$, array['active'],
  'and so does their care'
);
select results_eq(
  $$
    select r.title, tests.names() ->> s.shared_with_id::text from public.medical_record_shares as s
    join public.medical_records as r on r.id = s.record_id where s.revoked_at is null
  $$,
  $$ values ('of kin', 'Aunt') $$, 'what the account shared and was shared has ended'
);
select isnt_empty(
  format('select 1 from public.medical_records where id = %L', tests.id('of p')),
  'the records are kept'
);
select is_empty(
  format('select 1 from auth.sessions where user_id = %L', tests.id('p')), 'no session is left'
);
select results_eq(
  format('select is_active from public.profiles where id = %L', tests.id('p')), array[false],
  'the account is locked'
);
select isnt_empty(
  format(
    $$select 1 from public.audit_events where action = 'close_account' and actor_id = %L$$,
    tests.id('p')
  ),
  'the trail says who closed it'
);
select results_eq(
  'select is_active from public.profiles where id = tests.id(''kin'')', array[true],
  'others are not touched'
);
select tests.act_as_anon();
select throws_ok('select public.close_account()', '42501', null, 'anon closes nothing');

select * from finish();
rollback;
