-- Constraints of care, each on both sides of its limit, tried as the owner: whatever grants,
-- policies and functions let through, a row cannot say more than this.
begin;
select plan(63);

select tests.make_user(u) from unnest(array['pia', 'omar']) as u;
select tests.make_user('carer', 'caregiver');
select tests.make_care('pia', 'carer');
select tests.open_chart('pia', 'carer');
-- An emergency of omar's: reviewed by ada, and objected to.
select tests.make_user('doc', 'doctor'), tests.make_user('ada', 'admin');
select tests.make_emergency('omar', 'doc', p_outcome => 'justified', p_reviewer => 'ada');
update public.chart_sessions set objected_at = now(), objection = 'x'
where patient_id = tests.uid('omar');

select is(
  tests.refusal(format('update public.care_relationships set %s where patient_id = %L',
    change, tests.uid('pia'))),
  outcome, format('care_relationships: %s: %s', left(change, 60), outcome)
)
from (values
  ($$kind = 'friend', scopes = '{}', status = 'ended', ends_at = now()$$,
    'care_relationships_kind_check'),
  ($$status = 'paused'$$, 'care_relationships_status_check'),
  (
    $$scopes = array[
      'records', 'tracking', 'medications', 'appointments', 'messages', 'sensitive'
    ]$$,
    'done'
  ),
  ($$scopes = array['records', 'money']$$, 'care_relationships_scopes_check'),
  ($$scopes = array['records', null]$$, 'care_relationships_scopes_check'),
  ($$scopes = '{}'$$, 'care_relationships_caregiver_scopes_check'),
  ($$scopes = '{}', status = 'ended', ends_at = now()$$, 'done'),
  ($$kind = 'doctor'$$, 'care_relationships_doctor_scopes_check'),
  ($$kind = 'doctor', scopes = '{}'$$, 'done'),
  ($$member_id = patient_id, requested_by = patient_id$$, 'care_relationships_people_check'),
  ($$requested_by = patient_id$$, 'done'),
  ($$requested_by = tests.uid('omar')$$, 'care_relationships_people_check'),
  ($$status = 'requested', starts_at = null$$, 'done'),
  ($$status = 'requested'$$, 'care_relationships_times_check'),
  ($$status = 'requested', starts_at = null, ends_at = now()$$, 'care_relationships_times_check'),
  ($$starts_at = null, ends_at = now()$$, 'care_relationships_times_check'),
  ($$starts_at = null$$, 'care_relationships_times_check'),
  ($$ends_at = now()$$, 'done'),
  ($$status = 'declined'$$, 'care_relationships_times_check'),
  ($$status = 'ended'$$, 'care_relationships_times_check'),
  ($$status = 'declined', starts_at = null, ends_at = now()$$, 'done'),
  ($$status = 'ended', ends_at = now()$$, 'done'),
  ($$status = 'ended', ends_at = now(), ended_reason = repeat('x', 500)$$, 'done'),
  ($$status = 'ended', ends_at = now(), ended_reason = repeat('x', 501)$$,
    'care_relationships_ended_reason_check')
) as t (change, outcome);

select is(
  tests.refusal(format('update public.chart_sessions set %s where patient_id = %L',
    change, tests.uid('pia'))),
  outcome, format('chart_sessions: %s: %s', left(change, 60), outcome)
)
from (values
  ($$purpose = 'curiosity'$$, 'chart_sessions_purpose_check'),
  ($$purpose = 'care_coordination'$$, 'done'),
  ($$reason = repeat('x', 1000)$$, 'done'),
  ($$reason = repeat('x', 1001)$$, 'chart_sessions_reason_check'),
  ($$expires_at = opened_at$$, 'chart_sessions_lifetime_check'),
  ($$expires_at = opened_at + interval '1 second'$$, 'done'),
  ($$expires_at = opened_at + interval '60 minutes'$$, 'done'),
  ($$expires_at = opened_at + interval '60 minutes 1 second'$$, 'chart_sessions_lifetime_check'),
  ($$viewer_id = patient_id$$, 'chart_sessions_people_check')
) as t (change, outcome);

