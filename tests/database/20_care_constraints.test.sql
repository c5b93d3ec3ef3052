-- Constraints of care, each on both sides of its limit, tried as the owner: whatever grants,
-- policies and functions let through, a row cannot say more than this.
begin;
select plan(33);

select tests.make_user(u) from unnest(array['pia', 'omar']) as u;
select tests.make_user('carer', 'caregiver');
select tests.make_care('pia', 'carer');
select tests.open_chart('pia', 'carer');

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

select * from finish();
rollback;
