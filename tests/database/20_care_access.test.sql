-- Who may do what to care relationships and openings of charts. The ward: pia, a patient, is
-- surrounded by one person for each way to stand to her (tests.make_ward); omar is another patient.
begin;
select plan(228);

select tests.make_ward();
select tests.make_care('omar', 'doc'), tests.make_care('omar', 'carer');
select tests.open_chart('omar', 'doc');
create temp table before as select tests.state() as state;

-- Relationships ----------------------------------------------------------------------------------

-- As patient/member/status; everybody else's columns are no different.
select is(tests.attempt(actor, statement), outcome,
  format('care_relationships: %s of %s', verb, actor))
from (values
  ('omar',            'Omar/Carer/active, Omar/Doc/active'),
  ('share_view',      'nothing'),
  ('carer',           'Omar/Carer/active, Pia/Carer/active'),
  ('carer_closed',    'Pia/Carer_Closed/active'),
  ('carer_requested', 'Pia/Carer_Requested/requested'),
  ('carer_declined',  'Pia/Carer_Declined/declined'),
  ('carer_ended',     'Pia/Carer_Ended/ended'),
  ('carer_lapsed',    'Pia/Carer_Lapsed/active'),
  ('doc',             'Omar/Doc/active, Pia/Doc/active'),
  ('doc@aal1',        'nothing'),
  ('doc_closed',      'Pia/Doc_Closed/active'),
  ('doc_requested',   'Pia/Doc_Requested/requested'),
  ('doc_declined',    'Pia/Doc_Declined/declined'),
  ('doc_ended',       'Pia/Doc_Ended/ended'),
  ('doc_withdrawn',   'Pia/Doc_Withdrawn/active'),
  ('doc_unverified',  'Pia/Doc_Unverified/active'),
  ('doc_stranger',    'nothing'),
  ('admin',           'nothing'),
  ('guest',           'nothing'),
  ('anon',            '42501 grant'),
  ('service_role',    '42501 grant'),
  ('records_worker',  '42501 grant')
) as m (actor, "select")
cross join lateral (values
  (
    'select',
    $$
      select concat_ws('/', names ->> patient_id::text, names ->> member_id::text, status)
      from public.care_relationships, tests.names() as names
    $$,
    "select"
  ),
  (
    'insert',
    $$
      insert into public.care_relationships (patient_id, member_id, kind, requested_by, status,
        starts_at)
      values (tests.id('pia'), (select auth.uid()), 'doctor', tests.id('pia'), 'active', now())
    $$,
    '42501 grant'
  ),
  ('update', $$ update public.care_relationships set status = 'active', ends_at = null $$,
    '42501 grant'),
  ('delete', 'delete from public.care_relationships', '42501 grant')
) as v (verb, statement, outcome);

select is(tests.attempt('pia', 'select count(*) from public.care_relationships'), '18',
  'care_relationships: a patient sees all of hers, whatever their status');
select is(tests.attempt('pia', $$
    select member_id from public.care_relationships where patient_id <> (select auth.uid())
  $$), 'nothing', 'care_relationships: and no other patient''s');

-- Openings of charts ------------------------------------------------------------------------------

select is(tests.attempt(actor, statement), outcome, format('chart_sessions: %s of %s', verb, actor))
from (values
  ('omar',           'Omar/Doc/treatment'),
  ('share_view',     'nothing'),
  ('carer',          'Pia/Carer/delegated'),
  ('carer_closed',   'Pia/Carer_Closed/delegated'),
  ('carer_expired',  'Pia/Carer_Expired/delegated'),
  ('carer_ended',    'Pia/Carer_Ended/delegated'),
  ('doc',            'Omar/Doc/treatment, Pia/Doc/treatment'),
  ('doc_closed',     'Pia/Doc_Closed/treatment'),
  ('doc_expired',    'Pia/Doc_Expired/treatment'),
  ('doc_ended',      'Pia/Doc_Ended/treatment'),
  ('doc_withdrawn',  'Pia/Doc_Withdrawn/treatment'),
  ('doc_stranger',   'nothing'),
  ('admin',          'nothing'),
  ('guest',          'nothing'),
  ('anon',           '42501 grant'),
  ('service_role',   '42501 grant'),
  ('records_worker', '42501 grant')
) as m (actor, "select")
cross join lateral (values
  (
    'select',
    $$
      select concat_ws('/', names ->> patient_id::text, names ->> viewer_id::text, purpose)
      from public.chart_sessions, tests.names() as names
    $$,
    "select"
  ),
  (
    'insert',
    $$
      insert into public.chart_sessions (patient_id, viewer_id, purpose, expires_at)
      values (tests.id('pia'), (select auth.uid()), 'treatment', now() + interval '1 hour')
    $$,
    '42501 grant'
  ),
  (
    'update',
    $$ update public.chart_sessions set closed_at = null, expires_at = now() + interval '1 hour' $$,
    '42501 grant'
  ),
  ('delete', 'delete from public.chart_sessions', '42501 grant')
) as v (verb, statement, outcome);
select is(tests.attempt('pia', 'select count(*) from public.chart_sessions'), '18',
  'chart_sessions: a patient sees every opening of her chart');

