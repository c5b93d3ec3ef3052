-- The tick: what is due is told once and moves on; what is late, unanswered, snoozed or escalated; the
-- plans that have to be worked out ahead. Pia and omar have reminders; carer and other are caregivers
-- of pia's, of whom carer has the scope medications.
begin;
select plan(96);

select tests.make_user(u) from unnest(array['pia', 'omar']) as u;
select tests.make_user(u, 'caregiver') from unnest(array['carer', 'other']) as u;
select tests.make_care('pia', 'carer', p_scopes => array['medications']);
select tests.make_care('pia', 'other', p_scopes => array['records', 'tracking']);

-- As the worker; answers what was done, for example "1 claimed, 1 sent, 0 missed".
create function pg_temp.tick(p_now timestamptz, p_limit integer default 100) returns text
  language plpgsql as $$
declare
  v_done text;
begin
  perform tests.act_as_role('reminder_worker');
  select format('%s claimed, %s sent, %s missed', t.claimed, t.sent, t.missed) into v_done
  from private.tick_reminders(p_now, p_limit) as t;
  perform tests.act_as_owner();
  return v_done;
end $$;
create function pg_temp.follow_up(p_now timestamptz, p_limit integer default 100) returns text
  language plpgsql as $$
declare
  v_done text;
begin
  perform tests.act_as_role('reminder_worker');
  select format('%s claimed, %s repeated, %s missed, %s escalated', t.claimed, t.repeated, t.missed, t.escalated)
  into v_done
  from private.follow_up_reminders(p_now, p_limit) as t;
  perform tests.act_as_owner();
  return v_done;
end $$;
-- What became of a reminder's occurrences, the oldest first: "01-10 08:00 sent, …".
create function pg_temp.log_of(p_name text) returns text language sql as $$
  select string_agg(to_char(l.due_at, 'MM-DD HH24:MI') || ' ' || l.status, ', ' order by l.due_at)
  from public.reminder_logs as l where l.reminder_id = tests.id(p_name)
$$;
create function pg_temp.told(p_handle text) returns text language sql as $$
  select coalesce(string_agg(what, ', ' order by what), 'nothing') from (
    select count(*) || ' ' || n.kind as what from public.notifications as n
    where n.user_id = tests.uid(p_handle) group by n.kind
  ) as t
$$;
create function pg_temp.log_id(p_name text) returns uuid language sql as $$
  select l.id from public.reminder_logs as l where l.reminder_id = tests.id(p_name) order by l.due_at desc limit 1
$$;
create function pg_temp.every(p_from timestamptz, p_step interval, p_count integer) returns timestamptz[]
  language sql as $$ select array_agg(p_from + i * p_step order by i) from generate_series(0, p_count - 1) as i $$;

-- On time ------------------------------------------------------------------------------------------

select tests.make_reminder('Pill', 'pia', pg_temp.every('2027-01-10 08:00Z', '1 day', 3));
select tests.make_reminder('Later', 'pia', pg_temp.every('2027-01-10 08:01Z', '1 day', 3));
select tests.make_reminder('Paused', 'pia', pg_temp.every('2027-01-10 08:00Z', '1 day', 3), '{"is_active": false}');
select tests.make_reminder('Done with', 'pia', '{}', '{"expansion": "complete"}');

