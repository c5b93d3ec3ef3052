-- Constraints of the audit trail, tried as the owner: whoever writes to it, words and keys are of one
-- form, so that they can be searched.
begin;
select plan(10);

select is(
  tests.refusal(format(
    $$ insert into public.audit_events (actor_role, action, resource_type) values ('system', %L, %L) $$,
    action, resource_type
  )),
  outcome, format('audit_events: %s, %s: %s', action, resource_type, outcome)
)
from (values
  ('open_chart', 'chart_session', 'done'),
  ('Open', 'profile', 'audit_events_action_check'),
  ('open__chart', 'profile', 'audit_events_action_check'),
  ('open chart', 'profile', 'audit_events_action_check'),
  ('', 'profile', 'audit_events_action_check'),
  ('create', 'Profile', 'audit_events_resource_type_check'),
  ('create', 'profile_', 'audit_events_resource_type_check'),
  ('create', '', 'audit_events_resource_type_check')
) as t (action, resource_type, outcome);

-- The month is what a row is filed under: its number need be no other's within it.
insert into public.audit_events (id, occurred_at, actor_role, action, resource_type)
overriding system value values (-1, now(), 'system', 'create', 'profile');
select is(
  tests.refusal($$
    insert into public.audit_events (id, occurred_at, actor_role, action, resource_type)
    overriding system value values (-1, now() + interval '1 second', 'system', 'create', 'profile')
  $$),
  'done', 'two rows of different times'
);
select matches(
  tests.refusal($$
    insert into public.audit_events (id, occurred_at, actor_role, action, resource_type)
    overriding system value values (-1, now(), 'system', 'create', 'profile')
  $$),
  '_pkey$', 'no two rows of one number and time'
);

select * from finish();
rollback;