-- What a session, a lock or a ban ends ------------------------------------------------------------

select is(tests.attempt(actor, 'select id from public.' || table_name, standing), 'nothing',
  format('%s: select of %s, %s', table_name, actor, standing))
from unnest(array['pia', 'doc', 'carer']) as actor
cross join unnest(array['care_relationships', 'chart_sessions']) as table_name
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;

-- Helpers: callable in SQL by whoever is signed in; of oneself they tell, and of nobody else --------

select is(
  tests.attempt(actor, format($$
    select concat_ws('/', helper, names ->> patient_id::text) from tests.names() as names, (
      select 'treated' as helper, private.treated_patient_ids() as patient_id
      union all select 'records', private.chart_patient_ids('records')
      union all select 'sensitive', private.chart_patient_ids('sensitive')
      union all select 'messages', private.chart_patient_ids('messages')
      union all select 'nonsense', private.chart_patient_ids('nonsense')
    ) as h
  $$)), outcome, 'helpers of charts, for ' || actor
)
from (values
  ('pia',             'nothing'),
  ('carer',           'records/Pia'),
  ('carer_sensitive', 'records/Pia, sensitive/Pia'),
  ('carer_other',     'messages/Pia, sensitive/Pia'),
  ('carer_closed',    'nothing'),
  ('carer_expired',   'nothing'),
  ('carer_requested', 'nothing'),
  ('carer_declined',  'nothing'),
  ('carer_ended',     'nothing'),
  ('carer_lapsed',    'nothing'),
  ('doc', 'messages/Omar, messages/Pia, nonsense/Omar, nonsense/Pia, records/Omar, records/Pia, '
    || 'sensitive/Omar, sensitive/Pia, treated/Omar, treated/Pia'),
  ('doc@aal1',        'nothing'),
  ('doc_closed',      'nothing'),
  ('doc_expired',     'nothing'),
  ('doc_requested',   'nothing'),
  ('doc_declined',    'nothing'),
  ('doc_ended',       'nothing'),
  ('doc_lapsed',      'nothing'),
  ('doc_withdrawn',   'nothing'),
  ('doc_unverified',  'nothing'),
  ('admin',           'nothing')
) as m (actor, outcome);

select is(
  tests.attempt(actor, 'select private.chart_patient_ids(''records'')', standing), 'nothing',
  format('no chart is open for %s, %s', actor, standing))
from unnest(array['doc', 'carer']) as actor
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;

select is(tests.state(), (select state from before), 'no attempt has changed anything');

-- Who changes what they are has no chart open as what they were.
update public.profiles set role = 'patient' where id = tests.uid('doc');
select is(tests.attempt('doc', 'select private.chart_patient_ids(''records'')'), 'nothing',
  'a verified clinician whose account is no doctor''s any more has no chart open');
update public.profiles set role = 'doctor' where id = tests.uid('doc');

-- An emergency needs no relationship, yet a verified clinician.
update public.chart_sessions set purpose = 'emergency',
  reason = 'Found unconscious, no relative at hand', expires_at = opened_at + interval '30 minutes'
where viewer_id in (tests.uid('doc_ended'), tests.uid('doc_withdrawn'), tests.uid('carer_ended'));
select is(tests.attempt(actor, 'select private.treated_patient_ids() = tests.id(''pia'')'), outcome,
  format('an emergency, for %s', actor))
from (values
  ('doc_ended', 'true'), ('doc_ended@aal1', 'nothing'), ('doc_withdrawn', 'nothing'),
    ('carer_ended', 'nothing')
) as m (actor, outcome);

-- A doctor's relationship is no caregiver's, nor the other way round.
update public.chart_sessions set purpose = 'delegated' where viewer_id = tests.uid('doc');
update public.chart_sessions set purpose = 'treatment' where viewer_id = tests.uid('carer');
select is(tests.attempt(actor, 'select private.chart_patient_ids(''records'')'), 'nothing',
  format('a chart opened for a purpose of the other kind is not open for %s', actor))
from unnest(array['doc', 'carer']) as actor;

select * from finish();
rollback;