select is(pg_temp.tick('2027-01-10 07:59:59.999Z'), '0 claimed, 0 sent, 0 missed', 'nothing is told before it is due');
select is(pg_temp.tick('2027-01-10 08:00Z'), '1 claimed, 1 sent, 0 missed', 'what is due is told at its second');
select is(pg_temp.log_of('Pill'), '01-10 08:00 sent', 'its occurrence is logged');
select is(pg_temp.told('pia'), '1 reminder_due', 'its owner is told');
select results_eq(
  $$ select n.data, n.title from public.notifications as n $$,
  $$ values (jsonb_build_object('reminder_id', tests.id('Pill'), 'log_id', pg_temp.log_id('Pill')), 'You have a reminder') $$,
  'by ids, in words without health data'
);
select results_eq(
  $$ select next_due_at, expanded_to, upcoming from public.reminders where id = tests.id('Pill') $$,
  $$ values ('2027-01-11 08:00Z'::timestamptz, '2027-01-10 08:00Z'::timestamptz, pg_temp.every('2027-01-11 08:00Z', '1 day', 2)) $$,
  'the next one is due in the same transaction'
);
select results_eq(
  $$ select l.user_id, l.reminder_type, l.timezone, l.grace_minutes, l.follow_up_at, l.completed_at from public.reminder_logs as l $$,
  $$ values (tests.id('pia'), 'medication', 'UTC', 60, '2027-01-10 09:00Z'::timestamptz, null::timestamptz) $$,
  'the log keeps what held, and is looked at again when its time is over'
);
select is(pg_temp.tick('2027-01-10 08:00Z'), '0 claimed, 0 sent, 0 missed', 'a second tick finds nothing');
select is(pg_temp.tick('2027-01-09 08:00Z'), '0 claimed, 0 sent, 0 missed', 'nor does one whose clock went back a day');
select is(pg_temp.tick('2027-01-10 09:00Z'), '1 claimed, 1 sent, 0 missed', 'one that comes within the grace is told');
select is(pg_temp.log_of('Paused'), null, 'what is paused is not told');

select is(
  (select l.follow_up_at from public.reminder_logs as l where l.reminder_id = tests.id('Later')), '2027-01-10 10:00Z'::timestamptz,
  'and has a grace to be answered in, from when it is told'
);

-- A plan that yields an instant again that was logged.
update public.reminders set upcoming = pg_temp.every('2027-01-10 08:00Z', '1 day', 2) where id = tests.id('Pill');
select is(pg_temp.tick('2027-01-10 08:10Z'), '1 claimed, 0 sent, 0 missed', 'an occurrence that was logged is not logged again');
select is(pg_temp.told('pia'), '2 reminder_due', 'nor told again');

-- Late ---------------------------------------------------------------------------------------------

delete from public.reminders; delete from public.notifications;
select tests.make_reminder('Water', 'pia', pg_temp.every('2027-01-10 06:00Z', '30 minutes', 14), '{"grace_minutes": 45}');
select tests.make_reminder('Walk', 'pia', pg_temp.every('2027-01-10 07:00Z', '1 day', 2));
select tests.make_reminder('Old', 'pia', pg_temp.every('2027-01-10 10:59:59Z', '1 day', 2));
select tests.make_reminder('Young', 'pia', pg_temp.every('2027-01-10 11:00Z', '1 day', 2));
select tests.make_reminder('Scan', 'omar', pg_temp.every('2027-01-10 06:00Z', '1 day', 2));

select is(pg_temp.tick('2027-01-10 12:00Z'), '5 claimed, 3 sent, 14 missed', 'six hours late: what is still of use is sent, the rest missed');
select is(
  pg_temp.log_of('Water'),
  '01-10 06:00 missed, 01-10 06:30 missed, 01-10 07:00 missed, 01-10 07:30 missed, 01-10 08:00 missed, '
    || '01-10 08:30 missed, 01-10 09:00 missed, 01-10 09:30 missed, 01-10 10:00 missed, 01-10 10:30 missed, '
    || '01-10 11:00 missed, 01-10 11:30 sent, 01-10 12:00 sent',
  'every occurrence is logged, none twice'
);
select is(pg_temp.log_of('Old'), '01-10 10:59 missed', 'a second over the grace is missed');
select is(pg_temp.log_of('Young'), '01-10 11:00 sent', 'to the grace is sent');
select is(pg_temp.told('pia'), '1 reminder_missed, 2 reminder_due', 'one word a reminder, and one of all that was missed');
select is(pg_temp.told('omar'), '1 reminder_missed', 'each for themselves');
select is(
  (select n.data ->> 'log_id' from public.notifications as n where n.data ->> 'reminder_id' = tests.id('Water')::text),
  pg_temp.log_id('Water')::text, 'the newest speaks for the reminder'
);
select is(
  (select next_due_at from public.reminders where id = tests.id('Water')), '2027-01-10 12:30Z'::timestamptz,
  'the next one is the first to come'
);
select is(pg_temp.tick('2027-01-12 12:00Z'), '5 claimed, 0 sent, 5 missed', 'two days on');
select is(pg_temp.told('pia'), '1 reminder_missed, 2 reminder_due', 'a summary that is unread already says it');

