-- Reminders: who sees them, who makes, changes, shifts and deletes them, and what of a plan SQL checks.
-- The people of the ward; pia has a reminder of each kind.
begin;
select plan(152);

select tests.make_ward();
select tests.make_user('carer_med', 'caregiver'), tests.make_user('carer_visit', 'caregiver'), tests.make_user('carer_track', 'caregiver');
select tests.make_care('pia', 'carer_med', p_scopes => array['medications']);
select tests.make_care('pia', 'carer_visit', p_scopes => array['appointments']);
select tests.make_care('pia', 'carer_track', p_scopes => array['tracking']);
select tests.open_chart('pia', u) from unnest(array['carer_med', 'carer_visit', 'carer_track']) as u;

select tests.make_reminder(initcap(t), 'pia', array[now() + interval '1 hour', now() + interval '25 hours'], jsonb_build_object('reminder_type', t, 'starts_at_local', '2020-01-01T08:00:00', 'expanded_to', '2020-01-01'))
from unnest(array['medication', 'appointment', 'measurement', 'hydration', 'exercise', 'other']) as t;
select tests.make_reminder('Omars', 'omar', array[now() + interval '1 hour']);
insert into public.reminder_logs (id, reminder_id, user_id, reminder_type, timezone, grace_minutes, due_at, status)
select tests.id('log of ' || r.title), r.id, r.user_id, r.reminder_type, 'UTC', 60, now() - interval '1 day', 'missed'
from public.reminders as r;

-- Does what somebody does, and keeps it: 'done', or the refusal.
create function pg_temp.do(p_actor text, p_statement text) returns text language plpgsql as $$
begin
  if p_actor like 'anon' then
    perform tests.act_as_anon();
  elsif p_actor like '%\_role' then
    perform tests.act_as_role(p_actor);
  else
    perform tests.act_as(split_part(p_actor, '@', 1), nullif(split_part(p_actor, '@', 2), ''));
  end if;
  begin
    execute p_statement;
    perform tests.act_as_owner();
    return 'done';
  exception
    when raise_exception or insufficient_privilege then
      perform tests.act_as_owner();
      return sqlstate;
    when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' then
      perform tests.act_as_owner();
      return sqlstate || ' ' || sqlerrm;
  end;
end $$;

-- Reading ------------------------------------------------------------------------------------------

create function pg_temp.titles(p_actor text, p_table text) returns text language plpgsql as $$
declare
  v_titles text;
begin
  perform tests.act_as(split_part(p_actor, '@', 1), nullif(split_part(p_actor, '@', 2), ''));
  execute format(
    $sql$ select coalesce(string_agg(left(t.reminder_type, 3) || case when t.user_id = tests.id('omar') then ' of omar' else '' end, ' '
      order by t.user_id = tests.id('omar'), t.reminder_type), 'none') from public.%I as t $sql$, p_table
  ) into v_titles;
  perform tests.act_as_owner();
  return v_titles;
end $$;
select is(pg_temp.titles(actor, tab), sees, format('%s sees of %s: %s', actor, tab, sees))
from (values
  ('pia', 'app exe hyd mea med oth'),
  ('omar', 'med of omar'),
  ('share_view', 'none'),
  ('carer', 'none'),
  ('carer_med', 'med'),
  ('carer_visit', 'app'),
  ('carer_track', 'exe hyd mea oth'),
  ('carer_other', 'app exe hyd mea med oth'),
  ('carer_closed', 'none'),
  ('carer_ended', 'none'),
  ('doc', 'app exe hyd mea med oth'),
  ('doc@aal1', 'none'),
  ('doc_closed', 'none'),
  ('doc_ended', 'none'),
  ('doc_unverified', 'none'),
  ('doc_stranger', 'none'),
  ('admin', 'none')
) as t (actor, sees)
cross join unnest(array['reminders', 'reminder_logs']) as tab;

-- A clinician's own are for their second factor, too.
select tests.make_reminder('Own', 'doc', array[now() + interval '1 hour']);
insert into public.reminder_logs (reminder_id, user_id, reminder_type, timezone, grace_minutes, due_at, status)
values (tests.id('Own'), tests.id('doc'), 'medication', 'UTC', 60, now(), 'missed');
select is(tests.attempt(actor, statement), outcome, format('%s: %s: %s', actor, left(statement, 50), outcome))
from (values ('doc@aal1', '0'), ('doc', '1')) as t (actor, outcome)
cross join unnest(array[
  'select count(*) from public.reminders where user_id = auth.uid()', 'select count(*) from public.reminder_logs where user_id = auth.uid()'
]) as statement;
select is(tests.attempt('doc@aal1', 'delete from public.reminders returning 1'), '0', 'doc@aal1 deletes none');

