-- Constraints of reminders, of what was logged of them and of medicines, each on both sides of its limit,
-- tried as the owner: whatever grants, policies and functions let through, a row cannot say more.
begin;
select plan(102);

select tests.make_user('pia');
select tests.make_medicine('Pill', 'pia');
select tests.make_reminder('Pill reminder', 'pia', array[now() + interval '1 hour']);
insert into public.reminder_logs (reminder_id, user_id, reminder_type, timezone, grace_minutes, due_at, status)
values (tests.id('Pill reminder'), tests.id('pia'), 'medication', 'UTC', 60, now(), 'missed');

select is(
  tests.refusal('update public.reminders set ' || change),
  outcome, format('reminders: %s: %s', left(change, 70), outcome)
)
from (values
  ($$title = ''$$, 'reminders_title_check'), ($$title = 'x'$$, 'done'),
  ($$title = repeat('x', 120)$$, 'done'), ($$title = repeat('x', 121)$$, 'reminders_title_check'),
  ($$description = ''$$, 'reminders_description_check'), ($$description = repeat('x', 1000)$$, 'done'),
  ($$description = repeat('x', 1001)$$, 'reminders_description_check'),
  ($$reminder_type = 'nap'$$, 'reminders_reminder_type_check'),
  ($$rrule = 'FREQ=DAILY;BYHOUR=' || rtrim(repeat('10,', 161), ',')$$, 'done'),
  ($$rrule = 'FREQ=DAILY;BYHOUR=' || rtrim(repeat('10,', 162), ',')$$, 'reminders_rrule_check'),
  ($$starts_at_local = '1970-01-01'$$, 'done'), ($$starts_at_local = '1969-12-31 23:59:59'$$, 'reminders_starts_at_local_check'),
  ($$starts_at_local = '2199-12-31 23:59:59'$$, 'done'), ($$starts_at_local = '2200-01-01'$$, 'reminders_starts_at_local_check'),
  ($$rdate = array_fill('2026-01-01'::timestamp, array[100])$$, 'done'),
  ($$rdate = array_fill('2026-01-01'::timestamp, array[101])$$, 'reminders_dates_check'),
  ($$exdate = array_fill('2026-01-01'::timestamp, array[100])$$, 'done'),
  ($$exdate = array_fill('2026-01-01'::timestamp, array[101])$$, 'reminders_dates_check'),
  ($$rdate = array[null]::timestamp[]$$, 'reminders_dates_check'), ($$exdate = array[null]::timestamp[]$$, 'reminders_dates_check'),
  ($$cycle_days_on = 1, cycle_days_off = 1$$, 'done'), ($$cycle_days_on = 366, cycle_days_off = 366$$, 'done'),
  ($$cycle_days_on = 0, cycle_days_off = 1$$, 'reminders_cycle_check'), ($$cycle_days_on = 1, cycle_days_off = 0$$, 'reminders_cycle_check'),
  ($$cycle_days_on = 367, cycle_days_off = 1$$, 'reminders_cycle_check'), ($$cycle_days_on = 1, cycle_days_off = 367$$, 'reminders_cycle_check'),
  ($$cycle_days_on = 1, cycle_days_off = null$$, 'reminders_cycle_check'), ($$cycle_days_on = null, cycle_days_off = 1$$, 'reminders_cycle_check'),
  ($$shift_minutes = 1440$$, 'done'), ($$shift_minutes = -1440$$, 'done'),
  ($$shift_minutes = 1441$$, 'reminders_shift_minutes_check'), ($$shift_minutes = -1441$$, 'reminders_shift_minutes_check'),
  ($$grace_minutes = 1$$, 'done'), ($$grace_minutes = 1440$$, 'done'),
  ($$grace_minutes = 0$$, 'reminders_grace_minutes_check'), ($$grace_minutes = 1441$$, 'reminders_grace_minutes_check'),
  ($$repeat_every_minutes = 1$$, 'done'), ($$repeat_every_minutes = 240$$, 'done'),
  ($$repeat_every_minutes = 0$$, 'reminders_repeat_every_minutes_check'), ($$repeat_every_minutes = 241$$, 'reminders_repeat_every_minutes_check'),
  ($$repeat_every_minutes = 1, max_repeats = 10$$, 'done'), ($$repeat_every_minutes = 1, max_repeats = 11$$, 'reminders_max_repeats_check'),
  ($$repeat_every_minutes = 1, max_repeats = -1$$, 'reminders_max_repeats_check'),
  ($$repeat_every_minutes = null, max_repeats = 1$$, 'reminders_repeats_check'),
  ($$escalate_to = user_id$$, 'reminders_escalate_to_check'), ($$escalate_to = gen_random_uuid()$$, 'reminders_escalate_to_fkey'),
  ($$medication_id = gen_random_uuid()$$, 'reminders_medication_id_fkey'), ($$user_id = gen_random_uuid()$$, 'reminders_user_id_fkey'),
  ($$per_day = 0$$, 'done'), ($$per_day = -0.001$$, 'reminders_per_day_check'),
  ($$per_day = 'NaN'$$, 'reminders_per_day_check'),
  ($$ai_suggestions = '{}'$$, 'done'), ($$ai_suggestions = '[]'$$, 'reminders_ai_suggestions_check'),
  ($$upcoming = array_fill(now(), array[16])$$, 'done'), ($$upcoming = array_fill(now(), array[17])$$, 'reminders_upcoming_check'),
  ($$upcoming = array[null]::timestamptz[]$$, 'reminders_upcoming_check'),
  ($$expansion = 'refused'$$, 'done'), ($$expansion = 'done'$$, 'reminders_expansion_check')
) as t (change, outcome);