-- Batches ------------------------------------------------------------------------------------------

delete from public.reminders; delete from public.notifications;
select tests.make_reminder('R' || i, 'pia', array['2027-01-10 08:00Z'::timestamptz]) from generate_series(1, 5) as i;
select is(pg_temp.tick('2027-01-10 08:00Z', 2), '2 claimed, 2 sent, 0 missed', 'a batch is no larger than asked for');
select tests.act_as_role('reminder_worker');
select results_eq(
  $$ select t.claimed, t.last_due_at, t.last_id from private.tick_reminders('2027-01-10 08:00Z', 100, '2027-01-10 08:00Z',
    (select max(id::text)::uuid from (select tests.id('R' || i) as id from generate_series(1, 5) as i) as all_of_them)) as t $$,
  $$ values (0, null::timestamptz, null::uuid) $$,
  'behind the last row there is none'
);
select results_eq(
  $$ select t.claimed, t.last_id from private.tick_reminders('2027-01-10 08:00Z', 100, '2027-01-10 07:59Z', tests.id('x')) as t $$,
  $$ values (3, (select max(id::text)::uuid from (select tests.id('R' || i) as id from generate_series(1, 5) as i) as all_of_them)) $$,
  'a batch begins behind a row, and says which is its last'
);
select tests.act_as_owner();
select is(
  (select array_agg(distinct cardinality(upcoming)) from public.reminders), array[0], 'all of them have moved on'
);

-- Repeating, and what comes after ------------------------------------------------------------------

delete from public.reminders; delete from public.notifications;
select tests.make_reminder(
  'Pill', 'pia', pg_temp.every('2027-01-10 08:00Z', '1 day', 3),
  jsonb_build_object('repeat_every_minutes', 10, 'max_repeats', 2, 'escalate_to', tests.id('carer'))
);
select pg_temp.tick('2027-01-10 08:00Z');
select is(pg_temp.follow_up('2027-01-10 08:09:59Z'), '0 claimed, 0 repeated, 0 missed, 0 escalated', 'not yet');
select is(pg_temp.follow_up('2027-01-10 08:10Z'), '1 claimed, 1 repeated, 0 missed, 0 escalated', 'told again after ten minutes');
select is(pg_temp.follow_up('2027-01-10 08:20Z'), '1 claimed, 1 repeated, 0 missed, 0 escalated', 'and once more');
select is(pg_temp.told('carer'), 'nothing', 'nobody else knows so far');
select is(pg_temp.follow_up('2027-01-10 08:30Z'), '1 claimed, 0 repeated, 1 missed, 1 escalated', 'then it is missed, and escalated');
select is(pg_temp.told('pia'), '3 reminder_due', 'three times in all');
select is(pg_temp.told('carer'), '1 reminder_escalated', 'the caregiver is told');
select is(
  (select n.data from public.notifications as n where n.user_id = tests.id('carer')),
  jsonb_build_object('patient_id', tests.id('pia')), 'of whom'
);
select results_eq(
  $$ select l.status, l.escalated_at, l.follow_up_at from public.reminder_logs as l $$,
  $$ values ('missed', '2027-01-10 08:30Z'::timestamptz, null::timestamptz) $$, 'and it is closed'
);
select is(pg_temp.follow_up('2027-01-11 08:30Z'), '0 claimed, 0 repeated, 0 missed, 0 escalated', 'for good');

update public.reminder_logs set status = 'snoozed', snoozed_until = '2027-01-11 07:00Z', follow_up_at = '2027-01-11 07:00Z';
select pg_temp.follow_up('2027-01-11 07:00Z');
select is(
  (select l.escalated_at from public.reminder_logs as l), '2027-01-10 08:30Z'::timestamptz,
  'what is snoozed after that, and told again, was escalated all the same'
);
update public.reminder_logs set status = 'missed', repeats_sent = 2, follow_up_at = null;