-- Deleting -----------------------------------------------------------------------------------------

select is(tests.attempt(actor, format('delete from public.reminders where id = %L returning 1', tests.id('Other'))), outcome,
  format('%s deletes a reminder of pia''s: %s', actor, outcome))
from (values ('omar', '0'), ('carer_other', '0'), ('doc', '0'), ('admin', '0'), ('anon', '42501 grant')) as t (actor, outcome);
select tests.act_as('pia');
delete from public.reminders where id = tests.id('Other');
select tests.act_as_owner();
select is((select count(*) from public.reminders where id = tests.id('Other')), 0::bigint, 'its owner deletes a reminder');
select is((select count(*) from public.reminder_logs where reminder_id = tests.id('Other')), 0::bigint, 'with what was logged of it');
select is(
  (select count(*) from public.audit_events where resource_id = tests.id('Other') and action = 'delete' and actor_id = tests.id('pia') and patient_id = tests.id('pia')),
  1::bigint, 'and the audit trail has it'
);
select is(tests.attempt(actor, statement), '42501 grant', format('%s: %s', actor, left(statement, 60)))
from unnest(array['pia', 'doc', 'service_role']) as actor
cross join unnest(array[
  $$insert into public.reminders (user_id, title, reminder_type, starts_at_local, timezone) values (auth.uid(), 'x', 'other', now(), 'UTC')$$,
  $$update public.reminders set title = 'x'$$,
  $$insert into public.reminder_logs (reminder_id, user_id, reminder_type, timezone, grace_minutes, due_at, status)
    select null, null, 'other', 'UTC', 1, now(), 'missed'$$,
  $$update public.reminder_logs set status = 'completed', completed_at = now()$$,
  $$delete from public.reminder_logs$$
]) as statement;

-- Making -------------------------------------------------------------------------------------------

select tests.make_medicine('Tamoxifen', 'pia'), tests.make_medicine('Omars pill', 'omar');

create function pg_temp.create(p_actor text, p_rest text default '') returns text language sql as $$
  select pg_temp.do(p_actor, format(
    $sql$ select public.create_reminder('Pill', 'medication', '2030-03-01 08:00', 'Europe/Berlin' %s) $sql$, p_rest
  ))
