-- Answers: done, skipped, later, from any state; what comes next; how a plan was kept. Pia has
-- reminders, omar too; carer_med is pia's caregiver with the scope medications, chart open.
begin;
select plan(101);

select tests.make_user(u) from unnest(array['pia', 'omar']) as u;
select tests.make_user('carer_med', 'caregiver'), tests.make_user('carer', 'caregiver'), tests.make_user('doc', 'doctor');
select tests.make_care('pia', 'carer_med', p_scopes => array['medications']);
select tests.open_chart('pia', u) from unnest(array['carer_med', 'carer', 'doc']) as u;
select tests.make_medicine('Tamoxifen', 'pia', 10);
update public.medications set units_per_dose = 2;
select tests.make_reminder('Pill', 'pia', array[now() + interval '2 hours', now() + interval '26 hours'],
  jsonb_build_object('medication_id', tests.id('Tamoxifen'), 'timezone', 'Asia/Kolkata', 'per_day', 1));

-- One occurrence of the pill, an hour ago unless said otherwise, in a status.
create function pg_temp.log(p_name text, p_status text default 'sent', p_due interval default '-1 hour') returns uuid language sql as $$
  insert into public.reminder_logs (
    id, reminder_id, user_id, reminder_type, medication_id, timezone, grace_minutes, due_at, status, completed_at, snoozed_until, follow_up_at
  )
  select tests.id(p_name), r.id, r.user_id, r.reminder_type, r.medication_id, r.timezone, 60, now() + p_due, p_status,
    case p_status when 'completed' then now() - interval '10 minutes' end, case p_status when 'snoozed' then now() end,
    case when p_status in ('sent', 'snoozed') then now() end
  from public.reminders as r where r.id = tests.id('Pill')
  returning id
$$;
-- What somebody gets for an answer, which holds: 'done', or the refusal.
create function pg_temp.answer(p_actor text, p_statement text) returns text language plpgsql as $$
begin
  perform tests.act_as(split_part(p_actor, '@', 1), nullif(split_part(p_actor, '@', 2), ''));
  begin
    execute p_statement;
    perform tests.act_as_owner();
    return 'done';
  exception
    when sqlstate 'PT400' or sqlstate 'PT401' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' then
      perform tests.act_as_owner();
      return sqlstate || ' ' || sqlerrm;
  end;
end $$;
create function pg_temp.stock() returns numeric language sql as $$
  select stock::integer from public.medications where id = tests.id('Tamoxifen')
$$;
create function pg_temp.log_row(p_name text) returns text language sql as $$
  select concat_ws(' ', l.status, case when l.completed_at = now() then 'now' end, l.snoozed_until = now() + interval '15 minutes',
    case when l.follow_up_at is not null then 'looked after' end, l.notes)
  from public.reminder_logs as l where l.id = tests.id(p_name)
$$;

select pg_temp.log(status || ' ' || act, status, make_interval(mins => -60 - row_number() over ()::integer))
from unnest(array['sent', 'completed', 'skipped', 'snoozed', 'missed']) as status
cross join unnest(array['complete', 'skip', 'snooze']) as act;

select is(
  pg_temp.answer('pia', format('select public.%s_reminder(%L %s)', act, tests.id(status || ' ' || act),
    case act when 'snooze' then ', 15' else ', ''With tea''' end)),
  outcome, format('%s what is %s: %s', act, status, outcome)
)
from (values
  ('complete', 'sent', 'done'), ('complete', 'completed', 'done'), ('complete', 'skipped', 'done'),
  ('complete', 'snoozed', 'done'), ('complete', 'missed', 'done'),
  ('skip', 'sent', 'done'), ('skip', 'completed', 'PT409 already_answered'), ('skip', 'skipped', 'done'),
  ('skip', 'snoozed', 'done'), ('skip', 'missed', 'done'),
  ('snooze', 'sent', 'done'), ('snooze', 'completed', 'PT409 already_answered'), ('snooze', 'skipped', 'PT409 already_answered'),
  ('snooze', 'snoozed', 'done'), ('snooze', 'missed', 'done')
) as t (act, status, outcome);
select is(pg_temp.log_row(log), becomes, format('%s becomes %s', log, becomes))
from (values
  ('sent complete', 'completed now With tea'), ('completed complete', 'completed'), ('skipped complete', 'completed now With tea'),
  ('snoozed complete', 'completed now With tea'), ('missed complete', 'completed now With tea'),
  ('sent skip', 'skipped With tea'), ('completed skip', 'completed'), ('skipped skip', 'skipped'), ('missed skip', 'skipped With tea'),
  ('sent snooze', 'snoozed t looked after'), ('completed snooze', 'completed'), ('missed snooze', 'snoozed t looked after')
) as t (log, becomes);
select is(pg_temp.stock(), 2::numeric, 'four doses of two were taken from ten');
select results_eq(
  $$ select action, count(*) from public.audit_events where resource_type = 'reminder_log' and patient_id = tests.id('pia') and actor_id = tests.id('pia')
     group by 1 order by 1 $$,
  $$ values ('complete_reminder', 4::bigint), ('skip_reminder', 3), ('snooze_reminder', 3) $$,
  'each answer that changed something is in the audit trail'
);