-- What an escalation needs.
create function pg_temp.escalations(p_change text) returns text language plpgsql as $$
declare
  v_done text;
begin
  delete from public.notifications where user_id <> tests.id('pia');
  update public.reminder_logs set status = 'sent', escalated_at = null, follow_up_at = '2027-01-10 08:30Z';
  execute p_change;
  v_done := pg_temp.follow_up('2027-01-10 08:30Z');
  return split_part(v_done, ', ', 4);
end $$;
select is(pg_temp.escalations('select'), '1 escalated', 'in care, with the scope');
select is(pg_temp.escalations(change), '0 escalated', change)
from (values
  ($$update public.care_relationships set scopes = '{tracking}' where member_id = tests.id('carer')$$),
  ($$update public.care_relationships set scopes = '{medications}', status = 'ended', ends_at = now() where member_id = tests.id('carer')$$),
  ($$update public.reminders set escalate_to = tests.id('other')$$),
  ($$update public.reminders set escalate_to = null$$)
) as t (change);
select is(pg_temp.told('other'), 'nothing', 'who has not the scope learns nothing');
update public.reminder_logs set reminder_type = 'hydration';
select is(
  pg_temp.escalations($$update public.reminders set escalate_to = tests.id('other')$$), '1 escalated',
  'the scope follows what was to be done'
);
select is(pg_temp.escalations('update public.reminders set is_active = false'), '0 escalated', 'a paused reminder is nobody''s concern');

-- Two of one patient in one batch are one word to the caregiver.
delete from public.reminders; delete from public.notifications;
update public.care_relationships set status = 'active', ends_at = null where member_id = tests.id('carer');
select tests.make_reminder(u, 'pia', array['2027-01-10 08:00Z'::timestamptz], jsonb_build_object('escalate_to', tests.id('carer')))
from unnest(array['Pill', 'Drop']) as u;
select pg_temp.tick('2027-01-10 08:00Z');
select is(pg_temp.follow_up('2027-01-10 09:00Z'), '2 claimed, 0 repeated, 2 missed, 2 escalated', 'without repeats, missed when the grace is over');
select is(pg_temp.told('carer'), '1 reminder_escalated', 'told once of a patient');

-- Nor is every other batch one.
update public.reminder_logs set status = 'sent', follow_up_at = '2027-01-10 09:01Z';
select is(pg_temp.follow_up('2027-01-10 09:01Z'), '2 claimed, 0 repeated, 2 missed, 2 escalated', 'what is not answered soon after');
select is(pg_temp.told('carer'), '1 reminder_escalated', 'is no other word');
update public.notifications set created_at = now() - interval '15 minutes' where user_id = tests.id('carer');
update public.reminder_logs set status = 'sent', follow_up_at = '2027-01-10 09:16Z';
select pg_temp.follow_up('2027-01-10 09:16Z');
select is(pg_temp.told('carer'), '2 reminder_escalated', 'after 15 minutes it is, read or not');

-- Repeats that are of no use any more.
delete from public.reminders; delete from public.notifications;
select tests.make_reminder(
  'Pill', 'pia', pg_temp.every('2027-01-10 08:00Z', '6 hours', 3), '{"repeat_every_minutes": 10, "max_repeats": 5}'
);
select pg_temp.tick('2027-01-10 08:00Z');
select is(pg_temp.follow_up('2027-01-10 09:10:01Z'), '1 claimed, 0 repeated, 1 missed, 0 escalated', 'a repeat that is over the grace late is not sent');
select pg_temp.tick('2027-01-10 14:00Z'), pg_temp.tick('2027-01-10 20:00Z');
select is(pg_temp.follow_up('2027-01-10 20:10Z'), '2 claimed, 1 repeated, 1 missed, 0 escalated', 'an occurrence is not repeated when the next has come');
select is(pg_temp.log_of('Pill'), '01-10 08:00 missed, 01-10 14:00 missed, 01-10 20:00 sent', 'only the newest waits');

-- Snoozed ------------------------------------------------------------------------------------------

