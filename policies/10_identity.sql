-- Who may do what to identity. No row here: not allowed.
--   profiles        authenticated  select  own row; administrators: every row
--   profiles        authenticated  update  own row: display_name, avatar_path, bio, is_public,
--                                          locale, timezone
--   patients        authenticated  select  own row; patients whose chart is open (a caregiver: with
--                                          the scope records)
--   patients        authenticated  update  own row, every column but id, is_active, created_by, and
--                                          the encrypted ones, which the function identity writes
--   doctors         authenticated  select  own row; administrators: every row
--   account_grants  authenticated  select  own rows; administrators: every row
--   public_profiles authenticated  select  public faces; the view decides which
-- All of it needs a live session; patients, a clinical table, also what 26_access.sql says. Rows are made by the sign-up trigger and by RPC; nobody deletes through the API.

alter table public.profiles enable row level security;
revoke all on table public.profiles from public, anon, authenticated, service_role;
grant select on table public.profiles to authenticated;
grant update (display_name, avatar_path, bio, is_public, locale, timezone)
  on table public.profiles to authenticated;

create policy profiles_select_authenticated on public.profiles
  for select to authenticated
  using (
    (select private.session_is_live())
    and (id = (select auth.uid()) or (select private.is_admin()))
  );

create policy profiles_update_authenticated on public.profiles
  for update to authenticated
  using ((select private.session_is_live()) and id = (select auth.uid()))
  with check ((select private.session_is_live()) and id = (select auth.uid()));

alter table public.patients enable row level security;
revoke all on table public.patients from public, anon, authenticated, service_role;
grant select on table public.patients to authenticated;
grant update (
  first_name, last_name, date_of_birth, gender, city, state, postal_code, country,
  insurance_provider, emergency_contact_name, emergency_contact_relationship, cancer_type,
  diagnosis_date, treatment_stage, medical_history
) on table public.patients to authenticated;

create policy patients_select_authenticated on public.patients
  for select to authenticated
  using (
    id = (select auth.uid())
    or id = any (array(select private.chart_patient_ids('records')))
  );

create policy patients_update_authenticated on public.patients
  for update to authenticated
  using (id = (select auth.uid()))
  with check (id = (select auth.uid()));

alter table public.doctors enable row level security;
revoke all on table public.doctors from public, anon, authenticated, service_role;
grant select on table public.doctors to authenticated;

create policy doctors_select_authenticated on public.doctors
  for select to authenticated
  using (
    (select private.session_is_live())
    and (id = (select auth.uid()) or (select private.is_admin()))
  );

alter table public.account_grants enable row level security;
revoke all on table public.account_grants from public, anon, authenticated, service_role;
grant select on table public.account_grants to authenticated;

create policy account_grants_select_authenticated on public.account_grants
  for select to authenticated
  using (
    (select private.session_is_live())
    and (user_id = (select auth.uid()) or (select private.is_admin()))
  );

revoke all on table private.visible_profiles from public, anon, authenticated, service_role;
grant select on table private.visible_profiles to authenticated;
revoke all on table public.public_profiles from public, anon, authenticated, service_role;
grant select on table public.public_profiles to authenticated;

-- Nobody reads or writes sign_in_failures but private.limit_sign_in_attempts.
alter table private.sign_in_failures enable row level security;
revoke all on table private.sign_in_failures from public, anon, authenticated, service_role;