select pg_temp.log('again', p_due => '-2 minutes');
select tests.act_as('pia');
select is(public.complete_reminder(tests.id('again')), now(), 'an answer says when');
select tests.act_as_owner();
update public.reminder_logs set completed_at = now() - interval '5 minutes' where id = tests.id('again');
select tests.act_as('pia');
select is(public.complete_reminder(tests.id('again'), 'From the other phone'), now() - interval '5 minutes', 'the first time counts');
select tests.act_as_owner();
select is(pg_temp.stock(), 0::numeric, 'and one dose');
select pg_temp.log('empty', p_due => '-1 minute'), pg_temp.answer('pia', format('select public.complete_reminder(%L)', tests.id('empty')));
select is(pg_temp.stock(), 0::numeric, 'a stock does not fall below nothing');

select pg_temp.log('hers', p_due => '-3 minutes');
select is(pg_temp.answer(actor, format('select public.%s(%L%s)', f, tests.id('hers'), rest)), outcome, format('%s: %s', actor, f))
from (values ('omar', 'PT404 not_found'), ('carer_med', 'PT404 not_found'), ('doc', 'PT404 not_found'), ('doc@aal1', 'PT403 mfa_required')) as t (actor, outcome)
cross join (values ('complete_reminder', ''), ('skip_reminder', ''), ('snooze_reminder', ', 5')) as c (f, rest);
select is(pg_temp.log_row('hers'), 'sent looked after', 'which changes nothing');
select is(pg_temp.answer('pia', format('select public.snooze_reminder(%L, %s)', tests.id('hers'), m)), outcome, format('snooze %s minutes: %s', m, outcome))
from (values ('1', 'done'), ('720', 'done'), ('0', 'PT400 invalid_request'), ('721', 'PT400 invalid_request'), ('null', 'PT400 invalid_request')) as t (m, outcome);
select is(pg_temp.answer('pia', format('select public.%s_reminder(%L, repeat(''x'', 1001))', act, tests.id('hers'))), 'PT400 invalid_request', act || ' with too many words')
from unnest(array['complete', 'skip']) as act;

-- Before it is due ---------------------------------------------------------------------------------

delete from public.reminder_logs;
update public.medications set stock = 15;
select tests.make_reminder('Early', 'pia', array[now() + interval '2 hours', now() + interval '26 hours', now() + interval '50 hours'],
  jsonb_build_object('medication_id', tests.id('Tamoxifen'), 'timezone', 'Asia/Kolkata', 'grace_minutes', 45));
create function pg_temp.early(p_actor text, p_due interval default '2 hours', p_rest text default '') returns text language sql as $$
  select pg_temp.answer(p_actor, format('select public.complete_next_reminder(%L, now() + %L::interval %s)', tests.id('Early'), p_due, p_rest))
$$;
create function pg_temp.early_row() returns text language sql as $$
  select concat_ws(' ', cardinality(r.upcoming), r.next_due_at - now(), r.expanded_to = now() + interval '2 hours', r.is_active)
  from public.reminders as r where r.id = tests.id('Early')