update public.reminder_logs set status = 'snoozed', repeats_sent = 4, snoozed_until = '2027-01-10 21:00Z', follow_up_at = '2027-01-10 21:00Z'
where id = pg_temp.log_id('Pill');
delete from public.notifications;
select is(pg_temp.follow_up('2027-01-10 20:59Z'), '0 claimed, 0 repeated, 0 missed, 0 escalated', 'what is snoozed sleeps');
select is(pg_temp.follow_up('2027-01-10 21:00Z'), '1 claimed, 1 repeated, 0 missed, 0 escalated', 'and is told when it was asked for');
select results_eq(
  $$ select status, repeats_sent, snoozed_until, follow_up_at from public.reminder_logs where id = pg_temp.log_id('Pill') $$,
  $$ values ('sent', 0, null::timestamptz, '2027-01-10 21:10Z'::timestamptz) $$, 'as if anew'
);
select is(pg_temp.told('pia'), '1 reminder_due', 'once');

-- Refills ------------------------------------------------------------------------------------------

select tests.make_medicine('Low', 'pia', 3), tests.make_medicine('Enough', 'pia', 300);
update public.medications set refill_due_at = '2027-01-10 09:00Z' where id = tests.id('Low');
select tests.act_as_role('reminder_worker');
select is(private.notify_refills('2027-01-10 08:59Z', 10), 0, 'no refill before its hour');
select is(private.notify_refills('2027-01-10 09:00Z', 10), 1, 'a medicine that runs low is told');
select is(private.notify_refills('2027-01-10 09:01Z', 10), 0, 'once');
select tests.act_as_owner();
select is(pg_temp.told('pia'), '1 medication_refill, 1 reminder_due', 'to its owner');
update public.medications set refill_due_at = '2027-01-10 19:00Z', refill_notified_at = null where id = tests.id('Low');
select tests.act_as_role('reminder_worker');
select is(private.notify_refills('2027-01-10 23:00Z', 10), 0, 'a tick that comes at night tells no refill');
select is(private.notify_refills('2027-01-11 08:59Z', 10), 0, 'nor before the next day');
select is(private.notify_refills('2027-01-11 09:00Z', 10), 1, 'but then');
select tests.act_as_owner();

-- Working out ahead --------------------------------------------------------------------------------

delete from public.reminders;
select tests.make_reminder('Stale', 'pia', '{}', '{"expansion": "stale", "shift_minutes": 30, "cycle_days_on": 21, "cycle_days_off": 7, "rdate": ["2027-02-01T08:00:00"]}');
select tests.make_reminder('Few', 'pia', pg_temp.every('2027-01-10 08:00Z', '1 day', 3));
select tests.make_reminder('Enough', 'pia', pg_temp.every('2027-01-10 08:00Z', '1 day', 4));
select tests.make_reminder('Last', 'pia', pg_temp.every('2027-01-10 08:00Z', '1 day', 1), '{"expansion": "complete"}');
select tests.make_reminder('Paused', 'pia', '{}', '{"expansion": "stale", "is_active": false}');
select tests.act_as_role('reminder_worker');
select results_eq(
  $$ select id, rrule, starts_at_local, timezone, rdate, exdate, cycle_days_on, cycle_days_off, shift_minutes, expand_after, wanted, is_stale
     from private.reminders_to_expand(10) order by is_stale $$,
  $$ values
    (tests.id('Few'), 'FREQ=DAILY', '2027-01-01T08:00:00', 'UTC', '[]'::jsonb, '[]'::jsonb, null::integer, null::integer, 0,
      '2027-01-12T08:00:00.000000Z', 13, false),
    (tests.id('Stale'), 'FREQ=DAILY', '2027-01-01T08:00:00', 'UTC', '["2027-02-01T08:00:00"]', '[]', 21, 7, 30,
      '2027-01-01T00:00:00.000000Z', 16, true) $$,
  'what is stale, or has few left, has to be worked out'
);
select is((select count(*) from private.reminders_to_expand(1)), 1::bigint, 'so many at a time');
create function pg_temp.store(p_name text, p_rest jsonb, p_token text default null) returns integer language sql as $$
  select private.store_expansions(jsonb_build_array(jsonb_build_object(
    'id', tests.id(p_name), 'token', coalesce(p_token, (select e.token from private.reminders_to_expand(10) as e where e.id = tests.id(p_name)))
  ) || p_rest))
