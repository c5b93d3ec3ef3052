-- Medicines: who sees and writes them, how long they last, and when their owner is told that they run
-- low. The people of the ward; carer_med is pia's caregiver with the scope medications.
begin;
select plan(75);

select tests.make_ward();
select tests.make_user('carer_med', 'caregiver');
select tests.make_care('pia', 'carer_med', p_scopes => array['medications']);
select tests.open_chart('pia', 'carer_med');
select tests.make_medicine('Tamoxifen', 'pia'), tests.make_medicine('Other', 'omar');

select is(tests.attempt(actor, 'select string_agg(name, '' '' order by name) from public.medications'), sees, format('%s sees %s', actor, coalesce(sees, 'none')))
from (values
  ('pia', 'Tamoxifen'), ('omar', 'Other'), ('carer', 'nothing'), ('carer_med', 'Tamoxifen'), ('carer_other', 'Tamoxifen'), ('carer_ended', 'nothing'),
  ('carer_closed', 'nothing'), ('doc', 'Tamoxifen'), ('doc@aal1', 'nothing'), ('doc_closed', 'nothing'), ('doc_stranger', 'nothing'), ('admin', 'nothing'),
  ('share_view', 'nothing'), ('anon', '42501 grant'), ('service_role', '42501 grant')
) as t (actor, sees);

select is(tests.attempt(actor, format('insert into public.medications (user_id, name) values (%L, ''Pill'')', tests.id('pia'))), outcome, format('%s inserts for pia: %s', actor, outcome))
from (values ('pia', '1'), ('omar', '42501 policy'), ('carer_med', '42501 policy'), ('doc', '42501 policy')) as t (actor, outcome);
select is(tests.attempt(actor, format('%s where user_id = %L returning 1', verb, tests.id('pia'))), outcome, format('%s: %s: %s', actor, left(verb, 6), outcome))
from (values ('pia', '1'), ('omar', '0'), ('carer_med', '0'), ('doc', '0')) as t (actor, outcome)
cross join unnest(array['update public.medications set stock = 5', 'delete from public.medications']) as verb;
select is(tests.attempt('doc@aal1', $$insert into public.medications (user_id, name) values (auth.uid(), 'Pill')$$), '42501 policy', 'a clinician''s own need the second factor, too');
select is(tests.attempt('pia', format('update public.medications set %s = %s', c, v)), '42501 grant', 'nobody sets ' || c)
from (values ('user_id', 'auth.uid()'), ('refill_due_at', 'now()'), ('refill_notified_at', 'now()'), ('id', 'gen_random_uuid()')) as t (c, v);
select tests.act_as('pia');
update public.medications set dose = 20, name = 'Tamoxifen 20';
select tests.act_as_owner();
select is(
  (select new_values from public.audit_events where resource_type = 'medication' and action = 'update' and actor_id = tests.id('pia')),
  '{"dose": 20, "name": "Tamoxifen 20"}'::jsonb, 'a change is in the audit trail'
);

select tests.make_user('hoarder');
select tests.make_medicine('Pill ' || i, 'hoarder') from generate_series(1, 199) as i;
select is(tests.attempt('hoarder', $$insert into public.medications (user_id, name) values (auth.uid(), 'Last')$$), '1', 'an account has 200 medicines');
select tests.make_medicine('Last', 'hoarder');
select is(tests.attempt('hoarder', $$insert into public.medications (user_id, name) values (auth.uid(), 'More')$$), 'PT409 limit_reached', 'and no more');
select is(tests.attempt('omar', $$insert into public.medications (user_id, name) values (auth.uid(), 'More')$$), '1', 'which is nothing to others');

-- A clinician's own are for their second factor, too.
select tests.make_medicine('Own', 'doc');
select is(tests.attempt(actor, format(statement, tests.id('Own'))), outcome, format('%s: %s: %s', actor, left(statement, 30), outcome))
from (values ('doc@aal1', '0'), ('doc', '1')) as t (actor, outcome)
cross join unnest(array[
  'select count(*) from public.medications where id = %L', 'update public.medications set stock = 1 where id = %L returning 1'
]) as statement;
select is(tests.attempt('doc@aal1', 'delete from public.medications returning 1'), '0', 'doc@aal1 deletes none');
select is(tests.attempt('doc@aal1', 'update public.medications set stock = 1 returning 1'), '0', 'nor changes one');
delete from public.medications where user_id = tests.id('doc');

-- Days left ----------------------------------------------------------------------------------------

select is(private.days_left(stock, units, per_day), days, format('%s at %s a dose, %s a day: %s', stock, units, per_day, days))
from (values
  (30::numeric, 1::numeric, 1::numeric, 30), (30, 2, 1, 15), (31, 2, 1, 15), (21, 1, 0.75, 28), (20, 1, 0.75, 26), (1, 2, 1, 0),
  (0, 1, 4, 0), (null, 1, 1, null), (30, 1, null, null), (30, 1, 0, null), (1000000, 1, 0.001, 36500)
) as t (stock, units, per_day, days);
select tests.make_reminder('Morning', 'pia', p_settings => jsonb_build_object('medication_id', tests.id('Tamoxifen'), 'per_day', 1)),
  tests.make_reminder('Evening', 'pia', p_settings => jsonb_build_object('medication_id', tests.id('Tamoxifen'), 'per_day', 0.5)),
  tests.make_reminder('Paused', 'pia', p_settings => jsonb_build_object('medication_id', tests.id('Tamoxifen'), 'per_day', 5, 'is_active', false));
