-- Who may do what to medicines. No row here: not allowed.
--   medications  authenticated  select  own; of open charts: a doctor, a caregiver with the scope
--                                       medications
--   medications  authenticated  insert  own: name, dose, dose_unit, units_per_dose, stock,
--                                       refill_threshold_days
--   medications  authenticated  update  own: the same columns
--   medications  authenticated  delete  own
-- The table also needs what 26_access.sql says.

alter table public.medications enable row level security;
revoke all on table public.medications from public, anon, authenticated, service_role;
grant select, delete on table public.medications to authenticated;
grant insert (user_id, name, dose, dose_unit, units_per_dose, stock, refill_threshold_days)
  on table public.medications to authenticated;
grant update (name, dose, dose_unit, units_per_dose, stock, refill_threshold_days)
  on table public.medications to authenticated;

create policy medications_select_authenticated on public.medications
  for select to authenticated
  using (
    user_id = (select auth.uid())
    or user_id = any (array(select private.chart_patient_ids('medications')))
  );

create policy medications_insert_authenticated on public.medications
  for insert to authenticated
  with check (user_id = (select auth.uid()));

create policy medications_update_authenticated on public.medications
  for update to authenticated
  using (user_id = (select auth.uid()))
  with check (user_id = (select auth.uid()));

create policy medications_delete_authenticated on public.medications
  for delete to authenticated
  using (user_id = (select auth.uid()));