$$;
select is(pg_temp.store('Few', '{"upcoming": ["2027-01-13T08:00Z"]}', '1'), 0, 'a row that has changed keeps what it has');
select is(pg_temp.store('Few', '{"upcoming": ["2027-01-13T08:00Z"], "is_complete": false}'), 1, 'what was worked out is stored');
select is(pg_temp.store('Stale', '{"upcoming": ["2027-01-13T08:30Z"], "is_complete": true, "per_day": 0.75}'), 1, 'for a new plan, too');
select tests.act_as_owner();
select results_eq(
  $$ select upcoming, expansion, per_day, is_active from public.reminders where id in (tests.id('Few'), tests.id('Stale')) order by expansion $$,
  $$ values (array['2027-01-13 08:30Z'::timestamptz], 'complete', 0.75, true),
    (pg_temp.every('2027-01-10 08:00Z', '1 day', 4), 'open', null, true) $$,
  'behind what there was, or in its place'
);
update public.reminders set expansion = 'stale', upcoming = pg_temp.every('2027-01-10 08:00Z', '1 day', 3), expanded_to = '2027-01-11 12:00Z'
where id = tests.id('Stale');
select tests.act_as_role('reminder_worker');
select is((select wanted from private.reminders_to_expand(10) where id = tests.id('Stale')), 14, 'what came due under the plan before keeps its places');
select pg_temp.store('Stale', '{"upcoming": ["2027-01-20T08:00Z"]}');
select tests.act_as_owner();
select is(
  (select upcoming from public.reminders where id = tests.id('Stale')),
  array['2027-01-10 08:00Z', '2027-01-11 08:00Z', '2027-01-20 08:00Z']::timestamptz[], 'and stays'
);
update public.reminders set expansion = 'stale' where id = tests.id('Stale');
select tests.act_as_role('reminder_worker');
select is(pg_temp.store('Stale', '{"upcoming": [], "is_refused": true}'), 1, 'a rule that is none is refused');
select tests.act_as_owner();
select results_eq(
  $$ select is_active, upcoming, expansion from public.reminders where id = tests.id('Stale') $$,
  $$ values (false, '{}'::timestamptz[], 'refused') $$, 'its reminder ends'
);
select results_eq(
  $$ select n.user_id, n.data, n.title from public.notifications as n where n.kind = 'reminder_stopped' $$,
  $$ values (tests.id('pia'), jsonb_build_object('reminder_id', tests.id('Stale')), 'A reminder has stopped') $$,
  'and its owner is told'
);
update public.reminders set is_active = true, expansion = 'stale' where id = tests.id('Stale');
select tests.act_as_role('reminder_worker');
select pg_temp.store('Stale', '{"upcoming": [], "is_refused": true}');
select is((select count(*) from private.reminders_to_expand(10) where id = tests.id('Stale')), 0::bigint, 'what has stopped is not worked out again');
select tests.act_as_owner();
select is((select count(*) from public.notifications where kind = 'reminder_stopped'), 1::bigint, 'and told once while that is unread');
select tests.act_as_role('reminder_worker');
select tests.act_as_owner();
select is(
  (select new_values from public.audit_events where resource_id = tests.id('Stale') and action = 'update' order by id desc limit 1),
  '{"is_active": false}'::jsonb, 'and the audit trail says so'
);
select is(
  (select count(*) from public.audit_events where resource_id = tests.id('Few') and action = 'update'), 0::bigint,
  'what the tick does is no change of a person''s'
);

select is(tests.attempt(actor, statement), '42501 grant', format('%s: %s', actor, left(statement, 50)))
from unnest(array['pia', 'service_role', 'notification_worker']) as actor
cross join unnest(array[
  $$select private.tick_reminders(now(), 1)$$, $$select private.follow_up_reminders(now(), 1)$$,
  $$select private.notify_refills(now(), 1)$$, $$select private.reminders_to_expand(1)$$,
  $$select private.store_expansions('[]')$$
]) as statement;

select * from finish();
rollback;