$$;
select tests.act_as('pia');
create temp table made as
select public.create_reminder(
  'Pill', 'medication', '2030-03-01 08:00', 'Europe/Berlin', 'FREQ=DAILY', 'With food',
  array['2030-03-02 20:00']::timestamp[], array['2030-03-05 08:00']::timestamp[], 21, 7, 30, 10, 2,
  tests.id('carer_med'), tests.id('Tamoxifen'),
  array['2030-03-01 07:00Z', '2030-03-02 07:00Z']::timestamptz[], false, 0.75
) as id;
select tests.act_as_owner();
select results_eq(
  $$ select r.user_id, r.title, r.description, r.reminder_type, r.rrule, r.starts_at_local, r.timezone, r.rdate, r.exdate,
      r.cycle_days_on, r.cycle_days_off, r.shift_minutes, r.is_active, r.grace_minutes, r.repeat_every_minutes, r.max_repeats,
      r.escalate_to, r.medication_id, r.per_day, r.upcoming, r.next_due_at, r.expansion
    from public.reminders as r join made as m using (id) $$,
  $$ values (tests.id('pia'), 'Pill', 'With food', 'medication', 'FREQ=DAILY', '2030-03-01 08:00'::timestamp, 'Europe/Berlin',
      array['2030-03-02 20:00']::timestamp[], array['2030-03-05 08:00']::timestamp[], 21, 7, 0, true, 30, 10, 2,
      tests.id('carer_med'), tests.id('Tamoxifen'), 0.750, array['2030-03-01 07:00Z', '2030-03-02 07:00Z']::timestamptz[],
      '2030-03-01 07:00Z'::timestamptz, 'open') $$,
  'a reminder is as it was given, and due at the first occurrence'
);
select is(
  (select count(*) from public.audit_events as e join made as m on m.id = e.resource_id where e.action = 'create' and e.patient_id = tests.id('pia')),
  1::bigint, 'its making is in the audit trail'
);
select matches(pg_temp.create('pia'), '^done$', 'a plan without rule');
select results_eq(
  $$ select expansion, next_due_at from public.reminders where title = 'Pill' and rrule is null $$,
  $$ values ('stale', null::timestamptz) $$, 'that nobody worked out waits for the tick'
);
select is(pg_temp.create(actor, rest), outcome, format('%s makes one with %s: %s', actor, left(rest, 70), outcome))
from (values
  ('omar', '', 'done'), ('doc', '', 'done'), ('doc@aal1', '', 'PT403 mfa_required'), ('anon', '', '42501'), ('guest', '', 'done'),
  ('service_role', '', '42501'),
  ('pia', $$, p_rrule => 'FREQ=DAILY;BYHOUR=8,20', p_upcoming => array['2030-03-01 07:00Z'::timestamptz], p_is_complete => true$$, 'done'),
  ('pia', $$, p_rrule => ''$$, 'PT400 invalid_request'),
  ('pia', $$, p_rrule => 'DAILY'$$, 'PT400 invalid_request'),
  ('pia', $$, p_rrule => 'FREQ=DAILY;'$$, 'PT400 invalid_request'),
  ('pia', $$, p_rrule => 'COUNT=2'$$, 'PT400 invalid_request'),
  ('pia', $$, p_rrule => 'FREQ=DAILY;X-EVERY=2'$$, 'PT400 invalid_request'),
  ('pia', $$, p_rrule => 'freq=daily'$$, 'PT400 invalid_request'),
  ('pia', $$, p_medication_id => tests.id('Omars pill')$$, 'PT404 not_found'),
  ('pia', $$, p_escalate_to => tests.id('carer')$$, 'PT404 not_found'),
  ('pia', $$, p_escalate_to => tests.id('carer_track')$$, 'PT404 not_found'),
  ('pia', $$, p_escalate_to => tests.id('carer_ended')$$, 'PT404 not_found'),
  ('pia', $$, p_escalate_to => tests.id('doc')$$, 'PT404 not_found'),
  ('omar', $$, p_escalate_to => tests.id('carer_med')$$, 'PT404 not_found'),
  ('pia', $$, p_grace_minutes => 0$$, 'PT400 invalid_request'),
  ('pia', $$, p_max_repeats => 1$$, 'PT400 invalid_request'),
  ('pia', $$, p_cycle_days_on => 21$$, 'PT400 invalid_request'),
  ('pia', $$, p_per_day => 1000$$, 'PT400 invalid_request'),
  ('pia', $$, p_per_day => 'NaN'$$, 'PT400 invalid_request'),
  ('pia', $$, p_rdate => array['-infinity'::timestamp], p_upcoming => array['2030-03-02 07:00Z'::timestamptz]$$, 'PT400 invalid_request'),
  -- Occurrences that cannot be of this plan.
  ('pia', $$, p_upcoming => array['2030-03-01 06:59Z'::timestamptz]$$, 'PT400 invalid_request'),
  ('pia', $$, p_upcoming => array['2030-02-28 07:00Z'::timestamptz], p_rdate => array['2030-02-28 08:00'::timestamp]$$, 'done'),
  ('pia', $$, p_upcoming => array['2030-03-02 07:00Z', '2030-03-01 07:00Z']::timestamptz[]$$, 'PT400 invalid_request'),
  ('pia', $$, p_upcoming => array['2030-03-01 07:00Z', '2030-03-01 07:00Z']::timestamptz[]$$, 'PT400 invalid_request'),
  ('pia', $$, p_upcoming => array['2030-03-01 07:00Z', null]::timestamptz[]$$, 'PT400 invalid_request'),
  ('pia', $$, p_upcoming => array['infinity'::timestamptz]$$, 'PT400 invalid_request'),
  ('pia', $$, p_upcoming => array['-infinity'::timestamptz]$$, 'PT400 invalid_request'),
  ('pia', $$, p_upcoming => array['2030-10-27 00:30Z'::timestamptz]$$, 'done'),
  ('pia', $$, p_upcoming => array['2030-10-27 01:30Z'::timestamptz]$$, 'PT400 invalid_request'),
  ('pia', $$, p_upcoming => array(select '2030-03-01 07:00Z'::timestamptz + i * interval '1 day' from generate_series(0, 16) as i)$$,
    'PT400 invalid_request')
) as t (actor, rest, outcome);
select is(
  pg_temp.do('pia', format($$select public.create_reminder('Pill', 'medication', '2020-03-01 08:00', %L, p_upcoming => %L)$$, zone, upcoming)),
  outcome, format('in %s at %s: %s', zone, upcoming, outcome)
)
from (values
  ('UTC', '{}', 'done'), ('Mars/Olympus', '{}', 'PT400 invalid_request'), ('CET', '{}', 'PT400 invalid_request'),
  ('UTC', '{2020-03-01 08:00Z}', 'PT400 invalid_request'), ('Mars/Olympus', '{2099-03-01 08:00Z}', 'PT400 invalid_request'),
  ('Mars/Olympus167', '{2099-03-01 08:00Z}', 'PT400 invalid_request'),
  ('Etc/GMT-14', '{2099-03-01 08:00Z}', 'done'),
  ('UTC', format('{%s}', now() - interval '59 seconds'), 'done'), ('UTC', format('{%s}', now() - interval '60 seconds'), 'PT400 invalid_request')
) as t (zone, upcoming, outcome);