select is(
  tests.refusal(format('update public.chart_sessions set %s where patient_id = %L',
    change, tests.uid('omar'))),
  outcome, format('chart_sessions, emergency: %s: %s', left(change, 60), outcome)
)
from (values
  ($$reason = repeat('x', 20)$$, 'done'),
  ($$reason = repeat('x', 19)$$, 'chart_sessions_emergency_check'),
  ($$reason = null$$, 'chart_sessions_emergency_check'),
  ($$expires_at = opened_at + interval '30 minutes'$$, 'done'),
  ($$expires_at = opened_at + interval '30 minutes 1 second'$$, 'chart_sessions_emergency_check'),
  ($$review_outcome = 'unjustified'$$, 'done'),
  ($$review_outcome = 'excused'$$, 'chart_sessions_review_outcome_check'),
  ($$reviewed_at = null, reviewed_by = null, review_outcome = null, review_note = null$$, 'done'),
  ($$reviewed_at = null$$, 'chart_sessions_review_check'),
  ($$reviewed_by = null$$, 'chart_sessions_review_check'),
  ($$review_outcome = null$$, 'chart_sessions_review_check'),
  ($$review_note = null$$, 'chart_sessions_review_check'),
  ($$reviewed_by = viewer_id$$, 'chart_sessions_review_check'),
  ($$reviewed_by = patient_id$$, 'chart_sessions_review_check'),
  ($$review_note = ''$$, 'chart_sessions_review_check'),
  ($$review_note = repeat('x', 1000)$$, 'done'),
  ($$review_note = repeat('x', 1001)$$, 'chart_sessions_review_check'),
  ($$objected_at = null, objection = null$$, 'done'),
  ($$objected_at = null$$, 'chart_sessions_objection_check'),
  ($$objection = null$$, 'chart_sessions_objection_check'),
  ($$objection = ''$$, 'chart_sessions_objection_check'),
  ($$objection = repeat('x', 1000)$$, 'done'),
  ($$objection = repeat('x', 1001)$$, 'chart_sessions_objection_check'),
  ($$purpose = 'treatment', objected_at = null, objection = null$$, 'chart_sessions_review_check'),
  (
    $$purpose = 'treatment', reviewed_at = null, reviewed_by = null, review_outcome = null,
      review_note = null$$,
    'chart_sessions_objection_check'
  )
) as t (change, outcome);

select is(
  tests.refusal(format($$
    insert into public.care_relationships (
      patient_id, member_id, kind, scopes, status, requested_by, starts_at, ends_at
    )
    select patient_id, member_id, kind, scopes, %L, requested_by, %s, %s
    from public.care_relationships where patient_id = tests.uid('pia')
  $$, status, starts_at, ends_at)),
  outcome, format('a second care relationship of the same two people, %s: %s', status, outcome)
)
from (values
  ('active', 'now()', 'null', 'care_relationships_one_open'),
  ('requested', 'null', 'null', 'care_relationships_one_open'),
  ('ended', 'now()', 'now()', 'done')
) as t (status, starts_at, ends_at, outcome);

select tests.make_emergency('pia', 'doc');
select is(
  tests.refusal($$
    insert into public.chart_sessions (patient_id, viewer_id, purpose, reason, expires_at)
    select tests.uid('omar'), viewer_id, purpose, reason, expires_at from public.chart_sessions
    where patient_id = tests.uid('pia') and purpose = 'emergency'
  $$),
  'chart_sessions_one_unreviewed_emergency', 'no second emergency while one waits for review'
);
update public.chart_sessions set reviewed_at = now(), reviewed_by = tests.uid('ada'),
  review_outcome = 'justified', review_note = 'x'
where patient_id = tests.uid('pia') and purpose = 'emergency';
select is(
  tests.refusal($$ select tests.make_emergency('omar', 'doc') $$), 'done',
  'another emergency once the first is reviewed'
);

select * from finish();
rollback;