$$;
create temp table before as select pg_temp.early_row() as row;
select is(pg_temp.early(actor), outcome, format('%s before it is due: %s', actor, outcome))
from (values ('omar', 'PT404 not_found'), ('carer_med', 'PT404 not_found'), ('doc', 'PT404 not_found'), ('doc@aal1', 'PT403 mfa_required')) as t (actor, outcome);
select is(pg_temp.early('pia', due, rest), outcome, format('in %s%s: %s', due, left(rest, 12), outcome))
from (values
  (interval '26 hours', '', 'PT404 not_found'), (interval '119 minutes', '', 'PT404 not_found'), (null, '', 'PT404 not_found'),
  (interval '2 hours', $$, repeat('x', 1001)$$, 'PT400 invalid_request')
) as t (due, rest, outcome);
select is(pg_temp.early_row(), (select row from before), 'which changes nothing');
select is((select count(*) from public.reminder_logs), 0::bigint, 'and logs nothing');
select is(pg_temp.early('pia', p_rest => ', ''At breakfast'''), 'done', 'a dose is taken two hours early');
select results_eq(
  $$ select l.user_id, l.reminder_type, l.medication_id, l.timezone, l.grace_minutes, l.due_at - now(), l.status, l.completed_at = now(), l.notes, l.follow_up_at
     from public.reminder_logs as l $$,
  $$ values (tests.id('pia'), 'medication', tests.id('Tamoxifen'), 'Asia/Kolkata', 45, interval '2 hours', 'completed', true, 'At breakfast', null::timestamptz) $$,
  'its occurrence is done'
);
select is(pg_temp.stock(), 13::numeric, 'and off the stock');
select is(pg_temp.early_row(), '2 1 day 02:00:00 t t', 'the next one is due');
select results_eq(
  $$ select action, actor_id from public.audit_events where resource_id = (select id from public.reminder_logs) $$,
  $$ values ('complete_reminder', tests.id('pia')) $$, 'the audit trail has it'
);
select is(pg_temp.early('pia'), 'done', 'again does no harm');
select is(pg_temp.stock(), 13::numeric, 'nor takes another dose');
select is(pg_temp.early('pia', '26 hours'), 'PT400 invalid_request', 'what is due tomorrow cannot be done today');
select tests.act_as_role('reminder_worker');
select is((select claimed from private.tick_reminders(now() + interval '3 hours', 10)), 1, 'a tick tells the others');
select tests.act_as_owner();
select is((select count(*) from public.reminder_logs where reminder_id = tests.id('Early')), 1::bigint, 'and not what was done');
update public.reminders set upcoming = array[now() + interval '1 hour'], is_active = false where id = tests.id('Early');
select is(pg_temp.early('pia', '1 hour'), 'PT404 not_found', 'nothing is next of what is paused');
update public.reminders set upcoming = '{}', is_active = true where id = tests.id('Early');
select is(pg_temp.early('pia', null), 'PT404 not_found', 'nor where nothing is to come');
-- A tick was quicker, or the clock.
insert into public.reminder_logs (id, reminder_id, user_id, reminder_type, timezone, grace_minutes, due_at, status, follow_up_at)
values (tests.id('told'), tests.id('Early'), tests.id('pia'), 'medication', 'UTC', 45, now() + interval '1 hour', 'sent', now());
select is(pg_temp.early('pia', '1 hour'), 'done', 'what has been told meanwhile is completed');
select is(pg_temp.log_row('told'), 'completed now', 'in its row');
delete from public.reminders where id = tests.id('Early');
update public.reminders set upcoming = array[now() + interval '2 hours', now() + interval '26 hours'] where id = tests.id('Pill');

-- Upcoming -----------------------------------------------------------------------------------------

delete from public.reminder_logs;
update public.medications set stock = 15;
select pg_temp.log('open'), pg_temp.log('dozing', 'snoozed', '-2 hours'), pg_temp.log('past', 'missed', '-3 hours'),
  pg_temp.log('long ago', 'sent', '-8 days');
select tests.make_reminder('Walk', 'pia', array[now() + interval '1 hour'], '{"reminder_type": "exercise"}'),
  tests.make_reminder('Paused', 'pia', array[now() + interval '1 hour'], '{"is_active": false}'),
  tests.make_reminder('Omars', 'omar', array[now() + interval '1 hour']);
select tests.act_as('pia');
select results_eq(
  $$ select title, log_id, status, due_at - now(), due_at_local = due_at at time zone 'Asia/Kolkata', medication_name, dose, dose_unit, stock, days_left
     from public.upcoming_reminders(24) $$,
  $$ values
    ('Pill', tests.id('dozing'), 'snoozed', interval '-2 hours', true, 'Tamoxifen', 500::numeric, 'mg', 15::numeric, 7),
    ('Pill', tests.id('open'), 'sent', '-1 hour', true, 'Tamoxifen', 500, 'mg', 15, 7),
    ('Walk', null, 'upcoming', '1 hour', false, null, null, null, null, null),
    ('Pill', null, 'upcoming', '2 hours', true, 'Tamoxifen', 500, 'mg', 15, 7) $$,
  'what waits, and what comes, with dose and stock'
);
select is((select count(*) from public.upcoming_reminders(26)), 5::bigint, 'to the hour');
select is((select count(*) from public.upcoming_reminders()), 4::bigint, 'a day unless said otherwise');
select tests.act_as_owner();
select is(tests.attempt('pia', format('select count(*) from public.upcoming_reminders(%s)', h)), outcome, format('%s hours: %s', h, outcome))
from (values ('0', 'PT400 invalid_request'), ('169', 'PT400 invalid_request'), ('168', '5')) as t (h, outcome);
select is(tests.attempt(actor, 'select count(*) from public.upcoming_reminders()'), sees, format('%s is to do %s', actor, sees))
from (values ('omar', '1'), ('carer_med', '0'), ('doc', '0'), ('anon', '42501 grant')) as t (actor, sees);