select tests.act_as('pia');
select public.create_reminder(
  'Bounds', 'other', '2030-03-01 08:00', 'UTC', 'FREQ=DAILY', p_rdate => '[3:4]={2030-05-01,2030-06-01}',
  p_exdate => '{{2030-07-01},{2030-08-01}}', p_upcoming => '[5:6]={2030-03-01 08:00Z,2030-03-02 08:00Z}'
);
select tests.act_as_owner();
select results_eq(
  $$ select next_due_at, upcoming, rdate, exdate from public.reminders where title = 'Bounds' $$,
  $$ values ('2030-03-01 08:00Z'::timestamptz, '{2030-03-01 08:00Z,2030-03-02 08:00Z}'::timestamptz[],
    '{2030-05-01,2030-06-01}'::timestamp[], '{2030-07-01,2030-08-01}'::timestamp[]) $$,
  'a list of another form is stored as one that counts from 1'
);

-- One account's many reminders are no burden to the ticks of all others.
select tests.make_user('busy');
select tests.make_reminder('Busy ' || i, 'busy', '{}') from generate_series(1, 499) as i;
select is(pg_temp.create('busy'), 'done', 'an account has 500 reminders');
select is(pg_temp.create('busy'), 'PT409 limit_reached', 'and no more');
select is(pg_temp.create('omar'), 'done', 'which is nothing to others');
select tests.act_as('busy');
select lives_ok(
  format($$ select public.update_reminder(%L, 'Full', 'other', '2030-01-01 08:00', 'UTC') $$, tests.id('Busy 1')),
  'one of the 500 can be changed'
);
select tests.act_as_owner();

-- Changing -----------------------------------------------------------------------------------------

create function pg_temp.change(p_actor text, p_rest text default '', p_id uuid default null, p_rule text default 'FREQ=DAILY')
  returns text language sql as $$
  select pg_temp.do(p_actor, format(
    $sql$ select public.update_reminder(%L, 'Changed', 'medication', '2020-01-01 08:00', 'UTC', %L %s) $sql$,
    coalesce(p_id, tests.id('Medication')), p_rule, p_rest
  ))
$$;
create function pg_temp.plan_of() returns text language sql as $$
  select concat_ws(' ', r.title, r.rrule, r.expansion, cardinality(r.upcoming), r.expanded_to = now(), r.is_active, r.per_day)
  from public.reminders as r where r.id = tests.id('Medication')
$$;
select is(pg_temp.change(actor), 'PT404 not_found', format('%s cannot change pia''s', actor))
from unnest(array['omar', 'carer_med', 'doc', 'admin']) as actor;
select is(pg_temp.change('pia', p_id => gen_random_uuid()), 'PT404 not_found', 'nor pia what is not there');
select is(pg_temp.change('pia', $$, p_upcoming => array[now() + interval '3 days']$$), 'done', 'pia changes a title');
select is(pg_temp.plan_of(), 'Changed FREQ=DAILY open 2 f t', 'and when it is due stays as it is');
select is(
  (select new_values from public.audit_events where resource_id = tests.id('Medication') and action = 'update' order by id desc limit 1),
  '{"title": "Changed"}'::jsonb, 'the audit trail says what has changed'
);
select is(pg_temp.change('pia', $$, p_upcoming => array[now() + interval '3 days'], p_per_day => 1$$, p_rule => 'FREQ=WEEKLY'), 'done', 'a new plan');
select is(pg_temp.plan_of(), 'Changed FREQ=WEEKLY open 1 t t 1.000', 'is due by its own occurrences, from now on');
select is(pg_temp.change('pia', '', p_rule => 'FREQ=MONTHLY'), 'done', 'a new plan that nobody worked out');
select is(pg_temp.plan_of(), 'Changed FREQ=MONTHLY stale 0 t t', 'waits for the tick');
update public.reminders set upcoming = array[now() - interval '1 minute', now() + interval '1 day'], expansion = 'open', expanded_to = now() - interval '1 day'
where id = tests.id('Medication');
select is(pg_temp.change('pia', $$, p_upcoming => array[now() + interval '3 days']$$), 'done', 'a plan whose occurrence no tick has taken yet');
select is(
  (select upcoming from public.reminders where id = tests.id('Medication')), array[now() - interval '1 minute', now() + interval '3 days'],
  'keeps it'
);
update public.reminders set upcoming = array(select now() - i * interval '1 minute' from generate_series(16, 1, -1) as i)
where id = tests.id('Medication');
select pg_temp.change('pia', $$, p_upcoming => array[now() + interval '3 days'], p_is_complete => true$$, p_rule => 'FREQ=WEEKLY');
select is(pg_temp.plan_of(), 'Changed FREQ=WEEKLY open 16 t t', 'as many as there is room for, and the rest is worked out again');
select pg_temp.change('pia', $$, p_is_active => false$$, p_rule => 'FREQ=WEEKLY');
select is(pg_temp.plan_of(), 'Changed FREQ=WEEKLY stale 0 t f', 'a paused one is not due');
update public.reminders set expanded_to = now() - interval '1 year' where id = tests.id('Medication');
select pg_temp.change('pia', p_rule => 'FREQ=WEEKLY');
select is(pg_temp.plan_of(), 'Changed FREQ=WEEKLY stale 0 t t', 'one that goes on does so from now');