select tests.act_as('pia');
select results_eq(
  'select medication_id, stock, doses_left, per_day, days_left from public.medication_supply()',
  $$ values (tests.id('Tamoxifen'), 30::numeric, 30, 1.500::numeric, 20) $$, 'by all active reminders of the medicine'
);
select tests.act_as_owner();
select tests.make_reminder('Over', 'pia', p_settings => jsonb_build_object('medication_id', tests.id('Tamoxifen'), 'per_day', 5, 'expansion', 'complete')),
  tests.make_reminder('Last', 'pia', array['2027-01-10 08:00Z'::timestamptz],
    jsonb_build_object('medication_id', tests.id('Tamoxifen'), 'per_day', 0.25, 'expansion', 'complete'));
select tests.act_as('pia');
select is((select per_day from public.medication_supply()), 1.75, 'a plan that is over takes nothing more, its last dose does');
select tests.act_as_owner();
update public.reminders set is_active = false where title in ('Over', 'Last');
select is(tests.attempt('pia', format('update public.medications set %s', change)), outcome, format('%s: %s', change, outcome))
from (values
  ($$stock = 'NaN'$$, '23514'), ($$units_per_dose = 'NaN'$$, '23514'), ($$dose = 'NaN'$$, '23514')
) as t (change, outcome);
select is(tests.attempt('pia', $$with c as (update public.medications set stock = 9999999, units_per_dose = 0.001 returning 1) select count(*) from c$$), '1', 'much in small doses');
select tests.act_as_owner();
update public.medications set stock = 9999999, units_per_dose = 0.001 where id = tests.id('Tamoxifen');
select tests.act_as('pia');
select is((select doses_left from public.medication_supply()), 2147483647, 'more doses than can be counted are as many as can');
select tests.act_as_owner();
update public.medications set stock = 30, units_per_dose = 1, refill_due_at = null, refill_notified_at = null where id = tests.id('Tamoxifen');
select is(tests.attempt(actor, 'select count(*) from public.medication_supply()'), '0', actor || ' has no supply of their own')
from unnest(array['carer_med', 'doc']) as actor;

-- Refills ------------------------------------------------------------------------------------------

select is(private.civil_time(at, 'Asia/Kolkata'), civil, format('%s is told at %s', at, civil))
from (values
  ('2027-01-10 03:29:59Z'::timestamptz, '2027-01-10 03:30Z'::timestamptz), ('2027-01-10 03:30Z', '2027-01-10 03:30Z'),
  ('2027-01-10 14:29:59Z', '2027-01-10 14:29:59Z'), ('2027-01-10 14:30Z', '2027-01-11 03:30Z')
) as t (at, civil);
create function pg_temp.refill() returns text language sql as $$
  select concat_ws(' ', case when m.refill_due_at = private.civil_time(now(), 'UTC') then 'planned' when m.refill_due_at is not null then 'at another time' end,
    case when m.refill_notified_at is not null then 'told' end)
  from public.medications as m where m.id = tests.id('Tamoxifen')
$$;
update public.medications set stock = 12 where id = tests.id('Tamoxifen');
select is(pg_temp.refill(), '', 'eight days are enough');
update public.medications set stock = 11 where id = tests.id('Tamoxifen');
select is(pg_temp.refill(), 'planned', 'seven are told');
update public.medications set refill_due_at = '2027-01-01', stock = 10 where id = tests.id('Tamoxifen');
select is(pg_temp.refill(), 'at another time', 'what is planned stays so');
update public.medications set refill_due_at = null, refill_notified_at = now() where id = tests.id('Tamoxifen');
update public.medications set stock = 9 where id = tests.id('Tamoxifen');
select is(pg_temp.refill(), 'told', 'once');
update public.medications set stock = 30 where id = tests.id('Tamoxifen');
select is(pg_temp.refill(), '', 'until there is enough again');
update public.medications set refill_threshold_days = 20 where id = tests.id('Tamoxifen');
select is(pg_temp.refill(), 'planned', 'a higher threshold counts at once');
update public.medications set stock = null where id = tests.id('Tamoxifen');
select is(pg_temp.refill(), '', 'a stock that is not counted is not told');

select tests.act_as('pia');
delete from public.medications;
select tests.act_as_owner();
select is((select array_agg(distinct medication_id) from public.reminders), array[null]::uuid[], 'reminders outlive their medicine');
select is((select count(*) from public.medications where user_id = tests.id('omar')), 1::bigint, 'and omar''s is there still');

select * from finish();
rollback;