-- Adherence ----------------------------------------------------------------------------------------

delete from public.reminder_logs;
create function pg_temp.kept(p_due timestamptz, p_status text, p_done timestamptz default null, p_zone text default 'Asia/Kolkata', p_reminder text default 'Pill')
  returns void language sql as $$
  insert into public.reminder_logs (reminder_id, user_id, reminder_type, medication_id, timezone, grace_minutes, due_at, status, completed_at, snoozed_until, follow_up_at)
  select r.id, r.user_id, r.reminder_type, r.medication_id, p_zone, 60, p_due, p_status, p_done,
    case p_status when 'snoozed' then p_due end, case when p_status in ('sent', 'snoozed') then p_due end
  from public.reminders as r where r.id = tests.id(p_reminder)
$$;
select tests.make_reminder('Unlinked', 'pia');
-- Midnight between 9 and 10 January is 18:30 in Kolkata, 23:00 the day before in Apia's +13.
select
  pg_temp.kept('2027-01-09 18:29:59Z', 'completed', '2027-01-09 18:30Z'),
  pg_temp.kept('2027-01-09 18:30Z', 'completed', '2027-01-09 19:30Z'),
  pg_temp.kept('2027-01-09 18:31Z', 'completed', '2027-01-09 19:31:01Z'),
  pg_temp.kept('2027-01-10 08:00Z', 'skipped'),
  pg_temp.kept('2027-01-10 09:00Z', 'missed'),
  pg_temp.kept('2027-01-10 10:00Z', 'sent'),
  pg_temp.kept('2027-01-10 11:00Z', 'snoozed'),
  pg_temp.kept('2027-01-10 18:30Z', 'missed'),
  pg_temp.kept('2027-01-09 11:00Z', 'missed', p_zone => 'Pacific/Apia'),
  pg_temp.kept('2027-01-11 09:59Z', 'missed', p_zone => 'Pacific/Honolulu'),
  pg_temp.kept('2027-01-10 12:00Z', 'missed', p_reminder => 'Unlinked'),
  pg_temp.kept('2027-01-10 12:00Z', 'missed', p_reminder => 'Walk');
create function pg_temp.adherence_of(p_actor text) returns setof text language plpgsql as $$
begin
  perform tests.act_as(p_actor);
  return query
    select concat_ws(' ', case a.medication_id when tests.id('Tamoxifen') then 'Tamoxifen' end,
      case a.reminder_id when tests.id('Unlinked') then 'Unlinked' end, a.day, a.taken, a.late, a.skipped, a.missed, a.unanswered)
    from public.adherence('2027-01-10', '2027-01-11', tests.id('pia')) as a;
  perform tests.act_as_owner();
end $$;
select results_eq(
  format('select pg_temp.adherence_of(%L)', actor),
  $$ values ('Tamoxifen 2027-01-10 1 1 1 3 2'), ('Unlinked 2027-01-10 0 0 0 1 0') $$,
  actor || ' reads how pia kept her plan, by the day of each zone'
)
from unnest(array['pia', 'carer_med', 'doc']) as actor;
select is_empty(format('select pg_temp.adherence_of(%L)', actor), actor || ' reads nothing of it') from unnest(array['omar', 'carer']) as actor;
select tests.act_as('pia');
select is((select sum(taken + late + skipped + missed + unanswered) from public.adherence('2027-01-09', '2027-01-12')), 11::numeric,
  'one''s own unless said otherwise; every occurrence on one day');
select tests.act_as_owner();
select is(tests.attempt('pia', format('select count(*) from public.adherence(%s)', days)), outcome, format('adherence(%s): %s', days, outcome))
from (values
  ($$'2027-01-10', '2027-01-10'$$, 'PT400 invalid_request'), ($$'2027-01-10', null$$, 'PT400 invalid_request'),
  ($$null, '2027-01-10'$$, 'PT400 invalid_request'), ($$'2026-01-10', '2027-01-12'$$, 'PT400 invalid_request'),
  ($$'2026-01-11', '2027-01-12'$$, '4'), ($$'-infinity', 'infinity'$$, 'PT400 invalid_request'),
  ($$'4714-11-24 BC', '4713-01-01 BC'$$, 'PT400 invalid_request'), ($$'5874897-12-30', '5874897-12-31'$$, 'PT400 invalid_request')
) as t (days, outcome);

select * from finish();
rollback;