-- Shifting -----------------------------------------------------------------------------------------

select tests.make_reminder('Berlin', 'pia', array['2030-03-30 07:00Z', '2030-03-31 00:15Z', '2030-03-31 06:00Z']::timestamptz[],
  '{"timezone": "Europe/Berlin", "expanded_to": "2030-03-29T07:00:00Z"}');
select is(pg_temp.do(actor, format('select public.shift_plan(%L, 30)', tests.id('Berlin'))), 'PT404 not_found', format('%s cannot shift pia''s', actor))
from unnest(array['omar', 'carer_med', 'doc']) as actor;
select is(pg_temp.do('pia', format('select public.shift_plan(%L, %s)', tests.id('Berlin'), minutes)), outcome, format('shift by %s: %s', minutes, outcome))
from (values ('721', 'PT400 invalid_request'), ('-721', 'PT400 invalid_request'), ('null', 'PT400 invalid_request')) as t (minutes, outcome);
select tests.act_as('pia');
select is(public.shift_plan(tests.id('Berlin'), 60), '2030-03-30 08:00Z'::timestamptz, 'a shift answers when it is due next');
select tests.act_as_owner();
-- 01:15 plus an hour is 02:15, which does not come that day; 08:00 plus an hour is 09:00 in summer.
select results_eq(
  $$ select upcoming, shift_minutes, expansion, expanded_to from public.reminders where id = tests.id('Berlin') $$,
  $$ values (array['2030-03-30 08:00Z', '2030-03-31 01:15Z', '2030-03-31 07:00Z']::timestamptz[], 60, 'stale', '2030-03-29 08:00Z'::timestamptz) $$,
  'the whole plan moves on the wall clock'
);
select is(pg_temp.do('pia', format('select public.shift_plan(%L, 720)', tests.id('Berlin'))), 'done', 'shifts add up');
select is(pg_temp.do('pia', format('select public.shift_plan(%L, 720)', tests.id('Berlin'))), 'PT400 invalid_request', 'to a day at most');
select is((select shift_minutes from public.reminders where id = tests.id('Berlin')), 780, 'and one too many changes nothing');

-- Closing the account ------------------------------------------------------------------------------

select tests.act_as('pia');
select public.close_account();
select tests.act_as_owner();
select is((select count(*) from public.reminders where user_id = tests.id('pia') and is_active), 0::bigint, 'a closed account is reminded of nothing');
select is((select count(*) from public.reminders where user_id = tests.id('omar') and not is_active), 0::bigint, 'others are');

-- Wall clock ---------------------------------------------------------------------------------------

select is(private.wall_instant(local, zone), at, format('%s in %s is %s', local, zone, at))
from (values
  ('2026-03-08 01:59:59'::timestamp, 'America/New_York', '2026-03-08 06:59:59Z'::timestamptz),
  ('2026-03-08 02:30', 'America/New_York', '2026-03-08 07:30Z'),
  ('2026-03-08 03:30', 'America/New_York', '2026-03-08 07:30Z'),
  ('2026-11-01 01:30', 'America/New_York', '2026-11-01 05:30Z'),
  ('2026-11-01 02:00', 'America/New_York', '2026-11-01 07:00Z'),
  ('2026-04-05 01:45', 'Australia/Lord_Howe', '2026-04-04 14:45Z'),
  ('2011-12-30 12:00', 'Pacific/Apia', '2011-12-30 22:00Z')
) as t (local, zone, at);

select * from finish();
rollback;