-- The trigger that reads a rule refuses such ones before.
alter table public.reminders disable trigger reminders_check_plan;
select is(tests.refusal('update public.reminders set ' || change), outcome, format('reminders, without the trigger: %s: %s', change, outcome))
from (values ($$rrule = ''$$, 'reminders_rrule_check'), ($$rrule = 'x'$$, 'done')) as t (change, outcome);
alter table public.reminders enable trigger reminders_check_plan;

select is(
  tests.refusal('update public.reminder_logs set ' || change),
  outcome, format('reminder_logs: %s: %s', left(change, 70), outcome)
)
from (values
  ($$status = 'done'$$, 'reminder_logs_status_check'), ($$status = 'skipped'$$, 'done'),
  ($$status = 'completed'$$, 'reminder_logs_times_check'), ($$status = 'completed', completed_at = now()$$, 'done'),
  ($$status = 'missed', completed_at = now()$$, 'reminder_logs_times_check'),
  ($$status = 'snoozed', follow_up_at = now()$$, 'reminder_logs_times_check'),
  ($$status = 'snoozed', snoozed_until = now()$$, 'reminder_logs_times_check'),
  ($$status = 'snoozed', snoozed_until = now(), follow_up_at = now()$$, 'done'),
  ($$status = 'sent', snoozed_until = now(), follow_up_at = now()$$, 'reminder_logs_times_check'),
  ($$status = 'sent'$$, 'reminder_logs_times_check'), ($$status = 'sent', follow_up_at = now()$$, 'done'),
  ($$follow_up_at = now()$$, 'reminder_logs_times_check'),
  ($$notes = ''$$, 'reminder_logs_notes_check'), ($$notes = repeat('x', 1000)$$, 'done'), ($$notes = repeat('x', 1001)$$, 'reminder_logs_notes_check'),
  ($$reminder_id = gen_random_uuid()$$, 'reminder_logs_reminder_id_fkey')
) as t (change, outcome);
select is(
  tests.refusal($$insert into public.reminder_logs (reminder_id, user_id, reminder_type, timezone, grace_minutes, due_at, status)
    select reminder_id, user_id, reminder_type, timezone, grace_minutes, due_at, status from public.reminder_logs$$),
  'reminder_logs_one_of_an_occurrence', 'an occurrence has one row'
);

select is(
  tests.refusal('update public.medications set ' || change),
  outcome, format('medications: %s: %s', left(change, 70), outcome)
)
from (values
  ($$name = ''$$, 'medications_name_check'), ($$name = 'x'$$, 'done'), ($$name = repeat('x', 200)$$, 'done'),
  ($$name = repeat('x', 201)$$, 'medications_name_check'),
  ($$dose = 0, dose_unit = 'mg'$$, 'medications_dose_check'), ($$dose = 0.0001, dose_unit = 'mg'$$, 'done'),
  ($$dose = 'NaN', dose_unit = 'mg'$$, 'medications_dose_check'),
  ($$dose = 1, dose_unit = null$$, 'medications_dose_check'), ($$dose = null, dose_unit = 'mg'$$, 'medications_dose_check'),
  ($$dose = null, dose_unit = null$$, 'done'),
  ($$dose = 1, dose_unit = ''$$, 'medications_dose_check'), ($$dose = 1, dose_unit = 'g'$$, 'done'),
  ($$dose = 1, dose_unit = repeat('x', 20)$$, 'done'), ($$dose = 1, dose_unit = repeat('x', 21)$$, 'medications_dose_check'),
  ($$units_per_dose = 0$$, 'medications_units_per_dose_check'), ($$units_per_dose = 0.001$$, 'done'),
  ($$units_per_dose = 'NaN'$$, 'medications_units_per_dose_check'),
  ($$stock = -0.001$$, 'medications_stock_check'), ($$stock = 0$$, 'done'), ($$stock = 'NaN'$$, 'medications_stock_check'),
  ($$refill_threshold_days = -1$$, 'medications_refill_threshold_days_check'), ($$refill_threshold_days = 0$$, 'done'),
  ($$refill_threshold_days = 90$$, 'done'), ($$refill_threshold_days = 91$$, 'medications_refill_threshold_days_check'),
  ($$user_id = gen_random_uuid()$$, 'medications_user_id_fkey')
) as t (change, outcome);

select * from finish();
rollback;
