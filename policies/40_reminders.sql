-- Who may do what to reminders. No row here: not allowed.
--   reminders      authenticated  select  own; of open charts: a doctor all, a caregiver those of
--                                         type medication in scope medications, appointment in
--                                         appointments, others in tracking
--   reminders      authenticated  delete  own
--   reminder_logs  authenticated  select  as the reminder
-- Reminders are made and changed, and occurrences answered, by RPC; the tick's functions are
-- reminder_worker's. Both tables also need what 26_access.sql says.

alter table public.reminders enable row level security;
revoke all on table public.reminders from public, anon, authenticated, service_role;
grant select, delete on table public.reminders to authenticated;

create policy reminders_select_authenticated on public.reminders
  for select to authenticated
  using (
    user_id = (select auth.uid())
    or (
      reminder_type = 'medication'
      and user_id = any (array(select private.chart_patient_ids('medications')))
    )
    or (
      reminder_type = 'appointment'
      and user_id = any (array(select private.chart_patient_ids('appointments')))
    )
    or (
      reminder_type not in ('medication', 'appointment')
      and user_id = any (array(select private.chart_patient_ids('tracking')))
    )
  );

create policy reminders_delete_authenticated on public.reminders
  for delete to authenticated
  using (user_id = (select auth.uid()));

alter table public.reminder_logs enable row level security;
revoke all on table public.reminder_logs from public, anon, authenticated, service_role;
grant select on table public.reminder_logs to authenticated;

create policy reminder_logs_select_authenticated on public.reminder_logs
  for select to authenticated
  using (
    user_id = (select auth.uid())
    or (
      reminder_type = 'medication'
      and user_id = any (array(select private.chart_patient_ids('medications')))
    )
    or (
      reminder_type = 'appointment'
      and user_id = any (array(select private.chart_patient_ids('appointments')))
    )
    or (
      reminder_type not in ('medication', 'appointment')
      and user_id = any (array(select private.chart_patient_ids('tracking')))
    )
  );
